//! `vault init`

use super::{
    args,
    exit::{Done, Failure},
    secrets,
    session::Session,
    sheet,
};
use crate::{
    error::{Error, Result},
    keys::{
        Role,
        slot::{Costs, Secret},
    },
    model::{
        config::{ChunkerConfig, Config},
        limits,
    },
    repo::{Repository, Surroundings, Unlock},
    store::open::{self as stores, Place},
};
use serde_json::json;
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
Examples:
  vault init --repo /mnt/backup
  VAULT_PASSWORD=… vault init --repo /mnt/backup --recovery-sheet /root/sheet.txt
  vault init --repo /mnt/backup --key-file-out /root/vault.key     for scripts without a passphrase";

/// How dear it is to try passphrases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kdf {
    // 64 MiB of memory: every command pays it.
    Default,
    // 1 GiB of memory.
    Strong,
    // 19 MiB of memory, for small machines.
    Low,
}

impl From<Kdf> for Costs {
    fn from(kdf: Kdf) -> Self {
        match kdf {
            Kdf::Default => Costs::DEFAULT,
            Kdf::Strong => Costs::STRONG,
            Kdf::Low => Costs::LOW,
        }
    }
}

/// How a new repository is made.
#[derive(Debug, Clone, clap::Args)]
pub struct NewRepository {
    /// Write the recovery sheet to FILE, which only its owner can read
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub recovery_sheet: Option<PathBuf>,
    /// Also make a key file that opens the repository without a passphrase
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub key_file_out: Option<PathBuf>,
    /// How dear it is to try passphrases: 64 MiB of memory, strong 1 GiB, low 19 MiB
    #[arg(long, value_enum, default_value_t = Kdf::Default)]
    pub kdf: Kdf,
    /// Average length of the chunks that files are cut into, a power of two
    #[arg(long, value_name = "SIZE", value_parser = chunk_size, default_value = "128K")]
    pub chunk_size: u32,
}

/// Make a repository
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    new: NewRepository,
}

fn chunk_size(text: &str) -> Result<u32, String> {
    match args::size(text)? {
        size @ 4096..=0x40_0000 if size.is_power_of_two() => Ok(size as u32),
        _ => Err("the average chunk size is a power of two from 4K to 4M".into()),
    }
}

fn config(chunk_size: u32) -> Config {
    let max = chunk_size.saturating_mul(4).min(limits::BLOB_MAX as u32);
    let chunker = ChunkerConfig { min: chunk_size / 4, average: chunk_size, max, ..ChunkerConfig::default() };
    Config { chunker, ..Config::default() }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let repo = make(session, &args.new)?;
    Ok(Done::good(json!({
        "repository": repo.keys().repo().to_string(),
        "place": repo.store().place(),
        "recovery_sheet": args.new.recovery_sheet.map(|path| secrets::shown(&path)),
    })))
}

/// A folder with other things in it is no place for a repository. What an interrupted `init` leaves is none of them.
pub fn check_place(place: &Place) -> Result<()> {
    let path = place.local()?;
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::store("look into", place, e)),
    };
    for entry in entries {
        let entry = entry.map_err(|e| Error::store("look into", place, e))?;
        // Where the power went on FAT.
        let is_hollow =
            entry.file_name() == "config" && entry.metadata().is_ok_and(|found| found.is_file() && found.len() == 0);
        if !is_hollow && !["keys", "tmp", "lost+found"].iter().any(|known| entry.file_name() == *known) {
            return Err(Error::refused(format!(
                "{place} is not empty and holds no vault repository: choose an empty or a new folder"
            )));
        }
    }
    Ok(())
}

/// What is to be written is not there yet.
pub fn check_files(new: &NewRepository) -> Result<()> {
    for file in [&new.recovery_sheet, &new.key_file_out].into_iter().flatten() {
        if std::fs::symlink_metadata(file).is_ok() {
            return Err(Error::refused(format!("{} is there already", secrets::shown(file))));
        }
    }
    Ok(())
}

/// Makes a repository, tells of it, and hands out its recovery sheet.
pub fn make(session: &Session, new: &NewRepository) -> Result<Repository, Failure> {
    let place = session.place()?;
    if session.global.recovery_file.is_some() {
        return Err(Error::usage("a new repository has no recovery sheet yet: leave out --recovery-file").into());
    }
    if let Ok(store) = session.open_store(&place)
        && Repository::identify(&*store).is_ok()
    {
        return Err(Error::refused(format!(
            "there is a repository at {place} already; for a recovery sheet or key file of it: vault key recovery, vault key add"
        ))
        .into());
    }
    check_place(&place)?;
    check_files(new)?;
    let secret = match secrets::source(&session.global, &session.screen)? {
        secrets::Source::Given(Unlock::Secret(secret)) => secret,
        secrets::Source::Given(Unlock::Root(_)) => {
            return Err(Error::usage("leave out --recovery-file").into());
        }
        secrets::Source::Prompt => secrets::prompt_twice("passphrase for the new repository", &session.interrupts)?,
    };
    make_at(session, &place, &secret, new, config(new.chunk_size), session.surroundings())
}

/// The same at a place that was looked at, with a secret and a configuration of the caller's.
pub fn make_at(
    session: &Session,
    place: &Place,
    secret: &Secret,
    new: &NewRepository,
    config: Config,
    around: Surroundings,
) -> Result<Repository, Failure> {
    let label = match secret {
        Secret::Passphrase(_) => "passphrase of init",
        Secret::KeyFile(_) => "key file of init",
    };
    let costs = new.kdf.into();
    let repo = Repository::init(stores::create(place)?, secret, costs, label, config, around)?;
    if !session.global.quiet {
        session.screen.print(&format!("made repository {} at {place}", repo.keys().repo()))?;
    }
    hand_out(session, &repo, place, new)?;
    Ok(repo)
}

/// Makes the key file and hands out the recovery sheet of an owner's repository. What an earlier run has made is looked at, and stays.
pub fn hand_out(session: &Session, repo: &Repository, place: &Place, new: &NewRepository) -> Result<(), Failure> {
    let is_there = |path: &Path| std::fs::symlink_metadata(path).is_ok();
    let opens = |path: &Path, unlock: Unlock| {
        let around = Surroundings { cache: None, state: None, ..session.surroundings() };
        Repository::open(stores::open(place)?, &unlock, around).map(drop).map_err(|error| match error {
            Error::WrongKey { .. } => Error::refused(format!(
                "{} is there already, and does not open {place}: move it away, or name another file",
                secrets::shown(path)
            )),
            error => error,
        })
    };
    match &new.key_file_out {
        Some(path) if is_there(path) => opens(path, Unlock::Secret(secrets::read_key_file(path)?))?,
        Some(path) => {
            let (key, file) = secrets::make_key_file(path, repo.entropy())?;
            repo.add_slot(Role::Owner, &key, new.kdf.into(), "key file of init")?;
            file.finish()?;
            if !session.screen.json {
                session
                    .screen
                    .say(&format!("The key file {} opens it as well: keep it as safe.", secrets::shown(path)));
            }
        }
        None => {}
    }
    match &new.recovery_sheet {
        Some(path) if is_there(path) => Ok(opens(path, secrets::read_sheet(path)?)?),
        path => sheet::hand_out(session, repo, path.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_make_sound_configurations() {
        for size in ["4K", "64K", "128K", "1M", "4M"] {
            config(chunk_size(size).unwrap()).validate().unwrap();
        }
        assert_eq!(config(128 << 10).chunker, ChunkerConfig::default());
        for bad in ["100K", "1K", "8M", "0", "x"] {
            assert!(chunk_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_peoples_folders_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::Local(dir.path().into());
        check_place(&place).unwrap();
        std::fs::create_dir(dir.path().join("keys")).unwrap();
        check_place(&place).unwrap();
        std::fs::write(dir.path().join("letter"), "").unwrap();
        assert!(matches!(check_place(&place), Err(Error::Refused { .. })));
    }
}
