//! Authenticated encryption: ChaCha20-Poly1305 for segments (counter nonces), XChaCha20-Poly1305 for the rest (random nonces).
//!
//! Segments are nearly all of the bytes, and go through `ring`, which encrypts and authenticates in one pass, at twice the speed;
//! it has no extended nonces. A test holds both implementations against each other.

use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, aead::inout::InOutBuf};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Length of a key in bytes.
pub const KEY_LEN: usize = 32;
/// Length of a tag in bytes.
pub const TAG_LEN: usize = 16;

/// A secret key of the cipher; wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SealKey([u8; KEY_LEN]);

impl SealKey {
    /// Takes 32 secret bytes.
    pub fn new(bytes: [u8; KEY_LEN]) -> Self {
        SealKey(bytes)
    }

    /// The secret bytes, to be wrapped or derived from.
    pub fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(secret)")
    }
}

/// Appends `plain`, sealed, and its tag to `out`.
pub fn seal_append(key: &SealKey, nonce: &[u8; 24], ad: &[u8], plain: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(plain);
    let cipher = XChaCha20Poly1305::new(&key.0.into());
    append_tag(cipher.encrypt_inout_detached(&(*nonce).into(), ad, InOutBuf::from(&mut out[start..])).ok(), out);
}

/// Opens ciphertext and tag; `None` when they do not verify.
pub fn open(key: &SealKey, nonce: &[u8; 24], ad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (ciphertext, tag) = sealed.split_last_chunk::<TAG_LEN>()?;
    let mut plain = ciphertext.to_vec();
    let cipher = XChaCha20Poly1305::new(&key.0.into());
    let tag = Tag::from(*tag);
    cipher.decrypt_inout_detached(&(*nonce).into(), ad, InOutBuf::from(&mut plain[..]), &tag).ok()?;
    Some(plain)
}

/// The nonce of a segment: 4 zero bytes and the counter.
fn segment_nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

/// `None` only for a key of another length, which none is.
fn segment_cipher(key: &SealKey) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, &key.0).ok().map(LessSafeKey::new)
}

/// Seals `buf` in place and appends the tag. The pair of key and counter is never used again.
pub fn seal_segment(key: &SealKey, counter: u64, ad: &[u8], buf: &mut Vec<u8>) {
    let nonce = Nonce::assume_unique_for_key(segment_nonce(counter));
    let sealed = segment_cipher(key).and_then(|cipher| {
        let tag = cipher.seal_in_place_separate_tag(nonce, Aad::from(ad), buf).ok()?;
        Some(Tag::from(<[u8; TAG_LEN]>::try_from(tag.as_ref()).ok()?))
    });
    append_tag(sealed, buf);
}

/// Opens `buf` in place and takes the tag off; false when it does not verify (the bytes are then worthless).
#[must_use]
pub fn open_segment(key: &SealKey, counter: u64, ad: &[u8], buf: &mut Vec<u8>) -> bool {
    let Some(len) = open_segment_within(key, counter, ad, buf).map(|opened| opened.len()) else { return false };
    buf.truncate(len);
    true
}

/// The same of bytes that stay where they are: what stands before the tag.
pub fn open_segment_within<'b>(key: &SealKey, counter: u64, ad: &[u8], buf: &'b mut [u8]) -> Option<&'b mut [u8]> {
    let nonce = Nonce::assume_unique_for_key(segment_nonce(counter));
    segment_cipher(key)?.open_in_place(nonce, Aad::from(ad), buf).ok()
}

/// Sealing fails only beyond 256 GiB of plaintext; limits keep every input below 64 MiB. Should it fail all the same, the
/// zero tag makes the result fail to open, which the proof of segments and the reading back of slots notice.
fn append_tag(tag: Option<Tag>, out: &mut Vec<u8>) {
    debug_assert!(tag.is_some());
    out.extend_from_slice(&tag.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::hex;
    use chacha20poly1305::ChaCha20Poly1305;

    /// `format-spec/reader` opens segments by a third one.
    #[test]
    fn two_implementations_agree() {
        let (key, ad) = (SealKey::new([7; 32]), b"associated");
        for len in [0, 1, 15, 16, 63, 64, 65, 1000, 100_000] {
            let plain: Vec<u8> = (0..len).map(|i: usize| (i * i) as u8).collect();
            let mut sealed = plain.clone();
            seal_segment(&key, u64::MAX - 2, ad, &mut sealed);
            let mut other = plain.clone();
            let cipher = ChaCha20Poly1305::new(&key.0.into());
            let nonce = [0, 0, 0, 0, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
            let tag = cipher.encrypt_inout_detached(&nonce.into(), ad, InOutBuf::from(&mut other[..])).unwrap();
            other.extend_from_slice(&tag);
            assert!(sealed == other, "{len}");
            assert!(open_segment(&key, u64::MAX - 2, ad, &mut other));
            assert_eq!(other, plain);
        }
    }

    /// The extended cipher's published vector.
    #[test]
    fn extended_cipher_matches_the_draft() {
        let key = SealKey::new(std::array::from_fn(|i| 0x80 + i as u8));
        let nonce: [u8; 24] = std::array::from_fn(|i| 0x40 + i as u8);
        let ad = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let mut out = Vec::new();
        seal_append(&key, &nonce, &ad, plain, &mut out);
        assert_eq!(hex(&out[out.len() - 16..]), "c0875924c1c7987947deafd8780acf49");
        assert_eq!(open(&key, &nonce, &ad, &out).as_deref(), Some(&plain[..]));
    }

    #[test]
    fn segments_open_only_with_their_key_counter_and_data() {
        let (key, other) = (SealKey::new([1; 32]), SealKey::new([2; 32]));
        let mut sealed = b"some bytes".to_vec();
        seal_segment(&key, 5, b"ad", &mut sealed);
        let open = |key, counter, ad| open_segment(key, counter, ad, &mut sealed.clone());
        assert!(open(&key, 5, b"ad"));
        assert!(!open(&other, 5, b"ad") && !open(&key, 6, b"ad") && !open(&key, 5, b"aD"));
        assert!(!open_segment(&key, 5, b"ad", &mut vec![0; 15]));
        assert_eq!((other.expose(), format!("{key:?}").as_str()), (&[2; 32], "SealKey(secret)"));
    }
}
