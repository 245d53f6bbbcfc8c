//! Operations by chance.

use crate::{chance::Chance, contents::Sources, operations::Op};

/// Operations by chance: they begin with a repository, or with a copy of one.
pub fn program(chance: &mut Chance, len: usize) -> Vec<Op> {
    match chance.below(8) {
        0..=1 => {
            let gathered = chance.below(2) == 0;
            (1..=3).map(|nights| Op::Replicate { nights, gathered }).collect()
        }
        2 => vec![Op::Rekey { nights: 1 }, Op::Rekey { nights: 3 }, Op::Prune, Op::Rekey { nights: 3 }],
        _ => steps(chance, len),
    }
}

/// Operations by chance on a repository of its own.
pub fn steps(chance: &mut Chance, len: usize) -> Vec<Op> {
    let mut version = 0;
    let mut sources = |chance: &mut Chance| {
        version += 1;
        let mut out: Sources = (0..1 + chance.below(3)).map(|_| (1 + chance.below(6) as u64, version % 5)).collect();
        if chance.below(3) == 0 {
            out.insert(0, version);
        }
        out
    };
    let mut out = vec![Op::Init, Op::Snapshot(sources(chance))];
    while out.len() < len {
        out.push(match chance.below(20) {
            0..=7 => Op::Snapshot(sources(chance)),
            8..=9 => Op::Forget(1 + chance.below(3)),
            10..=14 => Op::Prune,
            15 => Op::Tag(chance.next() % 9),
            16 => Op::Rewrite(1 + chance.below(6) as u64),
            17 => chance.one(&[Op::AddKey, Op::RemoveKey, Op::Parity]).clone(),
            18 => Op::Repair { packs: chance.below(2) == 0 },
            _ => Op::Copy,
        });
    }
    out
}
