//! What is known of an application beside its bytes, when its snapshot is made: rows of each table, numbers of mails, heads of
//! repositories. It is a source of the snapshot itself, so that whoever restores can compare.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::{Arc, Mutex},
};

/// The source that holds them.
pub const SOURCE: &str = "vault.facts";
/// Longest that are read, in bytes: a table is some 50.
pub const FACTS_MAX: u64 = 64 << 20;

/// All that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Of the files, as the recipe names them.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Of each dump, by the name of its source.
    #[serde(default)]
    pub databases: BTreeMap<String, DumpFacts>,
}

/// What is known of a dump.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DumpFacts {
    /// Its kind, as [`super::Engine::word`] has it.
    pub engine: String,
    /// The database's name; the file's, for SQLite.
    #[serde(default)]
    pub database: String,
    /// The server's version, as it says.
    #[serde(default)]
    pub version: String,
    /// What the database must be made with: `encoding`, `collate`, ….
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Rows of each table.
    #[serde(default)]
    pub rows: BTreeMap<String, u64>,
}

impl Facts {
    /// As they are stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads what a snapshot holds.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|e| Error::corrupt(SOURCE, e))
    }
}

/// Facts that become known while a snapshot is made.
#[derive(Debug, Clone, Default)]
pub struct SharedFacts(Arc<Mutex<Facts>>);

impl SharedFacts {
    /// Of a plan.
    pub fn new(files: BTreeMap<String, String>) -> Self {
        SharedFacts(Arc::new(Mutex::new(Facts { files, databases: BTreeMap::new() })))
    }

    /// Those of a dump that has ended.
    pub fn dumped(&self, name: &str, facts: DumpFacts) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).databases.insert(name.to_owned(), facts);
    }

    /// A dump begins: what one before it found counts no more.
    pub fn begin(&self, name: &str) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).databases.remove(name);
    }

    /// All that is known by now.
    pub fn get(&self) -> Facts {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }
}

impl crate::ops::snapshot::Open for SharedFacts {
    fn command(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.get().encode())))
    }
}
