//! Large databases, measured by hand: `cargo test --release --test recipes -- --ignored --nocapture large`.

use crate::{
    mariadb::mysql,
    postgresql::psql,
    world::{Load, World},
};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use vault::{
    fleet::app::App,
    monitor::Silent,
    ops::snapshot::{Report, Request, snapshot},
};

fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Two nights of a database, between which `change` changes 2 % of its rows: no temporary file, little memory, and the second
/// night adds less than a tenth of the first.
fn two_nights(world: &World, app: &App, change: impl FnOnce()) {
    let most = Arc::new(AtomicU64::new(0));
    let (folder, seen) = (world.scratch(), most.clone());
    let watch = Load::new(move |_| {
        let files = fs::read_dir(&folder).unwrap().count() as u64;
        seen.fetch_max(files, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(5));
    });
    let night = || -> Report {
        let begun = std::time::Instant::now();
        let request = Request::new(app.series.clone(), world.sources(app), "alpha", "root");
        let report = snapshot(&world.repo, request, &Silent).unwrap();
        assert!(report.snapshot.head.complete, "{:?}", report.snapshot.problems);
        println!(
            "{} bytes dumped, {} stored, {:.1} s, peak memory {} MB",
            report.snapshot.totals.bytes,
            report.written.bytes_stored,
            begun.elapsed().as_secs_f64(),
            peak_memory() >> 20
        );
        report
    };
    let first = night();
    change();
    let second = night();
    watch.end();
    assert!(first.snapshot.totals.bytes > 1_000_000_000);
    assert_eq!(most.load(Ordering::Relaxed), 0, "something was written to the scratch folder");
    assert!(second.written.bytes_stored * 10 < first.written.bytes_stored);
    assert!(peak_memory() < 400 << 20);
}

#[test]
#[ignore = "takes minutes, and 3 GB of disk"]
fn a_large_postgresql_takes_no_temporary_disk_and_little_on_the_second_night() {
    let world = World::on_disk();
    let scratch = world.server("postgresql");
    let server = scratch.server("");
    psql(&server, "postgres", "CREATE DATABASE big");
    psql(
        &server,
        "big",
        "CREATE TABLE rows AS SELECT i AS id, md5(i::text) || md5((i * 7)::text) AS a, repeat(md5((i / 3)::text), 3) AS b, \
         i % 1000 AS c, now() AS at FROM generate_series(1, 5400000) i; ALTER TABLE rows ADD PRIMARY KEY (id);",
    );
    let (host, user) = (server.host.as_deref().unwrap(), server.user.as_deref().unwrap());
    let app = world.app(&format!("type = \"postgresql\"\ndatabases = \"big\"\nhost = \"{host}\"\nuser = \"{user}\""));
    two_nights(&world, &app, || {
        psql(&server, "big", "UPDATE rows SET a = md5(random()::text) || md5(random()::text) WHERE id % 50 = 7;");
    });
}

#[test]
#[ignore = "takes minutes, and 3 GB of disk"]
fn a_large_mysql_takes_no_temporary_disk_and_little_on_the_second_night() {
    let world = World::on_disk();
    let scratch = world.server("mysql");
    let server = scratch.server("");
    mysql(&server, "", "CREATE DATABASE big");
    mysql(
        &server,
        "big",
        "CREATE TABLE entries (id int PRIMARY KEY, a varchar(64), b varchar(96), c int) ENGINE=InnoDB; \
         INSERT INTO entries SELECT seq, CONCAT(MD5(seq), MD5(seq * 7)), REPEAT(MD5(seq DIV 3), 3), seq % 1000 \
         FROM seq_1_to_5800000;",
    );
    let app = world.app(&format!(
        "type = \"mysql\"\ndatabases = \"big\"\nhost = \"{}\"\nuser = \"root\"",
        server.host.as_deref().unwrap()
    ));
    two_nights(&world, &app, || {
        mysql(&server, "big", "UPDATE entries SET a = CONCAT(MD5(RAND()), MD5(RAND())) WHERE id % 50 = 7;");
    });
}
