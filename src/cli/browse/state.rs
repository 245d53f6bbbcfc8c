//! What the browser shows and what keys do to it: no terminal, no drawing. Whatever takes time is put off as [`Work`], so that the
//! screen can say so first.

use super::library::{Item, Library, Place};
use crate::{error::Error, name::Shown};
use std::collections::BTreeMap;

/// A key, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// Into what is under the cursor.
    Open,
    /// Back to where it was opened from.
    Back,
    Escape,
    Delete,
    /// Anything that is typed.
    Char(char),
    /// Asks to stop at once.
    Interrupt,
}

/// Something that takes time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// List a place, and go there.
    Enter(Place),
    /// Look into what is under the cursor.
    Preview,
    /// Search all snapshots of the series.
    Find(String),
    /// Bring what is marked back into a folder.
    Restore(String),
}

/// What is typed on the last line, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// The next name that holds it.
    Search,
    /// A pattern for the whole series.
    Find,
    /// The folder to restore into.
    Restore,
}

/// One list, with a cursor in it.
#[derive(Debug)]
pub struct Page {
    /// What it lists.
    pub place: Place,
    /// Its lines.
    pub items: Vec<Item>,
    /// The line under the cursor.
    pub cursor: usize,
    /// The first line that is shown.
    pub top: usize,
}

/// The browser.
pub struct Browser<L> {
    library: L,
    /// The way to the list that is shown, which is the last.
    pub pages: Vec<Page>,
    /// What is to be restored: by snapshot and path.
    pub marks: BTreeMap<(String, Vec<u8>), Item>,
    /// Lines that show what is in the file under the cursor.
    pub preview: Option<Vec<String>>,
    /// What is being typed.
    pub prompt: Option<(Prompt, String)>,
    /// Something to be read.
    pub message: String,
    /// To be done before the next key.
    pub work: Option<Work>,
    /// The user has had enough.
    pub done: bool,
    searched: String,
    height: usize,
    wants_preview: bool,
}

impl<L: Library> Browser<L> {
    /// Begins with the list of series.
    pub fn new(library: L) -> Self {
        Browser {
            library,
            pages: Vec::new(),
            marks: BTreeMap::new(),
            preview: None,
            prompt: None,
            message: String::new(),
            work: Some(Work::Enter(Place::Repository)),
            done: false,
            searched: String::new(),
            height: 1,
            wants_preview: false,
        }
    }

    /// The list that is shown.
    pub fn page(&self) -> Option<&Page> {
        self.pages.last()
    }

    /// The line under the cursor.
    pub fn item(&self) -> Option<&Item> {
        let page = self.page()?;
        page.items.get(page.cursor)
    }

    /// True for a line that is marked.
    pub fn is_marked(&self, item: &Item) -> bool {
        item.mark().is_some_and(|mark| self.marks.contains_key(&mark))
    }

    /// Takes the number of lines that fit, and keeps the cursor among them.
    pub fn set_height(&mut self, height: usize) {
        self.height = height.max(1);
        let height = self.height;
        if let Some(page) = self.pages.last_mut() {
            page.cursor = page.cursor.min(page.items.len().saturating_sub(1));
            page.top = page.top.min(page.cursor).max((page.cursor + 1).saturating_sub(height));
        }
    }

    /// Does what a key says.
    pub fn key(&mut self, key: Key) {
        if key == Key::Interrupt {
            self.done = true;
            return;
        }
        if self.prompt.is_some() {
            return self.typed(key);
        }
        self.message.clear();
        let page_len = self.height.saturating_sub(1).max(1) as isize;
        match key {
            Key::Up | Key::Char('k') => self.move_by(-1),
            Key::Down | Key::Char('j') => self.move_by(1),
            Key::PageUp => self.move_by(-page_len),
            Key::PageDown => self.move_by(page_len),
            Key::Home | Key::Char('g') => self.move_by(isize::MIN),
            Key::End | Key::Char('G') => self.move_by(isize::MAX),
            Key::Open | Key::Char('l') => self.open(),
            Key::Back | Key::Char('h') => self.back(),
            Key::Escape => self.preview_off(),
            Key::Char(' ') => self.mark(),
            Key::Char('p') => match self.preview {
                Some(_) => self.preview_off(),
                None => {
                    self.wants_preview = true;
                    self.work = Some(Work::Preview);
                }
            },
            Key::Char('v') => match self.item().and_then(Item::history) {
                Some(place) => self.work = Some(Work::Enter(place)),
                None => self.message = "files and folders have versions: open a snapshot first".into(),
            },
            Key::Char('/') => self.prompt = Some((Prompt::Search, String::new())),
            Key::Char('n') => self.search_on(1),
            Key::Char('f') => match self.series() {
                Some(_) => self.prompt = Some((Prompt::Find, String::new())),
                None => self.message = "open a series first".into(),
            },
            Key::Char('r') if self.marks.is_empty() => self.message = "nothing is marked: space marks".into(),
            Key::Char('r') => self.prompt = Some((Prompt::Restore, String::new())),
            Key::Char('q') => self.done = true,
            _ => {}
        }
    }

    fn preview_off(&mut self) {
        (self.preview, self.wants_preview) = (None, false);
    }

    /// The series that the list is of, or that is under the cursor.
    fn series(&self) -> Option<String> {
        let of_item = self.item().and_then(|item| item.series());
        self.page().and_then(|page| page.place.series()).or(of_item).map(str::to_owned)
    }

    fn typed(&mut self, key: Key) {
        let Some((prompt, mut text)) = self.prompt.take() else { return };
        match key {
            Key::Escape => return,
            Key::Char(c) => text.push(c),
            Key::Delete if text.pop().is_none() => return,
            Key::Open => {
                match (prompt, text.is_empty()) {
                    (_, true) => {}
                    (Prompt::Search, _) => self.searched = text,
                    (Prompt::Find, _) => self.work = Some(Work::Find(text)),
                    (Prompt::Restore, _) => self.work = Some(Work::Restore(text)),
                }
                return;
            }
            _ => {}
        }
        if prompt == Prompt::Search {
            self.searched.clone_from(&text);
            self.search_on(0);
        }
        self.prompt = Some((prompt, text));
    }

    /// To the next line whose name holds what is searched for, beginning so many lines further.
    fn search_on(&mut self, further: usize) {
        let wanted = self.searched.to_lowercase();
        let Some(page) = self.pages.last() else { return };
        let len = page.items.len();
        let order = (0..len).map(|n| (page.cursor + further + n) % len.max(1));
        let holds = |at: &usize| page.items.get(*at).is_some_and(|item| item.name().to_lowercase().contains(&wanted));
        match order.into_iter().find(holds) {
            Some(at) if !wanted.is_empty() => self.move_to(at),
            _ => self.message = format!("nothing here holds \"{}\"", Shown(wanted.as_bytes())),
        }
    }

    fn move_by(&mut self, lines: isize) {
        let cursor = self.page().map_or(0, |page| page.cursor);
        self.move_to(cursor.saturating_add_signed(lines));
    }

    fn move_to(&mut self, line: usize) {
        if let Some(page) = self.pages.last_mut() {
            page.cursor = line.min(page.items.len().saturating_sub(1));
        }
        self.set_height(self.height);
        self.preview = None;
        if self.wants_preview {
            self.work = Some(Work::Preview);
        }
    }

    fn open(&mut self) {
        match self.item().map(Item::open) {
            Some(Some(place)) => self.work = Some(Work::Enter(place)),
            Some(None) => {
                self.wants_preview = true;
                self.work = Some(Work::Preview);
            }
            None => {}
        }
    }

    fn back(&mut self) {
        if self.pages.len() > 1 {
            self.pages.pop();
            self.preview_off();
        }
    }

    fn mark(&mut self) {
        let Some(item) = self.item().cloned() else { return };
        let Some(mark) = item.mark() else {
            self.message = "what is in a snapshot can be marked: open one first".into();
            return;
        };
        if self.marks.remove(&mark).is_none() {
            self.marks.insert(mark, item);
        }
        self.move_by(1);
    }

    /// Does what was put off.
    pub fn run(&mut self) {
        let Some(work) = self.work.take() else { return };
        let failed = match work {
            Work::Enter(place) => self.enter(place),
            Work::Preview => self.look(),
            Work::Find(pattern) => match self.series() {
                Some(series) => self.enter(Place::Found { series, pattern }),
                None => Ok(()),
            },
            Work::Restore(target) => self.restore(&target),
        };
        if let Err(error) = failed {
            self.message = error.to_string();
        }
    }

    fn enter(&mut self, place: Place) -> Result<(), Error> {
        let items = self.library.list(&place)?;
        if items.is_empty() {
            self.message = place.nothing();
            if !matches!(place, Place::Repository | Place::Folder { .. }) {
                return Ok(());
            }
        }
        // What was found is in a folder: the way there begins anew.
        self.pages.push(Page { place, items, cursor: 0, top: 0 });
        self.preview_off();
        self.set_height(self.height);
        Ok(())
    }

    fn look(&mut self) -> Result<(), Error> {
        let Some(item) = self.pages.last().and_then(|page| page.items.get(page.cursor)) else { return Ok(()) };
        match self.library.preview(item) {
            Ok(lines) => self.preview = Some(lines),
            Err(error) => {
                self.wants_preview = false;
                return Err(error);
            }
        }
        Ok(())
    }

    fn restore(&mut self, target: &str) -> Result<(), Error> {
        let marked: Vec<Item> = self.marks.values().cloned().collect();
        self.message = self.library.restore(&marked, target)?;
        self.marks.clear();
        Ok(())
    }
}
