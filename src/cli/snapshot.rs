//! `vault snapshot`

use super::{
    args,
    exit::{Done, Failure, Outcome},
    host, human,
    init::{self, NewRepository},
    json,
    progress::tell_rest,
    secrets,
    session::Session,
};
use crate::{
    compress::Compression,
    error::{Error, Result},
    fs::exclude::{ExcludeOptions, PatternFile},
    model::annotation::check_tag,
    name::{Name, Shown},
    ops::snapshot::{self as op, Input, Report, SourceRequest},
    repo::Repository,
    series::Series,
};
use clap::ValueHint;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use std::{
    ffi::OsString,
    fs::File,
    io,
    os::fd::AsFd,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const EXAMPLES: &str = "\
Examples:
  vault snapshot /srv/wiki
  vault snapshot --init --repo /mnt/backup /srv/wiki --exclude '*.tmp' --exclude-caches
  vault snapshot --as alpha/web1/shop --source app=/srv/shop --source data=/mnt/hdd/shop
  vault snapshot --as alpha/-/db --stdin-from-command --stdin-name db.sql -- pg_dump shop
  mysqldump shop | vault snapshot --as alpha/-/db --stdin --stdin-name db.sql

Without --as the series is this host's full name, - for no vm, and the path.";

/// Longest file of patterns, in bytes.
const PATTERNS_MAX: u64 = 16 << 20;

/// Take a snapshot
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Files and folders; the last part of each path names it in the snapshot
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
    /// The series that the snapshot belongs to: server/vm/relpath, - for no vm
    #[arg(long = "as", value_name = "SERIES")]
    series: Option<String>,
    /// Also take PATH, under this NAME (again for more)
    #[arg(long = "source", value_name = "NAME=PATH", value_hint = ValueHint::AnyPath)]
    sources: Vec<OsString>,
    /// Take what a command prints: give the command after --
    #[arg(long, requires = "stdin_name", conflicts_with = "stdin")]
    stdin_from_command: bool,
    /// Take standard input
    #[arg(long, requires = "stdin_name")]
    stdin: bool,
    /// How the stream is called in the snapshot
    #[arg(long, value_name = "NAME")]
    stdin_name: Option<OsString>,
    /// The command whose output is taken, with its arguments
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
    /// Leave out what matches PATTERN, as in .gitignore, relative to each source (again for more)
    #[arg(long, short, value_name = "PATTERN", help_heading = "What to leave out")]
    exclude: Vec<String>,
    /// Leave out what matches a pattern in FILE, one a line (again for more)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "What to leave out")]
    exclude_file: Vec<PathBuf>,
    /// Leave out what is in folders with a CACHEDIR.TAG
    #[arg(long, help_heading = "What to leave out")]
    exclude_caches: bool,
    /// Leave out files that are larger, such as 500M
    #[arg(long, value_name = "SIZE", value_parser = args::size, help_heading = "What to leave out")]
    exclude_larger_than: Option<u64>,
    /// Do not enter other file systems
    #[arg(long, short = 'x', help_heading = "What to leave out")]
    one_file_system: bool,
    /// A word to find the snapshot by (again for more)
    #[arg(long, short, value_name = "TAG", value_parser = tag)]
    tag: Vec<String>,
    /// Free text
    #[arg(long, short, value_name = "TEXT")]
    description: Option<String>,
    /// How hard to compress: none, auto, or a level from 1 to 19
    #[arg(long, value_name = "LEVEL", value_parser = compression, default_value = "auto")]
    compression: Compression,
    /// Store what changed in large files by itself, not as the difference to the version before
    #[arg(long)]
    no_delta: bool,
    /// Also keep times of last access
    #[arg(long)]
    with_atime: bool,
    /// Read and compare, store nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Make the repository when there is none
    #[arg(long, conflicts_with = "dry_run", help_heading = "With --init")]
    init: bool,
    #[command(flatten, next_help_heading = "With --init")]
    new: NewRepository,
}

/// Reads how hard to compress.
pub fn compression(text: &str) -> Result<Compression, String> {
    match text {
        "none" => Ok(Compression::None),
        "auto" => Ok(Compression::Auto),
        _ => match text.parse() {
            Ok(level @ 1..=19) => Ok(Compression::Level(level)),
            _ => Err("write none, auto, or a level from 1 to 19".into()),
        },
    }
}

fn tag(text: &str) -> Result<String, String> {
    check_tag(text).map_err(|e| e.to_string())?;
    Ok(text.to_owned())
}

pub fn run(mut args: Args, session: &Session) -> Result<Done, Failure> {
    let begun = Instant::now();
    if !args.stdin_from_command {
        // Then `--` has its usual meaning: what follows is no option.
        args.paths.extend(std::mem::take(&mut args.command).into_iter().map(PathBuf::from));
    } else if args.command.is_empty() {
        return Err(Error::usage("which command? Give it after --, for example: -- pg_dump shop").into());
    }
    let host = host::fqdn();
    let (sources, only_path) = sources(&args)?;
    let series = series(&args, &host, only_path.as_deref())?;
    let excludes = excludes(&args)?;
    let repo = open(&args, session)?;
    session.accept_rollback(&repo, Some(&series))?;
    let request = op::Request {
        series,
        sources,
        excludes,
        compression: args.compression,
        delta: !args.no_delta,
        with_atime: args.with_atime,
        tags: args.tag,
        description: args.description,
        configuration: None,
        host,
        user: host::user(),
        protect: session.repository_identity(),
        dry_run: args.dry_run,
        threads: args.threads,
    };
    let progress = session.progress();
    let report = op::snapshot(&repo, request, progress.monitor());
    let told = progress.end();
    let report = report?;
    if !session.screen.json && !session.global.quiet {
        // The snapshot is made, whether or not anybody reads of it.
        match tell(&report, begun.elapsed()) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                session.screen.warn(&format!("cannot write the output: {e}"))
            }
            _ => {}
        }
    }
    let problems = report.snapshot.problem_count;
    if problems > 0 && !session.screen.json {
        let count = tell_rest(&session.screen, &told, &report.snapshot.problems, problems);
        session.screen.warn(&format!("the snapshot is incomplete: {count}, and in the snapshot"));
    }
    let whole = report.snapshot.head.complete && problems == 0;
    let result = json!({
        "snapshot": json::snapshot(report.id.as_ref(), &report.snapshot),
        "files_unchanged": report.files_unchanged,
        "files_opened": report.files_opened,
        "files_gone": report.files_gone,
        "data_packs": report.written.data_packs,
        "tree_packs": report.written.tree_packs,
        "bytes_new": report.snapshot.work.bytes_new,
        "bytes_stored": report.written.bytes_stored,
        "leaning": { "bytes_new": report.written.leaning_new, "bytes_stored": report.written.leaning_stored },
        "seconds": begun.elapsed().as_secs_f64(),
        "dry_run": report.id.is_none(),
    });
    Ok(Done { outcome: if whole { Outcome::Good } else { Outcome::Incomplete }, result })
}

/// Opens the repository, or makes it when that was asked for.
fn open(args: &Args, session: &Session) -> Result<Repository, Failure> {
    let place = session.place()?;
    let there = session.open_store(&place).and_then(|store| Repository::identify(&*store).map(|_| store));
    match there {
        Ok(store) => Ok(session.unlock(store)?.0),
        Err(Error::NoRepository { .. }) if args.init => init::make(session, &args.new),
        Err(Error::NoRepository { place, why }) => {
            Err(Error::NoRepository { place, why: format!("{why} (or add --init)") }.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Standard input, which may be silent for long: now and then the reader gets to see whether the user wants to stop.
struct PatientInput(File);

impl io::Read for PatientInput {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&PATIENCE))? {
            0 => Err(io::ErrorKind::Interrupted.into()),
            _ => self.0.read(room),
        }
    }
}

/// The sources, and the path that the series may be named after: when it is the only source.
fn sources(args: &Args) -> Result<(Vec<SourceRequest>, Option<PathBuf>), Failure> {
    let mut sources: Vec<SourceRequest> = Vec::new();
    let absolute = |path: &Path| {
        host::absolute(path).map_err(|source| Failure::File { doing: "find", path: secrets::shown(path), source })
    };
    let input = |path: PathBuf| Input::Path(path.into_os_string().into_vec());
    let mut first = None;
    for path in &args.paths {
        let path = absolute(path)?;
        sources.push(SourceRequest { name: host::source_name(&path)?, input: input(path.clone()) });
        first.get_or_insert(path);
    }
    for given in &args.sources {
        let bytes = given.as_bytes();
        let wrong = || Error::usage(format!("--source {}: write NAME=PATH, for example app=/srv/app", Shown(bytes)));
        let (name, path) = split_once(bytes, b'=').filter(|(_, path)| !path.is_empty()).ok_or_else(wrong)?;
        let path = absolute(Path::new(std::ffi::OsStr::from_bytes(path)))?;
        sources.push(SourceRequest { name: Name::new(name).map_err(Error::usage)?, input: input(path) });
    }
    if let Some(name) = &args.stdin_name {
        let input = match (args.stdin_from_command, args.stdin) {
            (true, _) => Input::Command(args.command.iter().map(|word| word.as_bytes().to_vec()).collect()),
            (false, true) => {
                let stdin = io::stdin().as_fd().try_clone_to_owned().map(File::from);
                let stdin =
                    stdin.map_err(|source| Failure::File { doing: "read", path: "standard input".into(), source })?;
                Input::Stream(Box::new(PatientInput(stdin)))
            }
            (false, false) => {
                return Err(Error::usage("--stdin-name needs --stdin or --stdin-from-command").into());
            }
        };
        sources.push(SourceRequest { name: Name::new(name.as_bytes()).map_err(Error::usage)?, input });
    }
    if sources.is_empty() {
        return Err(Error::usage("a snapshot of what? Give a PATH, --source NAME=PATH or --stdin").into());
    }
    for (i, source) in sources.iter().enumerate() {
        if sources[..i].iter().any(|other| other.name == source.name) {
            return Err(Error::usage(format!(
                "two sources are called \"{}\": give one another name with --source NAME=PATH",
                source.name
            ))
            .into());
        }
    }
    let only = if sources.len() == 1 { first } else { None };
    Ok((sources, only))
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&b| b == at)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

fn series(args: &Args, host: &str, only_path: Option<&Path>) -> Result<Series> {
    match (&args.series, only_path) {
        (Some(series), _) => Series::parse(series),
        (None, Some(path)) => host::default_series(host, path),
        (None, None) => Err(Error::usage(format!(
            "which series? With more than one source, or a stream, say it with --as, for example --as {}/-/shop",
            Shown(host.as_bytes())
        ))),
    }
}

fn excludes(args: &Args) -> Result<ExcludeOptions, Failure> {
    let mut files = Vec::new();
    for path in &args.exclude_file {
        files.push(PatternFile {
            name: path.to_string_lossy().into_owned(),
            contents: secrets::read_file(path, PATTERNS_MAX)?.to_vec(),
        });
    }
    Ok(ExcludeOptions {
        patterns: args.exclude.clone(),
        files,
        caches: args.exclude_caches,
        larger_than: args.exclude_larger_than,
        one_file_system: args.one_file_system,
    })
}

/// What people read of it. The first line is for scripts that look for `snapshot <id>`, too.
fn tell(report: &Report, took: Duration) -> io::Result<()> {
    use io::Write;
    let snapshot = &report.snapshot;
    let (totals, work) = (&snapshot.totals, &snapshot.work);
    let out = &mut io::stdout().lock();
    let series = Shown(snapshot.series.as_bytes());
    let time = human::local_time(snapshot.head.time.sec);
    match &report.id {
        Some(id) => writeln!(out, "snapshot {} saved: series {series}, {time}", &id.to_string()[..12])?,
        None => writeln!(out, "dry run of series {series}: nothing was stored")?,
    }
    human::print_facts(
        out,
        &[
            (
                "files",
                format!(
                    "{} ({} read, {} unchanged), {}",
                    human::count(totals.files),
                    human::count(work.files_read),
                    human::count(report.files_unchanged),
                    human::bytes(totals.bytes)
                ),
            ),
            (
                "folders",
                format!(
                    "{}, and {}",
                    human::count(totals.directories),
                    human::counted(totals.others, "other entry", "other entries")
                ),
            ),
            (
                "read",
                format!(
                    "{}; {} of files and folders were new",
                    human::bytes(work.bytes_read),
                    human::bytes(work.bytes_new)
                ),
            ),
            (
                if report.id.is_some() { "added" } else { "to add" },
                match report.written.bytes_stored {
                    0 if report.id.is_some() => "nothing but the snapshot itself".into(),
                    stored if report.written.leaning_new > 0 => format!(
                        "{} to the repository, with {} as the difference to earlier versions",
                        human::bytes(stored),
                        human::bytes(report.written.leaning_new)
                    ),
                    stored => format!("{} to the repository", human::bytes(stored)),
                },
            ),
            ("time", human::duration(took)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &[&str]) -> Args {
        Only::parse_from([&["snapshot"], words].concat()).args
    }

    #[test]
    fn sources_have_names_of_their_own() {
        let (given, only) = sources(&args(&["/srv/wiki/"])).unwrap();
        assert_eq!((given[0].name.as_bytes(), only), (&b"wiki"[..], Some("/srv/wiki/".into())));
        let (given, only) = sources(&args(&["/a/x", "--source", "y=/b/x=1"])).unwrap();
        assert_eq!(given[1].name.as_bytes(), b"y");
        assert!(matches!(&given[1].input, Input::Path(path) if path == b"/b/x=1"));
        assert_eq!(only, None);
        for (words, hint) in [
            (&["/a/x", "/b/x"][..], "--source NAME=PATH"),
            (&["--source", "/b/x"], "NAME=PATH"),
            (&["--source", "a="], "NAME=PATH"),
            (&[], "PATH"),
            (&["--stdin-name", "x"], "--stdin"),
        ] {
            let said = sources(&args(words)).err().unwrap().to_string();
            assert!(said.contains(hint), "{said}");
        }
    }

    #[test]
    fn several_sources_need_a_series() {
        let several = args(&["/a", "/b"]);
        assert!(series(&several, "alpha", None).unwrap_err().to_string().contains("--as"));
        assert_eq!(series(&args(&["/a"]), "alpha", Some(Path::new("/a"))).unwrap().as_str(), "alpha/-/a");
        assert_eq!(series(&args(&["--as", "x/y/z", "/a"]), "alpha", None).unwrap().as_str(), "x/y/z");
    }

    #[test]
    fn a_command_keeps_its_options() {
        let args = args(&["--stdin-from-command", "--stdin-name", "db.sql", "--", "pg_dump", "--clean", "-n", "shop"]);
        let (given, _) = sources(&args).unwrap();
        assert!(matches!(&given[0].input, Input::Command(words) if words.len() == 4 && words[1] == b"--clean"));
    }

    #[test]
    fn levels_of_compression_are_read() {
        assert_eq!(compression("auto"), Ok(Compression::Auto));
        assert_eq!(compression("19"), Ok(Compression::Level(19)));
        assert_eq!(compression("none"), Ok(Compression::None));
        assert!(compression("20").is_err() && compression("0").is_err() && compression("fast").is_err());
    }
}
