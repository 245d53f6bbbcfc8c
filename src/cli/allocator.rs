//! What the allocator of glibc is told at the start.
#![allow(unsafe_code)]

/// From this length on a piece of memory comes from the system itself, and goes back to it when it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_MIN: std::ffi::c_int = 256 << 10;
/// So much that is free at the end of the heap is kept.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: std::ffi::c_int = 1 << 20;

/// Keeps memory that is free from staying with the process. Left alone, glibc raises its own bound with each piece that is freed, up to
/// 32 MiB, and then keeps what each thread frees for that thread: bounds on buffers hold by counting only. (Measured on a tree of 87 000
/// files: a restore's peak falls from 113 to 93 MiB, a first snapshot's from 88 to 82, in the same time.)
pub fn set_up() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes numbers only; called before there are other threads.
    unsafe {
        // In place of eight times as many as there are cores; but one for each thread of a snapshot on a small machine, or those of them
        // that share one wait for each other at every name (an unchanged tree of 80 000 files took 0.19 s or 0.27, as chance would have it).
        let arenas = std::thread::available_parallelism().map_or(16, |cores| cores.get().clamp(16, 64));
        libc::mallopt(libc::M_ARENA_MAX, arenas as std::ffi::c_int);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_MIN);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}
