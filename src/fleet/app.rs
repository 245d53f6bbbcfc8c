//! One application, with everything that it inherits filled in.

use super::config::value::{Origin, Table};
use crate::series::Series;

/// An application as the configuration has it.
#[derive(Debug, Clone)]
pub struct App {
    /// `server/vm/relpath`, by which its snapshots are known.
    pub series: Series,
    /// Its `type`: the name of its recipe.
    pub recipe: String,
    /// The keys of its recipe (`root`, `database`, …).
    pub settings: Table,
    /// Patterns that are left out of each of its sources, beside those of the recipe.
    pub exclude: Vec<String>,
    /// Where its table stands.
    pub origin: Origin,
}
