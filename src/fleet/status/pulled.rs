//! What can be told of a repository that is pulled, without its keys: when that was last done, and whether anything new has come.

use super::{
    judge::age_text,
    view::{Holder, HolderKind},
};
use crate::{
    error::Result,
    fleet::{config::Pull, night::What, state::State},
    store::{
        Store,
        open::{self, Place},
    },
};
use std::collections::BTreeMap;

/// The copy of another server's repository.
pub fn of_pulled(pull: &Pull, state: &State, now: i64) -> Holder {
    let synced = state.last(&What::Pull(pull.server.clone()).key()).and_then(|last| last.good);
    let age = |time: i64| u64::try_from(now.saturating_sub(time)).unwrap_or(0);
    let limit = age_text(i64::try_from(pull.overdue).unwrap_or(i64::MAX));
    let store = open::open(&Place::Local(pull.folder()));
    let looked = store.and_then(|store| arrivals(&*store));
    let lost = looked.is_err();
    let (unnamed, newest) = match &looked {
        Ok(arrivals) => *arrivals,
        Err(_) => (0, None),
    };
    let red = match (&looked, synced, newest) {
        (_, None, _) => "it was never pulled".to_owned(),
        (Err(error), ..) => error.to_string(),
        (_, Some(time), _) if age(time) > pull.overdue => {
            format!("overdue: it was last pulled {} ago", age_text(now.saturating_sub(time)))
        }
        (_, _, None) => "it holds no snapshot".to_owned(),
        (_, _, Some(time)) if age(time) > pull.overdue => {
            format!(
                "no new snapshot has come for {}: is one made there each {limit}?",
                age_text(now.saturating_sub(time))
            )
        }
        _ => String::new(),
    };
    Holder {
        name: pull.copy_name(),
        kind: HolderKind::Pulled,
        site: pull.site.clone(),
        held: BTreeMap::new(),
        slack: pull.overdue,
        unnamed,
        synced,
        red,
        foreign: 0,
        lost,
    }
}

/// How many snapshots there are, and when the newest came.
fn arrivals(store: &dyn Store) -> Result<(u64, Option<i64>)> {
    let (mut number, mut newest) = (0, None);
    store.list("snapshots/", &mut |entry| {
        number += 1;
        newest = newest.max(Some(entry.stored));
        Ok(())
    })?;
    Ok((number, newest))
}
