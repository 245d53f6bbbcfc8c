//! POSIX ACLs as extended attributes hold them: a version (2) of 4 bytes, then entries of tag (2 bytes), permissions (2)
//! and number (4), little-endian. Source: Linux, `include/uapi/linux/posix_acl_xattr.h`.

use super::Ownership;
use std::borrow::Cow;

/// Permissions of an entry.
pub(super) const ACCESS: &[u8] = b"system.posix_acl_access";
/// What new entries of a directory get.
pub(super) const DEFAULT: &[u8] = b"system.posix_acl_default";

const VERSION: [u8; 4] = [2, 0, 0, 0];
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;

/// True for the name of either.
pub(super) fn is_acl(name: &[u8]) -> bool {
    name == ACCESS || name == DEFAULT
}

/// Tag, permissions and number of each entry; `None` for what is no ACL that we know.
fn entries(value: &[u8]) -> Option<Vec<(u16, u16, u32)>> {
    let (entries, []) = value.strip_prefix(&VERSION)?.as_chunks::<8>() else { return None };
    let parse = |&[a, b, c, d, e, f, g, h]: &[u8; 8]| {
        (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]), u32::from_le_bytes([e, f, g, h]))
    };
    Some(entries.iter().map(parse).collect())
}

/// The ACL with its users and groups as the ownership has them here. What is no ACL stays as it is: the kernel refuses it.
pub(super) fn owned<'a>(value: &'a [u8], ownership: &Ownership) -> Cow<'a, [u8]> {
    let (Ownership::ByName(_), Some(entries)) = (ownership, entries(value)) else { return Cow::Borrowed(value) };
    let mut out = VERSION.to_vec();
    for (tag, permissions, number) in entries {
        let number = match tag {
            USER => ownership.user(number),
            GROUP => ownership.group(number),
            _ => number,
        };
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&permissions.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
    }
    Cow::Owned(out)
}

/// What the owning group may do by the ACL (below 8). An entry with an ACL keeps the mask where its mode has the group's bits, so
/// that where the ACL is lost, the mode alone would give the group all that the mask allows to anybody. Nothing for
/// an ACL that makes no sense.
pub(super) fn group_permissions(value: &[u8]) -> u32 {
    let entries = entries(value).unwrap_or_default();
    let of = |tag| entries.iter().find(|entry| entry.0 == tag).map(|entry| u32::from(entry.1) & 7);
    of(GROUP_OBJ).unwrap_or(0) & of(MASK).unwrap_or(7)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::fs::target::NameMap;

    /// The bytes of an ACL.
    pub(crate) fn encode(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut out = VERSION.to_vec();
        for (tag, permissions, number) in entries {
            out.extend_from_slice(&tag.to_le_bytes());
            out.extend_from_slice(&permissions.to_le_bytes());
            out.extend_from_slice(&number.to_le_bytes());
        }
        out
    }

    #[test]
    fn numbers_in_an_acl_follow_the_names() {
        let acl =
            encode(&[(1, 7, !0), (USER, 6, 1000), (GROUP_OBJ, 4, !0), (GROUP, 6, 50), (MASK, 6, !0), (0x20, 0, !0)]);
        let map = NameMap::new([(1000, "app")], [(50, "staff")], b"app:x:2000:0", b"staff:x:60:");
        let expected =
            encode(&[(1, 7, !0), (USER, 6, 2000), (GROUP_OBJ, 4, !0), (GROUP, 6, 60), (MASK, 6, !0), (0x20, 0, !0)]);
        assert_eq!(owned(&acl, &Ownership::ByName(map)), expected);
        assert_eq!(owned(&acl, &Ownership::Numeric), acl);
        assert_eq!(owned(b"nonsense", &Ownership::ByName(NameMap::default())), &b"nonsense"[..]);
    }

    #[test]
    fn a_lost_acl_gives_the_group_no_more_than_it_had() {
        let acl = encode(&[(1, 7, !0), (USER, 7, 1000), (GROUP_OBJ, 5, !0), (MASK, 6, !0), (0x20, 0, !0)]);
        assert_eq!(group_permissions(&acl), 4);
        assert_eq!(group_permissions(b"\x02\0\0\0\x04"), 0);
    }
}
