//! A USB disk that loses its power at random moments of a sync: a file system in a loop device, on which what had not reached the
//! device is lost. `VAULT_MOMENTS=100` looks at so many; takes root, losetup and mkfs.ext4, and says so where it cannot run.

#[path = "common/stick.rs"]
mod stick;

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};
use stick::{Stick, run};

struct World {
    dir: tempfile::TempDir,
}

/// Bytes that do not compress.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

impl World {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vault"));
        command.args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TZ", "UTC");
        command.env("VAULT_CACHE_DIR", self.path("cache")).env("VAULT_STATE_DIR", self.path("state"));
        command.env("VAULT_REPO", self.path("repo")).env("VAULT_PASSWORD", "right");
        command.current_dir(self.dir.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    #[track_caller]
    fn good(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{args:?}: {out}{err}");
        out.into_owned()
    }

    #[track_caller]
    fn result(&self, args: &[&str]) -> Value {
        let out = self.good(&[args, &["--json"]].concat());
        serde_json::from_str(out.lines().last().unwrap()).unwrap()
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { copy_tree(&entry.path(), &target) } else { drop(fs::copy(entry.path(), target)) }
    }
}

#[test]
fn a_disk_that_loses_its_power_keeps_what_it_had_and_the_next_sync_goes_on() {
    let world = World { dir: tempfile::tempdir().unwrap() };
    let (base, image, point) = (world.path("base.img"), world.path("stick.img"), world.path("point"));
    fs::create_dir(&point).unwrap();
    fs::File::create(&base).unwrap().set_len(48 << 20).unwrap();
    let made = run("mkfs.ext4", &["-q", "-m0", base.to_str().unwrap()]).and_then(|_| Stick::plug(&base, &point));
    let Some(stick) = made else {
        eprintln!("SKIPPED a_disk_that_loses_its_power…: it takes root, losetup and mkfs.ext4");
        return;
    };
    fs::create_dir(world.path("src")).unwrap();
    fs::write(world.path("src/a"), noise(3 << 20, 1)).unwrap();
    world.good(&["init", "--kdf", "low"]);
    let snapshot = ["snapshot", "--as", "h/-/s", "src"];
    world.good(&snapshot);
    stick.mount();
    let (folder, mount_at) = (point.join("vault"), point.to_str().unwrap());
    world.good(&["media", "add", folder.to_str().unwrap(), "--name", "blue", "--mount", mount_at]);
    stick.unmount();
    world.good(&["media", "sync"]);
    drop(stick);
    for (name, seed) in [("b", 2), ("c", 3), ("d", 4)] {
        fs::write(world.path("src").join(name), noise(3 << 20, seed)).unwrap();
        world.good(&snapshot);
    }
    copy_tree(&world.path("state"), &world.path("state-before"));
    let moments: u64 = std::env::var("VAULT_MOMENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    // How long a sync takes that is left alone.
    let mut longest = Duration::ZERO;
    for moment in 0..=moments {
        fs::copy(&base, &image).unwrap();
        fs::remove_dir_all(world.path("state")).unwrap();
        copy_tree(&world.path("state-before"), &world.path("state"));
        let stick = Stick::plug(&image, &point).unwrap();
        let begun = std::time::Instant::now();
        let mut child = world.command(&["media", "sync"]).spawn().unwrap();
        if moment == 0 {
            assert!(child.wait().unwrap().success());
            longest = begun.elapsed();
            continue;
        }
        std::thread::sleep(longest * (moment * 7919 % 1000) as u32 / 1000);
        child.kill().unwrap();
        child.wait().unwrap();
        // What is under way to the device arrives; what waits in memory is lost.
        std::thread::sleep(Duration::from_millis(30));
        let crashed = world.path("crashed.img");
        fs::copy(&image, &crashed).unwrap();
        drop(stick);
        fs::rename(&crashed, &image).unwrap();

        let stick = Stick::plug(&image, &point).unwrap();
        stick.mount();
        // The one that it had is whole, and no object has a name without its bytes.
        let folder = folder.to_str().unwrap();
        assert_eq!(
            world.result(&["check", "--keyless", "--repo", folder])["findings"],
            Value::Array(vec![]),
            "{moment}"
        );
        assert_eq!(
            world.result(&["check", "--read-data", "--repo", folder])["findings"],
            Value::Array(vec![]),
            "{moment}"
        );
        let there = world.result(&["snapshots", "--repo", folder])["snapshots"].as_array().unwrap().len();
        assert!((1..=4).contains(&there), "{moment}: {there}");
        stick.unmount();
        world.good(&["media", "sync", "--accept-rollback"]);
        stick.mount();
        assert_eq!(
            world.result(&["check", "--read-data", "--repo", folder])["findings"],
            Value::Array(vec![]),
            "{moment}"
        );
        let told = world.result(&["snapshots", "--repo", folder]);
        assert_eq!(told["snapshots"].as_array().unwrap().len(), 4, "{moment}");
    }
}
