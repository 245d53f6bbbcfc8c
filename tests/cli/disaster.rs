//! After a fire: a disk from another building, the recovery sheet, and a machine that has never seen either.

use super::{forget::listed_ids, *};
use std::os::unix::fs::symlink;

const SERIES: &str = "h/-/srv/wiki";

/// The commands that the program's own help gives for it.
fn procedure(world: &World) -> Vec<String> {
    let help = world.run(&["media", "recover", "--help"]).expect(0).out;
    let lines = help.lines().skip_while(|line| !line.starts_with("From nothing but a disk")).skip(1);
    lines.map(str::trim).take_while(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// An image of a file system with these files; without one of a kind where nothing makes it.
fn image(folder: &Path, image: &Path) {
    let made =
        std::process::Command::new("/usr/sbin/mkfs.ext4").args(["-q", "-d"]).arg(folder).arg(image).arg("64M").output();
    if made.is_ok_and(|made| made.status.success()) {
        // Nobody can mount it any more.
        let mut bytes = fs::read(image).unwrap();
        bytes[..8192].fill(0);
        return fs::write(image, bytes).unwrap();
    }
    eprintln!("no mkfs.ext4: the files lie one after another");
    let mut bytes = vec![0; 8192];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => bytes.extend(fs::read(path).unwrap()),
            }
            bytes.resize(bytes.len().next_multiple_of(4096), 0);
        }
    }
    fs::write(image, bytes).unwrap();
}

#[test]
fn a_disk_and_the_recovery_sheet_are_enough() {
    let world = World::new();
    world.run(&["init", "--kdf", "low", "--recovery-sheet", "sheet.txt"]).expect(0);
    fs::create_dir_all(world.path("wiki/pages")).unwrap();
    for version in ["one", "two", "three"] {
        world.file("wiki/pages/home", version, 0o640);
        world.file("wiki/blob", &version.repeat(100_000), 0o600);
        world.run(&["snapshot", "--as", SERIES, "wiki"]).expect(0);
    }
    let ids = listed_ids(&world);
    world.run(&["snapshot", "--as", "h/-/other", "wiki/pages"]).expect(0);
    world.run(&["pin", &ids[1], "--reason", "audit"]).expect(0);
    fs::create_dir(world.path("disk")).unwrap();
    world.run(&["copy", "--init", "--to", "disk/vault"]).expect(0);
    world.run(&["parity", "add", "--mirror", "--repo", "disk/vault"]).expect(0);
    image(&world.path("disk"), &world.path("disk.img"));

    let machine = World::new();
    for file in ["disk.img", "sheet.txt"] {
        fs::rename(world.path(file), machine.path(file)).unwrap();
    }
    drop(world);
    fs::create_dir(machine.path("bin")).unwrap();
    symlink(common::world::PROGRAM, machine.path("bin/vault")).unwrap();
    let run = |line: &str| {
        let mut command = std::process::Command::new("sh");
        machine.surround(command.args(["-c", line]));
        let path = format!("{}:/usr/bin:/bin", machine.path("bin").display());
        command.env("PATH", path).env_remove("VAULT_REPO").env_remove("VAULT_PASSWORD");
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{line}: {}\n{out}\n{err}", output.status);
        out
    };
    let lines = procedure(&machine);
    assert_eq!(lines.len(), 4, "{lines:?}");
    let told: Vec<String> = lines.iter().map(|line| run(line)).collect();
    for series in [SERIES, "h/-/other"] {
        assert!(told[0].contains(series) && told[2].contains(series), "{told:?}");
    }
    let home = |folder: &str| fs::read_to_string(machine.path(folder).join("pages/home")).unwrap();
    assert_eq!(home("restored"), "three");
    // And all else.
    for (id, version) in ids.iter().zip(["one", "two", "three"]) {
        run(&format!("vault restore {id} --repo salvage --recovery-file sheet.txt --target {version}"));
        assert_eq!(home(version), version);
        assert_eq!(fs::read_to_string(machine.path(version).join("blob")).unwrap(), version.repeat(100_000));
    }
    let pinned = run("vault snapshots --json --repo salvage --recovery-file sheet.txt");
    assert!(pinned.contains("audit"), "{pinned}");
    run("vault key add --repo salvage --recovery-file sheet.txt --key-file-out key --kdf low");
    assert_eq!(run("vault dump h/-/other:pages/home --repo salvage --key-file key"), "three");
}
