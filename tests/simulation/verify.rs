//! What is asked of a repository after a power cut, a failure, or nothing at all.

use crate::{
    contents::{Contents, contents_in},
    disk::Crash,
    operations::{Around, DAY, Op, SERIES, at_once, is_begun, memory, objects, perform},
    world::Expected,
};
use std::{collections::BTreeSet, sync::Arc};
use vault::{
    error::{Error, Result},
    monitor::Silent,
    ops::{
        check::{Finding, ReadData, check},
        prune::{self, Options},
    },
    repo::Repository,
    series::Series,
    store::{ObjectName, SharedStore, Store as _, memory::MemoryStore},
};

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// All is there, and what was interrupted can be done again.
    Again,
    /// Then prune takes away what was left behind, and nothing else.
    Settled,
}

/// Why something is not as it must be.
pub type Verdict = std::result::Result<(), String>;

fn told<T>(what: &str, result: Result<T>) -> std::result::Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

/// All that must be there is, to the last byte; what must be gone is gone.
pub fn holds(repo: &Repository, expected: &Expected) -> Verdict {
    let all = told("snapshots", repo.snapshots(None))?;
    for (id, contents) in &expected.held {
        let listed = all.listed.iter().find(|listed| listed.id == *id).ok_or_else(|| format!("{id} is lost"))?;
        let found: Contents = told("restore", contents_in(repo, listed))?;
        if found != *contents {
            return Err(format!("{id} holds other contents"));
        }
    }
    for (id, rest) in &expected.replaced {
        let mut one = all
            .listed
            .iter()
            .filter(|listed| listed.id == *id || contents_in(repo, listed).is_ok_and(|contents| contents == *rest));
        one.next().ok_or_else(|| format!("neither {id} nor what was made of it is there"))?;
    }
    let tag = repo.keys().series_tag(&told("series", Series::parse(SERIES))?);
    for id in expected.dying.iter().filter(|id| !all.listed.iter().any(|listed| listed.id == **id)) {
        told("a snapshot that was being forgotten is gone without a tombstone", repo.prove_forgotten(&tag, id))?;
    }
    match all.listed.iter().find(|listed| expected.gone.contains(&listed.id)) {
        Some(back) => Err(format!("{} was forgotten and is back", back.id)),
        None => Ok(()),
    }
}

/// A check finds nothing but what is known to be harmless.
pub fn is_clean(repo: &Repository, harmless: &BTreeSet<String>) -> Verdict {
    let report = told("check", check(repo, ReadData::Percent(100.0), 1, &Silent))?;
    // A snapshot that was on its way and came to the disk damaged, under a name that was not flushed, costs itself: that nobody was
    // told of it the check cannot know. Those of which somebody was told are looked at by themselves.
    let only_itself = |finding: &Finding| finding.object.starts_with("snapshots/") && finding.lost_count == 1;
    let is_harmless =
        |finding: &Finding| harmless.contains(&finding.object) && (finding.lost_count == 0 || only_itself(finding));
    let bad = report.findings.iter().find(|finding| !is_harmless(finding));
    match bad {
        Some(finding) => Err(format!("check: {}: {} ({:?})", finding.object, finding.what, finding.lost)),
        None => Ok(()),
    }
}

/// Asks a store in memory, as after a power cut. `op` is what was on its way, or comes next.
pub fn survives(crash: &Crash, expected: &Expected, op: &Op, around: &Around, depth: Depth) -> Verdict {
    let store = memory(&crash.objects);
    let shared = || -> SharedStore { Arc::new(store.clone()) };
    let around = &Around { seed: around.seed ^ 0x5eed_0000_0000, ..around.clone() };
    survives_in(&store, &shared, &crash.unflushed, expected, op, around, depth)
}

/// The same for any store; `clock` is where its time can be set.
pub fn survives_in(
    clock: &MemoryStore,
    store: &dyn Fn() -> SharedStore,
    harmless: &BTreeSet<String>,
    expected: &Expected,
    op: &Op,
    around: &Around,
    depth: Depth,
) -> Verdict {
    let mut expected = expected.clone();
    match around.open(store()) {
        Ok(repo) => {
            let at_once = |why| format!("at once: {why}");
            holds(&repo, &expected).or_else(|why| if expected.damaged { Ok(()) } else { Err(at_once(why)) })?;
            if !expected.damaged {
                is_clean(&repo, harmless).map_err(at_once)?;
            }
            match (expected.second, around.open_with_second(store())) {
                (Some(true), Err(error)) => return Err(format!("the second key: {error}")),
                (Some(false), Ok(_)) => return Err("the removed key opens".into()),
                _ => {}
            }
        }
        Err(Error::NoRepository { .. }) if !expected.made => {}
        // A copy that nobody was told of yet.
        Err(Error::Corrupt { object, .. }) if !expected.made && object == "config" => {}
        Err(error) => return Err(format!("open: {error}")),
    }
    if !expected.made {
        // Whatever it is that makes one.
        let first = if matches!(op, Op::Replicate { .. } | Op::Rekey { .. }) { op } else { &Op::Init };
        told("again", perform(store(), first, around))?;
    }
    if let Op::Rewrite(_) | Op::Forget(_) = op {
        // One that has lost its bytes may have been a pin: it is to be moved away by hand, as the refusals say.
        let hollow =
            objects(&*store()).into_iter().filter(|(name, bytes)| name.starts_with("notes/") && bytes.is_empty());
        for (name, _) in hollow {
            told("remove", store().remove(&ObjectName::new(name).expect("name")))?;
        }
    }
    let done = told("again", perform(store(), op, around))?;
    let repo = told("open", around.open(store()))?;
    expected.follow(&done);
    holds(&repo, &expected)?;
    is_clean(&repo, harmless)?;
    if depth == Depth::Settled && !matches!(op, Op::Replicate { .. }) && !is_begun(&*store()) {
        for day in 1..=4 {
            clock.set_now(1_000_000_000 + day * 2 * DAY);
            told("prune", prune::prune(&repo, &Options { max_unused: None, ..at_once() }, &Silent))?;
        }
        holds(&repo, &expected)?;
        is_clean(&repo, harmless)?;
        let plan = told("plan", prune::plan(&repo, &Options { max_unused: None, ..at_once() }, &Silent))?;
        if !plan.is_empty() {
            return Err(format!("prune does not come to an end: {plan:?}"));
        }
    }
    Ok(())
}
