//! Is everything safe? What the configuration expects, against what repositories and media hold.
//!
//! Red by *absence*: an application of which nothing is known is red, as is one whose newest good snapshot is older than was promised,
//! that lies in too few places, or was not checked or restored for a test in time.
//!
//! ```text
//! configuration ─┐
//! repositories ──┼─▶ view: who holds what ─▶ judge: a verdict for each application ─▶ human, JSON, Prometheus, HTML
//! media, runs ───┘
//! ```

mod html;
mod json;
mod judge;
mod prometheus;
mod pulled;
#[cfg(test)]
mod tests;
mod view;

pub use html::page;
pub use json::of as json;
pub use judge::{Verdict, judge};
pub use prometheus::text as prometheus;
pub use pulled::of_pulled;
pub use view::{Held, Holder, HolderKind, of_medium, of_repository};

use crate::{
    error::Result,
    fleet::{
        app::Service,
        config::{self, Fleet, Role},
        night,
        state::{Last, State},
    },
    ops::media::Catalogue,
    repo::Repository,
};
use std::{collections::BTreeMap, path::Path};

/// What the status is made from.
pub struct Look<'a> {
    pub fleet: &'a Fleet,
    /// The applications that are looked at.
    pub services: Vec<&'a Service>,
    /// This machine.
    pub host: &'a str,
    /// What is remembered of repositories, media and runs.
    pub state: &'a Path,
    /// Seconds since 1970.
    pub now: i64,
    /// Opens a repository.
    pub open: &'a (dyn Fn(&config::Repository) -> Result<Repository> + Sync),
}

/// How it is.
#[derive(Debug, Clone)]
pub struct Status {
    /// The fleet.
    pub name: String,
    /// When it was looked at.
    pub time: i64,
    /// By series.
    pub apps: Vec<Verdict>,
    /// Repositories and media.
    pub holders: Vec<Holder>,
    /// Jobs of the last runs that went wrong, in words.
    pub jobs: Vec<String>,
    /// The last run of all.
    pub run: Option<Last>,
}

impl Status {
    /// Applications that are red.
    pub fn red_apps(&self) -> usize {
        self.apps.iter().filter(|app| !app.red.is_empty()).count()
    }

    /// True when anything is red.
    pub fn is_red(&self) -> bool {
        self.red_apps() > 0 || !self.jobs.is_empty() || self.holders.iter().any(|one| !one.red.is_empty())
    }
}

/// The applications that this machine is to answer for: its own; all, when it keeps copies of others, or is none of the servers.
pub fn concern<'a>(fleet: &'a Fleet, host: &str) -> Vec<&'a Service> {
    let own: Vec<&Service> = fleet.services.iter().filter(|one| one.is_on(host)).collect();
    let keeps_copies = fleet
        .repositories
        .values()
        .any(|one| one.role == Role::Copy && !one.hosts.is_empty() && one.is_reached_from(host));
    if own.is_empty() || keeps_copies { fleet.services.iter().collect() } else { own }
}

/// Looks at all that is in reach.
pub fn look(look: &Look<'_>) -> Result<Status> {
    let state = State::read(&night::folder(look.state))?;
    let mut holders = Vec::new();
    let mut opened: BTreeMap<&str, Repository> = BTreeMap::new();
    for repository in look.fleet.repositories.values() {
        let used = repository.role == Role::Copy || look.services.iter().any(|one| one.repository == repository.name);
        if !used || !repository.is_reached_from(look.host) {
            continue;
        }
        let holder = match (look.open)(repository) {
            Ok(repo) => {
                let holder = view::of_repository(repository, &repo, &look.services);
                opened.insert(&repository.name, repo);
                holder
            }
            Err(error) => Err(error),
        };
        holders.push(holder.unwrap_or_else(|error| Holder::lost(repository, &error)));
    }
    for medium in look.fleet.media.values() {
        let Some(repo) = opened.get(medium.repository.as_str()) else { continue };
        let held = Catalogue::open(repo, look.state)
            .and_then(|catalogue| view::of_medium(medium, &catalogue, &look.services, look.now));
        holders.push(held.unwrap_or_else(|error| Holder::unknown_medium(medium, &error)));
    }
    let pulls = look.fleet.pulls.values().filter(|pull| pull.is_done_by(look.host));
    holders.extend(pulls.map(|pull| of_pulled(pull, &state, look.now)));
    let apps = look.services.iter().map(|service| judge(service, &holders, &state, look.now)).collect();
    Ok(Status {
        name: look.fleet.name.clone(),
        time: look.now,
        apps,
        holders,
        jobs: jobs(look.fleet, &state),
        run: state.last("run").cloned(),
    })
}

/// Jobs for repositories that went wrong when they were last tried, and are still to be done.
fn jobs(fleet: &Fleet, state: &State) -> Vec<String> {
    let copies = fleet.copies.iter().map(|job| night::What::Copy { from: job.from.clone(), to: job.to.clone() });
    let checks = fleet.checks.iter().map(|job| night::What::Check(job.repository.clone()));
    let pulls = fleet
        .pulls
        .values()
        .flat_map(|pull| [night::What::Pull(pull.server.clone()), night::What::Check(pull.copy_name())]);
    let prunes = fleet.repositories.keys().map(|name| night::What::Prune(name.clone()));
    let forgets = fleet.repositories.keys().map(|name| night::What::Forget(name.clone()));
    let media = fleet.media.keys().map(|name| night::What::Medium(name.clone()));
    let mut out: Vec<String> = copies
        .chain(media)
        .chain(checks)
        .chain(forgets)
        .chain(prunes)
        .chain(pulls)
        .filter_map(|what| {
            let last = state.last(&what.key()).filter(|last| !last.wrong.is_empty())?;
            Some(format!("{what}: {}", last.wrong))
        })
        .collect();
    out.dedup();
    out
}
