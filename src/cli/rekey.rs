//! `vault key rekey`

use super::{
    copy::{logical_json, logically, print_logical},
    exit::{Done, Failure},
    init::{self, Kdf, NewRepository},
    secrets::{NewPassword, Source},
    session::Session,
};
use crate::{
    compress::Compression,
    error::Error,
    keys::Role,
    model::limits,
    repo::{Repository, Unlock},
};
use clap::ValueHint;
use serde_json::Value;
use std::{ffi::OsString, io, path::PathBuf, time::Instant};

pub const EXAMPLES: &str = "\
Examples:
  vault key rekey --to /srv/backup-new
  VAULT_NEW_PASSWORD=… vault key rekey --to /srv/backup-new --recovery-sheet /root/sheet.txt

Everything is sealed anew: snapshots, contents, tags and pins. Old keys open nothing in the new repository. Run it again when it was
interrupted, with the same new passphrase. The old repository is left as it is.";

/// Copy everything into a new repository under new keys
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the new repository is to be made
    #[arg(long, value_name = "REPO", value_hint = ValueHint::DirPath)]
    to: OsString,
    #[command(flatten)]
    new: NewPassword,
    /// Write the new recovery sheet to FILE, which only its owner can read
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    recovery_sheet: Option<PathBuf>,
    /// Also make a key file that opens the new repository without a passphrase
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    key_file_out: Option<PathBuf>,
    /// How dear it is to try passphrases: 64 MiB of memory, strong 1 GiB, low 19 MiB
    #[arg(long, value_enum, default_value_t = Kdf::Default)]
    kdf: Kdf,
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let begun = Instant::now();
    let from = session.open()?;
    from.keys().expect(Role::Owner, "read contents, which new keys for them take")?;
    session.accept_rollback(&from, None)?;
    let place = session.place_at(&args.to)?;
    let around = session.surroundings_of_other(&place, "to");
    let (recovery_sheet, key_file_out) = (args.recovery_sheet.clone(), args.key_file_out.clone());
    let new = NewRepository { recovery_sheet, key_file_out, kdf: args.kdf, chunk_size: limits::BLOB_MAX as u32 };
    let there = session.open_store(&place).and_then(|store| Repository::identify(&*store).map(|id| (store, id)));
    let to = match there {
        Ok((_, id)) if id == from.keys().repo() => {
            return Err(
                Error::usage(format!("{place} is this repository, or a replica of it: choose a new place")).into()
            );
        }
        // An earlier run was interrupted.
        Ok((store, _)) => {
            let secret = args.new.get(&session.screen, &session.interrupts)?;
            let to = session.unlock_with(store, Source::Given(Unlock::Secret(secret)), around)?.0;
            // It may not have come to handing out what opens the new repository.
            init::hand_out(session, &to, &place, &new)?;
            to
        }
        Err(Error::NoRepository { .. }) => {
            init::check_place(&place)?;
            init::check_files(&new)?;
            let secret = args.new.get(&session.screen, &session.interrupts)?;
            init::make_at(session, &place, &secret, &new, from.config().clone(), around)?
        }
        Err(error) => return Err(error.into()),
    };
    let report = logically(session, &from, &to, None, Compression::default(), false, 0)?;
    session.print_result(|| print_logical(&report, &place, false, begun.elapsed()));
    let whole = report.failed.is_empty();
    if whole && !session.screen.json && !session.global.quiet {
        say_what_next(session, &from, &to)?;
    }
    let mut result = logical_json(&report, false, begun.elapsed());
    if let Value::Object(fields) = &mut result {
        fields.insert("repository".into(), to.keys().repo().to_string().into());
    }
    Ok(Done::unless(!whole, result))
}

fn say_what_next(session: &Session, from: &Repository, to: &Repository) -> io::Result<()> {
    let (old, new) = (from.store().place(), to.store().place());
    session.screen.print(&format!(
        "
Next:
  vault check --read-data --repo {new}        is all of it there?
  vault key add --role writer --repo {new}    new keys for every machine that had one: none was taken over
Let every machine use {new} from now on. Who has an old key reads {old}, and every copy of it, as before: when
the new repository is checked and copied, remove {old} and its copies."
    ))
}
