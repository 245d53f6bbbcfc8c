//! Power cuts after any change of the disk, with any of what was not flushed.

use crate::{
    chance::Chance,
    disk::{Fault, Kept, Kind, Trace},
    operations::Op,
    programs::program,
    verify::{Depth, survives},
    world::{Step, World},
};
use rustix::io::Errno;
use std::{
    collections::HashSet,
    sync::atomic::{AtomicU64, Ordering},
};

/// Power cuts of one program.
const CUTS: u64 = 64;

/// What was found over many seeds.
#[derive(Debug, Default)]
pub struct Tally {
    pub seeds: u64,
    pub programs: u64,
    /// States of the disk that differ from all others.
    pub states: HashSet<[u8; 32]>,
    pub failures: Vec<String>,
}

/// A program that was run, now and then killed, and all that it did to its disk.
struct Run {
    trace: Trace,
    steps: Vec<Step>,
}

fn run(seed: u64, chance: &mut Chance) -> Run {
    let mut world = World::new(seed);
    for op in program(chance, 9) {
        let fault = |chance: &mut Chance| Fault { spare: chance.below(60), errno: Errno::IO, lasting: true };
        let killed = (chance.below(4) == 0).then(|| fault(chance));
        let again = op.clone();
        if let Err(error) = world.step(op, killed) {
            assert!(killed.is_some(), "seed {seed}: {again:?} failed by itself: {error}");
            // What is damaged is repaired before anything else, and nothing is before there is a repository.
            if (world.expected.damaged || !world.expected.made)
                && let Err(error) = world.step(again.clone(), None)
            {
                panic!("seed {seed}: {again:?} failed again: {error}");
            }
        }
        if chance.below(2) == 0 {
            world.pass(3 * 24 * 3600);
        }
    }
    Run { trace: world.recorder.trace(), steps: world.steps }
}

/// The step that was on its way after so many changes, what must hold then, and what is to be tried again.
fn at(steps: &[Step], after: usize) -> (&Step, &crate::world::Expected) {
    let step = steps.iter().find(|step| after <= step.end).or(steps.last()).expect("steps");
    if after == step.end { (step, &step.after) } else { (step, &step.during) }
}

/// Fingerprint of a state.
fn fingerprint(objects: &crate::disk::Objects) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for (name, bytes) in objects {
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }
    *hasher.finalize().as_bytes()
}

/// Failures after which a thread gives up.
const ENOUGH: usize = 20;

/// Runs seeds of which 64 share a program each, on all cores, a program on one of them. Ends early when so many failures are known.
pub fn seeds(first: u64, count: u64, tally: &mut Tally) {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let threads = crate::number("VAULT_THREADS", threads as u64);
    let (next, end) = (AtomicU64::new(first / CUTS), first + count);
    let work = || {
        let mut own = Tally::default();
        loop {
            let program = next.fetch_add(1, Ordering::Relaxed);
            let cuts = first.max(program * CUTS)..end.min((program + 1) * CUTS);
            if cuts.is_empty() || own.failures.len() >= ENOUGH {
                return own;
            }
            cuts_of(program, cuts, &mut own);
        }
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for own in all.into_iter().map(|one| one.join().unwrap()) {
            tally.seeds += own.seeds;
            tally.programs += own.programs;
            // Keys differ from program to program, and so do all states.
            tally.states.extend(own.states);
            tally.failures.extend(own.failures);
        }
    });
}

/// These seeds, of one program.
fn cuts_of(program: u64, cuts: std::ops::Range<u64>, tally: &mut Tally) {
    tally.programs += 1;
    let run = run(program, &mut Chance::new(program));
    for seed in cuts {
        tally.seeds += 1;
        let chance = &mut Chance::new(seed.wrapping_mul(0x9e37_79b9) ^ 0xc0de);
        let kind = if chance.below(3) == 0 { Kind::Fat } else { Kind::Journal };
        let kept = *chance.one(&[Kept::None, Kept::All, Kept::Prefix, Kept::Some, Kept::Some, Kept::Some]);
        let after = chance.below(run.trace.changes + 1);
        let crash = run.trace.crash(after, kind, kept, chance);
        if !tally.states.insert(fingerprint(&crash.objects)) {
            continue;
        }
        let (step, expected) = at(&run.steps, after);
        let depth = if chance.below(4) == 0 { Depth::Settled } else { Depth::Again };
        if let Err(why) = survives(&crash, expected, &step.op, &step.around, depth) {
            tally.failures.push(format!(
                "VAULT_SEED={seed}: {kind:?}, {kept:?}, after {after} of {} changes, in {:?}: {why}",
                run.trace.changes, step.op
            ));
        }
    }
}

/// Not every program must have every operation, but all of them together.
#[test]
fn nothing_acknowledged_is_lost_by_a_power_cut() {
    let (first, count) = (crate::number("VAULT_SEED", 1), crate::number("VAULT_SEEDS", 128));
    let mut tally = Tally::default();
    let begun = std::time::Instant::now();
    seeds(first, count, &mut tally);
    let (states, seconds) = (tally.states.len(), begun.elapsed().as_secs_f32());
    println!(
        "{} seeds from {first}, {} programs, {states} distinct states, {seconds:.1} s",
        tally.seeds, tally.programs
    );
    assert!(tally.failures.is_empty(), "{} failures:\n{}", tally.failures.len(), tally.failures.join("\n"));
    assert!(count < 128 || states as u64 > count / 3, "{states} distinct states of {count} seeds");
}

/// The model itself: a disk that only pretends to flush folders loses what was acknowledged, and that is seen.
#[test]
fn a_disk_that_lies_is_found_out() {
    let mut world = World::new(1);
    world.recorder.lie();
    world.step(Op::Init, None).unwrap();
    world.step(Op::Snapshot([(1, 0)].into_iter().collect()), None).unwrap();
    let trace = world.recorder.trace();
    let step = world.steps.last().unwrap();
    let crash = |kept| trace.crash(trace.changes, Kind::Journal, kept, &mut Chance::new(1));
    let ask = |kept| survives(&crash(kept), &step.after, &step.op, &step.around, Depth::Again);
    assert_eq!(ask(Kept::All), Ok(()));
    let why = ask(Kept::None).unwrap_err();
    assert!(why.starts_with("open: "), "{why}");
    let lost = (0..20).filter(|seed| {
        let crash = trace.crash(trace.changes, Kind::Journal, Kept::Some, &mut Chance::new(*seed));
        survives(&crash, &step.after, &step.op, &step.around, Depth::Again).is_err()
    });
    assert!(lost.count() > 10);
}
