//! Draws the browser: the way on top, a list, what is in the file under the cursor beside or below it, a message, the keys.

use super::{
    library::Library,
    state::{Browser, Key, Page, Prompt},
};
use crate::cli::human;
use ratatui::{
    Frame,
    crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Clear, Paragraph},
};

/// From here on the preview stands beside the list.
const WIDE: u16 = 110;
/// Columns of the two columns at the right.
const RIGHT: [usize; 2] = [12, 30];

/// What a key of the terminal means; nothing for what is no key.
pub fn key(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else { return None };
    if *kind == KeyEventKind::Release {
        return None;
    }
    let control = modifiers.contains(KeyModifiers::CONTROL);
    Some(match code {
        KeyCode::Char('c') if control => Key::Interrupt,
        KeyCode::Char(_) if control || modifiers.contains(KeyModifiers::ALT) => return None,
        KeyCode::Char(c) => Key::Char(*c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter | KeyCode::Right => Key::Open,
        KeyCode::Left => Key::Back,
        KeyCode::Backspace => Key::Delete,
        KeyCode::Esc => Key::Escape,
        _ => return None,
    })
}

/// Draws all of it.
pub fn draw<L: Library>(browser: &mut Browser<L>, colours: bool, frame: &mut Frame<'_>) {
    let [title, body, message, keys] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1), Constraint::Length(1)])
            .areas(frame.area());
    let (list, preview) = match (&browser.preview, body.width >= WIDE) {
        (None, _) => (body, None),
        (Some(_), true) => {
            let [list, preview] =
                Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(body);
            (list, Some((preview, Borders::LEFT)))
        }
        (Some(_), false) => {
            let [list, preview] =
                Layout::vertical([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(body);
            (list, Some((preview, Borders::TOP)))
        }
    };
    browser.set_height(list.height as usize);
    let reversed = Style::default().add_modifier(Modifier::REVERSED);
    let way = browser.page().map(|page| page.place.title()).unwrap_or_default();
    let place = browser.page().map(position).unwrap_or_default();
    let width = title.width as usize;
    let way = human::shorten(&way, width.saturating_sub(place.chars().count() + 1));
    let gap = width.saturating_sub(way.chars().count() + place.chars().count());
    frame.render_widget(Line::styled(format!("{way}{:gap$}{place}", ""), reversed), title);
    draw_list(browser, list, colours, frame);
    if let (Some((area, border)), Some(lines)) = (preview, &browser.preview) {
        let lines: Vec<Line<'_>> =
            lines.iter().take(area.height as usize).map(|line| Line::raw(line.as_str())).collect();
        frame.render_widget(Clear, area);
        frame.render_widget(Paragraph::new(lines).block(Block::default().borders(border)), area);
    }
    frame.render_widget(Line::raw(told(browser)), message);
    frame.render_widget(Line::styled(keys_line(browser, keys.width as usize), reversed), keys);
}

fn position(page: &Page) -> String {
    format!(
        " {}/{}",
        human::count((page.cursor + 1).min(page.items.len()) as u64),
        human::count(page.items.len() as u64)
    )
}

fn draw_list<L: Library>(browser: &Browser<L>, area: Rect, colours: bool, frame: &mut Frame<'_>) {
    let Some(page) = browser.page() else { return };
    let right: usize = RIGHT.iter().sum::<usize>() + 2;
    let name_width = (area.width as usize).saturating_sub(right + 2).max(8);
    let mut lines = Vec::new();
    for (at, item) in page.items.iter().enumerate().skip(page.top).take(area.height as usize) {
        let mark = if browser.is_marked(item) { "* " } else { "  " };
        let name = human::shorten(&item.name(), name_width);
        let pad = name_width.saturating_sub(Span::raw(name.as_str()).width());
        let [size, more] = item.columns();
        let [size_width, more_width] = RIGHT;
        let text = format!("{mark}{name}{:pad$}{size:>size_width$}  {}", "", human::shorten(&more, more_width));
        let mut style = Style::default();
        if at == page.cursor {
            style = style.add_modifier(Modifier::REVERSED);
        } else if colours && item.open().is_some() {
            style = style.add_modifier(Modifier::BOLD);
        }
        let fill = (area.width as usize).saturating_sub(Span::raw(text.as_str()).width());
        lines.push(Line::styled(format!("{text}{:fill$}", ""), style));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// The line above the keys.
fn told<L: Library>(browser: &Browser<L>) -> String {
    if browser.work.is_some() {
        return "at work … (esc stops)".into();
    }
    if let Some((prompt, text)) = &browser.prompt {
        let what = match prompt {
            Prompt::Search => "search here",
            Prompt::Find => "find in all snapshots (name or pattern)",
            Prompt::Restore => "restore what is marked into folder",
        };
        return format!("{what}: {}_", crate::name::Shown(text.as_bytes()));
    }
    if !browser.message.is_empty() {
        return browser.message.clone();
    }
    match browser.marks.len() {
        0 => String::new(),
        n => format!("{} marked", human::count(n as u64)),
    }
}

fn keys_line<L: Library>(browser: &Browser<L>, width: usize) -> String {
    let (all, few): (&[&str], &[&str]) = match browser.prompt {
        Some(_) => (&["Enter do it", "Esc leave it"], &["Enter do it", "Esc leave it"]),
        None => (
            &[
                "↑↓ move",
                "→ open",
                "← back",
                "p preview",
                "v versions",
                "space mark",
                "r restore",
                "/ search",
                "n next",
                "f find in all snapshots",
                "q quit",
            ],
            &["→ open", "← back", "q quit", "p look", "v versions", "space mark", "r restore", "/ search", "f find"],
        ),
    };
    let fits = |line: &String| line.chars().count() <= width;
    let whole = [(all, "   "), (few, "  ")].map(|(keys, gap)| format!(" {} ", keys.join(gap)));
    let mut line = whole.into_iter().find(fits).unwrap_or_default();
    if line.is_empty() {
        // The ones that matter stand first: what does not fit is left out.
        for key in few {
            if line.chars().count() + key.chars().count() < width {
                line.push(' ');
                line.push_str(key);
            }
        }
    }
    let fill = width.saturating_sub(line.chars().count());
    format!("{line}{:fill$}", "")
}
