//! What the library is told of the outside world: the time and random bytes. It asks for neither by itself,
//! so that a test can fix both.

use crate::error::{Error, Result};

/// A point in time, in nanoseconds' precision; before 1970 the seconds are negative and the nanoseconds still count up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, bincode::Encode, bincode::Decode)]
pub struct Time {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub sec: i64,
    /// Nanoseconds, below 1 000 000 000.
    pub nsec: u32,
}

impl Time {
    /// A time of whole seconds.
    pub const fn from_sec(sec: i64) -> Self {
        Time { sec, nsec: 0 }
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The present.
    fn now(&self) -> Time;
}

/// Gives random bytes fit for keys.
pub trait Entropy: Send + Sync {
    /// Fills `out`, or fails: there is no weak fallback.
    fn fill(&self, out: &mut [u8]) -> Result<()>;
}

/// `N` random bytes.
pub fn random<const N: usize>(entropy: &dyn Entropy) -> Result<[u8; N]> {
    let mut out = [0; N];
    entropy.fill(&mut out)?;
    Ok(out)
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => Time { sec: since.as_secs() as i64, nsec: since.subsec_nanos() },
            Err(before) => Time::from_sec(-(before.duration().as_secs() as i64)),
        }
    }
}

/// The kernel's random bytes, asked for each time: a user-space generator would repeat itself after a virtual
/// machine is resumed from a memory snapshot.
#[derive(Debug, Clone, Copy, Default)]
pub struct KernelEntropy;

impl Entropy for KernelEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<()> {
        getrandom::fill(out).map_err(|e| Error::Hardware { what: format!("the kernel gives no random bytes ({e})") })
    }
}

/// A fixed time, for tests.
#[derive(Debug, Clone, Copy)]
pub struct FixedClock(pub Time);

impl Clock for FixedClock {
    fn now(&self) -> Time {
        self.0
    }
}

/// Bytes that follow from a seed, for tests and test vectors only.
#[derive(Debug)]
pub struct SeededEntropy(std::sync::Mutex<blake3::OutputReader>);

impl SeededEntropy {
    /// The same seed gives the same bytes in the same order.
    pub fn new(seed: u64) -> Self {
        let reader =
            blake3::Hasher::new_derive_key("vault seeded entropy for tests").update(&seed.to_le_bytes()).finalize_xof();
        SeededEntropy(std::sync::Mutex::new(reader))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<()> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).fill(out);
        Ok(())
    }
}
