//! Which applications: `alpha/web1`, `type:rails`, `server:alpha`, `vm:web1`, `tag:gold`.

use crate::{
    error::{Error, Result},
    fleet::app::Service,
    name::Shown,
};

/// Which applications are meant. Words of one kind add to each other, words of different kinds narrow each other; none: all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Select {
    series: Vec<String>,
    types: Vec<String>,
    servers: Vec<String>,
    vms: Vec<String>,
    tags: Vec<String>,
}

impl Select {
    /// Reads the words.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut select = Select::default();
        for word in words {
            let (list, value) = match word.split_once(':') {
                Some(("type", value)) => (&mut select.types, value),
                Some(("server", value)) => (&mut select.servers, value),
                Some(("vm", value)) => (&mut select.vms, value),
                Some(("tag", value)) => (&mut select.tags, value),
                None => (&mut select.series, word),
                Some(_) => {
                    return Err(Error::usage(format!(
                        "\"{}\" selects nothing: write server/vm/path or a beginning of it, type:NAME, server:NAME, vm:NAME or tag:WORD",
                        Shown(word.as_bytes())
                    )));
                }
            };
            if value.is_empty() {
                return Err(Error::usage(format!("\"{}\" selects nothing", Shown(word.as_bytes()))));
            }
            list.push(value.to_owned());
        }
        Ok(select)
    }

    /// True when it means this application.
    pub fn matches(&self, service: &Service) -> bool {
        let (server, vm) = service.machine();
        let one_of = |list: &[String], value: &str| list.is_empty() || list.iter().any(|one| one == value);
        one_of(&self.types, &service.app.recipe)
            && one_of(&self.servers, server)
            && one_of(&self.vms, vm)
            && (self.tags.is_empty() || service.tags.iter().any(|tag| self.tags.contains(tag)))
            && (self.series.is_empty() || self.series.iter().any(|prefix| service.app.series.is_under(prefix)))
    }

    /// True when it means all.
    pub fn is_all(&self) -> bool {
        *self == Select::default()
    }
}
