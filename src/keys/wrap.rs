//! Keys sealed to a public key: HPKE (RFC 9180), X25519, mode PSK. Parameters: `format-spec/02-keys.md`.

use crate::{
    error::{Error, Result},
    id::RepoId,
    object::Kind,
    seal::SealKey,
    world::{Entropy, random},
};
use bincode::{Decode, Encode};
use hpke::{
    Deserializable, Kem as _, OpModeR, OpModeS, PskBundle, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256, single_shot_open, single_shot_seal_with_rng,
};

use std::convert::Infallible;
use zeroize::{Zeroize, ZeroizeOnDrop};

type Kem = X25519HkdfSha256;

/// A key that only the holder of a secret key can open.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct WrappedKey {
    /// The encapsulated key.
    pub enc: [u8; 32],
    /// The sealed key.
    pub sealed: [u8; 48],
}

/// Length of a wrapped key in bytes.
pub const WRAPPED_LEN: usize = 80;

impl WrappedKey {
    /// The bytes as they stand in fixed layouts.
    pub fn to_bytes(&self) -> [u8; WRAPPED_LEN] {
        let mut out = [0; WRAPPED_LEN];
        out[..32].copy_from_slice(&self.enc);
        out[32..].copy_from_slice(&self.sealed);
        out
    }

    /// Reads the bytes of a fixed layout.
    pub fn from_bytes(bytes: &[u8; WRAPPED_LEN]) -> Self {
        let mut key = WrappedKey { enc: [0; 32], sealed: [0; 48] };
        key.enc.copy_from_slice(&bytes[..32]);
        key.sealed.copy_from_slice(&bytes[32..]);
        key
    }
}

/// An X25519 public key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey(pub [u8; 32]);

/// An X25519 private key; wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// Takes 32 secret bytes; X25519 makes a private key of any.
    pub fn new(bytes: [u8; 32]) -> Self {
        SecretKey(bytes)
    }

    /// The secret bytes, to be stored in a slot.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public key that belongs to it.
    pub fn public(&self) -> PublicKey {
        match <Kem as hpke::Kem>::PrivateKey::from_bytes(&self.0) {
            Ok(secret) => PublicKey(Kem::sk_to_pk(&secret).to_bytes().into()),
            // Any 32 bytes are a private key.
            Err(_) => PublicKey([0; 32]),
        }
    }
}

/// Gives the HPKE crate, whose generators cannot fail, bytes that follow from 32 fresh random ones.
struct Drawn(blake3::OutputReader);

impl hpke::rand_core::TryRng for Drawn {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(out);
        Ok(())
    }
}

impl hpke::rand_core::TryCryptoRng for Drawn {}

fn info(repo: RepoId, kind: Kind) -> Vec<u8> {
    [&b"vault v1 wrapped key"[..], repo.as_bytes(), &[kind as u8]].concat()
}

/// Seals `key` to `recipient` for an object of this kind.
pub fn wrap(
    key: &SealKey,
    recipient: &PublicKey,
    psk: &SealKey,
    repo: RepoId,
    kind: Kind,
    entropy: &dyn Entropy,
) -> Result<WrappedKey> {
    let failed = |e: hpke::HpkeError| Error::Hardware { what: format!("a key cannot be wrapped: {e}") };
    let seed: [u8; 32] = random(entropy)?;
    let mut rng = Drawn(blake3::Hasher::new_derive_key("vault v1 hpke randomness").update(&seed).finalize_xof());
    let public = <Kem as hpke::Kem>::PublicKey::from_bytes(&recipient.0).map_err(failed)?;
    let mode = OpModeS::Psk(PskBundle::new(psk.expose(), repo.as_bytes()).map_err(failed)?);
    let (enc, sealed) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &mode,
        &public,
        &info(repo, kind),
        key.expose(),
        &[],
        &mut rng,
    )
    .map_err(failed)?;
    let sealed = sealed.try_into().map_err(|_| Error::Hardware { what: "a wrapped key has a wrong length".into() })?;
    Ok(WrappedKey { enc: enc.to_bytes().into(), sealed })
}

/// Opens a wrapped key; `None` when it does not verify.
pub fn unwrap(wrapped: &WrappedKey, secret: &SecretKey, psk: &SealKey, repo: RepoId, kind: Kind) -> Option<SealKey> {
    let secret = <Kem as hpke::Kem>::PrivateKey::from_bytes(&secret.0).ok()?;
    let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(&wrapped.enc).ok()?;
    let mode = OpModeR::Psk(PskBundle::new(psk.expose(), repo.as_bytes()).ok()?);
    let mut plain = single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &mode,
        &secret,
        &enc,
        &info(repo, kind),
        &wrapped.sealed,
        &[],
    )
    .ok()?;
    let key = <[u8; 32]>::try_from(&plain[..]).ok().map(SealKey::new);
    plain.zeroize();
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::SeededEntropy;

    /// An encapsulated key that came twice would give away what was sealed with it.
    #[test]
    fn each_wrap_is_another_and_opens_for_its_reader_kind_and_repository_alone() {
        let (secret, psk, key) = (SecretKey::new([3; 32]), SealKey::new([2; 32]), SealKey::new([9; 32]));
        let (repo, kind, entropy) = (RepoId([1; 16]), Kind::DataPack, SeededEntropy::new(1));
        let wrap = || wrap(&key, &secret.public(), &psk, repo, kind, &entropy).unwrap();
        let (one, other) = (wrap(), wrap());
        assert!(one.enc != other.enc && one.sealed != other.sealed);
        for wrapped in [&one, &other, &WrappedKey::from_bytes(&one.to_bytes())] {
            let open = |repo, kind| unwrap(wrapped, &secret, &psk, repo, kind).map(|key| *key.expose());
            assert_eq!(open(repo, kind), Some([9; 32]));
            assert_eq!((open(repo, Kind::TreePack), open(RepoId([2; 16]), kind)), (None, None));
        }
        assert!(unwrap(&one, &SecretKey::new([4; 32]), &psk, repo, kind).is_none());
        assert!(unwrap(&one, &secret, &SealKey::new([4; 32]), repo, kind).is_none());
        assert_eq!(secret.expose(), &[3; 32]);
    }
}
