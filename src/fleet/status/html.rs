//! The status as one page that needs nothing else: no script, no font, no picture.

use super::{Status, Verdict, judge::age_text};
use crate::name::Shown;
use jiff::{Timestamp, tz::TimeZone};
use std::fmt::Write;

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2024;--dim:#687076;--line:#e4e7ea;--red:#c62a2f;--redbg:#fff1f1;--ok:#18794e;--odd:#ad5700}
@media(prefers-color-scheme:dark){:root{--bg:#151718;--fg:#ecedee;--dim:#9ba1a6;--line:#2b2f31;--red:#ff6369;--redbg:#3b1219;--ok:#4cc38a;--odd:#f1a10d}}
*{box-sizing:border-box}body{margin:0 auto;max-width:76rem;padding:1.5rem;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.4rem;margin:0}h2{font-size:1rem;margin:2rem 0 .5rem}p{margin:.25rem 0}.dim{color:var(--dim)}
.verdict{font-weight:600;font-size:1.1rem;margin:.75rem 0}.red{color:var(--red)}.ok{color:var(--ok)}.odd{color:var(--odd)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}th{text-align:left;font-weight:600;color:var(--dim);font-size:.85rem}
th,td{padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top}td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
tr.bad td:first-child{box-shadow:inset .2rem 0 0 var(--red);padding-left:.6rem}tr.bad{background:var(--redbg)}
.name{overflow-wrap:anywhere;min-width:12rem}svg{display:block}";

/// Text, safe in HTML, and to look at.
fn escaped(text: &str) -> String {
    let shown = Shown(text.as_bytes()).to_string();
    // What was safe to print already may hold backslashes of its own.
    let shown = shown.replace("\\\\", "\\");
    shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (n as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(value < 10.0 && unit > 0);
    format!("{value:.digits$} {}", UNITS.get(unit).copied().unwrap_or_default())
}

fn ago(now: i64, time: Option<i64>) -> String {
    time.map_or_else(|| "never".into(), |time| age_text(now - time))
}

/// Sizes as a little picture, the oldest first.
fn trend(sizes: &[u64]) -> String {
    let most = sizes.iter().copied().max().unwrap_or(0).max(1) as f64;
    if sizes.len() < 2 {
        return String::new();
    }
    let mut bars = String::new();
    for (i, size) in sizes.iter().rev().enumerate() {
        let height = (*size as f64 / most * 14.0).max(1.0);
        let _ = write!(
            bars,
            "<rect x=\"{}\" y=\"{:.1}\" width=\"4\" height=\"{height:.1}\" fill=\"currentColor\"/>",
            i * 6,
            16.0 - height
        );
    }
    format!(
        "<svg width=\"{}\" height=\"16\" role=\"img\" aria-label=\"sizes\" class=\"dim\">{bars}</svg>",
        sizes.len() * 6
    )
}

fn row(app: &Verdict, now: i64) -> String {
    let state = match (app.red.first(), app.odd.first()) {
        (Some(_), _) => format!(
            "<span class=\"red\">{}</span>",
            app.red.iter().map(|why| escaped(why)).collect::<Vec<_>>().join("<br>")
        ),
        (None, Some(odd)) => format!("<span class=\"odd\">{}</span>", escaped(odd)),
        (None, None) => "<span class=\"ok\">ok</span>".into(),
    };
    format!(
        "<tr{}><td class=\"name\">{}<br><span class=\"dim\">{}</span></td><td class=\"n\">{}</td><td class=\"n\">{}/{}</td>\
         <td class=\"n\">{}/{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td>{state}</td></tr>\n",
        if app.red.is_empty() { "" } else { " class=\"bad\"" },
        escaped(&app.series),
        escaped(&app.recipe),
        ago(now, app.good),
        app.places.len(),
        app.slo.copies,
        app.sites,
        app.slo.sites,
        ago(now, app.checked),
        ago(now, app.drilled),
        app.sizes.first().map_or_else(|| "–".into(), |size| bytes(*size)),
        trend(&app.sizes),
    )
}

/// The page. `zone` is that of the times on it.
pub fn page(status: &Status, zone: &TimeZone) -> String {
    let time = Timestamp::from_second(status.time).unwrap_or_default().to_zoned(zone.clone());
    let (red, all) = (status.red_apps(), status.apps.len());
    let other = status.holders.iter().filter(|one| !one.red.is_empty()).count() + status.jobs.len();
    let verdict = match (red, other) {
        (0, 0) => format!("<span class=\"ok\">All {all} applications are as promised.</span>"),
        (0, n) => format!("<span class=\"red\">{n} repositories, media or jobs are red.</span>"),
        (n, _) => format!("<span class=\"red\">{n} of {all} applications are red.</span>"),
    };
    let name = escaped(&status.name);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{name}: backups</title><style>{STYLE}</style></head><body>\n<h1>{name}: backups</h1>\n\
         <p class=\"dim\">as of {}; the last run ended {} ago</p>\n<p class=\"verdict\">{verdict}</p>\n",
        time.strftime("%Y-%m-%d %H:%M %Z"),
        ago(status.time, status.run.as_ref().map(|run| run.tried)),
    );
    if status.run.is_none() {
        out = out.replace("the last run ended never ago", "there was no run yet");
    }
    if !status.jobs.is_empty() {
        out.push_str("<h2>Jobs that went wrong</h2>\n");
        for job in &status.jobs {
            let _ = writeln!(out, "<p class=\"red\">{}</p>", escaped(job));
        }
    }
    out.push_str(
        "<h2>Applications</h2>\n<div class=\"wide\"><table><thead><tr><th>Application</th><th class=\"n\">Good</th><th class=\"n\">Copies</th>\
         <th class=\"n\">Sites</th><th class=\"n\">Checked</th><th class=\"n\">Drilled</th><th class=\"n\">Size</th><th></th><th>State</th></tr></thead><tbody>\n",
    );
    // What needs somebody comes first.
    let (bad, good): (Vec<&Verdict>, Vec<&Verdict>) = status.apps.iter().partition(|app| !app.red.is_empty());
    for app in bad.into_iter().chain(good) {
        out.push_str(&row(app, status.time));
    }
    out.push_str(
        "</tbody></table></div>\n<h2>Repositories, media, copies of other servers</h2>\n<div class=\"wide\"><table><thead><tr><th>Name</th><th>Site</th>\
         <th class=\"n\">Applications</th><th class=\"n\">Snapshots</th><th class=\"n\">Synced</th><th>State</th></tr></thead><tbody>\n",
    );
    for one in &status.holders {
        let state = match one.red.is_empty() {
            true => "<span class=\"ok\">ok</span>".to_owned(),
            false => format!("<span class=\"red\">{}</span>", escaped(&one.red)),
        };
        let synced = if one.kind.is_synced() { ago(status.time, one.synced) } else { String::new() };
        let _ = writeln!(
            out,
            "<tr{}><td class=\"name\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{synced}</td><td>{state}</td></tr>",
            if one.red.is_empty() { "" } else { " class=\"bad\"" },
            escaped(&one.name),
            escaped(&one.site),
            one.held.len(),
            one.snapshots(),
        );
    }
    out.push_str("</tbody></table></div>\n</body></html>\n");
    out
}
