//! All applications at once, with the program itself: a configuration, a night, what it leaves, and what is red.

#[path = "../common/mod.rs"]
mod common;

mod configuration;
mod night;
mod pulled;
mod scale;

use common::world::World;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use vault::{
    error::Result,
    keys::slot::Secret,
    ops::media::{self, Catalogue, Host, Mounted},
    repo::{Repository, Surroundings, Unlock},
    store::open,
    world::{KernelEntropy, SystemClock},
};

/// A world with a configuration of the machine `alpha`, which `run` and others are told to be.
struct Fleet(World);

impl Fleet {
    /// `{dir}` in the text stands for the folder.
    fn new(text: &str) -> Self {
        let world = World::with_repository();
        fs::create_dir_all(world.path("etc")).unwrap();
        let fleet = Fleet(world);
        fleet.write(text);
        fleet
    }

    fn write(&self, text: &str) {
        let text = text.replace("{dir}", self.0.folder().to_str().unwrap());
        let head = format!("fleet.history = \"{}\"\n", self.path("history").display());
        fs::write(self.path("etc/vault.toml"), head + &text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// An application's folder with files in it.
    fn files(&self, name: &str, files: &[(&str, &str)]) {
        for (file, contents) in files {
            let path = self.path(name).join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
    }

    fn args<'a>(&self, args: &[&'a str]) -> Vec<&'a str> {
        let mut args = args.to_vec();
        args.extend(["--config", "etc/vault.toml"]);
        if matches!(args[0], "run" | "status") {
            args.extend(["--host", "alpha"]);
        }
        args
    }

    fn run(&self, args: &[&str]) -> common::world::Ran {
        self.0.run(&self.args(args))
    }

    /// The repository, opened as the library does.
    fn repository(&self) -> Repository {
        let around =
            Surroundings { clock: Arc::new(SystemClock), entropy: Arc::new(KernelEntropy), cache: None, state: None };
        let unlock = Unlock::Secret(Secret::Passphrase(b"right".to_vec().into()));
        Repository::open(open::open(&open::Place::Local(self.0.repo())).unwrap(), &unlock, around).unwrap()
    }

    /// Makes a medium known that is then taken away.
    fn absent_medium(&self, name: &str) {
        let point = self.path("stick").canonicalize().unwrap_or_else(|_| {
            fs::create_dir(self.path("stick")).unwrap();
            self.path("stick").canonicalize().unwrap()
        });
        let host = Stick(point.clone());
        let repo = self.repository();
        let catalogue = Catalogue::open(&repo, &self.path("state")).unwrap();
        let new = media::New {
            folder: &point.join("vault"),
            name,
            site: "safe",
            mount_at: None,
            parity: false,
            overdue_after: 8 * 86400,
            client: "alpha",
        };
        media::add(&catalogue, &host, &new).unwrap();
        fs::remove_dir_all(point).unwrap();
    }
}

/// A machine with one stick plugged in, which is a folder.
struct Stick(PathBuf);

impl Host for Stick {
    fn mounts(&self) -> Result<Vec<Mounted>> {
        let device = std::os::unix::fs::MetadataExt::dev(&fs::metadata(&self.0).unwrap());
        Ok(vec![Mounted { device, point: self.0.clone(), source: "/dev/sdz1".into(), read_only: false }])
    }
    fn points(&self, _: u64) -> Result<Vec<PathBuf>> {
        Ok(vec![self.0.clone()])
    }
    fn uuid(&self, _: &Mounted) -> Option<String> {
        Some("5e1c-0001-of-no-disk-here".into())
    }
    fn devices(&self, _: &str) -> Vec<PathBuf> {
        vec!["/dev/sdz1".into()]
    }
    fn mount(&self, _: &Path, _: &Path) -> Result<()> {
        Ok(())
    }
    fn unmount(&self, _: &Path) -> Result<()> {
        Ok(())
    }
    fn space(&self, _: &Path) -> Result<(u64, u64)> {
        Ok((1 << 30, 1 << 30))
    }
}
