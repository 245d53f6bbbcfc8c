//! What is mounted, what could be, and how: asked of the machine, or of a test.

use super::superblock;
use crate::{
    error::{Error, Result},
    fs::device::unescape,
    name::Shown,
};
use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{self, Read},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What lies on a medium that comes from elsewhere is data, and nothing that is run.
const MOUNT_OPTIONS: &str = "nosuid,nodev,noexec";

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// The device number that files on it show.
    pub device: u64,
    /// Where.
    pub point: PathBuf,
    /// What is mounted there, as the mount says.
    pub source: PathBuf,
    /// It cannot be written to.
    pub read_only: bool,
}

/// A machine that media are plugged into.
pub trait Host: Send + Sync {
    /// Whole file systems that are mounted, the latest last.
    fn mounts(&self) -> Result<Vec<Mounted>>;
    /// Where a file system, or a folder of it, is mounted: the latest last.
    fn points(&self, device: u64) -> Result<Vec<PathBuf>>;
    /// The UUID of a mounted file system; `None` when nobody tells.
    fn uuid(&self, mounted: &Mounted) -> Option<String>;
    /// Devices that are there and hold a file system of this UUID: several when one is a clone.
    fn devices(&self, uuid: &str) -> Vec<PathBuf>;
    /// Mounts a device.
    fn mount(&self, device: &Path, at: &Path) -> Result<()>;
    /// Unmounts what is mounted there; all of it has reached the device then.
    fn unmount(&self, at: &Path) -> Result<()>;
    /// Free bytes of a file system, and all of them.
    fn space(&self, at: &Path) -> Result<(u64, u64)>;
}

/// This machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl System {
    /// Where anything is mounted below a folder, whole file systems or parts of one.
    pub fn below(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let points = rows()?;
        let points = points.split(|&b| b == b'\n').filter_map(parse).map(|(mounted, _)| mounted.point);
        Ok(points.filter(|point| point.starts_with(folder) && point != folder).collect())
    }
}

impl Host for System {
    fn mounts(&self) -> Result<Vec<Mounted>> {
        let is_whole = |(mounted, root): (Mounted, PathBuf)| (root == Path::new("/")).then_some(mounted);
        Ok(rows()?.split(|&b| b == b'\n').filter_map(parse).filter_map(is_whole).collect())
    }

    fn points(&self, device: u64) -> Result<Vec<PathBuf>> {
        let on_it = |(mounted, _): (Mounted, PathBuf)| (mounted.device == device).then_some(mounted.point);
        Ok(rows()?.split(|&b| b == b'\n').filter_map(parse).filter_map(on_it).collect())
    }

    fn uuid(&self, mounted: &Mounted) -> Option<String> {
        of_device(&mounted.source).or_else(|| {
            let device = mounted.source.canonicalize().ok()?;
            by_uuid().into_iter().find(|(_, found)| *found == device).map(|(uuid, _)| uuid)
        })
    }

    fn devices(&self, uuid: &str) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> =
            by_uuid().into_iter().filter(|(other, _)| other == uuid).map(|(_, device)| device).collect();
        // Of two with one UUID there is a link to one only.
        let partitions = fs::read_to_string("/proc/partitions").unwrap_or_default();
        let names = partitions.lines().skip(2).filter_map(|line| line.split_whitespace().nth(3));
        let devices = names.map(|name| Path::new("/dev").join(name));
        found.extend(devices.filter(|device| of_device(device).as_deref() == Some(uuid)));
        found.sort();
        found.dedup();
        found.retain(|device| !is_held(Path::new("/sys"), device));
        found
    }

    fn mount(&self, device: &Path, at: &Path) -> Result<()> {
        run(
            "mount",
            &[OsStr::new("-o"), OsStr::new(MOUNT_OPTIONS), OsStr::new("--"), device.as_os_str(), at.as_os_str()],
        )
    }

    fn unmount(&self, at: &Path) -> Result<()> {
        run("umount", &[OsStr::new("--"), at.as_os_str()])
    }

    fn space(&self, at: &Path) -> Result<(u64, u64)> {
        let stat = rustix::fs::statvfs(at).map_err(|e| Error::store("ask for the space of", shown(at), e.into()))?;
        Ok((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
    }
}

/// A path, safe to print.
pub(super) fn shown(path: &Path) -> String {
    Shown(path.as_os_str().as_bytes()).to_string()
}

/// Passphrases in the environment, which are no business of other programs.
const SECRETS: [&str; 3] = ["VAULT_PASSWORD", "VAULT_NEW_PASSWORD", "VAULT_TO_PASSWORD"];

fn run(program: &str, args: &[&OsStr]) -> Result<()> {
    let named = || {
        let args: Vec<String> = args.iter().map(|arg| Shown(arg.as_bytes()).to_string()).collect();
        format!("{program} {}", args.join(" "))
    };
    let mut command = Command::new(program);
    for name in SECRETS {
        command.env_remove(name);
    }
    let output = command.args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|e| Error::Command { command: named(), why: e.to_string() })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let why = format!("{} ({})", Shown(said.trim().as_bytes()), output.status);
    Err(Error::Command { command: named(), why })
}

/// The UUID that the device's own first bytes tell, which takes the right to read it.
fn of_device(device: &Path) -> Option<String> {
    let mut bytes = [0; superblock::LEN];
    if !device.starts_with("/dev") {
        return None;
    }
    File::open(device).and_then(|mut file| file.read_exact(&mut bytes)).ok()?;
    superblock::uuid(&bytes)
}

/// True for a device that another one is made of, mapped or a RAID: the file system is that one's, though it begins with the same bytes.
fn is_held(sys: &Path, device: &Path) -> bool {
    let holders = device.file_name().map(|name| sys.join("class/block").join(name).join("holders"));
    holders.is_some_and(|holders| fs::read_dir(holders).is_ok_and(|mut held| held.next().is_some()))
}

fn by_uuid() -> Vec<(String, PathBuf)> {
    let links = fs::read_dir("/dev/disk/by-uuid").into_iter().flatten().flatten();
    links.filter_map(|link| Some((link.file_name().into_string().ok()?, link.path().canonicalize().ok()?))).collect()
}

fn rows() -> Result<Vec<u8>> {
    fs::read("/proc/self/mountinfo").map_err(|e| Error::store("read", "/proc/self/mountinfo", e))
}

/// A row of mountinfo (proc_pid_mountinfo(5)), and which folder of the file system is mounted there.
fn parse(row: &[u8]) -> Option<(Mounted, PathBuf)> {
    let fields: Vec<&[u8]> = row.split(|&b| b == b' ').collect();
    let dash = fields.iter().position(|field| *field == b"-")?;
    let (major, minor) = std::str::from_utf8(fields.get(2)?).ok()?.split_once(':')?;
    let path = |field: &[u8]| PathBuf::from(OsString::from_vec(unescape(field)));
    let options =
        |at: usize| fields.get(at).is_some_and(|options| options.split(|&b| b == b',').any(|one| one == b"ro"));
    let mounted = Mounted {
        device: rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?),
        point: path(fields.get(4)?),
        source: path(fields.get(dash + 2)?),
        read_only: options(5) || options(dash + 3),
    };
    Some((mounted, path(fields.get(3)?)))
}

/// The mounted file system that a path lies on, or would: the device number decides, not the path alone.
pub(super) fn holding(host: &dyn Host, path: &Path) -> Result<(Mounted, PathBuf)> {
    let failed = |e: io::Error| Error::store("look at", shown(path), e);
    let absolute = std::path::absolute(path).map_err(failed)?;
    let stands = absolute.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/"));
    let rest = absolute.strip_prefix(stands).unwrap_or(Path::new("")).to_owned();
    let whole = stands.canonicalize().map_err(failed)?.join(rest);
    let device = fs::metadata(stands).map_err(failed)?.dev();
    let found = host.mounts()?.into_iter().rev().filter(|one| one.device == device && whole.starts_with(&one.point));
    found
        .max_by_key(|one| one.point.as_os_str().len())
        .map(|mounted| {
            let below = whole.strip_prefix(&mounted.point).unwrap_or(Path::new("")).to_owned();
            (mounted, below)
        })
        .ok_or_else(|| Error::usage(format!("{} lies on no mounted file system that can be told", shown(path))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read() {
        let row = b"36 35 98:0 / /mnt/a\\040b rw,noatime master:1 - ext3 /dev/sdb1 rw,errors=continue";
        let (mounted, root) = parse(row).unwrap();
        assert_eq!(root, Path::new("/"));
        assert_eq!((mounted.point, mounted.source), ("/mnt/a b".into(), "/dev/sdb1".into()));
        assert_eq!((mounted.device, mounted.read_only), (rustix::fs::makedev(98, 0), false));
        assert!(parse(b"36 35 98:0 / /mnt ro - vfat /dev/sdb1 rw").unwrap().0.read_only);
        assert!(parse(b"36 35 98:0 / /mnt rw - vfat /dev/sdb1 ro").unwrap().0.read_only);
        assert_eq!(parse(b"36 35 98:0 /sub /mnt rw - btrfs /dev/sdb1 rw").unwrap().1, Path::new("/sub"));
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn what_another_device_is_made_of_is_no_clone_of_it() {
        let sys = tempfile::tempdir().unwrap();
        for holders in ["sda1/holders/dm-0", "dm-0/holders", "sdb1/holders"] {
            fs::create_dir_all(sys.path().join("class/block").join(holders)).unwrap();
        }
        let held = ["sda1", "dm-0", "sdb1", "sdc1"].map(|name| is_held(sys.path(), &Path::new("/dev").join(name)));
        assert_eq!(held, [true, false, false, false]);
    }

    #[test]
    fn this_machine_has_a_root() {
        let mounts = System.mounts().unwrap();
        let (found, below) = holding(&System, Path::new("/proc/self")).unwrap();
        assert!(mounts.contains(&found) && found.point.ends_with("proc"), "{found:?} {below:?}");
        assert!(System.points(found.device).unwrap().contains(&found.point));
    }
}
