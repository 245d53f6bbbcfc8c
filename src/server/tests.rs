use super::*;
use crate::store::{
    conformance,
    memory::MemoryStore,
    remote::{Link, Over, RemoteStore, Stop},
    retry::Patience,
};
use std::{
    io::BufReader,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

fn never() -> Stop {
    Arc::new(|| false)
}

/// A link to something that talks on a socket, in a thread of its own.
fn link_to(talk: impl FnOnce(UnixStream) + Send + 'static) -> Result<Link, Over> {
    let (here, there) = UnixStream::pair().unwrap();
    thread::spawn(move || talk(there));
    Link::open(here.try_clone().unwrap(), here, None, &never())
}

/// Bytes that may go, and then the line is cut.
struct Cut(UnixStream, usize);

impl Write for Cut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.1);
        if len == 0 && !bytes.is_empty() {
            let _ = self.0.shutdown(std::net::Shutdown::Both);
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let written = self.0.write(&bytes[..len])?;
        self.1 -= written;
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn serving(store: MemoryStore, bytes: usize) -> impl FnOnce(UnixStream) + Send {
    move |there| {
        let mut input = BufReader::new(there.try_clone().unwrap());
        let _ = serve(Ok(&store), &|_| true, &mut input, Cut(there, bytes));
    }
}

fn remote(connect: impl Fn() -> Result<Link, Over> + Send + Sync + 'static) -> Result<RemoteStore> {
    RemoteStore::open("there".into(), Box::new(connect), never())
}

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

#[test]
fn a_store_behind_a_link_keeps_the_contract_for_readers() {
    let behind = MemoryStore::new();
    let through = behind.clone();
    let store = remote(move || link_to(serving(through.clone(), usize::MAX))).unwrap();
    conformance::check_reading(&store, &behind).unwrap();
    assert_eq!(store.now().unwrap(), Some(1_000_000_000));
    behind.set_now(7);
    assert_eq!(store.now().unwrap(), Some(7));
    assert!(matches!(store.put(&name("a"), b"x"), Err(Error::Refused { .. })));
    assert!(matches!(store.remove(&name("a")), Err(Error::Refused { .. })));
    assert!(behind.names().is_empty());
}

#[test]
fn many_threads_share_one_link() {
    let behind = MemoryStore::new();
    let whole = |i: u8| (0..(i as usize) * 300_000 + 1).map(|n| (n as u8).wrapping_mul(i | 1)).collect::<Vec<u8>>();
    for i in 0..16 {
        behind.put(&name(&format!("packs/{i}")), &whole(i)).unwrap();
    }
    let through = behind.clone();
    let store = remote(move || link_to(serving(through.clone(), usize::MAX))).unwrap();
    thread::scope(|scope| {
        for i in 0..16u8 {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..3 {
                    assert!(store.get(&name(&format!("packs/{i}")), u64::MAX).unwrap() == whole(i), "{i}");
                    assert!(store.stat(&name(&format!("packs/{i}"))).unwrap().is_some());
                }
            });
        }
    });
}

#[test]
fn a_link_that_breaks_is_made_anew() {
    let behind = MemoryStore::new();
    let whole: Vec<u8> = (0..3_000_000u32).map(|n| (n >> 3) as u8).collect();
    for i in 0..6 {
        behind.put(&name(&format!("packs/{i}")), &whole).unwrap();
    }
    let (through, links) = (behind.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = links.clone();
    // Each link carries one object and a half.
    let connect = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        link_to(serving(through.clone(), 4_500_000))
    };
    let store = remote(connect)
        .unwrap()
        .patient(Patience { attempts: 6, first: Duration::ZERO, longest: Duration::ZERO }, Box::new(|_| {}));
    let mut names = Vec::new();
    store
        .list("", &mut |entry| {
            names.push(entry.name);
            Ok(())
        })
        .unwrap();
    assert_eq!(names.len(), 6);
    for name in names {
        assert!(store.get(&name, u64::MAX).unwrap() == whole);
    }
    assert!(links.load(Ordering::SeqCst) >= 4, "{links:?}");
}

#[test]
fn a_link_that_stays_broken_says_how_to_go_on() {
    let (through, links) = (MemoryStore::new(), Arc::new(AtomicUsize::new(0)));
    let counted = links.clone();
    let connect = move || match counted.fetch_add(1, Ordering::SeqCst) {
        0 => link_to(serving(through.clone(), 64)),
        _ => Err(Over::Lost("the host is down".into())),
    };
    let waits = Arc::new(AtomicUsize::new(0));
    let of_sleeper = waits.clone();
    let store = remote(connect).unwrap().patient(
        Patience { attempts: 4, first: Duration::ZERO, longest: Duration::ZERO },
        Box::new(move |_| {
            of_sleeper.fetch_add(1, Ordering::SeqCst);
        }),
    );
    let error = loop {
        match store.stat(&name("config")) {
            Ok(_) => {}
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("the host is down") && error.contains("run it again"), "{error}");
    assert_eq!((waits.load(Ordering::SeqCst), links.load(Ordering::SeqCst)), (3, 4));
}

#[test]
fn the_other_side_says_why_it_does_not_serve() {
    let answering = |error: fn() -> Error| {
        move || {
            link_to(move |there| {
                let mut input = there.try_clone().unwrap();
                serve(Err(error()), &|_| true, &mut input, there).unwrap();
            })
        }
    };
    let none = || Error::NoRepository { place: "/secret".into(), why: "there is no such folder".into() };
    assert!(matches!(remote(answering(none)), Err(Error::NoRepository { place, why })
        if place == "there" && why == "there is no such folder"));
    let refused = remote(answering(|| Error::refused("not today"))).err().unwrap().to_string();
    assert_eq!(refused, "there: not today");
}

/// What a client makes of a server that says this after its greeting and *end*.
fn hostile(first: Vec<u8>) -> Result<RemoteStore> {
    remote(move || {
        let first = first.clone();
        link_to(move |mut there| {
            let _ = there.write_all(&first);
            let mut sink = [0; 1024];
            while there.read(&mut sink).is_ok_and(|read| read > 0) {}
        })
    })
}

#[test]
fn other_programs_and_other_versions_are_told_apart() {
    let said = |first: &[u8]| hostile(first.to_vec()).err().unwrap().to_string();
    assert!(said(b"Welcome to alpha!\n").contains("login script"));
    assert!(said(&wire::greeting_of(wire::VERSION + 1)).contains("upgrade the one here"));
    assert!(said(&wire::greeting_of(0)).contains("upgrade the one there"));
}

/// What comes of asking a server that says this next.
fn asked<T>(next: &[(u32, Answer)], ask: impl FnOnce(&RemoteStore) -> Result<T>) -> Result<T> {
    let next = next.to_vec();
    let store = remote(move || {
        let next = next.clone();
        link_to(move |mut there| {
            let mut input = there.try_clone().unwrap();
            let mut greeting = [0; GREETING_LEN];
            input.read_exact(&mut greeting).unwrap();
            let mut out = wire::greeting().to_vec();
            Answer::End.write(&mut out, 0).unwrap();
            there.write_all(&out).unwrap();
            // The clock first, then what is asked, then nothing.
            let mut out = Vec::new();
            let Ok(Some(frame)) = wire::read_frame(&mut input, wire::REQUEST_MAX) else { return };
            Answer::Time(5).write(&mut out, frame.request).unwrap();
            there.write_all(&out).unwrap();
            let Ok(Some(frame)) = wire::read_frame(&mut input, wire::REQUEST_MAX) else { return };
            for (off, mut answer) in next.clone() {
                let mut out = Vec::new();
                answer.write(&mut out, frame.request + off).unwrap();
                if there.write_all(&out).is_err() {
                    return;
                }
            }
        })
    })
    .unwrap();
    ask(&store)
}

fn piece(total: u64, len: usize) -> Answer {
    Answer::Bytes { total, bytes: Piece::zeroed(len) }
}

fn entry(text: &str) -> Entry {
    Entry { name: name(text), len: 1, stored: 0 }
}

#[test]
fn answers_that_were_not_asked_for_end_the_link() {
    let wrong = |answers: &[(u32, Answer)], what: &str| {
        let read = asked(answers, |store| store.get_range(&name("a"), 0, &mut [0; 100]));
        let error = read.err().unwrap_or_else(|| panic!("{answers:?}"));
        assert!(
            matches!(&error, Error::Store { source, .. } if source.kind() == io::ErrorKind::InvalidData),
            "{error}"
        );
        assert!(error.to_string().contains(what), "{error}");
    };
    wrong(&[(9, piece(100, 100))], "nobody asked for");
    wrong(&[(0, piece(100, 99))], "none to what was asked");
    wrong(&[(0, piece(1000, 101))], "none to what was asked");
    wrong(&[(0, Answer::Time(3))], "none to what was asked");
    wrong(&[(0, Answer::End)], "none to what was asked");
    wrong(&[(0, Answer::Entries(vec![entry("a")]))], "none to what was asked");
    let other = asked(&[(0, Answer::Entries(vec![entry("b")]))], |store| store.stat(&name("a")));
    assert!(other.unwrap_err().to_string().contains("none to what was asked"));
    let outside = asked(&[(0, Answer::Entries(vec![entry("keys/a")]))], |store| store.list("packs/", &mut |_| Ok(())));
    assert!(outside.unwrap_err().to_string().contains("none to what was asked"));
}

#[test]
fn a_length_that_is_only_said_takes_no_memory() {
    // A thousand million million bytes, of which none come after the first piece.
    let lying = [(0, piece(1 << 60, wire::PIECE))];
    let read = asked(&lying, |store| store.get(&name("a"), u64::MAX));
    assert!(matches!(read, Err(Error::Store { .. } | Error::Corrupt { .. })), "{:?}", read.map(|b| b.len()));
    assert!(matches!(asked(&lying, |store| store.get(&name("a"), 4 << 20)), Err(Error::Corrupt { .. })));
}

#[test]
fn a_listing_without_an_end_ends() {
    let many: Vec<Entry> = (0..10_000).map(|i| entry(&format!("packs/{i}"))).collect();
    let pages: Vec<(u32, Answer)> =
        (0..=crate::store::remote::LIST_MAX / many.len() + 1).map(|_| (0, Answer::Entries(many.clone()))).collect();
    let told = asked(&pages, |store| store.list("", &mut |_| Ok(())));
    assert!(told.unwrap_err().to_string().contains("a listing of more than"));
}

#[test]
fn what_is_no_object_is_not_served() {
    let behind = MemoryStore::new();
    for text in ["passwd", "config", "keys/a"] {
        behind.put(&name(text), b"bytes").unwrap();
    }
    let through = behind.clone();
    let store = remote(move || {
        let through = through.clone();
        link_to(move |there| {
            let mut input = BufReader::new(there.try_clone().unwrap());
            let _ = serve(Ok(&through), &|name| name.as_str() == "config", &mut input, there);
        })
    })
    .unwrap();
    let mut names = Vec::new();
    store
        .list("", &mut |entry| {
            names.push(entry.name.to_string());
            Ok(())
        })
        .unwrap();
    assert_eq!(names, ["config"]);
    assert!(matches!(store.get(&name("passwd"), 99), Err(Error::Missing { .. })));
    assert!(store.stat(&name("passwd")).unwrap().is_none());
    assert_eq!(store.get(&name("config"), 99).unwrap(), b"bytes");
}

#[test]
fn a_client_that_makes_no_sense_is_left() {
    let talk = |bytes: &[u8]| {
        let mut out = Vec::new();
        serve(Ok(&MemoryStore::new()), &|_| true, &mut { bytes }, &mut out)
    };
    assert!(talk(b"GET / HTTP/1.1\r\n\r\n").unwrap_err().to_string().contains("vault pull"));
    talk(b"").unwrap();
    talk(&wire::greeting()).unwrap();
    for frame in [&b"\xff\xff\xff\xff\x01\0\0\0\0"[..], b"\x09\0\0\0\x02\0\0\0\0../x", b"\x05\0\0\0\x09\0\0\0\0"] {
        let error = talk(&[&wire::greeting()[..], frame].concat()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    }
}
