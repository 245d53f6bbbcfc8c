//! What the system refuses.

use super::{super::*, build::*};
use crate::monitor::Recording;

/// By a system that refuses to flush: who is not told takes what may be lost for restored.
#[test]
fn a_restore_ends_when_all_is_on_the_medium_or_says_that_it_may_not_be() {
    let place = Place::new();
    let listed = place.snapshot(vec![dir("app", vec![file("f", "1")])]);
    let (shown, restored) = std::thread::scope(|scope| {
        let refused = scope.spawn(|| {
            refuse(libc::SYS_syncfs, libc::EIO);
            let dry_run = Request { dry_run: true, ..place.request() };
            (place.run(&listed, &dry_run).map(drop), place.run(&listed, &place.request()).map(drop))
        });
        refused.join().unwrap()
    });
    assert!(shown.is_ok(), "{shown:?}");
    assert!(matches!(restored, Err(Error::Target { .. })), "{restored:?}");
    assert!(place.at("f").exists());
}

/// Where there are no hard links each name gets a file of its own; another failure is one, and costs that name.
#[test]
fn names_that_cannot_be_linked_are_files_of_their_own() {
    for (errno, made) in [(libc::EXDEV, true), (libc::EMLINK, true), (libc::EPERM, true), (libc::EIO, false)] {
        let place = Place::new();
        let names = ["a", "b", "c"].map(|name| file(name, "1").linked(5, 3));
        let listed = place.snapshot(vec![dir("app", names.into())]);
        let monitor = Recording::default();
        let report = std::thread::scope(|scope| {
            let refused = scope.spawn(|| {
                refuse(libc::SYS_linkat, errno);
                place.run_with(&listed, &place.request(), &monitor).unwrap()
            });
            refused.join().unwrap()
        });
        assert_eq!(report.problem_count, if made { 0 } else { 2 }, "{errno}");
        assert_eq!(monitor.notes().iter().any(|note| note.contains("a file of its own")), made, "{errno}");
        for name in ["a", "b", "c"] {
            let found = std::fs::read(place.at(name)).ok();
            assert_eq!(found.as_deref(), (made || name == "a").then_some(&b"1"[..]), "{errno} {name}");
        }
    }
}

/// Lets a call of the system fail, for the thread that asks for it, for good.
#[allow(unsafe_code)]
fn refuse(call: libc::c_long, errno: libc::c_int) {
    let step = |code, k, jf| libc::sock_filter { code, jt: 0, jf, k };
    let (load, equal, end) = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ, libc::BPF_RET);
    let mut steps = [
        step(load as u16, std::mem::offset_of!(libc::seccomp_data, nr) as u32, 0),
        step(equal as u16, call as u32, 1),
        step(end as u16, libc::SECCOMP_RET_ERRNO | errno as u32, 0),
        step(end as u16, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the program and its steps live until the kernel has copied them.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
    };
    assert!(refused, "{}", std::io::Error::last_os_error());
}
