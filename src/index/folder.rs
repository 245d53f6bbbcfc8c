//! Tables as files: a folder of them on the client's own disk, from which any may vanish at any time.

use super::run::{self, Run, Source};
use crate::{
    error::{Error, Result},
    id::hex,
    pack::PackEntry,
};
use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// Where tables are kept; without a path, or when the folder takes no file, in memory.
#[derive(Debug)]
pub(super) struct Folder(pub Option<PathBuf>);

impl Folder {
    /// Opens the tables that stand for wanted objects only, takes those objects off the list, and deletes the other tables.
    /// `fresh` opens none. Objects that were not listed are wanted when they are there: another process has just written them, and
    /// their table stands for all that went before too.
    pub fn open(&self, wanted: &mut HashSet<Source>, fresh: bool, is_there: &dyn Fn(&Source) -> bool) -> Vec<Run> {
        let mut runs = Vec::new();
        let Some(folder) = &self.0 else { return runs };
        let mut known = wanted.clone();
        let mut tables: Vec<(u64, PathBuf)> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|e| e == "run"))
            .map(|entry| (entry.metadata().map_or(0, |meta| meta.len()), entry.path()))
            .collect();
        // The largest first: it may stand for what smaller ones hold too.
        tables.sort_unstable_by(|a, b| b.cmp(a));
        for (_, path) in tables {
            let run = if fresh { None } else { File::open(&path).ok().and_then(|file| Run::open(&file)) };
            match run {
                Some(run)
                    if run
                        .sources()
                        .all(|source| wanted.contains(&source) || !known.contains(&source) && is_there(&source)) =>
                {
                    for source in run.sources() {
                        wanted.remove(&source);
                        known.insert(source);
                    }
                    runs.push(run);
                }
                // Only a cache: another process may have deleted it, or will.
                _ => drop(fs::remove_file(&path)),
            }
        }
        runs
    }

    /// Makes the table of some packs.
    pub fn build(&self, sources: &[Source], packs: &[PackEntry]) -> Result<Run> {
        self.keep(sources.iter().copied(), &mut |out| run::build(sources, packs, out))
    }

    /// Makes one table of several, whose files are no longer needed then. Returns also by how much the numbers of each one's
    /// segments grew.
    pub fn merge(&self, parts: &[&Run]) -> Result<(Run, Vec<u32>)> {
        let mut shifts = Vec::new();
        let sources = || parts.iter().flat_map(|run| run.sources());
        let merged = self.keep(sources(), &mut |out| run::merge(parts, out).map(|by| shifts = by))?;
        if let Some(folder) = &self.0 {
            for part in parts {
                drop(fs::remove_file(table_path(folder, part.sources())));
            }
        }
        Ok((merged, shifts))
    }

    fn keep(
        &self,
        sources: impl Iterator<Item = Source>,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Run> {
        if let Some(folder) = &self.0
            && let Some(run) = save(folder, sources, write)
        {
            return Ok(run);
        }
        let mut bytes = Vec::new();
        let broken = || Error::Hardware { what: "a table of the index that was just made does not open".into() };
        write(&mut bytes).map_err(|_| broken())?;
        Run::in_memory(bytes).ok_or_else(broken)
    }
}

/// A table is named by the objects that it stands for.
fn table_path(folder: &Path, sources: impl Iterator<Item = Source>) -> PathBuf {
    let mut hasher = blake3::Hasher::new();
    for source in sources {
        hasher.update(&source.id.0);
    }
    folder.join(format!("{}.run", hex(&hasher.finalize().as_bytes()[..16])))
}

/// Writes a table into the folder; `None` when that fails, which costs only time.
fn save(
    folder: &Path,
    sources: impl Iterator<Item = Source>,
    write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
) -> Option<Run> {
    let path = table_path(folder, sources);
    let draft = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = (|| {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&draft)?;
        let mut out = BufWriter::with_capacity(256 << 10, file);
        write(&mut out)?;
        let file = out.into_inner().map_err(|e| e.into_error())?;
        // A table that is cut short by a power cut would hide blobs.
        file.sync_data()?;
        fs::rename(&draft, &path)?;
        Ok::<File, io::Error>(file)
    })();
    match written {
        Ok(file) => Run::open(&file),
        Err(_) => {
            drop(fs::remove_file(&draft));
            None
        }
    }
}
