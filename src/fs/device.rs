//! Whether a file system lies on a disk that turns, as sysfs tells it.

use super::dir::Dir;
use crate::model::snapshot::DeviceClass;
use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// How many devices may lie on one another (encryption on logical volumes on RAID…); more is a loop.
const LAYERS_MAX: u32 = 8;

/// The class of the device with this number (major in the upper 32 bits, as [`super::stat::Stat::device`] has it).
pub fn class_of(device: u64) -> DeviceClass {
    class_below(Path::new("/"), device, None)
}

/// The class of the device that a directory lies on. Better than [`class_of`] for btrfs, where directories have made-up
/// device numbers that are listed nowhere: it goes by the mount.
pub fn class_of_dir(dir: &Dir) -> DeviceClass {
    dir.stat_self().map_or(DeviceClass::Unknown, |stat| class_below(Path::new("/"), stat.device, dir.mount_id()))
}

/// The class, on a machine whose `/sys`, `/proc` and `/dev` are below `root`.
fn class_below(root: &Path, device: u64, mount: Option<u64>) -> DeviceClass {
    let (major, minor) = (device >> 32, device & 0xffff_ffff);
    if major != 0 {
        return class_of_block(&root.join(format!("sys/dev/block/{major}:{minor}")), LAYERS_MAX);
    }
    // Made-up numbers: those of btrfs stand for a disk, those of tmpfs, NFS and their like for none.
    let mounts = fs::read(root.join("proc/self/mountinfo")).unwrap_or_default();
    let number = format!("0:{minor}");
    let source = mounts.split(|&b| b == b'\n').filter_map(Mount::parse).find(|row| match mount {
        Some(id) => row.id == id,
        None => row.number == number.as_bytes(),
    });
    let Some(path) = source.and_then(|row| row.source.strip_prefix(b"/").map(unescape)) else {
        return DeviceClass::Unknown;
    };
    // `/dev/mapper/name` is a link to the kernel's name, which sysfs knows.
    match fs::canonicalize(root.join(OsStr::from_bytes(&path))) {
        Ok(found) if path.starts_with(b"dev/") => found
            .file_name()
            .map_or(DeviceClass::Unknown, |name| class_of_block(&root.join("sys/class/block").join(name), LAYERS_MAX)),
        _ => DeviceClass::Unknown,
    }
}

/// A row of mountinfo (proc_pid_mountinfo(5)), as far as it is wanted.
struct Mount<'a> {
    id: u64,
    number: &'a [u8],
    source: &'a [u8],
}

impl<'a> Mount<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|&b| b == b' ');
        let id = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let number = fields.nth(1)?;
        fields.find(|field| *field == b"-")?;
        Some(Mount { id, number, source: fields.nth(1)? })
    }
}

/// Space, tab, newline and backslash stand in mountinfo as a backslash and three octal digits.
pub fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if byte == b'\\' => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        out.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { tail.get(3..).unwrap_or_default() } else { tail };
    }
    out
}

/// The class of a block device by its folder in sysfs.
fn class_of_block(folder: &Path, layers: u32) -> DeviceClass {
    let Ok(mut folder) = fs::canonicalize(folder) else { return DeviceClass::Unknown };
    if !folder.join("queue").is_dir() {
        // A partition: the disk is the folder around it.
        folder.pop();
    }
    let below = slaves(&folder);
    if layers > 0 && !below.is_empty() {
        let mut class = DeviceClass::SolidState;
        for slave in below {
            match class_of_block(&slave, layers - 1) {
                DeviceClass::Rotational => return DeviceClass::Rotational,
                DeviceClass::Unknown => class = DeviceClass::Unknown,
                DeviceClass::SolidState => {}
            }
        }
        return class;
    }
    match fs::read(folder.join("queue/rotational")).as_deref() {
        Ok([b'0', ..]) => DeviceClass::SolidState,
        Ok([b'1', ..]) if !is_paravirtual(&folder) => DeviceClass::Rotational,
        _ => DeviceClass::Unknown,
    }
}

/// What a mapped or combined device (dm, md, bcache) lies on.
fn slaves(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder.join("slaves")).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// True for the disks of virtual machines (virtio, Xen): "rotational" is what their drivers say for want of knowledge.
fn is_paravirtual(folder: &Path) -> bool {
    let name = folder.file_name().map(|name| name.to_os_string().into_vec()).unwrap_or_default();
    name.starts_with(b"vd") || name.starts_with(b"xvd")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A made-up machine.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            let machine = Machine(tempfile::tempdir().unwrap());
            for folder in ["sys/dev/block", "sys/class/block", "proc/self", "dev/mapper"] {
                fs::create_dir_all(machine.0.path().join(folder)).unwrap();
            }
            machine
        }

        /// A disk or, when `name` has a slash, a partition of it.
        fn block(&self, number: &str, name: &str, rotational: Option<&str>) {
            let folder = self.0.path().join("sys/devices").join(name);
            fs::create_dir_all(&folder).unwrap();
            if let Some(rotational) = rotational {
                fs::create_dir_all(folder.join("queue")).unwrap();
                fs::write(folder.join("queue/rotational"), rotational).unwrap();
            }
            symlink(format!("../../devices/{name}"), self.0.path().join("sys/dev/block").join(number)).unwrap();
            let last = name.rsplit('/').next().unwrap();
            symlink(format!("../../devices/{name}"), self.0.path().join("sys/class/block").join(last)).unwrap();
        }

        fn slave(&self, name: &str, of: &str) {
            let slaves = self.0.path().join("sys/devices").join(of).join("slaves");
            fs::create_dir_all(&slaves).unwrap();
            symlink(format!("../../{name}"), slaves.join(name.replace('/', "-"))).unwrap();
        }

        fn class(&self, major: u64, minor: u64) -> DeviceClass {
            class_below(self.0.path(), major << 32 | minor, None)
        }
    }

    #[test]
    fn disks_and_partitions_are_told_by_the_disk() {
        let machine = Machine::new();
        machine.block("8:0", "sda", Some("1\n"));
        machine.block("8:1", "sda/sda1", None);
        machine.block("259:0", "nvme0n1", Some("0\n"));
        machine.block("259:1", "nvme0n1/nvme0n1p1", None);
        assert_eq!(machine.class(8, 0), DeviceClass::Rotational);
        assert_eq!(machine.class(8, 1), DeviceClass::Rotational);
        assert_eq!(machine.class(259, 1), DeviceClass::SolidState);
        assert_eq!(machine.class(8, 17), DeviceClass::Unknown);
    }

    #[test]
    fn mapped_devices_are_as_slow_as_what_they_lie_on() {
        let machine = Machine::new();
        machine.block("8:0", "sda", Some("1\n"));
        machine.block("8:1", "sda/sda1", None);
        machine.block("8:16", "sdb", Some("0\n"));
        machine.block("9:0", "md0", Some("0\n"));
        machine.block("253:0", "dm-0", Some("0\n"));
        machine.block("253:1", "dm-1", Some("1\n"));
        machine.slave("sdb", "md0");
        machine.slave("sda/sda1", "md0");
        machine.slave("md0", "dm-0");
        machine.slave("sdb", "dm-1");
        assert_eq!(machine.class(253, 0), DeviceClass::Rotational);
        assert_eq!(machine.class(253, 1), DeviceClass::SolidState);
    }

    #[test]
    fn devices_in_a_circle_end() {
        let machine = Machine::new();
        machine.block("253:0", "dm-0", Some("0\n"));
        machine.block("253:1", "dm-1", Some("0\n"));
        machine.slave("dm-0", "dm-1");
        machine.slave("dm-1", "dm-0");
        assert_eq!(machine.class(253, 0), DeviceClass::SolidState);
    }

    #[test]
    fn virtual_disk_that_says_rotational_does_not_know() {
        let machine = Machine::new();
        machine.block("254:0", "vda", Some("1\n"));
        machine.block("254:1", "vda/vda1", None);
        machine.block("254:16", "vdb", Some("0\n"));
        assert_eq!(machine.class(254, 1), DeviceClass::Unknown);
        assert_eq!(machine.class(254, 16), DeviceClass::SolidState);
    }

    #[test]
    fn made_up_numbers_are_told_by_the_mount() {
        let machine = Machine::new();
        machine.block("8:0", "sda", Some("1\n"));
        machine.block("253:0", "dm-0", Some("0\n"));
        symlink("../dm-0", machine.0.path().join("dev/mapper/my disk")).unwrap();
        for name in ["dm-0", "sda"] {
            fs::write(machine.0.path().join("dev").join(name), b"").unwrap();
        }
        let mounts = "22 27 0:21 / /proc rw - proc proc rw\nnonsense\n30 27 0:40 / /a rw shared:1 master:2 - btrfs \
                      /dev/mapper/my\\040disk rw\n31 27 0:41 / /b rw - btrfs /dev/sda rw\n32 27 0:42 / /c rw - tmpfs tmpfs rw\n";
        fs::write(machine.0.path().join("proc/self/mountinfo"), mounts).unwrap();
        assert_eq!(machine.class(0, 40), DeviceClass::SolidState);
        assert_eq!(machine.class(0, 41), DeviceClass::Rotational);
        assert_eq!(machine.class(0, 42), DeviceClass::Unknown);
        assert_eq!(machine.class(0, 99), DeviceClass::Unknown);
        assert_eq!(class_below(machine.0.path(), 99, Some(31)), DeviceClass::Rotational);
    }

    #[test]
    fn this_machine_answers() {
        let dir = Dir::open(b"/proc").unwrap();
        assert_eq!(class_of_dir(&dir), DeviceClass::Unknown);
        class_of_dir(&Dir::open(b"/").unwrap());
    }
}
