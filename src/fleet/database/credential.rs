//! What proves to a server who its client is.

use crate::{
    error::{Error, Result},
    name::Shown,
};
use std::{
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Longest file of a password or of a client's options, in bytes.
const FILE_MAX: u64 = 64 << 10;

/// A password, or a file that holds it.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A file in the client's own form (`.pgpass`, an option file), or with only the password.
    File(PathBuf),
    /// The password itself, read from the application's own configuration.
    Password(Zeroizing<String>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::File(path) => write!(f, "File({path:?})"),
            Credential::Password(_) => f.write_str("Password(…)"),
        }
    }
}

impl Credential {
    /// A password that the application's configuration holds.
    pub fn password(text: impl Into<String>) -> Self {
        Credential::Password(Zeroizing::new(text.into()))
    }

    /// Reads `file:/path` or `/path`.
    pub fn parse(text: &str) -> Result<Self> {
        let path = Path::new(text.strip_prefix("file:").unwrap_or(text));
        if !path.is_absolute() {
            return Err(Error::usage(
                "a credential is a file: write file:/etc/vault/shop.pgpass (a password itself does not belong here)",
            ));
        }
        Ok(Credential::File(path.to_owned()))
    }
}

/// The password alone, for a program that takes nothing else.
pub(in crate::fleet) fn password_of(credential: &Credential) -> Result<String> {
    match given(credential, |_| false)? {
        Given::Password(password) => Ok(password.to_string()),
        Given::File(path) => {
            Err(Error::usage(format!("{} holds more than a password", Shown(path.as_os_str().as_encoded_bytes()))))
        }
    }
}

/// How a client is to be given it.
pub(super) enum Given {
    /// The file as it is, which has the client's own form.
    File(PathBuf),
    /// By the environment.
    Password(Zeroizing<String>),
}

/// Looks at a file whether it has the client's own form, by what `is_own` says of its text.
pub(super) fn given(credential: &Credential, is_own: impl Fn(&str) -> bool) -> Result<Given> {
    let path = match credential {
        Credential::Password(password) => return Ok(Given::Password(password.clone())),
        Credential::File(path) => path,
    };
    let shown = Shown(path.as_os_str().as_encoded_bytes()).to_string();
    let mut text = Zeroizing::new(String::new());
    let read = fs::File::open(path).and_then(|file| file.take(FILE_MAX).read_to_string(&mut text));
    read.map_err(|e| Error::usage(format!("{shown}: cannot read the credential: {}", crate::error::reason(&e))))?;
    if is_own(&text) {
        return Ok(Given::File(path.clone()));
    }
    let password = text.trim_end_matches(['\n', '\r']);
    if password.is_empty() || password.contains('\n') {
        return Err(Error::usage(format!(
            "{shown} is no credential: write only the password, or the client's own form (.pgpass, an option file)"
        )));
    }
    Ok(Given::Password(Zeroizing::new(password.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_printed() {
        let shown = format!("{:?}", Credential::password("geheim"));
        assert!(!shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn a_credential_is_a_file() {
        assert_eq!(Credential::parse("file:/a/b").unwrap(), Credential::File("/a/b".into()));
        assert!(Credential::parse("geheim").is_err());
    }

    #[test]
    fn files_of_both_forms_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        let own = |text: &str| text.contains(':');
        fs::write(&file, "secret\n").unwrap();
        assert!(matches!(given(&Credential::File(file.clone()), own), Ok(Given::Password(p)) if *p == "secret"));
        fs::write(&file, "*:*:*:*:x\n").unwrap();
        assert!(matches!(given(&Credential::File(file.clone()), own), Ok(Given::File(_))));
        fs::write(&file, "").unwrap();
        assert!(given(&Credential::File(file), own).is_err());
    }
}
