//! Who claims, lists, asks and replaces at the same time, in many orders: `cargo test --lib --features interleaved interleaved`.

use super::{
    BlobIndex, Membership,
    run::{
        Source,
        tests::{blob_id, pack},
    },
};
use crate::id::IndexId;
use shuttle::{check_pct, check_random, thread};
use std::sync::Arc;

/// Orders that are tried, of each kind.
const ORDERS: usize = 3000;

/// By chance, and by chance with few switches, which is where mistakes hide that take a certain one.
fn in_many_orders(scene: impl Fn() + Send + Sync + Clone + 'static) {
    check_random(scene.clone(), ORDERS);
    check_pct(scene, ORDERS, 3);
}

fn source(number: u8) -> Source {
    Source { id: IndexId([number; 32]), len: 4096 }
}

#[test]
fn a_blob_is_new_to_exactly_one_while_it_is_listed() {
    in_many_orders(|| {
        let index = Arc::new(BlobIndex::empty(None));
        let claims = |index: &BlobIndex| (0..3).filter(|n| index.claim(&blob_id(*n)) == Membership::New).count();
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let index = index.clone();
                thread::spawn(move || claims(&index))
            })
            .collect();
        // The packer lists what has been claimed by then.
        let packer = {
            let index = index.clone();
            thread::spawn(move || {
                let news = claims(&index);
                index.absorb(source(1), &[pack(0, 3)]).unwrap();
                news
            })
        };
        let of_writers: usize = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        assert_eq!(of_writers + packer.join().unwrap(), 3);
        assert!((0..3).all(|n| index.place(&blob_id(n)).is_some()));
    });
}

#[test]
fn what_was_known_once_stays_known() {
    in_many_orders(|| {
        let index = Arc::new(BlobIndex::empty(None));
        assert_eq!(index.claim(&blob_id(1)), Membership::New);
        let packer = {
            let index = index.clone();
            thread::spawn(move || index.absorb(source(1), &[pack(0, 3)]).unwrap())
        };
        for _ in 0..3 {
            assert!(index.contains(&blob_id(1)));
            assert_eq!(index.claim(&blob_id(1)), Membership::Known);
        }
        packer.join().unwrap();
        assert!(index.contains(&blob_id(1)));
    });
}

#[test]
fn none_of_two_lists_at_once_is_lost() {
    in_many_orders(|| {
        let index = Arc::new(BlobIndex::empty(None));
        let packers: Vec<_> = (0..3u8)
            .map(|number| {
                let index = index.clone();
                thread::spawn(move || index.absorb(source(number), &[pack(u32::from(number) * 10, 3)]).unwrap())
            })
            .collect();
        packers.into_iter().for_each(|packer| packer.join().unwrap());
        assert_eq!(index.len(), 9);
        assert!([0, 2, 10, 12, 20, 22].iter().all(|n| index.place(&blob_id(*n)).is_some()));
    });
}
