//! By what an application comes back: its configuration and its recipe as its snapshot holds them, since this is what is left when all
//! else is lost. A drill goes by the same, or it would prove something else.

use super::promised;
use crate::{
    error::Result,
    fleet::{
        app::App,
        config::StoredConfig,
        recipe::{Recipe, Recipes, User},
    },
    name::Shown,
    repo::Listed,
    series::Series,
};
use std::sync::Arc;

/// What it takes beside the snapshot.
pub struct Means {
    pub app: App,
    pub recipe: Arc<dyn Recipe>,
    /// What was promised when the snapshot was made: see [`promised`].
    pub promised: (Option<u64>, Option<u64>),
    /// Which recipe it is, when that is not clear. Safe to print.
    pub note: Option<String>,
}

impl Means {
    /// Those of a snapshot, on a machine that has these recipes. `today` is what counts for a snapshot that holds no configuration;
    /// `None` when nothing does.
    pub fn of(listed: &Listed, machine: &Recipes, today: Option<&App>) -> Result<Option<Means>> {
        if let Some(bytes) = &listed.snapshot.configuration {
            let stored = StoredConfig::decode(&Series::parse(&listed.snapshot.series)?, bytes)?;
            let (recipe, note) = recipe(&stored, machine)?;
            return Ok(Some(Means { promised: promised(&stored), app: stored.app, recipe, note }));
        }
        let of = |app: &App| {
            let recipe = machine.find(&app.recipe)?;
            Ok(Means { app: app.clone(), recipe, promised: (None, None), note: None })
        };
        today.map(of).transpose()
    }
}

/// The machine's own recipe, since somebody may have mended it here; else the snapshot's own, else the program's.
fn recipe(stored: &StoredConfig, machine: &Recipes) -> Result<(Arc<dyn Recipe>, Option<String>)> {
    let name = &stored.app.recipe;
    let here = machine.find(name);
    let own = here.as_ref().ok().and_then(|recipe| recipe.own());
    let shown = Shown(name.as_bytes());
    let note = match (&stored.recipe, own) {
        (Some(text), None) => {
            let note =
                format!("the recipe \"{shown}\" is the snapshot's: this machine has none of its own of that name");
            return Ok((Arc::new(User::of_snapshot(name, text)?), Some(note)));
        }
        (Some(text), Some(own)) if text == own => None,
        (None, None) => None,
        (_, Some(_)) => Some(format!("the recipe \"{shown}\" is this machine's; the snapshot was made by another one")),
    };
    Ok((here?, note))
}
