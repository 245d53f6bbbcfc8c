//! What makes the system run the night: a systemd timer and its service, or lines for cron where there is no systemd.

use crate::{
    error::{Error, Result, reason},
    fleet::state::replace,
    name::Shown,
};
use std::{
    fs, io,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
};

/// Where the parts lie, below the root.
const SERVICE: &str = "etc/systemd/system/vault.service";
const TIMER: &str = "etc/systemd/system/vault.timer";
const WANTED: &str = "etc/systemd/system/timers.target.wants/vault.timer";
const CRON: &str = "etc/cron.d/vault";

/// The variable that says which configuration it is.
pub const CONFIG: &str = "VAULT_CONFIG";

/// Who runs the night.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheduler {
    Systemd,
    Cron,
}

impl Scheduler {
    /// As people call it.
    pub fn word(self) -> &'static str {
        match self {
            Scheduler::Systemd => "systemd",
            Scheduler::Cron => "cron",
        }
    }

    /// systemd where it runs, else cron.
    pub fn of_system(root: &Path) -> Self {
        if root.join("run/systemd/system").is_dir() { Scheduler::Systemd } else { Scheduler::Cron }
    }
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The program.
    pub program: PathBuf,
    /// Hour and minute.
    pub at: (u8, u8),
    /// Seconds by which the begin is put off, at most, at random.
    pub jitter: u64,
    /// Variables of the environment.
    pub environment: Vec<(String, String)>,
    /// The user that runs it.
    pub user: String,
}

/// A file of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it lies, below the root.
    pub path: &'static str,
    pub text: String,
}

/// A word as systemd's files have it: in quotes, with nothing in it expanded.
fn unit_word(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$"))
}

/// An assignment for systemd, where `$` stands for itself.
fn unit_assignment(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    format!("Environment=\"{name}={value}\"\n")
}

/// A word for the shell that cron calls; cron itself takes `%` for the end of the line.
fn cron_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''").replace('%', "\\%"))
}

impl Schedule {
    /// Its files. Fails for what cannot stand in a line.
    pub fn parts(&self, scheduler: Scheduler) -> Result<Vec<Part>> {
        let program = self.program.to_str().ok_or_else(|| Error::usage("the program's path is not UTF-8"))?;
        let texts = self.environment.iter().flat_map(|(name, value)| [name.as_str(), value]);
        if let Some(bad) = texts.chain([program]).find(|text| text.contains(|c: char| c.is_control())) {
            return Err(Error::usage(format!("\"{}\" cannot stand in a schedule", Shown(bad.as_bytes()))));
        }
        let (hour, minute) = self.at;
        Ok(match scheduler {
            Scheduler::Systemd => {
                let environment: String =
                    self.environment.iter().map(|(name, value)| unit_assignment(name, value)).collect();
                let service = format!(
                    "# Written by `vault schedule install`.\n\
                     [Unit]\nDescription=Backups of all applications that are due\nDocumentation=man:vault-run(1)\n\
                     Wants=network-online.target\nAfter=network-online.target local-fs.target\n\n\
                     [Service]\nType=oneshot\nUser={}\n{environment}ExecStart={} run\n\
                     # Another run is under way, or nothing but absent media was to be done.\nSuccessExitStatus=75\n\
                     Nice=10\nIOSchedulingClass=best-effort\nIOSchedulingPriority=7\nTimeoutStartSec=infinity\nTimeoutStopSec=10min\n",
                    self.user,
                    unit_word(program),
                );
                let timer = format!(
                    "# Written by `vault schedule install`.\n\
                     [Unit]\nDescription=Backups each night\n\n\
                     [Timer]\nOnCalendar=*-*-* {hour:02}:{minute:02}:00\nRandomizedDelaySec={}\n\
                     # A night that the machine was off for is made up for.\nPersistent=true\nAccuracySec=1min\n\n\
                     [Install]\nWantedBy=timers.target\n",
                    self.jitter
                );
                vec![Part { path: SERVICE, text: service }, Part { path: TIMER, text: timer }]
            }
            Scheduler::Cron => {
                let environment: String =
                    self.environment.iter().map(|(name, value)| format!("{name}={} ", cron_word(value))).collect();
                let run = format!("{environment}{} run --jitter {}s", cron_word(program), self.jitter);
                let text = format!(
                    "# Written by `vault schedule install`.\n\
                     {minute} {hour} * * * {user} {run}\n\
                     # A night that the machine was off for is made up for.\n\
                     @reboot {user} {run} --if-older 24h\n",
                    user = self.user
                );
                vec![Part { path: CRON, text }]
            }
        })
    }
}

/// Writes a schedule below a root, and takes the other scheduler's away. What was written.
pub fn install(root: &Path, schedule: &Schedule, scheduler: Scheduler) -> Result<Vec<PathBuf>> {
    let parts = schedule.parts(scheduler)?;
    remove(root)?;
    let mut written = Vec::new();
    for part in &parts {
        let path = root.join(part.path);
        make_parent(&path)?;
        replace(&path, part.text.as_bytes(), 0o644)?;
        written.push(path);
    }
    if scheduler == Scheduler::Systemd {
        let link = root.join(WANTED);
        make_parent(&link)?;
        symlink("../vault.timer", &link).map_err(|e| failed("make", &link, &e))?;
        written.push(link);
    }
    Ok(written)
}

/// What is there.
pub fn installed(root: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for name in [SERVICE, TIMER, CRON] {
        let path = root.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => found.push((path, text)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed("read", &path, &e)),
        }
    }
    Ok(found)
}

/// True when one of these files runs the night of this configuration.
pub fn runs(found: &[(PathBuf, String)], config: &str) -> bool {
    let unit = unit_assignment(CONFIG, config);
    let cron = format!(" {CONFIG}={} ", cron_word(config));
    let is = |line: &str| line == unit.trim_end() || (!line.starts_with('#') && line.contains(&cron));
    found.iter().any(|(_, text)| text.lines().any(is))
}

/// Takes all parts away; what was there.
pub fn remove(root: &Path) -> Result<Vec<PathBuf>> {
    let mut gone = Vec::new();
    for name in [WANTED, TIMER, SERVICE, CRON] {
        let path = root.join(name);
        match fs::remove_file(&path) {
            Ok(()) => gone.push(path),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed("remove", &path, &e)),
        }
    }
    Ok(gone)
}

fn make_parent(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(|e| failed("make", folder, &e))
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Error {
    Error::refused(format!("cannot {doing} {}: {}", Shown(path.as_os_str().as_bytes()), reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        Schedule {
            program: "/opt/a b/vault".into(),
            at: (1, 30),
            jitter: 1200,
            environment: vec![("VAULT_CONFIG".into(), "/etc/100%/it's $x.toml".into())],
            user: "root".into(),
        }
    }

    #[test]
    fn a_timer_has_jitter_and_catches_up() {
        let dir = tempfile::tempdir().unwrap();
        let written = install(dir.path(), &schedule(), Scheduler::Systemd).unwrap();
        assert_eq!(written.len(), 3);
        let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let (service, timer) = (text(SERVICE), text(WANTED));
        for line in
            ["OnCalendar=*-*-* 01:30:00", "RandomizedDelaySec=1200", "Persistent=true", "WantedBy=timers.target"]
        {
            assert!(timer.lines().any(|one| one == line), "{line}\n{timer}");
        }
        for line in [
            "ExecStart=\"/opt/a b/vault\" run",
            "Environment=\"VAULT_CONFIG=/etc/100%%/it's $x.toml\"",
            "SuccessExitStatus=75",
        ] {
            assert!(service.lines().any(|one| one == line), "{line}\n{service}");
        }
        assert_eq!(installed(dir.path()).unwrap().len(), 2);
        assert_eq!(remove(dir.path()).unwrap().len(), 3);
        assert!(installed(dir.path()).unwrap().is_empty() && remove(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn cron_takes_the_place_of_a_timer() {
        let dir = tempfile::tempdir().unwrap();
        install(dir.path(), &schedule(), Scheduler::Systemd).unwrap();
        install(dir.path(), &schedule(), Scheduler::Cron).unwrap();
        let found = installed(dir.path()).unwrap();
        assert_eq!(found.len(), 1);
        let line = "30 1 * * * root VAULT_CONFIG='/etc/100\\%/it'\\''s $x.toml' '/opt/a b/vault' run --jitter 1200s";
        let text = &found[0].1;
        assert!(text.lines().any(|one| one == line), "{text}");
        assert!(text.lines().any(|one| one.starts_with("@reboot root ") && one.ends_with("--if-older 24h")), "{text}");
    }

    #[test]
    fn whose_night_it_is_can_be_told() {
        let dir = tempfile::tempdir().unwrap();
        for scheduler in [Scheduler::Systemd, Scheduler::Cron] {
            install(dir.path(), &schedule(), scheduler).unwrap();
            let found = installed(dir.path()).unwrap();
            assert!(runs(&found, "/etc/100%/it's $x.toml"), "{found:?}");
            for other in ["/etc/vault/vault.toml", "/etc/100%/it's $x", "", "$x.toml"] {
                assert!(!runs(&found, other), "{other}");
            }
        }
    }

    #[test]
    fn what_breaks_a_line_is_refused() {
        let bad =
            Schedule { environment: vec![("VAULT_CONFIG".into(), "/x\n* * * * * root evil".into())], ..schedule() };
        assert!(bad.parts(Scheduler::Cron).is_err() && bad.parts(Scheduler::Systemd).is_err());
    }

    #[test]
    fn cron_is_for_systems_without_systemd() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Scheduler::of_system(dir.path()), Scheduler::Cron);
        fs::create_dir_all(dir.path().join("run/systemd/system")).unwrap();
        assert_eq!(Scheduler::of_system(dir.path()), Scheduler::Systemd);
    }
}
