use super::*;
use jiff::tz::TimeZone;
use std::fs;

fn entry(series: &str, time: i64) -> Entry {
    Entry {
        time,
        series: series.into(),
        outcome: Outcome::Incomplete,
        snapshot: Some(SnapshotId([7; 32])),
        files: 148,
        bytes: 12_345_678,
        new: 1000,
        stored: 400,
        seconds: 12.5,
        problems: 1,
        why: "db.sql: pg_dump failed (exit status: 1); \"x\\y\"".into(),
    }
}

#[test]
fn a_line_is_read_as_it_was_written() {
    let one = entry("alpha/web1/demo example", 1_772_424_306);
    let line = one.to_string();
    assert!(
        line.starts_with("time=2026-03-02T04:05:06Z series=\"alpha/web1/demo example\" outcome=incomplete snapshot=07"),
        "{line}"
    );
    assert!(
        line.contains(" files=148 mb=12.3 bytes=12345678 new=1000 stored=400 seconds=12.5 problems=1 why=\"db.sql: ")
    );
    assert_eq!(parse(&line), Some(one.clone()));
    assert_eq!(parse(&format!("{line} later=\"new key\" x=1")), Some(one.clone()));
    let plain = Entry { snapshot: None, why: String::new(), outcome: Outcome::Failed, ..one };
    assert_eq!(parse(&plain.to_string()), Some(plain));
    let two_lines = Entry { why: "a\nb".into(), ..entry("a/-/b", 0) };
    assert_eq!(parse(&two_lines.to_string()).unwrap().why, "a b");
}

#[test]
fn what_is_no_line_is_none() {
    let line = entry("a/-/b", 0).to_string();
    for bad in ["", "x", "time=2026-03-02T04:05:06Z", "=x", "a=\"b", "a=\"b\"c", &line[..line.len() - 1]] {
        assert_eq!(parse(bad), None, "{bad}");
    }
    for (from, to) in [
        ("outcome=incomplete", "outcome=great"),
        ("files=148", "files=-1"),
        ("seconds=12.5", "seconds=NaN"),
        ("snapshot=07", "snapshot=zz"),
    ] {
        assert_eq!(parse(&line.replace(from, to)), None, "{to}");
    }
    assert_eq!(parse(&format!("{line} x={}", "y".repeat(LINE_MAX))), None);
}

#[test]
fn names_of_files_say_the_series_and_fit() {
    for series in ["alpha/web1/shop", "alpha/-/demo.example.org/hydro", "a/-/x y+z%", "ä/-/ö"] {
        let name = file_name(Kind::Backup, series, 1_772_424_306, &TimeZone::UTC);
        assert!(name.starts_with("backup-") && name.ends_with("-20260302") && !name.contains('/'), "{name}");
        assert_eq!(series_of(&name).as_deref(), Some(series));
    }
    assert_eq!(file_name(Kind::Backup, "alpha/web1/shop", 0, &TimeZone::UTC), "backup-alpha+web1+shop-19700101");
    let (one, other) = ("a/-/".to_owned() + &"x".repeat(500), "a/-/".to_owned() + &"x".repeat(501));
    let name = |series: &str| file_name(Kind::Drill, series, 0, &TimeZone::UTC);
    assert!(name(&one).len() <= 255 && name(&one) != name(&other));
    for bad in ["backup-x", "backup-x-2026", "other-x-20260302", "backup-%zz-20260302"] {
        assert_eq!(series_of(bad), None, "{bad}");
    }
}

#[test]
fn what_was_appended_is_read_and_a_cut_line_costs_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, utc) = (dir.path().join("history"), TimeZone::UTC);
    assert_eq!(read(&folder, Kind::Backup, 0, &|_| true).unwrap(), []);
    let long = "a/-/".to_owned() + &"x".repeat(500);
    let (one, two, late) = (entry("a/-/b", 1000), entry("a/-/b", 2000), entry(&long, 1_000_000));
    append(&folder, Kind::Backup, &one, &utc).unwrap();
    let path = folder.join("backup-a+-+b-19700101");
    let cut = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{cut}{}", &cut[..40])).unwrap();
    append(&folder, Kind::Backup, &two, &utc).unwrap();
    append(&folder, Kind::Backup, &late, &utc).unwrap();
    append(&folder, Kind::Drill, &entry("a/-/b", 3000), &utc).unwrap();
    fs::write(folder.join("backup-a+-+c-19700101"), b"\xff\xff\n").unwrap();
    let all = read(&folder, Kind::Backup, 0, &|_| true).unwrap();
    assert_eq!(all, [one, two.clone(), late.clone()]);
    assert_eq!(read(&folder, Kind::Backup, 1500, &|series| series == "a/-/b").unwrap(), [two]);
    assert_eq!(read(&folder, Kind::Backup, 500_000, &|_| true).unwrap(), [late]);
    assert_eq!(read(&folder, Kind::Drill, 0, &|_| true).unwrap().len(), 1);
}

proptest::proptest! {
    #[test]
    fn any_line_is_read_or_passed_over(cut in 0..400usize, junk in ".{0,8}", why in ".{0,60}", series in ".{0,40}") {
        let line = Entry { why, series, ..entry("a/-/b", 1_772_424_306) }.to_string();
        proptest::prop_assert!(!line.contains('\n'));
        let once = parse(&line);
        proptest::prop_assert!(once.is_some(), "{line}");
        proptest::prop_assert_eq!(parse(&once.clone().unwrap().to_string()), once);
        let mut chars: Vec<char> = line.chars().collect();
        let cut = cut.min(chars.len());
        chars.splice(cut.., junk.chars());
        let _ = parse(&chars.into_iter().collect::<String>());
        let _ = series_of(&junk);
    }
}
