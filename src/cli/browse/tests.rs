use super::{
    library::{Item, Library, Place, Shelves},
    state::{Browser, Key, Work},
    view,
};
use crate::{
    error::Result,
    index::BlobIndex,
    monitor::Silent,
    ops::fixture::{self, Fixture},
    repo::BlobReader,
};
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers},
};

/// A repository with two versions of one series, and another series with a name that would clear the screen.
fn world() -> (Fixture, BlobIndex) {
    let fixture = Fixture::new();
    for (n, text) in ["old text\n", "new text\nmore\x1b[2J\n"].into_iter().enumerate() {
        let etc = fixture::dir(vec![("a.conf", fixture::file(text.as_bytes())), ("b.bin", fixture::file(b"\0\x01"))]);
        let app = fixture::dir(vec![("etc", etc), ("zz\x1b[2J\u{202e}", fixture::file(b"x"))]);
        fixture.snapshot("alpha/-/app", n as i64 * 86_400, vec![("app", app)]);
    }
    fixture.snapshot("beta/-/db", 5, vec![("db", fixture::file(b"dump"))]);
    let index = fixture.index();
    (fixture, index)
}

struct Driver<'r> {
    browser: Browser<Shelves<'r>>,
    terminal: Terminal<TestBackend>,
}

impl<'r> Driver<'r> {
    fn new(reader: &'r BlobReader<'r>, width: u16, height: u16) -> Self {
        let listed = reader.repo().snapshots(None).unwrap().listed;
        let browser = Browser::new(Shelves::new(reader, listed, None, &Silent));
        let mut driver = Driver { browser, terminal: Terminal::new(TestBackend::new(width, height)).unwrap() };
        driver.settle();
        driver
    }

    fn settle(&mut self) {
        while self.browser.work.is_some() {
            self.browser.run();
        }
    }

    /// Types: `>` opens, `<` goes back, `v` down, `^` up, `!` is escape; all else as it is.
    fn keys(&mut self, keys: &str) -> &mut Self {
        for c in keys.chars() {
            let typing = self.browser.prompt.is_some();
            self.browser.key(match c {
                '>' => Key::Open,
                '<' if !typing => Key::Back,
                '_' if !typing => Key::Down,
                '^' if !typing => Key::Up,
                '!' => Key::Escape,
                c => Key::Char(c),
            });
            self.settle();
        }
        self
    }

    fn screen(&mut self) -> Vec<String> {
        self.terminal.draw(|frame| view::draw(&mut self.browser, false, frame)).unwrap();
        let buffer = self.terminal.backend().buffer();
        let width = buffer.area.width as usize;
        let rows = buffer.content().chunks(width);
        rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned()).collect()
    }

    fn names(&self) -> Vec<String> {
        self.browser.page().unwrap().items.iter().map(Item::name).collect()
    }
}

macro_rules! driver {
    ($driver:ident, $width:expr, $height:expr) => {
        let (fixture, index) = world();
        let reader = BlobReader::new(&fixture.repo, &index);
        let mut $driver = Driver::new(&reader, $width, $height);
    };
}

#[test]
fn the_way_leads_from_series_to_files_and_back() {
    driver!(driver, 80, 24);
    assert_eq!(driver.names(), ["alpha/-/app", "beta/-/db"]);
    driver.keys(">");
    assert_eq!(driver.names().len(), 2, "its snapshots, the newest first");
    driver.keys(">>");
    assert_eq!(driver.names(), ["etc/", "zz\\x1b[2J\\u{202e}"]);
    driver.keys(">");
    assert_eq!(driver.names(), ["a.conf", "b.bin"]);
    driver.keys(">");
    assert_eq!(driver.browser.preview.as_ref().unwrap()[..2], ["new text", "more\\x1b[2J"]);
    driver.keys("_");
    assert_eq!(driver.browser.preview.as_ref().unwrap()[0], "00000000  00 01 ", "the preview follows the cursor");
    driver.keys("<<<");
    assert!(driver.browser.preview.is_none());
    driver.keys("_>>");
    assert!(driver.names().contains(&"etc/".into()), "the older snapshot");
    driver.keys("<<<<<<<q");
    assert_eq!(driver.names(), ["alpha/-/app", "beta/-/db"]);
    assert!(driver.browser.done);
}

#[test]
fn nothing_on_the_screen_steers_the_terminal() {
    for (width, height) in [(80, 24), (200, 50), (20, 4), (1, 1)] {
        driver!(driver, width, height);
        let mut all = driver.screen();
        for keys in [">", ">", ">", ">", ">", "v", "<", "<", "<", "ftext>", "f*[2J*>", "/zz>", "p"] {
            driver.keys(keys);
            all.extend(driver.screen());
        }
        assert!(all.iter().all(|row| !row.chars().any(|c| c.is_control() || c == '\u{202e}')), "{all:?}");
        assert_eq!(width >= 80, all.iter().any(|row| row.contains("\\x1b[2J")));
    }
}

#[test]
fn the_screen_shows_where_one_is_and_what_keys_do() {
    driver!(driver, 80, 24);
    let screen = driver.screen();
    assert_eq!(screen.len(), 24);
    assert!(screen[0].starts_with("all series") && screen[0].ends_with("1/2"), "{screen:?}");
    assert!(screen[1].starts_with("  alpha/-/app") && screen[1].contains("2 snapshots"), "{screen:?}");
    for key in ["→ open", "← back", "p look", "v versions", "space mark", "r restore", "/ search", "f find", "q quit"]
    {
        assert!(screen[23].contains(key), "{key}: {screen:?}");
    }
    let screen = driver.keys(">>>>>").screen();
    assert!(screen[0].starts_with("alpha/-/app") && screen[0].contains("/app/etc"), "{screen:?}");
    assert!(screen.iter().any(|row| row.contains("new text")), "the preview is below: {screen:?}");
    let mut wide = Terminal::new(TestBackend::new(200, 50)).unwrap();
    std::mem::swap(&mut driver.terminal, &mut wide);
    let screen = driver.screen();
    assert!(screen[1].contains("a.conf") && screen[1].contains("new text"), "beside it: {screen:?}");
}

#[test]
fn versions_of_the_file_under_the_cursor() {
    driver!(driver, 80, 24);
    driver.keys("v");
    assert!(driver.browser.message.contains("open a snapshot first"));
    driver.keys(">>>>v");
    assert!(matches!(driver.browser.page().unwrap().place, Place::Versions { .. }));
    let screen = driver.screen();
    assert!(screen[1].contains("18 B") && screen[2].contains("9 B"), "newest first: {screen:?}");
    assert!(screen[1].contains("content") && screen[2].contains("appeared"), "what happened: {screen:?}");
    driver.keys("_>");
    assert_eq!(driver.browser.preview.as_ref().unwrap()[0], "old text");
}

#[test]
fn search_here_and_in_all_snapshots() {
    driver!(driver, 80, 24);
    driver.keys("/BETA>");
    assert_eq!(driver.browser.page().unwrap().cursor, 1);
    driver.keys("/nowhere>");
    assert!(driver.browser.message.contains("nowhere") && driver.browser.page().unwrap().cursor == 1);
    driver.keys("n");
    assert!(driver.browser.message.contains("nowhere"), "{}", driver.browser.message);
    driver.keys("^f*.CONF>");
    assert_eq!(driver.names(), ["app/etc/a.conf"]);
    driver.keys(">");
    assert_eq!(driver.names(), ["a.conf", "b.bin"], "the folder that it is in");
    driver.keys("fnothing>");
    assert!(driver.browser.message.contains("nothing was found"));
    driver.keys("f[>");
    assert!(driver.browser.message.contains("is no pattern"));
    driver.keys("fx!");
    assert!(driver.browser.prompt.is_none() && driver.browser.work.is_none());
}

#[test]
fn what_is_marked_is_restored() {
    driver!(driver, 80, 24);
    let target = tempfile::tempdir().unwrap();
    driver.keys(" ");
    assert!(driver.browser.marks.is_empty() && driver.browser.message.contains("open one first"));
    driver.keys("r");
    assert!(driver.browser.prompt.is_none() && driver.browser.message.contains("nothing is marked"));
    driver.keys(">>>> ");
    assert_eq!(driver.browser.marks.len(), 1);
    driver.keys("<  ^ ");
    assert_eq!(driver.browser.marks.len(), 2, "marked: a.conf and the odd one; etc was marked and unmarked");
    assert!(driver.screen().iter().any(|row| row.starts_with("* zz")));
    let path = target.path().join("out");
    driver.keys(&format!("r{}>", path.display()));
    let screen = driver.screen();
    assert!(driver.browser.message.contains("restored 2 files"), "{} {screen:?}", driver.browser.message);
    assert_eq!(std::fs::read(path.join("app/etc/a.conf")).unwrap(), b"new text\nmore\x1b[2J\n");
    assert!(driver.browser.marks.is_empty());
    driver.keys(&format!("<> r{}>", path.display()));
    assert!(driver.browser.message.contains("is not empty"), "{}", driver.browser.message);
    // One folder goes by its own name; versions of one file do not meet.
    let other = target.path().join("other");
    driver.keys(&format!("r{}>", other.display()));
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 1, "{}", driver.browser.message);
}

#[test]
fn a_cursor_stays_in_its_list_and_on_the_screen() {
    struct Numbers;
    impl Library for Numbers {
        fn list(&mut self, _: &Place) -> Result<Vec<Item>> {
            let fixture = Fixture::new();
            let newest = std::rc::Rc::new(fixture.snapshot("h/-/s", 1, vec![("app", fixture::file(b""))]));
            let item = |n| Item::Series { series: format!("s{n}"), snapshots: 1, newest: newest.clone() };
            Ok((0..100).map(item).collect())
        }
        fn preview(&mut self, _: &Item) -> Result<Vec<String>> {
            Ok(vec![])
        }
        fn restore(&mut self, _: &[Item], _: &str) -> Result<String> {
            Ok(String::new())
        }
    }
    let mut browser = Browser::new(Numbers);
    assert_eq!(browser.work, Some(Work::Enter(Place::Repository)));
    browser.run();
    browser.set_height(10);
    let mut at = |key, cursor, top| {
        browser.key(key);
        let page = browser.page().unwrap();
        assert_eq!((page.cursor, page.top), (cursor, top), "{key:?}");
    };
    at(Key::Up, 0, 0);
    at(Key::PageDown, 9, 0);
    at(Key::Down, 10, 1);
    at(Key::End, 99, 90);
    at(Key::Down, 99, 90);
    at(Key::PageUp, 90, 90);
    at(Key::Up, 89, 89);
    at(Key::Home, 0, 0);
    browser.key(Key::Interrupt);
    assert!(browser.done);
}

#[test]
fn keys_of_the_terminal() {
    let key = |code, modifiers| view::key(&Event::Key(KeyEvent::new(code, modifiers)));
    assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Interrupt));
    assert_eq!(key(KeyCode::Char('x'), KeyModifiers::ALT), None);
    assert_eq!(key(KeyCode::Right, KeyModifiers::NONE), Some(Key::Open));
    assert_eq!(key(KeyCode::Char('G'), KeyModifiers::SHIFT), Some(Key::Char('G')));
    assert_eq!(view::key(&Event::Resize(80, 24)), None);
}
