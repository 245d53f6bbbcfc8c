//! The status as metrics, for node_exporter's folder of text files.

use super::Status;
use std::fmt::Write;

/// One metric with a value for each label.
fn metric(out: &mut String, name: &str, help: &str, values: &mut dyn Iterator<Item = (String, f64)>) {
    let mut values = values.peekable();
    if values.peek().is_none() {
        return;
    }
    // Writing to a text does not fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (labels, value) in values {
        let _ = writeln!(out, "{name}{labels} {value}");
    }
}

/// A label's value, as the format has it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// All of it.
pub fn text(status: &Status) -> String {
    let mut out = String::new();
    let fleet = escaped(&status.name);
    let mut apps = |name: &str, help: &str, value: &dyn Fn(&super::Verdict) -> Option<f64>| {
        let mut values = status.apps.iter().filter_map(|app| {
            Some((format!("{{series=\"{}\",type=\"{}\"}}", escaped(&app.series), escaped(&app.recipe)), value(app)?))
        });
        metric(&mut out, name, help, &mut values);
    };
    apps("vault_app_red", "1 when anything is not as promised.", &|app| Some(f64::from(u8::from(!app.red.is_empty()))));
    apps("vault_app_odd", "1 when the size is unusual.", &|app| Some(f64::from(u8::from(!app.odd.is_empty()))));
    apps("vault_app_good_snapshot_timestamp_seconds", "When the newest good snapshot was begun.", &|app| {
        app.good.map(|time| time as f64)
    });
    apps("vault_app_rpo_seconds", "How old it may be.", &|app| Some(app.slo.rpo as f64));
    apps("vault_app_copies", "Places that hold it.", &|app| Some(app.places.len() as f64));
    apps("vault_app_sites", "Sites at which these are.", &|app| Some(app.sites as f64));
    apps("vault_app_checked_timestamp_seconds", "When it was last checked.", &|app| {
        app.checked.map(|time| time as f64)
    });
    apps("vault_app_drilled_timestamp_seconds", "When it was last restored for a test.", &|app| {
        app.drilled.map(|time| time as f64)
    });
    apps("vault_app_restore_seconds", "How long that took.", &|app| app.rto);
    apps("vault_app_bytes", "Bytes of its files.", &|app| app.sizes.first().map(|bytes| *bytes as f64));
    let mut holders = status.holders.iter().map(|one| {
        let kind = one.kind.word();
        (format!("{{name=\"{}\",kind=\"{kind}\"}}", escaped(&one.name)), f64::from(u8::from(!one.red.is_empty())))
    });
    metric(
        &mut out,
        "vault_holder_red",
        "1 when a repository, a medium or a copy is not as it should be.",
        &mut holders,
    );
    let label = format!("{{fleet=\"{fleet}\"}}");
    let mut whole = |name: &str, help: &str, value: Option<f64>| {
        metric(&mut out, name, help, &mut value.map(|value| (label.clone(), value)).into_iter());
    };
    whole("vault_red", "1 when anything is red.", Some(f64::from(u8::from(status.is_red()))));
    whole("vault_red_apps", "Applications that are red.", Some(status.red_apps() as f64));
    whole("vault_apps", "Applications.", Some(status.apps.len() as f64));
    whole("vault_run_timestamp_seconds", "When the last run ended.", status.run.as_ref().map(|run| run.tried as f64));
    whole("vault_status_timestamp_seconds", "When this was written.", Some(status.time as f64));
    out
}
