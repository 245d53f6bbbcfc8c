//! Trees by chance, restored in windows and reads of any size, against files that are written one after the other.

use super::{super::*, build::*};
use crate::monitor::Silent;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What a file is made of: pieces of earlier numbers are the same bytes again.
fn pieces_of(parts: &[(u8, u16)]) -> Vec<Piece> {
    let piece = |(number, len): &(u8, u16)| match number % 5 {
        0 => Piece::Hole(u64::from(*len) + 1),
        _ => Piece::Data(noise(u64::from(*number % 40), usize::from(*len % 4000) + 1)),
    };
    parts.iter().map(piece).collect()
}

fn bytes_of(pieces: &[Piece]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Data(bytes) => out.extend(bytes),
            Piece::Hole(len) => out.resize(out.len() + *len as usize, 0),
            Piece::Raw(..) => unreachable!("no piece of these files"),
        }
    }
    out
}

/// A tree of directories of files.
type Tree = Vec<(u8, Vec<Vec<(u8, u16)>>)>;

fn trees() -> impl Strategy<Value = Tree> {
    let file = proptest::collection::vec((any::<u8>(), any::<u16>()), 0..6);
    proptest::collection::vec((any::<u8>(), proptest::collection::vec(file, 0..6)), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_the_plan_the_files_are_those_of_the_snapshot(
        tree in trees(),
        sizes in (1usize..20, 1usize..40, 1usize..20_000, 1u64..30_000, 0u64..9000, 1usize..40_000, 1usize..5),
        damaged: Option<u8>,
    ) {
        let mut place = Place::new();
        let (files, extents, plan, read, gap, in_flight, open) = sizes;
        place.limits = Limits { files, extents, plan, read, gap, in_flight, open, ..place.limits };
        let mut truth = BTreeMap::new();
        let mut dirs: BTreeMap<u8, Vec<Entry>> = BTreeMap::new();
        let mut blobs = Vec::new();
        for (d, (name, contents)) in tree.iter().enumerate() {
            for (n, parts) in contents.iter().enumerate() {
                let file = format!("{d}-{n}");
                let made = pieces_of(parts);
                blobs.extend(made.iter().filter_map(|piece| match piece {
                    Piece::Data(bytes) => Some(bytes.clone()),
                    _ => None,
                }));
                truth.insert(format!("{name}/{file}"), bytes_of(&made));
                dirs.entry(*name).or_default().push(pieces(file, made));
            }
        }
        let dirs = dirs.into_iter().map(|(name, files)| dir(name.to_string(), files)).collect();
        let listed = place.snapshot(vec![dir("app", dirs)]);
        // A blob of which the segment is damaged may cost files, and changes none.
        let lost = damaged.and_then(|number| blobs.get(usize::from(number) % blobs.len().max(1)));
        if let Some(bytes) = lost {
            place.damage(bytes);
        }
        let report = place.run_with(&listed, &place.request(), &Silent).unwrap();
        let mut missing = 0;
        for (path, truth) in &truth {
            match std::fs::read(place.at(path)) {
                Ok(bytes) => prop_assert!(bytes == *truth, "{} has other bytes", path),
                Err(_) => missing += 1,
            }
        }
        prop_assert_eq!(report.problem_count, missing);
        prop_assert!(lost.is_some() || missing == 0, "{:?}", report.problems);
        prop_assert_eq!(report.totals.files as usize, truth.len());
    }
}
