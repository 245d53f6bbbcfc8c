//! A verdict for each application.

use super::view::{Holder, HolderKind};
use crate::{
    fleet::{
        app::{Service, Slo},
        night::What,
        state::State,
    },
    name::Shown,
};
use std::collections::BTreeSet;

/// Earlier snapshots that are needed to say what is usual.
const USUAL_MIN: usize = 3;
/// Applications below this size, in bytes, may double as they like.
const SMALL: u64 = 1 << 20;

/// How an application is.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub series: String,
    pub recipe: String,
    /// When the newest good snapshot was begun, wherever it lies.
    pub good: Option<i64>,
    /// When the newest one was, complete or not.
    pub newest: Option<i64>,
    /// Where a snapshot lies that is not much older.
    pub places: Vec<String>,
    /// At so many sites.
    pub sites: u64,
    /// When a repository that holds it was last checked and found whole.
    pub checked: Option<i64>,
    /// When it was last restored for a test, and all was well.
    pub drilled: Option<i64>,
    /// How long that took, in seconds.
    pub rto: Option<f64>,
    /// Bytes of its files: the newest first.
    pub sizes: Vec<u64>,
    /// What was promised.
    pub slo: Slo,
    /// What is not as promised. Safe to print.
    pub red: Vec<String>,
    /// What is odd. Safe to print.
    pub odd: Vec<String>,
}

/// An age in the largest unit that tells it: `3d 4h`, `5h`, `12m`.
pub fn age_text(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ if seconds < 10 * 86400 && seconds % 86400 >= 3600 => {
            format!("{}d {}h", seconds / 86400, seconds % 86400 / 3600)
        }
        _ => format!("{}d", seconds / 86400),
    }
}

fn older(now: i64, time: Option<i64>, limit: u64) -> bool {
    time.is_none_or(|time| u64::try_from(now.saturating_sub(time)).is_ok_and(|age| age > limit))
}

/// Judges an application.
pub fn judge(service: &Service, holders: &[Holder], state: &State, now: i64) -> Verdict {
    let (slo, name) = (service.slo, service.name());
    let holding: Vec<(&Holder, &super::Held)> =
        holders.iter().filter_map(|holder| Some((holder, holder.held.get(name)?))).collect();
    let good = holding.iter().filter_map(|(_, held)| held.good).max();
    let newest = holding.iter().filter_map(|(_, held)| held.newest).max();
    let mut red = Vec::new();
    let limit = age_text(i64::try_from(slo.rpo).unwrap_or(i64::MAX));
    match (good, newest) {
        (None, None) if holders.iter().any(|one| one.lost && one.name == service.repository) => {
            let name = Shown(service.repository.as_bytes());
            red.push(format!("no snapshot is known: {name} cannot be looked at"));
        }
        (None, None) => red.push("there is no snapshot".into()),
        (None, Some(_)) => red.push("no snapshot is complete".into()),
        (Some(time), _) if older(now, Some(time), slo.rpo) => {
            red.push(format!("the newest good snapshot is {} old, {limit} were promised", age_text(now - time)));
        }
        (Some(good), Some(newest)) if newest > good => red.push("the newest snapshot is incomplete".into()),
        _ => {}
    }
    let last = state.last(&What::Snapshot(name.to_owned()).key());
    if let Some(last) = last.filter(|last| !last.wrong.is_empty()) {
        red.push(format!("the last run: {}", last.wrong));
    }

    // A copy that is made after the snapshot lags behind it by a night at most.
    let fresh = |holder: &Holder, held: &super::Held| {
        let lag = if holder.kind == HolderKind::Medium { holder.slack } else { slo.rpo };
        !older(now, held.good, slo.rpo.saturating_add(lag))
    };
    let places: Vec<&Holder> =
        holding.iter().filter(|(holder, held)| fresh(holder, held)).map(|(holder, _)| *holder).collect();
    let site = |holder: &Holder| {
        let own = holder.kind == HolderKind::Repository && holder.name == service.repository;
        if holder.site.is_empty() && own { service.site.clone() } else { holder.site.clone() }
    };
    let sites = places.iter().map(|holder| site(holder)).collect::<BTreeSet<_>>().len() as u64;
    if (places.len() as u64) < slo.copies {
        red.push(format!("{} of {} copies", places.len(), slo.copies));
    }
    if sites < slo.sites {
        red.push(format!("at {sites} of {} sites", slo.sites));
    }

    let (mut checked, mut wrong) = (None, None);
    for (holder, _) in holding.iter().filter(|(holder, _)| holder.kind == HolderKind::Repository) {
        if let Some(last) = state.last(&What::Check(holder.name.clone()).key()) {
            checked = checked.max(last.good);
            if !last.wrong.is_empty() {
                wrong = Some(format!("the check of {}: {}", Shown(holder.name.as_bytes()), last.wrong));
            }
        }
    }
    red.extend(wrong);
    if !holding.is_empty() && older(now, checked, slo.check) {
        red.push(match checked {
            None => "it was never checked".into(),
            Some(time) => format!("it was last checked {} ago", age_text(now - time)),
        });
    }

    let drill = state.last(&What::Drill(name.to_owned()).key());
    let drilled = drill.and_then(|last| last.good);
    let rto = drill.filter(|last| last.good.is_some()).map(|last| last.seconds);
    if let Some(drill) = drill.filter(|last| !last.wrong.is_empty()) {
        red.push(format!("the last drill: {}", drill.wrong));
    }
    if let Some(limit) = slo.drill
        && older(now, drilled, limit)
    {
        red.push(match drilled {
            None => "it was never restored for a test".into(),
            Some(time) => format!("it was last restored for a test {} ago", age_text(now - time)),
        });
    }
    if let (Some(limit), Some(took)) = (slo.rto, rto)
        && took > limit as f64
    {
        red.push(format!("a restore takes {}, {} were promised", age_text(took as i64), age_text(limit as i64)));
    }

    let sizes =
        holding.iter().map(|(_, held)| &held.sizes).max_by_key(|sizes| sizes.len()).cloned().unwrap_or_default();
    Verdict {
        series: name.to_owned(),
        recipe: service.app.recipe.clone(),
        good,
        newest,
        places: places.iter().map(|holder| holder.name.clone()).collect(),
        sites,
        checked,
        drilled,
        rto,
        odd: anomaly(&sizes).into_iter().collect(),
        sizes,
        slo,
        red,
    }
}

/// What is odd about the newest size, beside what is usual.
pub fn anomaly(sizes: &[u64]) -> Option<String> {
    let (newest, earlier) = sizes.split_first()?;
    if earlier.len() < USUAL_MIN {
        return None;
    }
    let mut sorted = earlier.to_vec();
    sorted.sort_unstable();
    let usual = *sorted.get(sorted.len() / 2)?;
    let percent = newest.saturating_mul(100) / usual.max(1);
    if usual >= SMALL && *newest < usual / 2 {
        Some(format!("it shrank to {percent}% of what is usual"))
    } else if *newest >= SMALL && *newest / 2 > usual {
        Some(format!("it grew to {percent}% of what is usual"))
    } else {
        None
    }
}
