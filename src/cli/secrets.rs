//! Where passphrases and keys come from. Never from the command line itself, which every process can read.

use super::{args::Global, exit::Failure, private::Unfinished, screen::Screen, signals::Interrupts};
use crate::{
    error::{Error, Result},
    fleet::config::Access,
    id::{hex, unhex},
    keys::{recovery, slot::Secret},
    name::Shown,
    repo::Unlock,
    seal::SealKey,
    world::{Entropy, random},
};
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, BufRead, Read, Write},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::PermissionsExt,
    },
    path::Path,
    process::{Command, Stdio},
};
use zeroize::Zeroizing;

const PASSWORD: &str = "VAULT_PASSWORD";
const NEW_PASSWORD: &str = "VAULT_NEW_PASSWORD";
const TO_PASSWORD: &str = "VAULT_TO_PASSWORD";
/// Longest passphrase in bytes: more is a mistaken file.
const PASSPHRASE_MAX: u64 = 64 << 10;

type Passphrase = Zeroizing<Vec<u8>>;

/// What the repository is to be opened with.
pub enum Source {
    /// It is known.
    Given(Unlock),
    /// The user is to be asked.
    Prompt,
}

pub fn shown(path: &Path) -> String {
    Shown(path.as_os_str().as_bytes()).to_string()
}

/// Reads a small file of the user's.
pub fn read_file(path: &Path, max: u64) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |source| Failure::File { doing: "read", path: shown(path), source };
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path).and_then(|file| file.take(max + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > max {
        return Err(Error::usage(format!("{} is too long for what it should be", shown(path))).into());
    }
    Ok(bytes)
}

/// Makes a file that only the user can read; fails when there is one.
pub fn write_private(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    Unfinished::write(path, contents)?.finish()
}

/// Without the line's end that editors and `echo` leave.
fn cut_line_end(mut bytes: Passphrase) -> Passphrase {
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    bytes
}

fn not_empty(passphrase: Passphrase, from: &str) -> Result<Passphrase> {
    if passphrase.is_empty() {
        Err(Error::usage(format!("the passphrase from {from} is empty")))
    } else {
        Ok(passphrase)
    }
}

fn of_file(path: &Path) -> Result<Passphrase, Failure> {
    Ok(not_empty(cut_line_end(read_file(path, PASSPHRASE_MAX)?), &shown(path))?)
}

fn of_command(command: &OsStr) -> Result<Passphrase> {
    let failed = |why: String| Error::Command {
        command: format!("the password command \"{}\"", Shown(command.as_bytes())),
        why,
    };
    // What prints one passphrase need not know others.
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .env_remove(PASSWORD)
        .env_remove(NEW_PASSWORD)
        .env_remove(TO_PASSWORD)
        .stderr(Stdio::inherit())
        .stdin(Stdio::inherit())
        .output()
        .map_err(|e| failed(e.to_string()))?;
    let passphrase = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(failed(format!("failed ({})", output.status)));
    }
    not_empty(cut_line_end(passphrase), "the password command")
}

fn of_environment(name: &str) -> Result<Option<Passphrase>> {
    match std::env::var_os(name) {
        Some(value) => Ok(Some(not_empty(Zeroizing::new(value.into_vec()), name)?)),
        None => Ok(None),
    }
}

/// Reads a key file: 64 hexadecimal digits and a line feed.
pub fn read_key_file(path: &Path) -> Result<Secret, Failure> {
    let failed = |source| Failure::File { doing: "read the key file", path: shown(path), source };
    let mut file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        let path = shown(path);
        return Err(Error::refused(format!(
            "the key file {path} can be read by others than its owner (mode {:03o}); make it private: chmod 600 {path}",
            mode & 0o777
        ))
        .into());
    }
    let mut text = Zeroizing::new(String::new());
    (&mut file).take(256).read_to_string(&mut text).map_err(failed)?;
    match unhex(text.trim_end_matches(['\n', '\r'])) {
        Ok(key) => Ok(Secret::KeyFile(SealKey::new(key))),
        Err(_) => {
            Err(Error::usage(format!("{} is no key file: it should hold 64 hexadecimal digits", shown(path))).into())
        }
    }
}

/// Makes a new key file; fails when there is a file of that name. It gets its name when it is finished: when it opens something.
pub fn make_key_file(path: &Path, entropy: &dyn Entropy) -> Result<(Secret, Unfinished), Failure> {
    let key = SealKey::new(random(entropy)?);
    let mut text = Zeroizing::new(hex(key.expose()));
    text.push('\n');
    let file = Unfinished::write(path, text.as_bytes())?;
    Ok((Secret::KeyFile(key), file))
}

/// Reads a recovery sheet.
pub fn read_sheet(path: &Path) -> Result<Unlock, Failure> {
    let bytes = read_file(path, 64 << 10)?;
    let sheet = std::str::from_utf8(&bytes)
        .map_err(|_| Error::usage(format!("{} is no recovery sheet: it is not text", shown(path))))?;
    Ok(Unlock::Root(recovery::parse(sheet)?))
}

/// What the user gave to open the repository with: an option, else `VAULT_PASSWORD`, else a prompt.
pub fn source(global: &Global, screen: &Screen) -> Result<Source, Failure> {
    let passphrase = |passphrase| Ok(Source::Given(Unlock::Secret(Secret::Passphrase(passphrase))));
    if let Some(path) = &global.password_file {
        return passphrase(of_file(path)?);
    }
    if let Some(command) = &global.password_command {
        return passphrase(of_command(command)?);
    }
    if let Some(path) = &global.key_file {
        return Ok(Source::Given(Unlock::Secret(read_key_file(path)?)));
    }
    if let Some(path) = &global.recovery_file {
        return Ok(Source::Given(read_sheet(path)?));
    }
    match of_environment(PASSWORD)? {
        Some(given) => passphrase(given),
        None if can_prompt(screen) => Ok(Source::Prompt),
        None => Err(Error::usage(
            "no passphrase: set VAULT_PASSWORD, or give --password-file, --password-command or --key-file",
        )
        .into()),
    }
}

/// What the configuration says that a repository is opened with; as the command line says when it says nothing.
pub fn of_access(access: &Access, global: &Global, screen: &Screen) -> Result<Source, Failure> {
    let given = match access {
        Access::Unsaid => return source(global, screen),
        Access::KeyFile(path) => read_key_file(path)?,
        Access::PasswordFile(path) => Secret::Passphrase(of_file(path)?),
        Access::PasswordCommand(command) => Secret::Passphrase(of_command(OsStr::new(command))?),
        Access::PasswordEnv(name) => Secret::Passphrase(of_environment(name)?.ok_or_else(|| {
            Error::usage(format!("the passphrase is to be in {}, which is not set", Shown(name.as_bytes())))
        })?),
    };
    Ok(Source::Given(Unlock::Secret(given)))
}

/// True when somebody is there to be asked.
pub fn can_prompt(screen: &Screen) -> bool {
    screen.stderr_terminal && File::open("/dev/tty").is_ok()
}

/// Asks a question to which only a yes is a yes.
pub fn ask(question: &str) -> Result<bool, Failure> {
    let failed = |source| Failure::File { doing: "ask on", path: "/dev/tty".into(), source };
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(failed)?;
    terminal.write_all(question.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    io::BufReader::new(terminal).read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Asks for a passphrase.
pub fn prompt(question: &str, interrupts: &Interrupts) -> Result<Passphrase, Failure> {
    let answer = interrupts.guarding_terminal(|| rpassword::prompt_password(question));
    match answer {
        Ok(answer) => Ok(not_empty(Zeroizing::new(answer.into_bytes()), "the terminal")?),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(Failure::GaveUp),
        Err(source) => Err(Failure::File { doing: "ask for the passphrase on", path: "/dev/tty".into(), source }),
    }
}

/// Asks for a new passphrase, twice.
pub fn prompt_twice(what: &str, interrupts: &Interrupts) -> Result<Secret, Failure> {
    let first = prompt(&format!("{what}: "), interrupts)?;
    let second = prompt("the same again: ", interrupts)?;
    if first != second {
        return Err(Error::usage("the two passphrases differ; nothing was changed").into());
    }
    Ok(Secret::Passphrase(first))
}

/// Where a new passphrase comes from, besides `VAULT_NEW_PASSWORD` and a prompt.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct NewPassword {
    /// Read the new passphrase from FILE (a newline at its end is cut)
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, conflicts_with = "new_password_command")]
    pub new_password_file: Option<std::path::PathBuf>,
    /// Run CMD in a shell and take what it prints as the new passphrase
    #[arg(long, value_name = "CMD")]
    pub new_password_command: Option<OsString>,
}

impl NewPassword {
    /// The new passphrase: an option, else `VAULT_NEW_PASSWORD`, else a prompt.
    pub fn get(&self, screen: &Screen, interrupts: &Interrupts) -> Result<Secret, Failure> {
        if let Some(path) = &self.new_password_file {
            return Ok(Secret::Passphrase(of_file(path)?));
        }
        if let Some(command) = &self.new_password_command {
            return Ok(Secret::Passphrase(of_command(command)?));
        }
        match of_environment(NEW_PASSWORD)? {
            Some(given) => Ok(Secret::Passphrase(given)),
            None if can_prompt(screen) => prompt_twice("new passphrase", interrupts),
            None => Err(Error::usage(
                "no new passphrase: set VAULT_NEW_PASSWORD, or give --new-password-file or --new-password-command",
            )
            .into()),
        }
    }
}

/// What opens the repository that is copied to, besides `VAULT_TO_PASSWORD` and a prompt.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ToSecret {
    /// Read the passphrase of the other repository from FILE [env: VAULT_TO_PASSWORD, the passphrase itself]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath,
        conflicts_with_all = ["to_password_command", "to_key_file"])]
    pub to_password_file: Option<std::path::PathBuf>,
    /// Run CMD in a shell and take what it prints as that passphrase
    #[arg(long, value_name = "CMD", conflicts_with = "to_key_file")]
    pub to_password_command: Option<OsString>,
    /// Open the other repository with a key file
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub to_key_file: Option<std::path::PathBuf>,
}

impl ToSecret {
    /// An option, else `VAULT_TO_PASSWORD`; `None` when neither is given.
    pub fn given(&self) -> Result<Option<Unlock>, Failure> {
        let secret = if let Some(path) = &self.to_password_file {
            Secret::Passphrase(of_file(path)?)
        } else if let Some(command) = &self.to_password_command {
            Secret::Passphrase(of_command(command)?)
        } else if let Some(path) = &self.to_key_file {
            read_key_file(path)?
        } else {
            match of_environment(TO_PASSWORD)? {
                Some(given) => Secret::Passphrase(given),
                None => return Ok(None),
            }
        };
        Ok(Some(Unlock::Secret(secret)))
    }

    /// The same, else a prompt.
    pub fn source(&self, screen: &Screen) -> Result<Source, Failure> {
        match self.given()? {
            Some(unlock) => Ok(Source::Given(unlock)),
            None if can_prompt(screen) => Ok(Source::Prompt),
            None => Err(Error::usage(
                "the other repository has other keys: set VAULT_TO_PASSWORD, or give --to-password-file, \
                 --to-password-command or --to-key-file",
            )
            .into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::SeededEntropy;

    #[test]
    fn one_line_end_is_cut() {
        for (text, cut) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a "), ("\n", "")] {
            assert_eq!(*cut_line_end(Zeroizing::new(text.into())), cut.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn passphrases_come_from_files_and_commands_and_are_not_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        std::fs::write(&path, "secret\n").unwrap();
        assert_eq!(*of_file(&path).unwrap(), b"secret");
        std::fs::write(&path, "\n").unwrap();
        assert!(of_file(&path).is_err());
        assert_eq!(*of_command(OsStr::new("printf 'a b\\n'")).unwrap(), b"a b");
        assert!(matches!(of_command(OsStr::new("echo x; exit 3")), Err(Error::Command { .. })));
        assert!(of_command(OsStr::new("true")).is_err());
    }

    #[test]
    fn key_files_are_private_and_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let (made, file) = make_key_file(&path, &SeededEntropy::new(1)).unwrap();
        file.finish().unwrap();
        assert!(read_key_file(&path).unwrap() == made);
        assert!(make_key_file(&path, &SeededEntropy::new(1)).is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = read_key_file(&path).unwrap_err().to_string();
        assert!(refused.contains("chmod 600") && refused.contains("640"), "{refused}");
    }
}
