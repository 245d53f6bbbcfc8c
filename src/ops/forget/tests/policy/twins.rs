//! Snapshots of one number: one was made of the other.

use super::*;

#[test]
fn twins_stay_or_go_together_and_count_once() {
    let all = series(&["2026-11-17T01:00:00", "2026-11-18T01:00:00", "2026-11-19T01:00:00", "2026-11-20T01:00:00"]);
    for above in [true, false] {
        // Each has one; it is smaller, as something was taken out of it.
        let twins = all.iter().map(|c| Candidate { size: c.size / 4, ..twin(c, above) });
        let both: Vec<Candidate> = all.iter().cloned().chain(twins).collect();
        for rule in [keep(Every::Day, 2), keep(Every::Snapshot, 2), within(Every::Day, DAY), keep(Every::Year, 1)] {
            let (alone, outcome) = (judged(&all, &policy(&[rule])), judged(&both, &policy(&[rule])));
            assert_eq!((outcome.verdicts.len(), &outcome.guards[..], outcome.held), (8, &[][..], 0));
            for c in &both {
                let of = |outcome: &Outcome, id| outcome.verdicts.iter().find(|v| v.id == id).unwrap().keep.clone();
                let original = all.iter().find(|other| other.sequence == c.sequence).unwrap();
                assert_eq!(of(&outcome, c.id), of(&alone, original.id), "{rule} {c:?}");
            }
        }
        // A pin of one holds the other; a whole one makes the number whole.
        let mut both = both;
        both[0].pinned = true;
        both[7].complete = false;
        let outcome = judged(&both, &policy(&[keep(Every::Snapshot, 1)]));
        let kept = |c: &Candidate| outcome.verdicts.iter().any(|v| v.id == c.id && !v.keep.is_empty());
        assert_eq!(both.iter().map(kept).collect::<Vec<_>>(), [true, false, false, true, true, false, false, true]);
    }
}

/// Whatever of the two says it, and if both do.
#[test]
fn what_holds_one_twin_holds_the_other() {
    let all = series(&["2026-11-17T01:00:00", "2026-11-18T01:00:00"]);
    let tagged = Policy { tags: vec!["x".into()], ..policy(&[keep(Every::Snapshot, 1)]) };
    for above in [true, false] {
        for (first, second) in [(true, false), (false, true), (true, true), (false, false)] {
            let by = |pins: bool| {
                let mut both = vec![all[0].clone(), twin(&all[0], above), all[1].clone()];
                for (one, held) in both.iter_mut().zip([first, second]).filter(|(_, held)| *held) {
                    one.pinned |= pins && held;
                    one.tags.extend((!pins).then(|| "x".to_owned()));
                }
                let outcome = judged(&both, &tagged);
                outcome.verdicts.iter().map(|verdict| !verdict.keep.is_empty()).collect::<Vec<_>>()
            };
            let held = first || second;
            assert_eq!((by(true), by(false)), (vec![held, held, true], vec![held, held, true]), "{first} {second}");
        }
    }
}

/// However much there is in an incomplete one.
#[test]
fn an_incomplete_twin_does_not_hide_that_the_complete_one_is_small() {
    let mut all = series(&["2026-11-17T01:00:00", "2026-11-18T01:00:00", "2026-11-19T01:00:00", "2026-11-20T01:00:00"]);
    all[3].size = 100;
    for above in [true, false] {
        let large = Candidate { complete: false, size: 1000, ..twin(&all[3], above) };
        let both: Vec<Candidate> = all.iter().cloned().chain([large]).collect();
        let outcome = judged(&both, &policy(&[keep(Every::Snapshot, 1)]));
        assert_eq!(said(&outcome, 4), ["held: suddenly small"]);
        assert_eq!(said(&outcome, 3), ["newest", "newest complete", "last 1/1"]);
    }
}
