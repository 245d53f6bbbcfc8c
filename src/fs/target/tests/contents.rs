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
