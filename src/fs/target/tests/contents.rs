//! Holes.

use super::data;
use super::*;

#[test]
fn holes_stay_holes() {
    let place = Place::new();
    let file = place.root.create_file(&name("sparse")).unwrap();
    set_len(&file, 1 << 36).unwrap();
    write_at(&file, &[7; 4096], 1 << 30).unwrap();
    let blocks = || {
        file.sync_all().unwrap();
        fs::metadata(place.inside("sparse")).unwrap().blocks() * 512
    };
    assert!((4096..=1 << 17).contains(&blocks()), "{}", blocks());

    write_at(&file, &vec![7; 8 << 20], 0).unwrap();
    let full = blocks();
    punch_hole(&file, 0, 8 << 20).unwrap();
    assert!(blocks() + (7 << 20) < full, "{} of {full}", blocks());
    let mut buffer = [1; 100];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut buffer, 4 << 20).unwrap();
    assert_eq!(buffer, [0; 100]);
    punch_hole(&file, (1 << 36) - 10, u64::MAX).unwrap();
    punch_hole(&file, u64::MAX, u64::MAX).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 1 << 36);
}

#[test]
fn where_holes_cannot_be_punched_zeros_are_written() {
    let place = Place::new();
    let file = place.root.create_file(&name("f")).unwrap();
    write_at(&file, &[7; 200_000], 0).unwrap();
    data::zero(&file, 10, 199_000).unwrap();
    let bytes = fs::read(place.inside("f")).unwrap();
    assert_eq!(bytes.len(), 200_000);
    assert!(bytes.iter().enumerate().all(|(i, &b)| (b == 0) == (10..199_010).contains(&i)));
}

/// What a file holds where a snapshot has a hole: a byte that is overlooked would stay.
#[test]
fn data_in_the_place_of_a_hole_is_found_to_the_byte() {
    let place = Place::new();
    let file = place.root.create_file(&name("f")).unwrap();
    set_len(&file, 5 * 4096).unwrap();
    assert!(!has_data(&file, 0, 5 * 4096) && !has_data(&file, 10, 20) && !has_data(&file, 10, 10_000));
    write_at(&file, &[7], 5000).unwrap();
    for (from, to, found) in [
        (0, 4096, false),
        (4096, 8192, true),
        (8192, 20_480, false),
        (0, 20_480, true),
        // Within blocks the bytes tell.
        (4990, 5000, false),
        (4990, 5001, true),
        (5000, 5001, true),
        (5001, 5100, false),
        (100, 5000, false),
        (100, 5001, true),
        (5000, 9000, true),
        (5001, 9000, false),
        (5000, 5000, false),
    ] {
        assert_eq!(has_data(&file, from, to - from), found, "{from} to {to}");
    }
    // Whole blocks of zeros that were written take room.
    write_at(&file, &[0; 4096], 8192).unwrap();
    assert!(has_data(&file, 8192, 4096) && has_data(&file, 6000, 10_000) && !has_data(&file, 9000, 100));
    assert!(has_data(&file, u64::MAX - 10, u64::MAX), "no file system tells what lies there");
    let unreadable = fs::OpenOptions::new().write(true).open(place.inside("f")).unwrap();
    assert!(has_data(&unreadable, 10, 20), "what cannot be read may be anything");
}
