//! Java keystores: whether they open. Passwords reach `keytool` by its environment.

use super::{Finding, files};
use crate::{
    error::{Error, Result},
    fleet::database::Client,
    monitor::Monitor,
};
use std::path::Path;

/// Endings of keystores.
pub const ENDINGS: [&str; 4] = ["jks", "p12", "pfx", "jceks"];

/// True for a file that is one by its name.
pub fn is_keystore(path: &Path) -> bool {
    let end = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
    files::is_plain_file(path) && end.is_some_and(|end| ENDINGS.contains(&end.as_str()))
}

/// Opens one with each of the passwords; without any, only its form is looked at.
pub fn open(root: &Path, keystore: &Path, passwords: &[String], monitor: &dyn Monitor) -> Result<Finding> {
    let what = format!("keystore {}", files::below(root, keystore));
    let mut why = "no password for it is known: say keystore-password = \"file:…\"".to_owned();
    for password in passwords {
        let client = Client::new("keytool").arg("-list").arg("-keystore").arg(keystore);
        let client =
            client.args(["-storepass:env", "VAULT_KEYSTORE"]).env("VAULT_KEYSTORE", password).env("LC_ALL", "C");
        match client.answer(b"", monitor) {
            Ok(_) => return Ok(Finding::good(what)),
            // It prints its complaints where its answers belong: the exit status is all that is left.
            Err(Error::Command { why: said, .. }) => why = format!("it does not open: {said}"),
            Err(error) => return Err(error),
        }
    }
    Ok(Finding::wrong(what, why))
}
