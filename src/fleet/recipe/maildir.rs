//! Maildirs. Each mail is a file that is whole before it gets its name, so deliveries do no harm.

use super::{
    Directions, Finding, Key, Plan, Recipe, Restored,
    common::{self, ROOT},
    files, lines,
};
use crate::{error::Result, fleet::app::App, monitor::Monitor};
use std::{fs, path::Path};

const KEYS: &[Key] = &[ROOT];
/// Mails that are being written, and indexes that servers make again.
const LEFT_OUT: &[&str] =
    &["**/tmp/*", "dovecot.index*", "dovecot.list.index*", "dovecot-uidlist.lock", "courierimapkeywords/.*", "*.lock"];

pub struct Maildir;

impl Recipe for Maildir {
    fn name(&self) -> &str {
        "maildir"
    }

    fn about(&self) -> &str {
        "mailboxes as Maildirs"
    }

    fn keys(&self) -> &[Key] {
        KEYS
    }

    fn directions(&self) -> Directions {
        Directions {
            reads: lines(&["root as source mail"]),
            leaves_out: lines(&["mails that are being written (tmp), indexes of Dovecot, which are made again"]),
            dumps: Vec::new(),
            restores: lines(&["the Maildirs as they were"]),
            verifies: lines(&["the number of mailboxes and of mails: at least what was there when the snapshot began"]),
        }
    }

    fn plan(&self, app: &App) -> Result<Plan> {
        let root = common::root(app, "root")?;
        let (boxes, mails) = count(&root)?;
        if boxes == 0 {
            return Err(common::wrong(app, format!("there is no Maildir (cur, new, tmp) in {}", files::shown(&root))));
        }
        let mut plan = Plan::default();
        plan.facts.insert("mailboxes".into(), boxes.to_string());
        plan.facts.insert("mails".into(), mails.to_string());
        plan.notes.push(format!("{boxes} mailboxes, {mails} mails"));
        // Lists of ids and logs are appended to; a mail that is read moves from `new` to `cur`.
        plan.trees.push(super::Tree { grows: true, moves: true, ..common::tree("mail", root, LEFT_OUT)? });
        Ok(plan)
    }

    fn verify(&self, restored: &Restored<'_>, _: &dyn Monitor) -> Result<Vec<Finding>> {
        let (boxes, mails) = count(&restored.folder.join("mail"))?;
        Ok(vec![
            common::at_least("mailboxes", boxes, restored, "mailboxes"),
            common::at_least("mails", mails, restored, "mails"),
        ])
    }
}

/// Mailboxes, and mails in them.
fn count(root: &Path) -> Result<(u64, u64)> {
    let boxes = files::find_folders(root, true, |folder| {
        files::is_plain_folder(&folder.join("cur")) && files::is_plain_folder(&folder.join("new"))
    })?;
    let in_folder = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().count() as u64;
    let mails = boxes.iter().map(|folder| in_folder(&folder.join("cur")) + in_folder(&folder.join("new"))).sum();
    Ok((boxes.len() as u64, mails))
}
