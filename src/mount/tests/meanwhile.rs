//! What comes to the repository while it is mounted.

use super::*;

#[test]
fn a_new_snapshot_appears_and_can_be_read() {
    let fixture = Fixture::new();
    fixture.snapshot("h/-/s", 1, vec![("app", fixture::dir(vec![("f", fixture::file(b"old"))]))]);
    let borrowed = Borrowed::new(&fixture);
    let reader = borrowed.reader();
    let view = all(&borrowed, &reader);
    assert_eq!(contents(&view, "servers/h/-/s/t1/app/f"), Ok(b"old".to_vec()));
    fixture.snapshot("h/-/s", 2, vec![("app", fixture::dir(vec![("f", fixture::file(b"new"))]))]);
    fixture.snapshot("h/-/other", 3, vec![("app", fixture::dir(vec![("f", fixture::file(b"other"))]))]);
    // Who asks for the newest, or lists, gets what is there now.
    assert_eq!(view.link(number(&view, "servers/h/-/s/latest")), Ok(b"t2".to_vec()));
    assert_eq!(contents(&view, "servers/h/-/s/t2/app/f"), Ok(b"new".to_vec()));
    assert_eq!(contents(&view, "servers/h/-/other/t3/app/f"), Ok(b"other".to_vec()));
    assert_eq!(contents(&view, "servers/h/-/s/t1/app/f"), Ok(b"old".to_vec()));
    assert_eq!(names(&view, "servers/h/-"), ["other", "s"]);
}

/// A clock that is set by hand.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Time {
        Time::from_sec(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn the_index_is_loaded_again_as_often_as_it_changes() {
    let fixture = Fixture::new();
    let clock = Arc::new(Hand(AtomicI64::new(1_700_000_000)));
    let repo = fixture.reopen_by(clock.clone(), None);
    let index = fixture.index();
    let reader = BlobReader::new(&repo, &index);
    let first = fixture.store_page(BlobKind::Tree, b"first");
    assert_eq!(reader.blob(BlobKind::Tree, &first).unwrap(), b"first");
    let second = fixture.store_page(BlobKind::Tree, b"second");
    // Within the same seconds the store is not asked.
    assert!(reader.blob(BlobKind::Tree, &second).is_err());
    clock.0.fetch_add(60, Ordering::Relaxed);
    assert_eq!(reader.blob(BlobKind::Tree, &second).unwrap(), b"second");
    assert_eq!(reader.blob(BlobKind::Tree, &first).unwrap(), b"first");
}
