//! What is read of files.

use super::*;

/// Pieces of a file that has holes at its ends and in between, and its bytes.
fn holey(count: usize) -> (Item, Vec<u8>) {
    let (mut pieces, mut bytes) = (vec![Piece::Hole(5000)], vec![0; 5000]);
    for n in 0..count {
        let data = fixture::noise(100 + n * 37 % 900, n as u64);
        bytes.extend_from_slice(&data);
        pieces.push(Piece::Data(data));
        if n % 3 == 0 {
            pieces.push(Piece::Hole(777));
            bytes.resize(bytes.len() + 777, 0);
        }
    }
    (fixture::pieces(pieces), bytes)
}

#[test]
fn bytes_and_holes_are_where_they_were_at_any_offset() {
    let fixture = Fixture::new();
    // The one's list is in its entry, the other's in pages.
    let ((short, short_bytes), (long, long_bytes)) = (holey(9), holey(3000));
    let listed = fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(vec![("long", long), ("short", short)]))]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = one(&borrowed, &reader, &listed, "app");
    for (name, bytes) in [("short", short_bytes), ("long", long_bytes)] {
        let told = walk(&view, name).unwrap();
        let file = told.attr.ino.0;
        assert_eq!(told.attr.size, bytes.len() as u64);
        assert!(told.attr.blocks * 512 < told.attr.size, "who copies it must look for holes");
        assert!(read(&view, file, 0, bytes.len() + 99).unwrap() == bytes);
        let mut at = 1usize;
        for _ in 0..2000 {
            at = (at * 7919 + 31) % (bytes.len() + 100);
            let len = at % 5000;
            let expected = bytes.get(at..bytes.len().min(at + len)).unwrap_or_default();
            assert!(read(&view, file, at as u64, len).unwrap() == expected, "{name} at {at}, {len}");
        }
        assert_eq!(read(&view, file, u64::MAX - 5, 10), Ok(vec![]));
        // Along the file, hole by hole: noise has no long zeros, holes nothing else.
        let (mut at, mut data) = (0, 0);
        while let Ok(begin) = view.seek(file, at, Sought::Data) {
            assert!(bytes[at as usize..begin as usize].iter().all(|byte| *byte == 0));
            at = view.seek(file, begin, Sought::Hole).unwrap();
            assert!(at > begin);
            data += at - begin;
            assert!(bytes[begin as usize..at as usize].windows(64).all(|some| some.iter().any(|byte| *byte != 0)));
        }
        assert_eq!(data, bytes.len() as u64 - 5000 - 777 * bytes_in_threes(name));
        assert_eq!(view.seek(file, bytes.len() as u64, Sought::Hole), Err(No::Beyond));
    }
}

fn bytes_in_threes(name: &str) -> u64 {
    if name == "short" { 3 } else { 1000 }
}

#[test]
fn what_was_opened_ahead_is_not_fetched_again() {
    let fixture = Fixture::new();
    let bytes = fixture::noise(40_000, 1);
    let pieces = bytes.chunks(1000).map(|part| Piece::Data(part.to_vec())).collect();
    let listed = fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(vec![("f", fixture::pieces(pieces))]))]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = one(&borrowed, &reader, &listed, "app");
    let file = number(&view, "f");
    let mut out = Vec::new();
    let next = view.read(file, 0, 4096, &mut out).unwrap();
    assert_eq!(next, 4096..40_000);
    view.open_ahead(file, next);
    fixture.store.names().iter().filter(|name| name.as_str().starts_with("packs/")).for_each(|name| {
        fixture.store.remove(name).unwrap();
    });
    assert!(read(&view, file, 0, 50_000).unwrap() == bytes);
}
