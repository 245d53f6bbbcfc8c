//! Which of two ways costs what it saves: asked of a sample now and then, and again when the data becomes other.

/// Plaintext after which it is asked again in any case, in bytes; and after an answer that is another than the last, which may have been
/// to an odd question.
const ASK_EVERY: u64 = 64 << 20;
const ASK_AGAIN: u64 = EARN;
/// Plaintext that must have gone by for each question, in the long run and on each thread. One takes as long as compressing a MiB twice and
/// a bit, so that data which becomes other all the time takes a seventh more.
const EARN: u64 = 16 << 20;
/// Questions that can be saved up for data that becomes other soon after it was asked: the first answer may have been to an odd one.
const SAVED_MAX: u64 = 2;
/// Frames in a row, all of which shrink further or less far than the others, after which the data is other. One is a chance.
const IN_A_ROW: u32 = 2;
/// Shorter frames say little of those that follow.
const SHORT: usize = 128 << 10;

/// How a frame shrinks beside those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shrinks {
    Alike,
    Further,
    Less,
}

/// The way that is taken, and how long it has been.
#[derive(Debug)]
pub(super) struct Choice {
    /// Take the one that costs more.
    pub strong: bool,
    /// Plaintext since it was asked; none was asked yet without it.
    since: Option<u64>,
    /// Plaintext after which it is asked again.
    every: u64,
    /// Plaintext that has gone by and was not spent on questions, in bytes.
    earned: u64,
    /// Plaintext and packed bytes of the frames since then that shrank alike.
    like: (u64, u64),
    /// How the last frame shrank, and how many did so in a row.
    last: (Shrinks, u32),
}

impl Choice {
    pub fn new() -> Self {
        let earned = (SAVED_MAX + 1) * EARN;
        Choice { strong: false, since: None, every: ASK_AGAIN, earned, like: (0, 0), last: (Shrinks::Alike, 0) }
    }

    /// True when it is to be asked of the next frame, which has so many bytes of plaintext.
    pub fn is_due(&self, plain: usize) -> bool {
        let is_other = self.last.0 != Shrinks::Alike && self.last.1 >= IN_A_ROW;
        let now = |since| plain >= SHORT && (since >= self.every || is_other && self.earned >= EARN);
        self.since.is_none_or(now)
    }

    /// It was asked. Where that frame was a short one it is asked again of the next.
    pub fn decide(&mut self, plain: usize, strong: bool) {
        if plain >= SHORT {
            let every = if self.since.is_some() && strong == self.strong { ASK_EVERY } else { ASK_AGAIN };
            let earned = self.earned.saturating_sub(EARN);
            *self = Choice { strong, since: Some(0), every, earned, ..Choice::new() };
        }
        self.strong = strong;
    }

    /// So much became so little. What shrinks to half as much again as the others, or to less than two thirds, is other data.
    pub fn saw(&mut self, plain: usize, packed: usize) {
        let is_short = plain < SHORT;
        let (plain, packed) = (plain as u64, packed as u64);
        self.since = self.since.map(|since| since + plain);
        self.earned = (self.earned + plain).min(SAVED_MAX * EARN);
        if is_short {
            return;
        }
        let (now, then) = (u128::from(packed) * u128::from(self.like.0), u128::from(self.like.1) * u128::from(plain));
        let shrinks = match () {
            () if now * 3 < then * 2 => Shrinks::Further,
            () if now * 2 > then * 3 => Shrinks::Less,
            () => Shrinks::Alike,
        };
        if shrinks == Shrinks::Alike {
            self.like = (self.like.0 + plain, self.like.1 + packed);
        }
        self.last = (shrinks, if shrinks == self.last.0 { self.last.1 + 1 } else { 1 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// Goes through segments of 1 MiB that shrink to so many KiB, with an answer for each question; tells before which it was asked.
    fn asked(choice: &mut Choice, kib: impl IntoIterator<Item = usize>, answer: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut asked = Vec::new();
        for (place, kib) in kib.into_iter().enumerate() {
            if choice.is_due(MIB) {
                choice.decide(MIB, answer(kib));
                asked.push(place);
            }
            choice.saw(MIB, kib << 10);
        }
        asked
    }

    fn runs(kinds: &[usize], len: usize, frames: usize) -> Vec<usize> {
        kinds.iter().flat_map(|kib| vec![*kib; len]).cycle().take(frames).collect()
    }

    #[test]
    fn it_is_asked_at_once_and_then_seldom() {
        let mut choice = Choice::new();
        assert_eq!(asked(&mut choice, vec![500; 200], |_| true), [0, 16, 80, 144]);
        assert!(choice.strong);
        // What is much the same is the same, and a chance is no reason; nor is what comes and goes.
        for kinds in [&[500, 700, 400][..], &[500, 500, 1, 500], &[1, 1000], &[1000, 1]] {
            assert_eq!(asked(&mut Choice::new(), runs(kinds, 1, 128), |_| false), [0, 16, 80], "{kinds:?}");
        }
    }

    #[test]
    fn it_is_asked_again_soon_when_the_data_is_other() {
        for (before, after) in [(500, 800), (500, 300), (1024, 1), (1, 1024)] {
            for len in [1, 2, 30] {
                let mut choice = Choice::new();
                let data = [vec![before; len], vec![after; 50]].concat();
                let asked = asked(&mut choice, data, |kib| kib == after);
                assert!(asked.contains(&(len + IN_A_ROW as usize)) && asked.len() < 6, "{before} {after} {asked:?}");
                assert!(choice.strong);
            }
        }
        // Twice in short time, then no sooner than that was earned.
        let other = asked(&mut Choice::new(), runs(&[1, 500], 5, 100), |kib| kib == 1);
        assert_eq!(other[..4], [0, 7, 12, 27]);
    }

    #[test]
    fn short_frames_say_nothing_of_those_that_follow() {
        let mut choice = Choice::new();
        for _ in 0..3 {
            assert!(choice.is_due(0) && choice.is_due(SHORT - 1), "until there is a long one");
            choice.decide(SHORT - 1, true);
            choice.saw(SHORT - 1, 1);
        }
        assert!(choice.strong);
        assert_eq!(asked(&mut choice, vec![500; 20], |_| false), [0, 16]);
        for _ in 0..10 {
            [(0, 9), (1000, 20), (SHORT - 1, 10)].into_iter().for_each(|(plain, packed)| choice.saw(plain, packed));
            assert!(asked(&mut choice, [500], |_| true).is_empty());
        }
        // However many: it waits for a long one.
        (0..600).for_each(|_| choice.saw(SHORT - 1, SHORT / 2));
        assert!(!choice.is_due(SHORT - 1) && choice.is_due(SHORT));
    }

    /// Data that takes turns, however long each: the questions cost no more than was allowed for.
    #[test]
    fn questions_are_bounded_whatever_the_data_is() {
        const FRAMES: usize = 2048;
        let most = FRAMES / (EARN as usize / MIB) + SAVED_MAX as usize + 1;
        for len in 1..80 {
            for kinds in [&[1, 1000][..], &[20, 500], &[1, 30, 1000, 30], &[100, 1000, 1, 300, 20]] {
                for answer in [|_| true, |kib| kib < 100, |kib| kib > 20] {
                    let asked = asked(&mut Choice::new(), runs(kinds, len, FRAMES), answer).len();
                    assert!(asked >= FRAMES / 64 && asked <= most, "{kinds:?} {len}: {asked} of {most}");
                }
            }
        }
    }
}
