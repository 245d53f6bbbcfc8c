//! Key slots in the store: opening, listing, adding, removing. At no instant is there no slot that opens.

use super::Repository;
use crate::{
    error::{Error, Result},
    hash,
    id::{KeyId, RepoId},
    keys::{
        Keyring, Role,
        slot::{Costs, Note, SLOT_LEN, Secret, Slot},
    },
    model::limits,
    object::{self, Kind},
    parity,
    seal::SealKey,
    store::{ObjectName, Store},
    world::Entropy,
};

/// What opens a repository.
#[derive(Debug, Clone)]
pub enum Unlock {
    /// A passphrase or key file, for one of the slots.
    Secret(Secret),
    /// The root secret of a recovery sheet: needs no slot.
    Root(SealKey),
}

/// A slot in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotInfo {
    /// Its name.
    pub id: KeyId,
    /// True when a passphrase opens it, false for a key file.
    pub takes_passphrase: bool,
    /// Role, time and label.
    pub note: Note,
}

fn object_name(id: &KeyId) -> ObjectName {
    ObjectName::of_parts(&["keys", &id.to_string()])
}

/// The slots of this repository, and why others could not be used.
fn read_slots(store: &dyn Store, repo: RepoId) -> Result<(Vec<Slot>, Vec<Error>)> {
    let mut names = Vec::new();
    store.list("keys/", &mut |entry| {
        if KeyId::parse(entry.name.leaf()).is_ok() {
            names.push(entry.name);
        }
        Ok(())
    })?;
    names.sort();
    if names.len() > limits::SLOTS_MAX {
        // Each may cost a gibibyte and seconds to try; whoever can write to the store can make thousands.
        return Err(Error::refused(format!(
            "keys/ holds {} key slots, more than {}: somebody filled it; use the recovery sheet (--recovery-file) and remove what is not yours",
            names.len(),
            limits::SLOTS_MAX
        )));
    }
    let (mut slots, mut unusable) = (Vec::new(), Vec::new());
    for name in names {
        let slot = store.get(&name, SLOT_LEN as u64).and_then(|bytes| {
            if crate::id::hex(&hash::object_name(&bytes)) != name.leaf() {
                return Err(Error::corrupt(&name, "its bytes are not those of its name"));
            }
            Slot::read(&bytes, repo, &name)
        });
        match slot {
            Ok(Some(slot)) => slots.push(slot),
            // Left over from a repository that was never finished.
            Ok(None) => {}
            Err(error @ (Error::Corrupt { .. } | Error::Unsupported { .. } | Error::Missing { .. })) => {
                unusable.push(error)
            }
            Err(error) => return Err(error),
        }
    }
    Ok((slots, unusable))
}

/// True when a key slot lies in the store: then it is a repository's, whatever its config looks like.
pub fn any_slot(store: &dyn Store) -> bool {
    let mut names = Vec::new();
    let listed = store.list("keys/", &mut |entry| {
        if KeyId::parse(entry.name.leaf()).is_ok() && names.len() < limits::SLOTS_MAX {
            names.push(entry.name);
        }
        Ok(())
    });
    let is_slot = |name: &ObjectName| {
        let bytes = store.get(name, SLOT_LEN as u64);
        bytes.is_ok_and(|bytes| object::read_header(&bytes, Kind::Slot, name).is_ok())
    };
    listed.is_ok() && names.iter().any(is_slot)
}

/// Opens the keys of the repository.
pub fn open_keys(store: &dyn Store, repo: RepoId, unlock: &Unlock) -> Result<Keyring> {
    let secret = match unlock {
        Unlock::Root(root) => return Ok(Keyring::owner(repo, root.clone())),
        Unlock::Secret(secret) => secret,
    };
    let (slots, mut unusable) = read_slots(store, repo)?;
    for slot in &slots {
        match slot.open(secret, &object_name(&slot.id())) {
            Ok(Some(keys)) => return Ok(keys),
            Ok(None) => {}
            Err(error) => unusable.push(error),
        }
    }
    let what = match secret {
        Secret::Passphrase(_) => "this passphrase: try again, or give --key-file or --recovery-file",
        Secret::KeyFile(_) => "this key file: give another, a passphrase, or --recovery-file",
    };
    let mut why = format!("no key slot opens with {what}");
    for error in &unusable {
        why = format!("{why}; {error}");
    }
    if slots.is_empty() {
        why = format!("{why}; no usable key slot is left: use the recovery sheet (--recovery-file)");
    }
    Err(Error::WrongKey { why })
}

/// Makes a slot, stores it, and proves that what was stored opens.
pub fn store_slot(
    store: &dyn Store,
    keys: &Keyring,
    secret: &Secret,
    costs: Costs,
    note: &Note,
    entropy: &dyn Entropy,
) -> Result<KeyId> {
    let slot = Slot::seal(keys, secret, costs, note, entropy)?;
    let name = object_name(&slot.id());
    store.put(&name, slot.bytes())?;
    store.sync()?;
    let back = store.get(&name, SLOT_LEN as u64)?;
    let opens = match Slot::read(&back, keys.repo(), &name)? {
        Some(slot) => slot.open(secret, &name)?.is_some(),
        None => false,
    };
    if opens {
        Ok(slot.id())
    } else {
        Err(Error::corrupt(&name, "the key slot that was just stored does not open; no other slot was touched"))
    }
}

impl Repository {
    /// The slots, oldest first, and why others could not be used.
    pub fn list_slots(&self) -> Result<(Vec<SlotInfo>, Vec<Error>)> {
        let (slots, mut unusable) = read_slots(self.store(), self.keys().repo())?;
        let mut infos = Vec::new();
        for slot in slots {
            let id = slot.id();
            match slot.note(self.keys(), &object_name(&id)) {
                Ok(note) => infos.push(SlotInfo { id, takes_passphrase: slot.takes_passphrase(), note }),
                Err(error) => unusable.push(error),
            }
        }
        infos.sort_by_key(|slot| (slot.note.created, slot.id));
        Ok((infos, unusable))
    }

    /// Adds a slot in which `secret` opens the repository in this role.
    pub fn add_slot(&self, role: Role, secret: &Secret, costs: Costs, label: &str) -> Result<KeyId> {
        let keys = self.keys().narrowed(role)?;
        self.expect_room()?;
        let note = Note { role, created: self.clock().now().sec, label: label.to_owned() };
        store_slot(self.store(), &keys, secret, costs, &note, self.entropy())
    }

    /// One slot more must not be one too many, which would lock everybody out: all names count, also of what is no slot of ours.
    fn expect_room(&self) -> Result<()> {
        let mut names = 0;
        self.store().list("keys/", &mut |_| {
            names += 1;
            Ok(())
        })?;
        if names < limits::SLOTS_MAX {
            return Ok(());
        }
        Err(Error::refused(format!(
            "keys/ holds {names} objects, and {} are the most: remove one first",
            limits::SLOTS_MAX
        )))
    }

    /// Removes the slot whose id begins so, for those who have at least its role; the last owner slot stays.
    pub fn remove_slot(&self, prefix: &str) -> Result<SlotInfo> {
        let (slots, _) = self.list_slots()?;
        let mut found = slots.iter().filter(|slot| slot.id.to_string().starts_with(prefix));
        let slot = match (found.next(), found.next()) {
            (Some(slot), None) if !prefix.is_empty() => slot,
            (Some(_), _) => {
                return Err(Error::usage(format!("several keys begin with \"{prefix}\": give more digits")));
            }
            (None, _) => return Err(Error::usage(format!("no key begins with \"{prefix}\": see `vault key list`"))),
        };
        self.keys().expect(slot.note.role, format!("remove {} keys", slot.note.role))?;
        let owners = slots.iter().filter(|slot| slot.note.role == Role::Owner).count();
        if slot.note.role == Role::Owner && owners == 1 {
            return Err(Error::refused(
                "this is the last owner key: without it only the recovery sheet opens the repository; add another first",
            ));
        }
        self.drop_slot(&slot.id)?;
        Ok(slot.clone())
    }

    /// Removes a slot and all that would bring it back: its secret must not open the repository any more.
    fn drop_slot(&self, id: &KeyId) -> Result<()> {
        let name = object_name(id);
        let aside = format!("{}{name}", parity::DAMAGED);
        let mut copies = Vec::new();
        self.store().list(&format!("{}keys/", parity::DAMAGED), &mut |entry| {
            if entry.name.as_str().starts_with(&aside) {
                copies.push(entry.name);
            }
            Ok(())
        })?;
        copies.extend(ObjectName::new(format!("{}{name}", parity::MIRROR)));
        for copy in copies {
            self.store().remove(&copy)?;
        }
        self.store().remove(&name)?;
        self.store().sync()
    }

    /// Replaces the slots that `old` opens by such that `new` opens, in the same roles, under the same labels: the new ones are proved
    /// before any of the old ones goes. There is more than one of either when a change was cut off before its end; they all go, so that
    /// what was changed does not open any more, and what is changed next does not either. Returns one of the new slots.
    pub fn change_secret(&self, old: &Secret, new: &Secret, costs: Costs) -> Result<KeyId> {
        self.expect_room()?;
        let (slots, _) = read_slots(self.store(), self.keys().repo())?;
        let (mut replaced, mut left_over) = (Vec::new(), Vec::new());
        for slot in slots {
            let name = object_name(&slot.id());
            let (opened_by, keys) = match slot.open(old, &name)? {
                Some(keys) => (&mut replaced, keys),
                None => match slot.open(new, &name)? {
                    Some(keys) => (&mut left_over, keys),
                    None => continue,
                },
            };
            let note = slot.note(&keys, &name)?;
            opened_by.push((slot.id(), keys, note));
        }
        // All are there at once, before any goes.
        if replaced.len() > 1 && replaced.len() + self.list_slots()?.0.len() > limits::SLOTS_MAX {
            return Err(Error::refused(
                "there are too many keys to change several at once: remove some, see `vault key list`",
            ));
        }
        // By role and label.
        let mut made: Vec<(Note, KeyId)> = Vec::new();
        let is_like = |one: &Note, other: &Note| (one.role, &one.label) == (other.role, &other.label);
        for (_, keys, note) in &replaced {
            if !made.iter().any(|(like, _)| is_like(like, note)) {
                let note = Note { created: self.clock().now().sec, ..note.clone() };
                let id = store_slot(self.store(), keys, new, costs, &note, self.entropy())?;
                made.push((note, id));
            }
        }
        let Some(&(_, id)) = made.first() else {
            return Err(Error::WrongKey { why: "no key slot opens with the old secret".into() });
        };
        // What somebody has added under another label stays.
        left_over.retain(|(_, _, note)| made.iter().any(|(like, _)| is_like(like, note)));
        for (old, _, _) in replaced.iter().chain(&left_over) {
            self.drop_slot(old)?;
        }
        Ok(id)
    }
}
