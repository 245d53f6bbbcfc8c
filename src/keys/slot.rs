//! A key slot: lets one passphrase or key file open the repository in one role. Layout: `format-spec/02-keys.md`.

use super::{
    Keyring, Role,
    wrap::{PublicKey, SecretKey},
};
use crate::{
    error::{Error, Result},
    id::{KeyId, RepoId},
    object::{self, Kind, TAG_LEN},
    seal::{self, SealKey},
    world::{Entropy, random},
};
use argon2::{Algorithm, Argon2, Params, Version};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Length of a slot in bytes.
pub const SLOT_LEN: usize = 512;
/// Longest label in bytes.
pub const LABEL_MAX: usize = 160;

// Offsets; each field ends where the next begins.
const METHOD: usize = 32;
const COSTS: usize = 36;
const SALT: usize = 48;
const COMMITMENT: usize = 80;
const NONCE: usize = 112;
const KEYS: usize = 136;
const NOTE_NONCE: usize = 280;
const NOTE: usize = 304;
const KEYS_LEN: usize = 128;
const NOTE_LEN: usize = 192;
const _: () = assert!(KEYS + KEYS_LEN + TAG_LEN == NOTE_NONCE && NOTE + NOTE_LEN + TAG_LEN == SLOT_LEN);

const METHOD_PASSPHRASE: u8 = 1;
const METHOD_KEY_FILE: u8 = 2;

/// What opens a slot.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Bytes as typed.
    Passphrase(Zeroizing<Vec<u8>>),
    /// The 32 bytes of a key file.
    KeyFile(SealKey),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Secret::Passphrase(_) => "Passphrase(secret)",
            Secret::KeyFile(_) => "KeyFile(secret)",
        })
    }
}

/// How dear it is to try a passphrase (Argon2id).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// Memory in KiB.
    pub memory: u32,
    /// Passes.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Costs {
    /// RFC 9106's second recommendation: every command pays it.
    pub const DEFAULT: Costs = Costs { memory: 64 << 10, passes: 3, lanes: 4 };
    /// For passphrases that somebody may try to guess with a hall of machines.
    pub const STRONG: Costs = Costs { memory: 1 << 20, passes: 3, lanes: 4 };
    /// For machines with little memory: what OWASP names as the least.
    pub const LOW: Costs = Costs { memory: 19 << 10, passes: 2, lanes: 1 };

    /// Checked before memory is spent: a slot's numbers are whoever's who can write to the store.
    fn is_sane(&self) -> bool {
        (19 << 10..=1 << 20).contains(&self.memory) && (1..=10).contains(&self.passes) && (1..=8).contains(&self.lanes)
    }
}

/// What the slots' list shows of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it opens.
    pub role: Role,
    /// When it was made: seconds since 1970.
    pub created: i64,
    /// The user's word for it.
    pub label: String,
}

/// A slot as it lies in the store.
#[derive(Clone, PartialEq, Eq)]
pub struct Slot {
    bytes: [u8; SLOT_LEN],
}

fn stretch(secret: &Secret, salt: &[u8], costs: Option<Costs>) -> Result<SealKey> {
    match (secret, costs) {
        (Secret::Passphrase(passphrase), Some(costs)) => {
            let refused = |e: argon2::Error| Error::usage(format!("the passphrase cannot be used: {e}"));
            let params = Params::new(costs.memory, costs.passes, costs.lanes, Some(32)).map_err(refused)?;
            let mut key = [0; 32];
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into(passphrase, salt, &mut key)
                .map_err(refused)?;
            let out = SealKey::new(key);
            key.zeroize();
            Ok(out)
        }
        (Secret::KeyFile(key), None) => {
            let mut hasher = blake3::Hasher::new_derive_key("vault v1 key file");
            Ok(SealKey::new(*hasher.update(key.expose()).update(salt).finalize().as_bytes()))
        }
        _ => Err(Error::usage("a passphrase needs costs, a key file has none")),
    }
}

fn commitment(stretched: &SealKey, before: &[u8]) -> [u8; 32] {
    let key = blake3::derive_key("vault v1 slot commitment", stretched.expose());
    *blake3::keyed_hash(&key, before).as_bytes()
}

fn slot_key(stretched: &SealKey) -> SealKey {
    SealKey::new(blake3::derive_key("vault v1 slot keys", stretched.expose()))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

impl Slot {
    /// Makes a slot in which `secret` opens `keyring` (in its role). `costs` matter to a passphrase only.
    pub fn seal(keyring: &Keyring, secret: &Secret, costs: Costs, note: &Note, entropy: &dyn Entropy) -> Result<Slot> {
        if note.label.len() > LABEL_MAX {
            return Err(Error::usage(format!("a key's label has at most {LABEL_MAX} bytes")));
        }
        let mut bytes = [0; SLOT_LEN];
        bytes[..METHOD].copy_from_slice(&object::header(Kind::Slot, keyring.repo()));
        let costs = match secret {
            Secret::Passphrase(_) => {
                bytes[METHOD] = METHOD_PASSPHRASE;
                bytes[COSTS..COSTS + 4].copy_from_slice(&costs.memory.to_le_bytes());
                bytes[COSTS + 4..COSTS + 8].copy_from_slice(&costs.passes.to_le_bytes());
                bytes[COSTS + 8..COSTS + 12].copy_from_slice(&costs.lanes.to_le_bytes());
                Some(costs)
            }
            Secret::KeyFile(_) => {
                bytes[METHOD] = METHOD_KEY_FILE;
                None
            }
        };
        entropy.fill(&mut bytes[SALT..COMMITMENT])?;
        let stretched = stretch(secret, &bytes[SALT..COMMITMENT], costs)?;
        let committed = commitment(&stretched, &bytes[..COMMITMENT]);
        bytes[COMMITMENT..NONCE].copy_from_slice(&committed);

        let nonce: [u8; 24] = random(entropy)?;
        bytes[NONCE..KEYS].copy_from_slice(&nonce);
        let plain = Zeroizing::new(keys_plain(keyring));
        let mut sealed = Vec::with_capacity(KEYS_LEN + TAG_LEN);
        seal::seal_append(&slot_key(&stretched), &nonce, &bytes[..NONCE], &plain[..], &mut sealed);
        bytes[KEYS..NOTE_NONCE].copy_from_slice(&sealed);

        let nonce: [u8; 24] = random(entropy)?;
        bytes[NOTE_NONCE..NOTE].copy_from_slice(&nonce);
        let mut plain = [0; NOTE_LEN];
        plain[0] = note.role as u8;
        plain[1] = note.label.len() as u8;
        plain[8..16].copy_from_slice(&note.created.to_le_bytes());
        plain[16..16 + note.label.len()].copy_from_slice(note.label.as_bytes());
        sealed.clear();
        seal::seal_append(&keyring.note_key(), &nonce, &bytes[..NOTE_NONCE], &plain, &mut sealed);
        bytes[NOTE..].copy_from_slice(&sealed);
        Ok(Slot { bytes })
    }

    /// Takes a slot's bytes and checks all that can be checked without a secret. `None` when it belongs to another repository.
    pub fn read(bytes: &[u8], repo: RepoId, object: &dyn fmt::Display) -> Result<Option<Slot>> {
        if object::read_header(bytes, Kind::Slot, object)? != repo {
            return Ok(None);
        }
        let Ok(bytes) = <[u8; SLOT_LEN]>::try_from(bytes) else {
            return Err(Error::corrupt(object, "a key slot has 512 bytes"));
        };
        let slot = Slot { bytes };
        match slot.bytes[METHOD] {
            METHOD_PASSPHRASE if !slot.costs().is_sane() => {
                return Err(Error::corrupt(
                    object,
                    format!("its costs are out of bounds ({:?}); it was not tried", slot.costs()),
                ));
            }
            METHOD_KEY_FILE if slot.bytes[COSTS..SALT] != [0; 12] => {
                return Err(Error::corrupt(object, "a key file's slot has no costs"));
            }
            METHOD_PASSPHRASE | METHOD_KEY_FILE => {}
            other => return Err(Error::unsupported(object, format!("its method is {other}"))),
        }
        if slot.bytes[METHOD + 1..COSTS] != [0; 3] {
            return Err(Error::corrupt(object, "reserved bytes are set"));
        }
        Ok(Some(slot))
    }

    /// The bytes for the store.
    pub fn bytes(&self) -> &[u8; SLOT_LEN] {
        &self.bytes
    }

    /// The slot's name.
    pub fn id(&self) -> KeyId {
        KeyId(crate::hash::object_name(&self.bytes))
    }

    /// True when a passphrase opens it, false when a key file does.
    pub fn takes_passphrase(&self) -> bool {
        self.bytes[METHOD] == METHOD_PASSPHRASE
    }

    fn costs(&self) -> Costs {
        let number = |at| u32::from_le_bytes(array(&self.bytes, at));
        Costs { memory: number(COSTS), passes: number(COSTS + 4), lanes: number(COSTS + 8) }
    }

    /// Tries a secret: `None` when this is not its slot.
    pub fn open(&self, secret: &Secret, object: &dyn fmt::Display) -> Result<Option<Keyring>> {
        let costs = match secret {
            Secret::Passphrase(_) if self.takes_passphrase() => Some(self.costs()),
            Secret::KeyFile(_) if !self.takes_passphrase() => None,
            _ => return Ok(None),
        };
        let stretched = stretch(secret, &self.bytes[SALT..COMMITMENT], costs)?;
        let expected = commitment(&stretched, &self.bytes[..COMMITMENT]);
        if !bool::from(expected.ct_eq(&self.bytes[COMMITMENT..NONCE])) {
            return Ok(None);
        }
        let nonce = array(&self.bytes, NONCE);
        let plain = seal::open(&slot_key(&stretched), &nonce, &self.bytes[..NONCE], &self.bytes[KEYS..NOTE_NONCE])
            .ok_or_else(|| Error::corrupt(object, "its keys do not verify"))?;
        let plain = Zeroizing::new(plain);
        let mut repo = [0; 16];
        repo.copy_from_slice(&self.bytes[16..32]);
        keyring_of(&plain, RepoId(repo), object).map(Some)
    }

    /// Reads the note with any role's keys.
    pub fn note(&self, keyring: &Keyring, object: &dyn fmt::Display) -> Result<Note> {
        let nonce = array(&self.bytes, NOTE_NONCE);
        let plain = seal::open(&keyring.note_key(), &nonce, &self.bytes[..NOTE_NONCE], &self.bytes[NOTE..])
            .ok_or_else(|| Error::corrupt(object, "its note does not verify"))?;
        let (label, unused) = plain
            .get(1)
            .map(|&len| usize::from(len))
            .filter(|&len| len <= LABEL_MAX)
            .and_then(|len| plain.get(16..)?.split_at_checked(len))
            .ok_or_else(|| Error::corrupt(object, "its label is too long"))?;
        let label = std::str::from_utf8(label).map_err(|_| Error::corrupt(object, "its label is not UTF-8"))?;
        if plain[2..8] != [0; 6] || unused.iter().any(|&b| b != 0) {
            return Err(Error::corrupt(object, "reserved bytes of its note are set"));
        }
        let role = plain.first().and_then(|&role| Role::from_number(role));
        let role = role.ok_or_else(|| Error::unsupported(object, "its role is not known"))?;
        Ok(Note { role, created: i64::from_le_bytes(array(&plain, 8)), label: label.to_owned() })
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({:?})", self.id())
    }
}

fn keys_plain(keyring: &Keyring) -> [u8; KEYS_LEN] {
    let mut plain = [0; KEYS_LEN];
    plain[0] = keyring.role as u8;
    let mut put = |at: usize, bytes: &[u8; 32]| plain[at..at + 32].copy_from_slice(bytes);
    match (&keyring.root, &keyring.meta_secret) {
        (Some(root), _) => put(8, root.expose()),
        (None, Some(meta)) => {
            put(8, keyring.writer.expose());
            put(40, meta.expose());
            put(72, &keyring.data_public.0);
        }
        (None, None) => {
            put(8, keyring.writer.expose());
            put(40, &keyring.meta_public.0);
            put(72, &keyring.data_public.0);
        }
    }
    plain
}

fn keyring_of(plain: &[u8], repo: RepoId, object: &dyn fmt::Display) -> Result<Keyring> {
    let Ok(plain) = <&[u8; KEYS_LEN]>::try_from(plain) else {
        return Err(Error::corrupt(object, "its keys have a wrong length"));
    };
    if plain[1..8] != [0; 7] || plain[104..] != [0; 24] {
        return Err(Error::corrupt(object, "reserved bytes of its keys are set"));
    }
    let (a, b, c): ([u8; 32], [u8; 32], [u8; 32]) = (array(plain, 8), array(plain, 40), array(plain, 72));
    match Role::from_number(plain[0]) {
        Some(Role::Owner) if b != [0; 32] || c != [0; 32] => {
            Err(Error::corrupt(object, "an owner's slot holds other keys besides"))
        }
        Some(Role::Writer) => Ok(Keyring::writer(repo, SealKey::new(a), PublicKey(b), PublicKey(c))),
        Some(Role::Maintainer) => Ok(Keyring::maintainer(repo, SealKey::new(a), SecretKey::new(b), PublicKey(c))),
        Some(Role::Owner) => Ok(Keyring::owner(repo, SealKey::new(a))),
        None => Err(Error::unsupported(object, format!("its role is {}", plain[0]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::SeededEntropy;

    fn passphrase(text: &str) -> Secret {
        Secret::Passphrase(Zeroizing::new(text.as_bytes().to_vec()))
    }

    fn note(role: Role) -> Note {
        Note { role, created: 1_790_000_000, label: "night key".into() }
    }

    #[test]
    fn each_role_comes_back_from_its_slot() {
        let entropy = SeededEntropy::new(1);
        let owner = Keyring::generate(&entropy).unwrap();
        let file = Secret::KeyFile(SealKey::new([5; 32]));
        for role in [Role::Writer, Role::Maintainer, Role::Owner] {
            let keys = owner.narrowed(role).unwrap();
            let slot = Slot::seal(&keys, &file, Costs::LOW, &note(role), &entropy).unwrap();
            let slot = Slot::read(slot.bytes(), owner.repo(), &"slot").unwrap().unwrap();
            let opened = slot.open(&file, &"slot").unwrap().unwrap();
            assert_eq!(opened.role(), role);
            assert_eq!(opened.index_key(), owner.index_key());
            assert_eq!(opened.meta_public, owner.meta_public);
            assert_eq!(opened.data_public, owner.data_public);
            assert_eq!(slot.note(&opened, &"slot").unwrap(), note(role));
        }
    }

    #[test]
    fn a_wrong_passphrase_is_no_error_but_no_key() {
        let entropy = SeededEntropy::new(2);
        let owner = Keyring::generate(&entropy).unwrap();
        let slot = Slot::seal(&owner, &passphrase("right"), Costs::LOW, &note(Role::Owner), &entropy).unwrap();
        assert!(slot.open(&passphrase("wrong"), &"slot").unwrap().is_none());
        assert!(slot.open(&passphrase("right"), &"slot").unwrap().is_some());
    }

    #[test]
    fn any_changed_byte_of_a_slot_is_noticed() {
        let entropy = SeededEntropy::new(3);
        let owner = Keyring::generate(&entropy).unwrap();
        let file = Secret::KeyFile(SealKey::new([5; 32]));
        let slot = Slot::seal(&owner, &file, Costs::LOW, &note(Role::Owner), &entropy).unwrap();
        for at in 0..SLOT_LEN {
            let mut bytes = *slot.bytes();
            bytes[at] ^= 1;
            let fine = Slot::read(&bytes, owner.repo(), &"slot").ok().flatten().is_some_and(|slot| {
                slot.open(&file, &"slot").is_ok_and(|keys| keys.is_some()) && slot.note(&owner, &"slot").is_ok()
            });
            assert!(!fine, "byte {at}");
        }
    }

    #[test]
    fn bytes_that_mean_nothing_are_zero() {
        let entropy = SeededEntropy::new(5);
        let owner = Keyring::generate(&entropy).unwrap();
        let mut plain = keys_plain(&owner);
        assert!(keyring_of(&plain, owner.repo(), &"slot").is_ok());
        plain[103] = 1;
        assert!(matches!(keyring_of(&plain, owner.repo(), &"slot"), Err(Error::Corrupt { .. })));
        for role in [Role::Writer, Role::Maintainer, Role::Owner] {
            let plain = keys_plain(&owner.narrowed(role).unwrap());
            assert_eq!(keyring_of(&plain, owner.repo(), &"slot").unwrap().role(), role);
            for at in [1, 7, 104, KEYS_LEN - 1] {
                let mut wrong = plain;
                wrong[at] = 1;
                assert!(matches!(keyring_of(&wrong, owner.repo(), &"slot"), Err(Error::Corrupt { .. })), "byte {at}");
            }
        }

        let file = Secret::KeyFile(SealKey::new([5; 32]));
        let slot = Slot::seal(&owner, &file, Costs::LOW, &note(Role::Owner), &entropy).unwrap();
        let with_note = |plain: &[u8; NOTE_LEN]| {
            let mut slot = slot.clone();
            let mut sealed = Vec::new();
            let nonce = array(&slot.bytes, NOTE_NONCE);
            seal::seal_append(&owner.note_key(), &nonce, &slot.bytes[..NOTE_NONCE], plain, &mut sealed);
            slot.bytes[NOTE..].copy_from_slice(&sealed);
            slot.note(&owner, &"slot")
        };
        let mut plain = [0; NOTE_LEN];
        plain[..2].copy_from_slice(&[3, LABEL_MAX as u8]);
        plain[16..16 + LABEL_MAX].fill(b'x');
        assert_eq!(with_note(&plain).unwrap().label.len(), LABEL_MAX);
        for (at, value) in [(2, 1), (7, 1), (16 + LABEL_MAX, 1), (NOTE_LEN - 1, 1), (1, LABEL_MAX as u8 + 1), (1, 4)] {
            let mut wrong = plain;
            wrong[at] = value;
            assert!(matches!(with_note(&wrong), Err(Error::Corrupt { .. })), "byte {at}");
        }
    }

    /// One secret for two slots, or for two repositories, gives nobody a table that serves for both.
    #[test]
    fn no_two_slots_have_a_salt_or_a_nonce_in_common() {
        let entropy = SeededEntropy::new(6);
        let owner = Keyring::generate(&entropy).unwrap();
        for secret in [Secret::KeyFile(SealKey::new([5; 32])), passphrase("x")] {
            let seal = || *Slot::seal(&owner, &secret, Costs::LOW, &note(Role::Owner), &entropy).unwrap().bytes();
            let (one, other) = (seal(), seal());
            for random in [SALT..COMMITMENT, NONCE..KEYS, NOTE_NONCE..NOTE] {
                assert_ne!(one[random.clone()], other[random.clone()], "{random:?}");
            }
            assert_ne!(one[NONCE..KEYS], one[NOTE_NONCE..NOTE]);
        }
    }

    /// All slots of a repository are tried with a secret, of which most are others'.
    #[test]
    fn a_slot_of_another_kind_or_repository_is_passed_over() {
        let entropy = SeededEntropy::new(7);
        let owner = Keyring::generate(&entropy).unwrap();
        let secrets = [Secret::KeyFile(SealKey::new([5; 32])), passphrase("x")];
        for (secret, other) in [(&secrets[0], &secrets[1]), (&secrets[1], &secrets[0])] {
            let slot = Slot::seal(&owner, secret, Costs::LOW, &note(Role::Owner), &entropy).unwrap();
            assert!(slot.open(secret, &"slot").unwrap().is_some());
            assert!(slot.open(other, &"slot").unwrap().is_none());
            assert!(Slot::read(slot.bytes(), RepoId([9; 16]), &"slot").unwrap().is_none());
        }
    }

    /// By whoever holds the secret: its commitment and the tags would be right.
    #[test]
    fn what_means_nothing_in_a_slot_is_refused_before_it_is_tried() {
        let entropy = SeededEntropy::new(8);
        let owner = Keyring::generate(&entropy).unwrap();
        let file = Secret::KeyFile(SealKey::new([5; 32]));
        let slot = Slot::seal(&owner, &file, Costs::LOW, &note(Role::Owner), &entropy).unwrap();
        for at in (METHOD + 1..SALT).chain(12..16) {
            let mut bytes = *slot.bytes();
            bytes[at] = 1;
            assert!(matches!(Slot::read(&bytes, owner.repo(), &"slot"), Err(Error::Corrupt { .. })), "byte {at}");
        }
        let labelled = |len| {
            let note = Note { label: "x".repeat(len), ..note(Role::Owner) };
            Slot::seal(&owner, &file, Costs::LOW, &note, &entropy)
        };
        assert_eq!(labelled(LABEL_MAX).unwrap().note(&owner, &"slot").unwrap().label.len(), LABEL_MAX);
        assert!(matches!(labelled(LABEL_MAX + 1), Err(Error::Usage { .. })));
    }

    #[test]
    fn absurd_costs_are_refused_before_memory_is_spent() {
        let entropy = SeededEntropy::new(4);
        let owner = Keyring::generate(&entropy).unwrap();
        let slot = Slot::seal(&owner, &passphrase("x"), Costs::LOW, &note(Role::Owner), &entropy).unwrap();
        for (at, value) in
            [(COSTS, 1 << 30), (COSTS, 8), (COSTS + 4, 1000), (COSTS + 4, 0), (COSTS + 8, 9), (COSTS + 8, 0)]
        {
            let mut bytes = *slot.bytes();
            bytes[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
            assert!(matches!(Slot::read(&bytes, owner.repo(), &"slot"), Err(Error::Corrupt { .. })), "{at} {value}");
        }
    }
}
