//! What is to be done: plain data, the same for a dry run and for the real one.

use super::{
    Options, Unused,
    live::Standing,
    merge::{self, Small},
    survey::{Fate, Survey, Sweepable},
};
use crate::{
    error::{Error, Result},
    id::{IndexId, NoteId, PackId, SeriesTag, SnapshotId},
    model::gc::Step,
    repo::{
        Repository,
        session::{Stay, is_alive},
    },
    store::ObjectName,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Index objects below this many bytes are small, and are merged when there are many.
const SMALL_INDEX: u64 = 1 << 20;
const SMALL_INDEXES: usize = 32;
/// A pack is written anew only when that takes less than so many times the bytes that are won, unless the user says how much may
/// stay unused.
pub(super) const COST_MAX: u64 = 2;
/// Share of the packs that may stay unused, in per cent.
const UNUSED_PERCENT: f64 = 5.0;

/// How much there is of something: packs and their lengths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Packs.
    pub packs: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, bytes: u64) {
        self.packs += 1;
        self.bytes += bytes;
    }
}

/// The numbers of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Snapshots that are kept.
    pub snapshots: u64,
    /// All packs in the store that are this repository's.
    pub stored: Amount,
    /// Packs of which something is needed, and the bytes of the segments that are needed.
    pub live: Amount,
    /// Blobs that are needed.
    pub live_blobs: u64,
    /// Bytes in packs that nothing needs: whole packs, and segments of others.
    pub dead_bytes: u64,
    /// Bytes of plaintext that nothing needs, beside needed ones in one segment: they stay as long as these.
    pub dead_beside_live: u64,
    /// Packs that are removed now.
    pub removed: Amount,
    /// Packs that go after the grace time, because nothing needs them or what is needed of them is moved; with those that were
    /// marked before.
    pub condemned: Amount,
    /// Packs whose needed segments are moved, and the bytes that are written for it.
    pub moved: Amount,
    /// Those of them that are moved because they are small and many.
    pub merged: Amount,
    /// Bytes that nothing needs and that stay.
    pub unused_after: u64,
}

impl Numbers {
    /// What went before it was counted, to make room.
    pub(super) fn count_removed(&mut self, before: Amount) {
        for amount in [&mut self.stored, &mut self.removed] {
            amount.packs += before.packs;
            amount.bytes += before.bytes;
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Marks whose packs are swept now.
    pub(super) marks: BTreeSet<NoteId>,
    /// Ripe marks that stay for packs that stay.
    pub(super) lasting: BTreeSet<NoteId>,
    /// Notices of earlier sweeps, and what is left of their packs.
    pub(super) notices: BTreeSet<NoteId>,
    /// Packs that the new notice names.
    pub(super) noticed: BTreeSet<PackId>,
    /// Those of them that are removed.
    pub(super) remove: BTreeSet<PackId>,
    /// Those that are removed and that an older notice names, which was there before this run looked and is not old: they may go without
    /// another.
    pub(super) told: BTreeSet<PackId>,
    /// Packs whose needed segments are moved into new ones.
    pub(super) moves: BTreeSet<PackId>,
    /// Packs of which nothing is needed, for a new mark.
    pub(super) dead: BTreeSet<PackId>,
    /// Packs that are moved and then named by a new mark (those that are noticed already are not).
    pub(super) emptied: BTreeSet<PackId>,
    /// Snapshots to publish for writers that were killed.
    pub(super) publish: Vec<(SeriesTag, SnapshotId)>,
    /// Intents to remove.
    pub(super) drop: Vec<SnapshotId>,
    /// Intents that are left for the next time.
    pub(super) held: u64,
    /// Snapshots that were forgotten and are still there.
    pub(super) leftovers: Vec<(SeriesTag, SnapshotId)>,
    /// Sessions that are not alive, and damaged objects that nobody is at work with any more.
    pub(super) expired: Vec<ObjectName>,
    /// Names without bytes.
    pub(super) hollow: Vec<ObjectName>,
    /// Index objects to replace because they are small and many; those that list what was removed are replaced too.
    pub(super) merge: BTreeSet<IndexId>,
    /// Packs that the index lists and that are not in the store.
    pub(super) stale: u64,
    /// The numbers.
    pub numbers: Numbers,
    /// When the packs that are marked now may be swept, in seconds since 1970 by the store's clock.
    pub ripe: i64,
}

impl Plan {
    /// True when nothing is to be done.
    pub fn is_empty(&self) -> bool {
        let Plan { moves, dead, publish, drop, leftovers, expired, hollow, .. } = self;
        !self.sweeps()
            && moves.is_empty()
            && dead.is_empty()
            && publish.is_empty()
            && drop.is_empty()
            && leftovers.is_empty()
            && expired.is_empty()
            && hollow.is_empty()
    }

    /// True when packs or index objects are to be removed, which a notice has to tell of.
    pub(super) fn sweeps(&self) -> bool {
        !self.marks.is_empty() || !self.remove.is_empty() || !self.merge.is_empty() || self.stale > 0
    }

    /// Number of snapshots that are finished for writers that were killed.
    pub fn finished(&self) -> u64 {
        self.publish.len() as u64
    }
}

/// A pack that may be moved.
struct Candidate {
    id: PackId,
    live: u64,
    dead: u64,
}

/// Makes the plan. `noticed` are the packs of the notice that was stored, if it was.
pub(super) fn make(
    repo: &Repository,
    survey: &Survey,
    sweepable: &Sweepable,
    options: &Options,
    noticed: Option<&BTreeSet<PackId>>,
) -> Result<Plan> {
    let scene = &survey.scene;
    let mut plan = Plan {
        marks: sweepable.marks.clone(),
        notices: sweepable.notices.clone(),
        ripe: scene.now.saturating_add(options.grace),
        ..Plan::default()
    };
    let tallies = survey.live.tally();
    let live_of = |id: &PackId| tallies.get(id).map_or(0, |tally| tally.live);
    let packs_of = |chosen: &dyn Fn(&NoteId, Step) -> bool| -> HashSet<PackId> {
        let noted = scene.notes.noted.iter().filter(|noted| chosen(&noted.id, noted.note.step));
        noted.flat_map(|noted| noted.note.packs.iter().copied()).collect()
    };
    let of_marks = packs_of(&|id, _| sweepable.marks.contains(id));
    // Of our own notice too, once it is there, and of those of other prunes that have begun since.
    let of_notices = packs_of(&|_, step| step == Step::Notice);
    let marked_before = packs_of(&|id, step| step == Step::Mark && !sweepable.marks.contains(id));
    // Ours, and as the index knows them: a pack of another length that nobody has named is not touched.
    let mut lengths: BTreeMap<PackId, u64> = scene.unlisted.clone();
    let there = tallies.iter().filter(|(_, tally)| tally.standing != Standing::Absent);
    lengths.extend(there.map(|(id, tally)| (*id, tally.len)));
    // Nobody relies on a pack that has another length than the index says: it is damaged. It goes once a note names it, as `repair` does.
    let named = of_marks.iter().chain(&of_notices).chain(&marked_before);
    lengths.extend(named.filter(|id| tallies.contains_key(*id)).filter_map(|id| Some((*id, *scene.packs.get(id)?))));

    let candidates = of_marks.iter().chain(&of_notices).filter(|id| lengths.contains_key(*id));
    plan.noticed = match noticed {
        Some(noticed) => noticed.iter().filter(|id| lengths.contains_key(*id)).copied().collect(),
        // What a mark names and is needed again stays.
        None => candidates.filter(|id| live_of(id) == 0 || of_notices.contains(*id)).copied().collect(),
    };
    plan.stale = tallies.keys().filter(|id| !scene.packs.contains_key(*id)).count() as u64;
    plan.remove = plan.noticed.iter().filter(|id| live_of(id) == 0).copied().collect();
    let of_young = packs_of(&|id, _| sweepable.young.contains(id));
    plan.told = plan.remove.iter().filter(|id| of_young.contains(*id)).copied().collect();
    // A mark stays as long as a pack is there that it names: what is needed of one that is damaged may still come back elsewhere.
    let is_left = |id: &PackId| lengths.contains_key(id) && !plan.remove.contains(id);
    let lasting = scene.notes.noted.iter().filter(|noted| noted.note.packs.iter().any(is_left));
    for noted in lasting {
        if plan.marks.remove(&noted.id) {
            plan.lasting.insert(noted.id);
        }
    }

    let (mut movable, mut small, mut marked) = (Vec::new(), Vec::new(), Vec::new());
    let numbers = &mut plan.numbers;
    for (id, len) in &lengths {
        numbers.stored.add(*len);
        let (stored, live) = tallies.get(id).map_or((0, 0), |tally| (tally.stored, tally.live));
        if live > 0 {
            numbers.live.add(live);
            numbers.dead_bytes += stored.saturating_sub(live);
        } else {
            numbers.dead_bytes += len;
        }
        if plan.remove.contains(id) {
            numbers.removed.add(*len);
        } else if plan.noticed.contains(id) || of_notices.contains(id) {
            // Whatever a notice names goes sooner or later: what is needed of it must be elsewhere by then.
            if live > 0 {
                plan.moves.insert(*id);
                numbers.moved.add(live);
            }
            numbers.condemned.add(*len);
        } else if live == 0 {
            numbers.condemned.add(*len);
            if !marked_before.contains(id) {
                plan.dead.insert(*id);
            }
        } else if of_marks.contains(id) || marked_before.contains(id) {
            marked.push((*id, live, *len));
        } else {
            if live < stored {
                movable.push(Candidate { id: *id, live, dead: stored - live });
            }
            small.push(Small { id: *id, live, dead: stored - live, len: *len });
        }
    }
    (numbers.live_blobs, _) = survey.live.needed();
    numbers.dead_beside_live = survey.live.needed_with_neighbours().saturating_sub(survey.live.needed().1);
    numbers.snapshots = scene.snapshots.len() as u64;
    // What made room for the notice was there when the run began.
    let gone = noticed.map_or(0, |noticed| noticed.iter().filter(|id| !scene.packs.contains_key(*id)).count());
    guard(repo, survey, &plan, gone, options)?;

    let mut budget = Budget(options.max_repack.map_or(u64::MAX, |max| max.saturating_sub(plan.numbers.moved.bytes)));
    // What somebody has marked goes as soon as what is needed of it lies elsewhere.
    for (id, live, len) in marked {
        if budget.take(live) {
            plan.numbers.moved.add(live);
            plan.numbers.condemned.add(len);
            plan.moves.insert(id);
        }
    }
    let dead: u64 = plan.dead.iter().filter_map(|id| lengths.get(id)).sum();
    let won = dead + choose(&mut plan, movable, &lengths, options, &mut budget);
    merge::choose(&mut plan, small, &survey.live, repo.config().pack_target, options, &mut budget, won);
    stays(repo, survey, options, &mut plan);
    let small: Vec<IndexId> =
        scene.sources.iter().filter(|source| source.len < SMALL_INDEX).map(|source| source.id).collect();
    if small.len() >= SMALL_INDEXES {
        plan.merge = small.into_iter().collect();
    }
    Ok(plan)
}

/// Bytes that may still be moved.
pub(super) struct Budget(pub(super) u64);

impl Budget {
    /// False when they are not enough.
    pub(super) fn take(&mut self, bytes: u64) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// Chooses the packs that are worth moving, those with the least in them first; returns how many dead bytes go with them.
fn choose(
    plan: &mut Plan,
    mut movable: Vec<Candidate>,
    lengths: &BTreeMap<PackId, u64>,
    options: &Options,
    budget: &mut Budget,
) -> u64 {
    let numbers = &mut plan.numbers;
    let mut won = 0;
    let mut total = numbers.stored.bytes.saturating_sub(numbers.removed.bytes + numbers.condemned.bytes);
    let mut unused: u64 = movable.iter().map(|candidate| candidate.dead).sum();
    let share = |percent: f64, of: u64| (of as f64 * percent / 100.0) as u64;
    let allowed = |total: u64| match options.max_unused {
        None => share(UNUSED_PERCENT, total),
        Some(Unused::Percent(percent)) => share(percent, total),
        Some(Unused::Bytes(bytes)) => bytes,
        Some(Unused::Unlimited) => u64::MAX,
    };
    // By live bytes for each dead one; products, since quotients round.
    movable.sort_by(|a, b| {
        let (of_a, of_b) = (u128::from(a.live) * u128::from(b.dead), u128::from(b.live) * u128::from(a.dead));
        of_a.cmp(&of_b).then(a.id.cmp(&b.id))
    });
    for Candidate { id, live, dead } in movable {
        let is_dear = options.max_unused.is_none() && live > dead.saturating_mul(COST_MAX);
        if unused <= allowed(total) || is_dear {
            break;
        }
        if !budget.take(live) {
            continue;
        }
        unused -= dead;
        won += dead;
        total = total.saturating_sub(dead);
        numbers.moved.add(live);
        numbers.condemned.add(lengths.get(&id).copied().unwrap_or(0));
        plan.moves.insert(id);
        plan.emptied.insert(id);
    }
    numbers.unused_after = unused;
    won
}

/// What becomes of sessions, intents and forgotten snapshots.
fn stays(repo: &Repository, survey: &Survey, options: &Options, plan: &mut Plan) {
    let scene = &survey.scene;
    let has_clock = repo.store().capabilities().clock;
    let alive = |stored: i64| is_alive(stored, scene.now, has_clock);
    // What it listed can still be listed again.
    let lost_index = scene.hollow_index().is_some();
    let mut newest: HashMap<[u8; 16], i64> = HashMap::new();
    for stay in &scene.stays {
        if let Stay::Session { stored, said, .. } = stay {
            let known = newest.entry(said.nonce).or_insert(*stored);
            *known = (*known).max(*stored);
        }
    }
    for stay in &scene.stays {
        match stay {
            Stay::Session { name, stored, said } => {
                if !alive(newest.get(&said.nonce).copied().unwrap_or(*stored)) {
                    plan.expired.push(name.clone());
                }
            }
            Stay::Intent { tag, stored, listed } => {
                // One that is younger may still be finished by its writer.
                let is_old = scene.now.saturating_sub(*stored).saturating_abs() >= options.grace || !has_clock;
                match survey.intents.get(&listed.id) {
                    Some(Fate::Broken) if lost_index => plan.held += 1,
                    None | Some(Fate::Broken) => plan.drop.push(listed.id),
                    Some(Fate::Whole) if is_old => plan.publish.push((*tag, listed.id)),
                    Some(_) => plan.held += 1,
                }
            }
            // Told apart when the scene was looked at.
            Stay::Damaged(_) | Stay::Hollow(_) => {}
        }
    }
    plan.expired.extend(scene.damaged.iter().cloned());
    plan.hollow.extend(scene.hollow.iter().cloned());
    plan.leftovers = scene.leftovers.clone();
}

/// Refuses what looks like a mistake or a loss.
fn guard(repo: &Repository, survey: &Survey, plan: &Plan, gone: usize, options: &Options) -> Result<()> {
    let scene = &survey.scene;
    let packs = scene.packs.len() + gone;
    let force = "give --force if it is meant";
    let listed_dead = plan.dead.iter().filter(|id| !scene.unlisted.contains_key(*id)).count();
    // The first snapshot of all may be on its way; otherwise there must have been others.
    if !scene.packs.is_empty() && scene.snapshots.is_empty() && scene.gone.is_empty() {
        return match listed_dead == 0 && plan.remove.is_empty() {
            true => Ok(()),
            false => Err(Error::refused(super::scene::NO_SNAPSHOTS)),
        };
    }
    if options.force || scene.packs.is_empty() {
        return Ok(());
    }
    if scene.snapshots.is_empty() {
        return Err(Error::refused(format!("all snapshots were forgotten: everything would go; {force}")));
    }
    if let Some((label, previous)) = scene.gap(repo) {
        return Err(Error::refused(format!(
            "{label} says that snapshot {} came before it, which is neither there nor forgotten: it may be lost, and could still be \
             brought back from a copy; nothing is pruned; {force}",
            previous.short()
        )));
    }
    if listed_dead * 2 > packs {
        return Err(Error::refused(format!(
            "{listed_dead} of {packs} packs would go: nothing more is pruned; {force}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these packs (live and dead bytes each) are moved, how many dead bytes go with them, and how many stay.
    fn chosen(packs: &[(u64, u64)], numbers: Numbers, options: &Options, budget: u64) -> (Vec<usize>, u64, u64) {
        let id = |n: usize| PackId([n as u8; 32]);
        let mut plan = Plan { numbers, ..Plan::default() };
        let movable =
            packs.iter().enumerate().map(|(n, (live, dead))| Candidate { id: id(n), live: *live, dead: *dead });
        let lengths = packs.iter().enumerate().map(|(n, (live, dead))| (id(n), live + dead)).collect();
        let won = choose(&mut plan, movable.collect(), &lengths, options, &mut Budget(budget));
        assert_eq!(plan.moves, plan.emptied);
        let moved = plan.moves.iter().map(|id| usize::from(id.0[0])).collect();
        (moved, won, plan.numbers.unused_after)
    }

    fn of(max_unused: impl Into<Option<Unused>>) -> Options {
        Options { max_unused: max_unused.into(), ..Options::default() }
    }

    fn stored(bytes: u64) -> Numbers {
        Numbers { stored: Amount { packs: 10, bytes }, ..Numbers::default() }
    }

    #[test]
    fn packs_are_moved_until_little_is_unused_or_it_costs_too_much() {
        let packs = [(70, 30), (10, 90), (60, 40)];
        assert_eq!(chosen(&packs, stored(1000), &of(None), u64::MAX), (vec![1, 2], 130, 30));
        // Twice what is won is the most, unless the user says otherwise.
        assert_eq!(chosen(&[(70, 30)], stored(300), &of(None), u64::MAX), (vec![], 0, 30));
        assert_eq!(chosen(&[(61, 30)], stored(300), &of(None), u64::MAX), (vec![], 0, 30));
        assert_eq!(chosen(&[(60, 30)], stored(300), &of(None), u64::MAX), (vec![0], 30, 0));
        assert_eq!(chosen(&[(70, 30)], stored(300), &of(Unused::Bytes(29)), u64::MAX), (vec![0], 30, 0));
        assert_eq!(chosen(&[(70, 30)], stored(300), &of(Unused::Bytes(30)), u64::MAX), (vec![], 0, 30));
        assert_eq!(chosen(&packs, stored(1000), &of(Unused::Unlimited), u64::MAX), (vec![], 0, 160));
    }

    #[test]
    fn a_share_is_of_what_will_be_left() {
        let packs = [(10, 90), (50, 50)];
        let share = of(Unused::Percent(10.0));
        assert_eq!(chosen(&packs, stored(1000), &share, u64::MAX), (vec![0], 90, 50));
        let gone = Amount { packs: 1, bytes: 200 };
        let numbers = Numbers { removed: Amount { packs: 1, bytes: 100 }, condemned: gone, ..stored(1000) };
        assert_eq!(chosen(&packs, numbers, &share, u64::MAX), (vec![0], 90, 50));
        let numbers = Numbers { removed: Amount { packs: 1, bytes: 300 }, condemned: gone, ..stored(1000) };
        assert_eq!(chosen(&packs, numbers, &share, u64::MAX), (vec![0, 1], 140, 0));
    }

    #[test]
    fn what_wins_most_for_its_cost_goes_first_and_the_budget_holds() {
        let all = of(Unused::Bytes(0));
        assert_eq!(chosen(&[(3, 2), (100, 90)], stored(1000), &all, 100), (vec![1], 90, 2));
        assert_eq!(chosen(&[(100, 90), (3, 2)], stored(1000), &all, 100), (vec![0], 90, 2));
        // What is too much is passed over for what is not.
        assert_eq!(chosen(&[(100, 90), (3, 2)], stored(1000), &all, 99), (vec![1], 2, 90));
    }
}
