//! What is needed: step V7 of `format-spec/12-prune.md`.

use super::{
    Options,
    live::{Live, Standing, Walked},
    scene::{Scene, Stays, stays},
    walk::{self, Ended, Root},
};
use crate::{
    error::{Error, Result},
    id::{NoteId, PackId, SnapshotId},
    model::gc::Step,
    monitor::{Counter, Monitor, Phase, Silent},
    ops,
    repo::{
        BlobReader, Repository,
        gc::Noted,
        session::{STILL_MAX, Stay, is_alive},
    },
};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What may be swept (S1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sweepable {
    /// Marks that are old enough and that every live session has seen.
    pub marks: BTreeSet<NoteId>,
    /// Notices of earlier sweeps.
    pub notices: BTreeSet<NoteId>,
    /// Those of them that are young enough, by the store's clock, for something to go under them while this run lasts: whoever could not
    /// read one would not go on, and nobody removes it as lost.
    pub young: BTreeSet<NoteId>,
}

impl Sweepable {
    /// Looks which notes are ripe.
    pub(super) fn find(repo: &Repository, options: &Options, monitor: &dyn Monitor) -> Result<Sweepable> {
        let mut notes = repo.notes()?;
        let Stays { stays, mut damaged, .. } = stays(repo, monitor)?;
        damaged.append(&mut notes.damaged);
        // What is passed over is told by the survey.
        repo.pass_over(&damaged, options.alone, &Silent)?;
        let (now, has_clock) = repo.store_time()?;
        // By the store's clock; without one by that of whoever made it, which costs nobody a snapshot.
        let age = |noted: &Noted| {
            let since = if has_clock { noted.stored } else { noted.note.made.sec };
            now.saturating_sub(since).saturating_abs()
        };
        let alive = alive_sessions(&stays, now, has_clock);
        let ripe = |noted: &&Noted| {
            let seen = |said: &&crate::model::gc::Session| said.seen.binary_search(&noted.id).is_ok();
            noted.note.step == Step::Mark && age(noted) >= options.grace && alive.iter().all(seen)
        };
        let notices = || notes.noted.iter().filter(|noted| noted.note.step == Step::Notice);
        let is_young = |noted: &&Noted| has_clock && now.saturating_sub(noted.stored).saturating_abs() < STILL_MAX;
        Ok(Sweepable {
            marks: notes.noted.iter().filter(ripe).map(|noted| noted.id).collect(),
            notices: notices().map(|noted| noted.id).collect(),
            young: notices().filter(is_young).map(|noted| noted.id).collect(),
        })
    }
}

/// The sessions that may still hold a writer.
fn alive_sessions(stays: &[Stay], now: i64, has_clock: bool) -> Vec<&crate::model::gc::Session> {
    let alive = |stay| match stay {
        &Stay::Session { stored, ref said, .. } if is_alive(stored, now, has_clock) => Some(said),
        _ => None,
    };
    stays.iter().filter_map(alive).collect()
}

/// What becomes of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// All that it needs is there to stay.
    Whole,
    /// Something that it needs may go.
    Held,
    /// Something that it needs is nowhere.
    Broken,
}

/// What lies in the store and what of it is needed.
pub(super) struct Survey {
    pub scene: Scene,
    pub live: Live,
    /// Of the packs that the index lists.
    standings: HashMap<PackId, Standing>,
    walked: Walked,
    pub intents: HashMap<SnapshotId, Fate>,
}

/// What becomes of the packs that the index lists. Those of marks that are to be swept count as noticed already.
fn standings(scene: &Scene, sweepable: &Sweepable) -> HashMap<PackId, Standing> {
    let mut named: HashMap<PackId, Standing> = HashMap::new();
    for noted in &scene.notes.noted {
        let standing = match noted.note.step {
            Step::Mark if !sweepable.marks.contains(&noted.id) => Standing::Marked,
            _ => Standing::Noticed,
        };
        for pack in &noted.note.packs {
            let known = named.entry(*pack).or_insert(standing);
            *known = (*known).max(standing);
        }
    }
    let mut standings = HashMap::new();
    for run in scene.index.runs().iter() {
        for (id, len, _) in run.packs() {
            let is_there = scene.packs.get(&id) == Some(&len);
            let standing = if is_there { named.get(&id).copied().unwrap_or(Standing::Kept) } else { Standing::Absent };
            // Two index objects may differ on its length; one of them is right.
            let known = standings.entry(id).or_insert(standing);
            *known = (*known).min(standing);
        }
    }
    standings
}

impl Survey {
    /// Looks at everything. What `before` found out is used as far as it still holds: trees never change.
    pub(super) fn make(
        repo: &Repository,
        sweepable: &Sweepable,
        before: Option<Survey>,
        options: &Options,
        monitor: &dyn Monitor,
    ) -> Result<Survey> {
        monitor.phase(Phase::Planning);
        let (before, old) = match before {
            Some(Survey { scene, live, standings, walked, intents }) => {
                let known: HashSet<SnapshotId> = scene.snapshots.iter().map(|listed| listed.id).collect();
                let sources = scene.sources.clone();
                (Some(scene), Some((sources, known, live, standings, walked, intents)))
            }
            None => (None, None),
        };
        let scene = Scene::look(repo, before, options.alone, monitor)?;
        let standings = standings(&scene, sweepable);
        let (known, live, walked, mut intents) = match old {
            Some((sources, known, live, of_before, walked, intents))
                if sources == scene.sources && of_before == standings =>
            {
                (known, live, walked, intents)
            }
            _ => {
                let standing = |id: &PackId, len: u64| match standings.get(id) {
                    Some(standing) if scene.packs.get(id) == Some(&len) => *standing,
                    _ => Standing::Absent,
                };
                let live = Live::new(&scene.index, &standing);
                let walked = live.walk();
                (HashSet::new(), live, walked, HashMap::new())
            }
        };
        let new = scene.snapshots.iter().filter(|listed| !known.contains(&listed.id));
        let roots: Vec<Root> = new
            .map(|listed| Root::new(listed, format!("snapshot {} of {}", listed.id.short(), listed.snapshot.series)))
            .collect();
        monitor.expect(Counter::Objects, roots.len() as u64);
        let reader = BlobReader::new(repo, &scene.index);
        walk::all(&roots, &live, &walked, &reader, ops::threads(options.threads), monitor).map_err(|error| {
            match (scene.hollow_index(), error) {
                (Some(index), Error::Corrupt { object, what }) => Error::corrupt(
                    index,
                    format!("it has no bytes, and may have listed what is missed ({object}: {what}): first run `vault repair index`"),
                ),
                (_, error) => error,
            }
        })?;
        for stay in &scene.stays {
            let Stay::Intent { tag, listed, .. } = stay else { continue };
            if scene.is_gone(repo, tag, &listed.id) || intents.contains_key(&listed.id) {
                continue;
            }
            // Walked by itself: what it shares with snapshots may not be there to stay.
            let root = Root::new(listed, format!("sessions/{}", listed.id));
            let fate = match walk::one(&root, &live, &live.walk(), &reader, monitor)? {
                Ended::Whole(worst) if worst <= Standing::Marked => Fate::Whole,
                Ended::Whole(_) => Fate::Held,
                Ended::Lacks(_) => Fate::Broken,
            };
            intents.insert(listed.id, fate);
        }
        Ok(Survey { scene, live, standings, walked, intents })
    }
}
