//! Which of two ways costs what it saves: asked of a sample now and then, and again when the data becomes other.

/// Plaintext after which it is asked again in any case, in bytes.
const ASK_EVERY: usize = 64 << 20;
/// The same where the data has become other: at first, and at most, with twice as much each time that the answer is as before. A question
/// takes as long as compressing two or three times the sample, which is a MiB.
const ASK_AGAIN: usize = 4 << 20;
const ASK_AGAIN_MAX: usize = 16 << 20;

/// The way that is taken, and how long it has been.
#[derive(Debug)]
pub(super) struct Choice {
    /// Take the one that costs more.
    pub strong: bool,
    /// Plaintext since it was asked; none was asked yet without it.
    since: Option<usize>,
    /// Plaintext and packed bytes of what came first then.
    like: Option<(usize, usize)>,
    changed: bool,
    /// Plaintext after which it is asked again where the data has become other, in bytes.
    again: usize,
}

impl Choice {
    pub fn new() -> Self {
        Choice { strong: false, since: None, like: None, changed: false, again: ASK_AGAIN }
    }

    /// True when it is to be asked before the next frame.
    pub fn is_due(&self) -> bool {
        self.since.is_none_or(|since| since >= if self.changed { self.again } else { ASK_EVERY })
    }

    /// It was asked.
    pub fn decide(&mut self, strong: bool) {
        let again = if self.since.is_some() && strong == self.strong { self.again * 2 } else { ASK_AGAIN };
        *self = Choice { strong, since: Some(0), like: None, changed: false, again: again.min(ASK_AGAIN_MAX) };
    }

    /// So much became so little. What shrinks to half as much again as before, or to less than two thirds, is other data.
    pub fn saw(&mut self, plain: usize, packed: usize) {
        let (plain_then, packed_then) = *self.like.get_or_insert((plain, packed));
        let now = packed as u64 * plain_then as u64;
        let then = packed_then as u64 * plain as u64;
        self.changed = now * 2 > then * 3 || now * 3 < then * 2;
        self.since = self.since.map(|since| since.saturating_add(plain));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// How many segments of 1 MiB that shrink to so many KiB go by until it is asked.
    fn until_asked(choice: &mut Choice, kib: usize) -> usize {
        let due = (0..).find(|_| {
            let due = choice.is_due();
            choice.saw(MIB, kib << 10);
            due
        });
        due.unwrap()
    }

    #[test]
    fn it_is_asked_at_once_then_seldom_and_soon_when_the_data_is_other() {
        let mut choice = Choice::new();
        assert!(choice.is_due());
        choice.decide(true);
        assert_eq!((until_asked(&mut choice, 500), choice.strong), (64, true));
        choice.decide(false);
        choice.saw(MIB, 500 << 10);
        // What is much the same is the same.
        assert_eq!((until_asked(&mut choice, 700), choice.strong), (63, false));
        for (before, after) in [(500, 800), (500, 300), (1024, 1), (1, 1024)] {
            // Another answer than before: soon, or at once where that was long ago.
            for (meanwhile, until) in [(1, 3), (8, 1)] {
                let other = !choice.strong;
                choice.decide(other);
                for _ in 0..meanwhile {
                    choice.saw(MIB, before << 10);
                }
                assert_eq!(until_asked(&mut choice, after), until, "{before} {after} {meanwhile}");
            }
        }
        // The same answer again and again: less and less often, within bounds.
        choice.decide(true);
        for until in [8, 16, 16] {
            choice.decide(true);
            choice.saw(MIB, 500 << 10);
            assert_eq!(until_asked(&mut choice, 1), until - 1);
        }
        // What came in between and went is no reason.
        choice.decide(false);
        [500, 1, 500, 500, 500, 500, 500, 500, 500].into_iter().for_each(|kib| choice.saw(MIB, kib << 10));
        assert!(!choice.is_due());
    }
}
