//! What was promised for an application, as its snapshot holds it.

use crate::fleet::config::{StoredConfig, value::Table};

/// Seconds that a restore may take (RTO), and that the newest snapshot may be old (RPO); `None` for what was not promised.
pub fn promised(stored: &StoredConfig) -> (Option<u64>, Option<u64>) {
    let slo = own_table(stored).and_then(|table| below(table, "slo"));
    let seconds = |key| slo.and_then(|slo| slo.duration(key).ok().flatten());
    (seconds("rto"), seconds("rpo"))
}

fn below<'a>(table: &'a Table, name: &str) -> Option<&'a Table> {
    table.table(name).ok().flatten()
}

fn own_table(stored: &StoredConfig) -> Option<&Table> {
    let mut parts = stored.app.series.as_str().splitn(3, '/');
    let (server, vm, relpath) = (parts.next()?, parts.next()?, parts.next()?);
    let server = below(below(&stored.table, "servers")?, server)?;
    let level = if vm == "-" { server } else { below(below(server, "vms")?, vm)? };
    below(below(level, "apps")?, relpath)
}
