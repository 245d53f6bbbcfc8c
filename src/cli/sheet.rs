//! The recovery sheet as people get it.

use super::{exit::Failure, human, secrets, session::Session};
use crate::{
    error::Error,
    keys::{Role, recovery},
    name::Shown,
    repo::Repository,
};
use std::{io::Write, path::Path};
use zeroize::Zeroizing;

/// The sheet of an open repository; owners only.
pub fn text(repo: &Repository) -> Result<Zeroizing<String>, Error> {
    repo.keys().expect(Role::Owner, "print the recovery sheet")?;
    let root = repo.keys().root().ok_or_else(|| Error::usage("this key does not hold the root secret"))?;
    let mut lines = Zeroizing::new(String::new());
    for line in recovery::lines(root) {
        lines.push_str("    ");
        lines.push_str(&line);
        lines.push('\n');
    }
    let rule = "─".repeat(72);
    Ok(Zeroizing::new(format!(
        "{rule}
vault recovery sheet

    repository  {}
    place       {}
    made        {}

{}
Whoever has these eight lines can read every backup in the repository, and
needs no passphrase. Print this page or copy it by hand, keep it apart from
the servers, and leave no copy on them.

To use it: type the eight lines into a file (small letters, spaces and O for
0 do not matter) and run, for example:

    vault snapshots --repo REPO --recovery-file FILE
    vault key add   --repo REPO --recovery-file FILE     a new passphrase
{rule}
",
        repo.keys().repo(),
        repo.store().place(),
        human::local_time(repo.config().created),
        *lines
    )))
}

/// Hands out the sheet of a new repository: to a file, else to a terminal, else not at all, and says which.
pub fn hand_out(session: &Session, repo: &Repository, file: Option<&Path>) -> Result<(), Failure> {
    let screen = &session.screen;
    if let Some(path) = file {
        secrets::write_private(path, text(repo)?.as_bytes())?;
        if !screen.json {
            screen.say(&format!("The recovery sheet is in {}: print it, and delete the file.", secrets::shown(path)));
        }
    } else if screen.stdout_terminal && !screen.json {
        std::io::stdout().write_all(text(repo)?.as_bytes())?;
    } else {
        screen.note(&format!(
            "the recovery sheet was not printed, since this is no terminal; get it with: vault key recovery --repo {}",
            Shown(repo.store().place().as_bytes())
        ));
    }
    if !screen.json {
        screen.say(
            "Whoever loses the passphrase and the recovery sheet loses every backup in this repository: nobody can help then.",
        );
    }
    Ok(())
}
