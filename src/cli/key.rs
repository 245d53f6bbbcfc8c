//! `vault key`

use super::{
    exit::{Done, Failure},
    human::{self, Align, Table},
    init::Kdf,
    json,
    private::Unfinished,
    rekey,
    secrets::{self, NewPassword},
    session::Session,
    sheet,
};
use crate::{
    error::Error,
    keys::{Role, slot::Secret},
    name::Shown,
    repo::{SlotInfo, Unlock},
    world::Time,
};
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    path::PathBuf,
};

const EXAMPLES: &str = "\
Examples:
  vault key list
  vault key add --key-file-out /root/vault.key --label nightly
  vault key passwd
  vault key remove 3f2a";

/// List, add, change and remove what opens the repository
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the keys
    #[command(after_help = "Example:\n  vault key list --repo /mnt/backup")]
    List,
    /// Add a passphrase or a key file
    #[command(after_help = "\
Examples:
  vault key add                                            asks for another passphrase
  vault key add --key-file-out /root/vault.key --label nightly
  vault key add --role writer --key-file-out web1.key      for a machine that may add and not read")]
    Add(Add),
    /// Remove a key; the last owner's stays
    #[command(after_help = "Example:\n  vault key remove 3f2a91c0")]
    Remove {
        /// How the key's id begins: see `vault key list`
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Change the passphrase that the repository was opened with
    #[command(after_help = "\
Examples:
  vault key passwd
  vault key passwd --password-file old --new-password-file new")]
    Passwd {
        #[command(flatten)]
        new: NewPassword,
        /// How dear it is to try passphrases: 64 MiB of memory, strong 1 GiB, low 19 MiB
        #[arg(long, value_enum, default_value_t = Kdf::Default)]
        kdf: Kdf,
    },
    /// Copy everything into a new repository under new keys, after a key was lost or got into wrong hands (owners only)
    #[command(after_help = rekey::EXAMPLES)]
    Rekey(rekey::Args),
    /// Print the recovery sheet (owners only)
    #[command(after_help = "Example:\n  vault key recovery --repo /mnt/backup | lp")]
    Recovery {
        /// Write it to FILE, which only its owner can read
        #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    /// What the key may do
    #[arg(long, value_enum, default_value_t = RoleName::Owner)]
    role: RoleName,
    /// Make a key file in place of a passphrase
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath,
        conflicts_with_all = ["new_password_file", "new_password_command"])]
    key_file_out: Option<PathBuf>,
    /// A word to know it by
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
    /// How dear it is to try passphrases: 64 MiB of memory, strong 1 GiB, low 19 MiB
    #[arg(long, value_enum, default_value_t = Kdf::Default)]
    kdf: Kdf,
    #[command(flatten)]
    new: NewPassword,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RoleName {
    /// Everything
    Owner,
    /// List, tag, pin, forget, check; no contents of files
    Maintainer,
    /// Add snapshots; open nothing, not even its own
    Writer,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Owner => Role::Owner,
            RoleName::Maintainer => Role::Maintainer,
            RoleName::Writer => Role::Writer,
        }
    }
}

impl Args {
    /// What the result is a result of.
    pub fn name(&self) -> &'static str {
        match self.verb {
            Verb::List => "key list",
            Verb::Add(_) => "key add",
            Verb::Remove { .. } => "key remove",
            Verb::Passwd { .. } => "key passwd",
            Verb::Rekey(_) => "key rekey",
            Verb::Recovery { .. } => "key recovery",
        }
    }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    match args.verb {
        Verb::List => list(session),
        Verb::Add(add) => self::add(add, session),
        Verb::Remove { id } => {
            let slot = session.open()?.remove_slot(&id)?;
            say(session, &format!("removed key {} ({})", slot.id.short(), described(&slot)))?;
            Ok(Done::good(json!({ "key": slot.id.to_string() })))
        }
        Verb::Passwd { new, kdf } => {
            let (repo, unlock) = session.open_keeping_secret()?;
            let Unlock::Secret(old @ Secret::Passphrase(_)) = unlock else {
                return Err(Error::usage(
                    "open the repository with the passphrase that is to be changed; `vault key add` adds another",
                )
                .into());
            };
            let new = new.get(&session.screen, &session.interrupts)?;
            let id = repo.change_secret(&old, &new, kdf.into())?;
            say(session, &format!("the passphrase was changed; its key is now {}", id.short()))?;
            Ok(Done::good(json!({ "key": id.to_string() })))
        }
        Verb::Rekey(args) => rekey::run(args, session),
        Verb::Recovery { output } => recovery(output, session),
    }
}

fn say(session: &Session, text: &str) -> io::Result<()> {
    if session.global.quiet { Ok(()) } else { session.screen.print(text) }
}

fn described(slot: &SlotInfo) -> String {
    let what = if slot.takes_passphrase { "passphrase" } else { "key file" };
    let label = Shown(slot.note.label.as_bytes());
    let colon = if slot.note.label.is_empty() { "" } else { ": " };
    format!("{}, {what}{colon}{label}", slot.note.role)
}

fn list(session: &Session) -> Result<Done, Failure> {
    let (slots, unusable) = session.open()?.list_slots()?;
    if !session.screen.json {
        let mut table = Table::new(&[
            ("ID", Align::Left),
            ("ROLE", Align::Left),
            ("OPENED BY", Align::Left),
            ("MADE", Align::Left),
            ("LABEL", Align::Left),
        ]);
        for slot in &slots {
            table.row(vec![
                slot.id.short(),
                slot.note.role.to_string(),
                if slot.takes_passphrase { "passphrase" } else { "key file" }.into(),
                human::local_time(slot.note.created),
                Shown(slot.note.label.as_bytes()).to_string(),
            ]);
        }
        table.print(&mut io::stdout().lock(), session.screen.stdout_colours())?;
        for error in &unusable {
            session.screen.warn(&error.to_string());
        }
    }
    let keys: Vec<Value> = slots
        .iter()
        .map(|slot| {
            json!({
                "id": slot.id.to_string(),
                "role": slot.note.role.to_string(),
                "opened_by": if slot.takes_passphrase { "passphrase" } else { "key-file" },
                "made": json::time(Time::from_sec(slot.note.created)),
                "label": slot.note.label,
            })
        })
        .collect();
    let unusable: Vec<String> = unusable.iter().map(ToString::to_string).collect();
    Ok(Done::unless(!unusable.is_empty(), json!({ "keys": keys, "unusable": unusable })))
}

fn add(add: Add, session: &Session) -> Result<Done, Failure> {
    let repo = session.open()?;
    let role = Role::from(add.role);
    // Before a key file is made that would open nothing.
    repo.keys().narrowed(role)?;
    if let Some(path) = add.key_file_out.as_deref().filter(|path| path.symlink_metadata().is_ok()) {
        return Err(Error::refused(format!("{} is there already: give another name", secrets::shown(path))).into());
    }
    let (secret, file) = match &add.key_file_out {
        Some(path) => {
            let (secret, file) = secrets::make_key_file(path, repo.entropy())?;
            (secret, Some(file))
        }
        None => (add.new.get(&session.screen, &session.interrupts)?, None),
    };
    let id = repo.add_slot(role, &secret, add.kdf.into(), &add.label)?;
    if let Some(Err(error)) = file.map(Unfinished::finish) {
        // Nobody has what opens it.
        repo.remove_slot(&id.to_string())?;
        return Err(error);
    }
    let file = add.key_file_out.as_deref().map(secrets::shown);
    let opened_by = match &file {
        Some(path) => format!("the key file {path} opens it"),
        None => "the new passphrase opens it".into(),
    };
    say(session, &format!("added {role} key {}: {opened_by}", id.short()))?;
    Ok(Done::good(json!({ "key": id.to_string(), "role": role.to_string(), "key_file": file })))
}

fn recovery(output: Option<PathBuf>, session: &Session) -> Result<Done, Failure> {
    let repo = session.open()?;
    let text = sheet::text(&repo)?;
    match &output {
        Some(path) => {
            secrets::write_private(path, text.as_bytes())?;
            say(session, &format!("the recovery sheet is in {}", secrets::shown(path)))?;
            Ok(Done::good(json!({ "recovery_sheet": secrets::shown(path) })))
        }
        None if session.screen.json => {
            // Asked for by name, so it is handed over: the text, once.
            Ok(Done::good(json!({ "recovery_sheet": null, "text": &*text })))
        }
        None => {
            io::stdout().write_all(text.as_bytes())?;
            Ok(Done::good(Value::Null))
        }
    }
}
