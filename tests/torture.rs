//! A few rounds of each part of `tests/torture/run`, which can go on for hours: see `tests/torture/README.md`.

use std::process::Command;

/// Runs so many rounds of a part. What cannot run here is told by its name.
fn few(part: &str, rounds: &str) {
    let run = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/torture/run");
    let output = Command::new(run)
        .args([part, rounds, "1"])
        .env("VAULT", env!("CARGO_BIN_EXE_vault"))
        .output()
        .expect("python3 is installed");
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    print!("{told}");
    let is_skipped = output.status.code() == Some(77) && told.contains("SKIPPED");
    assert!(output.status.success() || is_skipped, "{}: {told}", output.status);
}

#[test]
fn killed_commands_lose_nothing() {
    few("kills", "2x");
}

#[test]
fn power_cuts_lose_nothing() {
    few("power", "3x");
}

#[test]
fn pulled_media_lose_nothing() {
    few("media", "2x");
}

#[test]
fn full_disks_lose_nothing() {
    few("full", "6x");
}

#[test]
fn failing_disks_give_no_wrong_bytes() {
    few("eio", "2x");
}

#[test]
fn stopped_snapshots_are_whole_or_refused() {
    few("stop", "4x");
}

#[test]
fn a_crowd_loses_nothing() {
    few("crowd", "1x");
}

#[test]
fn files_stand_still_while_they_are_read() {
    few("quiesce", "3x");
}
