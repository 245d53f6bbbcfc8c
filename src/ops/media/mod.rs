//! Media that carry replicas out of the house: known by the UUID of their file system and a marker, never by a path alone; and a
//! catalogue of what lies on which, which answers while they lie in a safe.

pub mod catalogue;
mod find;
pub mod host;
mod superblock;
mod sync;
#[cfg(test)]
mod tests;

pub use catalogue::{Catalogue, Checked, Held, Medium, Sync};
pub use find::{Place, find};
pub use host::{Host, Mounted, System};
pub use sync::{Report, Request, sync};

use crate::{
    error::{Error, Result},
    model::medium::Marker,
    monitor::Monitor,
    name::{Shown, cut_text},
    ops::{
        check::{ReadData, keyless},
        copy::inventory,
    },
    repo::{Repository, snapshots::object_name},
    store::{Store, local::LocalStore},
    world::{Time, random},
};
use host::{holding, shown};
use std::{
    cmp::Ordering,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A medium that is to be known.
pub struct New<'a> {
    /// Where the copy on it is, or is to be, now that it is mounted.
    pub folder: &'a Path,
    /// What people call it.
    pub name: &'a str,
    /// Where it is kept.
    pub site: &'a str,
    /// Where to mount it for a sync.
    pub mount_at: Option<&'a Path>,
    /// Sidecars of parity are to be kept on it.
    pub parity: bool,
    /// Seconds after a sync from which on it is overdue.
    pub overdue_after: u64,
    /// This machine.
    pub client: &'a str,
}

/// A medium that is plugged in and mounted.
#[derive(Debug)]
pub struct Present {
    /// The folder of its copy.
    pub folder: PathBuf,
    /// Where its file system is mounted.
    pub point: PathBuf,
    /// Mounted by us: to be unmounted again.
    pub ours: bool,
    /// Its marker.
    pub marker: Marker,
    /// The hash that names it.
    marker_id: [u8; 32],
    device: u64,
    /// Its copy: opened once, so that nothing is written to what comes to lie at its path later.
    store: LocalStore,
}

/// Writes a marker to a medium, and the medium into the catalogue. One that another machine of this repository knows keeps its
/// marker.
pub fn add(catalogue: &Catalogue<'_>, host: &dyn Host, new: &New<'_>) -> Result<Medium> {
    let repo = catalogue.repo();
    if new.name.is_empty() || new.name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') {
        return Err(Error::usage("a medium's name is one word, without slashes"));
    }
    if catalogue.media()?.iter().any(|one| one.name == new.name && !one.retired) {
        return Err(Error::usage(format!("a medium is called {} already: choose another name", new.name)));
    }
    let (mounted, below) = holding(host, new.folder)?;
    let place = shown(new.folder);
    if below.as_os_str().is_empty() {
        return Err(Error::usage(format!(
            "{place} is the root of its file system: give a folder on the medium, such as {place}/vault"
        )));
    }
    if mounted.point == Path::new("/") {
        return Err(Error::refused(format!(
            "{place} lies on this machine's own root file system: is the medium mounted? Mount it first"
        )));
    }
    if mounted.read_only {
        return Err(Error::refused(format!(
            "{} is mounted read-only: see `dmesg`, and mount it again",
            shown(&mounted.point)
        )));
    }
    let absolute = |at| std::path::absolute(at).map_err(|e| Error::store("look at", shown(at), e));
    let mount_at = new.mount_at.map(absolute).transpose()?.map(|at| at.into_os_string().into_encoded_bytes());
    let uuid = host.uuid(&mounted).ok_or_else(|| {
        Error::refused(format!(
            "the file system at {} has no UUID that can be told: run as root, or use ext4, exFAT or FAT",
            shown(&mounted.point)
        ))
    })?;
    let store = LocalStore::create(new.folder)?;
    expect_no_other(repo, &store)?;
    let (marker, marker_id) = match repo.marker_in(&store)? {
        Some(found) => found,
        None => {
            let marker = Marker {
                medium: random(repo.entropy())?,
                generation: 1,
                name: new.name.to_owned(),
                time: repo.clock().now(),
                host: cut_text(new.client, 1024).to_owned(),
                parity: new.parity,
            };
            let id = repo.put_marker(&store, &marker)?;
            (marker, id)
        }
    };
    if let Some(known) = catalogue.media()?.into_iter().find(|one| one.id == marker.medium && !one.retired) {
        return Err(Error::usage(format!("this medium is known already, as {}", known.name)));
    }
    let medium = Medium {
        id: marker.medium,
        name: new.name.to_owned(),
        site: new.site.to_owned(),
        uuid,
        folder: below.as_os_str().as_bytes().to_vec(),
        mount_at,
        parity: marker.parity,
        overdue_after: new.overdue_after,
        retired: false,
        generation: marker.generation,
        marker: marker_id,
        syncs: Vec::new(),
        space: host.space(&mounted.point)?,
        checked: None,
        snapshots: Vec::new(),
    };
    catalogue.put(medium.clone())?;
    Ok(medium)
}

/// Refuses a place that holds another repository.
fn expect_no_other(repo: &Repository, store: &dyn Store) -> Result<()> {
    match Repository::identify(store) {
        Ok(id) if id == repo.keys().repo() => Ok(()),
        Ok(other) => Err(Error::refused(format!(
            "{} holds another repository ({other}): choose another folder on the medium",
            store.place()
        ))),
        Err(Error::NoRepository { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn absent(medium: &Medium, why: &str) -> Error {
    let site =
        if medium.site.is_empty() { String::new() } else { format!(" (kept at: {})", Shown(medium.site.as_bytes())) };
    Error::Absent { what: format!("medium {} is absent{site}: {why}", Shown(medium.name.as_bytes())) }
}

/// Finds a medium on this machine and makes sure that it is the one that is meant; [`Error::Absent`] when it is not there. One that
/// is plugged in is mounted when `mount` says so and its entry says where.
pub fn locate(catalogue: &Catalogue<'_>, host: &dyn Host, medium: &Medium, mount: bool) -> Result<Present> {
    let is_it = |one: &Mounted| host.uuid(one).as_deref() == Some(&*medium.uuid);
    let mut found: Vec<Mounted> = host.mounts()?.into_iter().filter(is_it).collect();
    found.dedup_by_key(|one| one.device);
    let devices = host.devices(&medium.uuid);
    let mut numbers: Vec<u64> = found.iter().map(|one| one.device).collect();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.len() > 1 || devices.len() > 1 {
        let places = found.iter().map(|one| shown(&one.point)).chain(devices.iter().map(|device| shown(device)));
        return Err(Error::refused(format!(
            "several file systems have the UUID {} of medium {} ({}): one is a clone; unplug it, and give it a UUID of its own",
            medium.uuid,
            Shown(medium.name.as_bytes()),
            places.collect::<Vec<_>>().join(", ")
        )));
    }
    let (mounted, ours) = match (found.pop(), devices.first(), medium.mount_at.as_deref()) {
        (Some(mounted), ..) => (mounted, false),
        (None, Some(device), Some(at)) if mount => {
            host.mount(device, Path::new(OsStr::from_bytes(at)))?;
            match host.mounts()?.into_iter().rev().find(is_it) {
                Some(mounted) => (mounted, true),
                None => return Err(absent(medium, "it was mounted, and is not there")),
            }
        }
        (None, Some(device), _) => {
            return Err(absent(medium, &format!("{} is plugged in and not mounted", shown(device))));
        }
        (None, None, _) => return Err(absent(medium, "no file system of its UUID is plugged in")),
    };
    let folder = mounted.point.join(OsStr::from_bytes(&medium.folder));
    let present = identify(catalogue, medium, &mounted, folder.clone());
    match present {
        Ok((marker, marker_id, store)) => {
            let Mounted { device, point, .. } = mounted;
            Ok(Present { folder, point, ours, marker, marker_id, device, store })
        }
        Err(error) => {
            if ours {
                // The error is what counts.
                let _ = host.unmount(&mounted.point);
            }
            Err(error)
        }
    }
}

/// The marker of the medium that is mounted, which must be the one that is meant.
fn identify(
    catalogue: &Catalogue<'_>,
    medium: &Medium,
    mounted: &Mounted,
    folder: PathBuf,
) -> Result<(Marker, [u8; 32], LocalStore)> {
    let (name, place) = (Shown(medium.name.as_bytes()), shown(&folder));
    let store = LocalStore::open(&folder).map_err(|error| match error {
        Error::Store { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => Error::refused(format!(
            "{} has the UUID of medium {name}, and no {place}: it was formatted or emptied, or is a clone of an early state; \
             `vault media retire {name}`, then add it again",
            shown(&mounted.point)
        )),
        error => error,
    })?;
    if store.device()? != mounted.device {
        return Err(Error::refused(format!(
            "{place} lies on another file system than medium {name}: something is mounted over it"
        )));
    }
    expect_no_other(catalogue.repo(), &store)?;
    match catalogue.repo().marker_in(&store)? {
        Some((marker, id)) if marker.medium == medium.id => Ok((marker, id, store)),
        Some((marker, _)) => Err(Error::refused(format!(
            "{place} carries the marker of another medium ({}), with the UUID of medium {name}: one is a clone of the other",
            Shown(marker.name.as_bytes())
        ))),
        None => Err(Error::refused(format!(
            "{place} carries no marker of medium {name}: it was emptied, or damaged; look at what is there, then `vault media \
             retire {name}` and add it again"
        ))),
    }
}

/// Fails with [`Error::Rollback`] when a medium is older than this client has seen it, or a clone, or lacks snapshots that lay on it
/// and were not forgotten there.
fn expect_no_rollback(repo: &Repository, medium: &Medium, present: &Present) -> Result<()> {
    let (name, found) = (Shown(medium.name.as_bytes()), present.marker.generation);
    let what = match found.cmp(&medium.generation) {
        Ordering::Less => format!(
            "medium {name} is in an older state than it was here (sync {found} of {}): it was put back, or this is a clone of it",
            medium.generation
        ),
        Ordering::Equal if present.marker_id != medium.marker => {
            format!(
                "medium {name} was synced to the same number elsewhere (sync {found}): this or the other one is a clone"
            )
        }
        _ => {
            let there = inventory::names(&present.store)?;
            let view = repo.at(Arc::new(present.store.again()?));
            let mut lost = 0;
            for held in &medium.snapshots {
                if there.contains(&object_name(&held.tag, &held.id)) {
                    continue;
                }
                match view.prove_forgotten(&held.tag, &held.id) {
                    Ok(_) => {}
                    Err(Error::Missing { .. } | Error::Corrupt { .. }) => lost += 1,
                    Err(error) => return Err(error),
                }
            }
            if lost == 0 {
                return Ok(());
            }
            format!("medium {name} has lost {lost} of {} snapshots that lay on it", medium.snapshots.len())
        }
    };
    Err(Error::Rollback { what })
}

/// Holds the objects on a medium against their names, a share of its packs or all, and notes the date.
pub fn check(
    catalogue: &Catalogue<'_>,
    host: &dyn Host,
    medium: &Medium,
    read: ReadData,
    around: &keyless::Around<'_>,
    monitor: &dyn Monitor,
) -> Result<keyless::Report> {
    let present = locate(catalogue, host, medium, true)?;
    let checked = expect_no_rollback(catalogue.repo(), medium, &present)
        .and_then(|()| keyless::check(&present.store, read, 1, around, monitor));
    if let Ok(report) = &checked {
        let (time, findings) = (around.clock.now().sec, report.findings.len() as u64);
        catalogue.update(&medium.id, |known| known.checked = Some(Checked { time, findings }))?;
    }
    let left = leave(host, present);
    let report = checked?;
    left?;
    Ok(report)
}

/// Unmounts what was mounted for an operation. True when it may be unplugged then: somebody else may have mounted it in another place
/// meanwhile.
fn leave(host: &dyn Host, present: Present) -> Result<bool> {
    let Present { store, point, ours, device, .. } = present;
    // An open folder keeps it busy.
    drop(store);
    if !ours {
        return Ok(false);
    }
    host.unmount(&point)?;
    Ok(host.points(device)?.is_empty())
}

/// Flushes a medium and unmounts it, wherever it or a folder of it is mounted. Returns where that was.
pub fn eject(catalogue: &Catalogue<'_>, host: &dyn Host, medium: &Medium) -> Result<Vec<PathBuf>> {
    let present = locate(catalogue, host, medium, false)?;
    let Present { store, device, .. } = present;
    // An open folder keeps it busy.
    drop(store);
    let mut points = host.points(device)?;
    // What was mounted last may lie over or below what was mounted before.
    points.reverse();
    points.iter().try_for_each(|point| host.unmount(point))?;
    match host.points(device)?.first() {
        None => Ok(points),
        Some(left) => Err(Error::refused(format!(
            "medium {} is still mounted at {}: do not unplug it before that is unmounted",
            Shown(medium.name.as_bytes()),
            shown(left)
        ))),
    }
}

/// A medium is not to be used any more. What is known of it is kept.
pub fn retire(catalogue: &Catalogue<'_>, medium: &Medium) -> Result<()> {
    catalogue.update(&medium.id, |known| known.retired = true)
}

/// Seconds since 1970.
fn now(repo: &Repository) -> Time {
    repo.clock().now()
}
