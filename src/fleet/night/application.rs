//! One application: hooks, plan, dumps and trees in one snapshot, history.

use super::{
    Came, Going, What,
    hooks::{self, Around, When},
    quiesce,
};
use crate::{
    error::{Error, Result},
    fleet::{
        app::Service,
        config::{Access, StoredConfig},
        history::{self, Entry, Kind, Outcome},
        state::due,
    },
    fs::exclude::ExcludeOptions,
    model::snapshot::Snapshot,
    monitor::Monitor,
    name::Shown,
    ops::snapshot::{self, Input, Report, Request, TreeInput},
    repo::Repository,
};
use std::{
    os::unix::fs::{DirBuilderExt, MetadataExt},
    time::Instant,
};

/// So many problems are told where one line is to say why.
const PROBLEMS_TOLD: usize = 3;

impl<'a> Going<'a> {
    /// Backs an application up, when it is due.
    pub(super) fn application(&mut self, service: &'a Service) {
        let what = What::Snapshot(service.name().to_owned());
        let mut planned = format!("into {}", Shown(service.repository.as_bytes()));
        if self.night.dry_run && !self.is_due_for_snapshot(service).unwrap_or(true) {
            planned = "not due yet".into();
        }
        self.job(what, &planned, &mut |going, monitor| {
            // When that cannot be told, it is found out in what follows, and noted.
            if !going.is_due_for_snapshot(service).unwrap_or(true) {
                return Ok(Came::Skipped("not due yet".into()));
            }
            let repo = going.open(&service.repository);
            let (begun, time) = (Instant::now(), going.now());
            let taken = repo.and_then(|repo| going.with_hooks(&repo, service, monitor));
            if matches!(taken, Err(Error::Cancelled)) {
                return Err(Error::Cancelled);
            }
            let entry = entry_of(service, time, begun.elapsed().as_secs_f64(), &taken);
            let written = history::append(&going.night.fleet.history, Kind::Backup, &entry, going.night.zone);
            if let Err(error) = written {
                going.report.notes.push(format!("the history of {} was not written: {error}", service.app.series));
                monitor.problem(&format!("the history was not written: {error}"));
            }
            taken.map(|report| came_of(&report))
        });
    }

    fn is_due_for_snapshot(&mut self, service: &Service) -> Result<bool> {
        if service.every == 0 || self.night.force {
            return Ok(true);
        }
        let last = last_good(&self.open(&service.repository)?, service)?;
        Ok(due(self.now(), last, service.every))
    }

    /// Hooks around a snapshot.
    fn with_hooks(&mut self, repo: &Repository, service: &Service, monitor: &dyn Monitor) -> Result<Report> {
        let secrets: Vec<&str> = self
            .night
            .fleet
            .repositories
            .values()
            .filter_map(|one| match &one.access {
                Access::PasswordEnv(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let known = [("VAULT_SERIES", service.name()), ("VAULT_RECIPE", service.app.recipe.as_str())];
        let taken = hooks::run(
            When::Before,
            &service.hooks.before,
            &Around { environment: &known, secrets: &secrets },
            monitor,
        )
        .and_then(|()| self.snapshot(repo, service, monitor));
        let (outcome, why) = match &taken {
            Ok(report) => match why_incomplete(&report.snapshot) {
                None => ("good", String::new()),
                Some(why) => ("incomplete", why),
            },
            Err(error) => ("failed", error.to_string()),
        };
        let id = taken.as_ref().ok().and_then(|report| report.id).map(|id| id.to_string()).unwrap_or_default();
        let mut told = known.to_vec();
        told.extend([("VAULT_OUTCOME", outcome), ("VAULT_SNAPSHOT", id.as_str()), ("VAULT_ERROR", why.as_str())]);
        let told = Around { environment: &told, secrets: &secrets };
        // What was stopped before may have to be started again, whatever the user wants.
        let patient = Deaf(monitor);
        let mut after = hooks::run(When::After, &service.hooks.after, &told, &patient);
        if taken.is_err() || !why.is_empty() || after.is_err() {
            let on_error = hooks::run(When::OnError, &service.hooks.on_error, &told, &patient);
            after = after.and(on_error);
        }
        match (taken, after) {
            (Err(error), _) => Err(error),
            (Ok(report), Ok(())) => Ok(report),
            // The snapshot is there, and is good; that a service may not run again is to be seen all the same.
            (Ok(report), Err(error)) => {
                let id = report.id.map(|id| id.short()).unwrap_or_default();
                Err(Error::refused(format!("snapshot {id} was made, but: {error}")))
            }
        }
    }

    fn snapshot(&mut self, repo: &Repository, service: &Service, monitor: &dyn Monitor) -> Result<Report> {
        let night = self.night;
        let recipe = night.around.recipes().find(&service.app.recipe)?;
        let plan = recipe.plan(&service.app)?;
        for note in &plan.notes {
            monitor.note(note);
        }
        let stored = StoredConfig::of(night.fleet, service, recipe.own(), plan.facts.clone()).encode();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(night.scratch)
            .map_err(|e| Error::store("make", night.scratch.display(), e))?;
        let mut sources = plan.sources(&service.app.exclude, night.scratch)?;
        let mut trees: Vec<&mut TreeInput> = sources
            .iter_mut()
            .filter_map(|source| match &mut source.input {
                Input::Tree(tree) => Some(tree),
                _ => None,
            })
            .collect();
        let still = quiesce::Still::begin(
            &service.quiesce,
            service.name(),
            night.scratch,
            !service.one_file_system,
            &mut trees,
            monitor,
        )?;
        let request = Request {
            excludes: ExcludeOptions { one_file_system: service.one_file_system, ..ExcludeOptions::default() },
            compression: service.compression,
            tags: service.tags.clone(),
            configuration: Some(stored),
            protect: identity(&self.entry(&service.repository)?.path),
            ..Request::new(service.app.series.clone(), sources, night.host, night.user)
        };
        let taken = snapshot::snapshot(repo, request, monitor);
        let ended = still.end(monitor);
        let report = taken?;
        ended?;
        Ok(report)
    }
}

/// Hears no wish to stop.
struct Deaf<'a>(&'a dyn Monitor);

impl Monitor for Deaf<'_> {
    fn note(&self, text: &str) {
        self.0.note(text);
    }
    fn problem(&self, text: &str) {
        self.0.problem(text);
    }
}

/// Device and inode of a repository's folder, which is left out.
fn identity(path: &str) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|folder| (folder.dev(), folder.ino()))
}

/// When the newest complete snapshot of an application was begun.
pub fn last_good(repo: &Repository, service: &Service) -> Result<Option<i64>> {
    let tag = repo.keys().series_tag(&service.app.series);
    let mut last = None;
    for (_, id, _) in repo.living(Some(&service.app.series))?.names {
        match repo.head(&tag, &id) {
            Ok(head) if head.complete => last = last.max(Some(head.time.sec)),
            // One that cannot be read is no reason not to make one.
            Ok(_) | Err(Error::Corrupt { .. } | Error::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(last)
}

/// Why a snapshot is incomplete, in a line.
fn why_incomplete(snapshot: &Snapshot) -> Option<String> {
    if snapshot.head.complete && snapshot.problem_count == 0 {
        return None;
    }
    let told = snapshot.problems.iter().take(PROBLEMS_TOLD);
    let mut told: Vec<String> = told.map(|one| format!("{}: {}", Shown(&one.path), one.what)).collect();
    let more = snapshot.problem_count.saturating_sub(told.len() as u64);
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    Some(told.join("; "))
}

fn came_of(report: &Report) -> Came {
    let Some(id) = report.id else { return Came::Failed("no snapshot was made".into()) };
    match why_incomplete(&report.snapshot) {
        Some(why) => Came::Incomplete { id, why },
        None => Came::Snapshot {
            id,
            files: report.snapshot.totals.files,
            bytes: report.snapshot.totals.bytes,
            new: report.snapshot.work.bytes_new,
            stored: report.written.bytes_stored,
        },
    }
}

fn entry_of(service: &Service, time: i64, seconds: f64, taken: &Result<Report>) -> Entry {
    let empty = Entry {
        time,
        series: service.name().to_owned(),
        outcome: Outcome::Failed,
        snapshot: None,
        files: 0,
        bytes: 0,
        new: 0,
        stored: 0,
        seconds,
        problems: 0,
        why: String::new(),
    };
    match taken {
        Err(error) => Entry { problems: 1, why: error.to_string(), ..empty },
        Ok(report) => {
            let why = why_incomplete(&report.snapshot);
            Entry {
                outcome: if why.is_some() { Outcome::Incomplete } else { Outcome::Good },
                snapshot: report.id,
                files: report.snapshot.totals.files,
                bytes: report.snapshot.totals.bytes,
                new: report.snapshot.work.bytes_new,
                stored: report.written.bytes_stored,
                problems: report.snapshot.problem_count,
                why: why.unwrap_or_default(),
                ..empty
            }
        }
    }
}
