//! `vault restore`

use super::{
    exit::{Done, Failure},
    human, json,
    progress::tell_rest,
    restore_app::{self, AppArgs},
    session::Session,
};
use crate::{
    error::Error,
    fs::target::Identity,
    name::Shown,
    ops::restore::{self as op, Owners, Report},
    repo::{BlobReader, Listed},
};
use clap::ValueHint;
use serde_json::json;
use std::{
    ffi::OsString,
    io::{self, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    time::{Duration, Instant},
};

const EXAMPLES: &str = "\
Examples:
  vault restore alpha.example.org/-/srv/wiki --target /tmp/wiki
  vault restore alpha.example.org/-/srv/wiki@2026-03-02:wiki/data --target /tmp/data --include '*.md'
  vault restore 1a2b3c4d --target /srv --in-place --delete --dry-run
  vault restore alpha.example.org/web1/shop --target /srv/shop --in-place --verify
  vault restore --app alpha.example.org/web1/shop --target /srv/shop --database-server postgresql:///run/postgresql";

/// Bring a snapshot, or a part of one, back
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// SERIES[@VERSION][:PATH] or ID[:PATH]
    address: OsString,
    /// Folder to restore into; made when it is not there
    #[arg(long, short = 'T', value_name = "DIR", value_hint = ValueHint::DirPath)]
    target: PathBuf,
    /// Only what matches PATTERN, as in .gitignore, relative to the target: '*.md', /data is DIR/data (again for more)
    #[arg(long, short, value_name = "PATTERN")]
    include: Vec<String>,
    /// Not what matches PATTERN, relative to the target: '*.tmp', /data/cache (again for more)
    #[arg(long, short, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Restore over what is there: write only what differs
    #[arg(long)]
    in_place: bool,
    /// Remove what the snapshot does not have
    #[arg(long, requires = "in_place")]
    delete: bool,
    /// Compare contents, not only size and time; and read back what was written
    #[arg(long)]
    verify: bool,
    /// Change nothing, tell what would be done
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Whose the restored files are: by number as on the source, by name, or the one's who restores
    #[arg(long, value_enum, default_value_t = Owner::Numeric)]
    owner: Owner,
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    whole: AppArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Owner {
    Numeric,
    Name,
    Me,
}

impl From<Owner> for Owners {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::Numeric => Owners::Numeric,
            Owner::Name => Owners::ByName,
            Owner::Me => Owners::Skip,
        }
    }
}

/// What is to be restored, and where to.
pub struct Plan {
    request: op::Request,
    target: PathBuf,
}

impl Plan {
    /// Brings a path of a snapshot back into a folder, as `vault restore` does without options.
    pub fn new(path: Vec<u8>, target: PathBuf) -> Self {
        let request = op::Request {
            path: Some(path).filter(|path| !path.is_empty()),
            target: target.clone().into_os_string().into_vec(),
            ..op::Request::default()
        };
        Plan { request, target }
    }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    let repo = session.open()?;
    let (listed, path) = session.resolve(&repo, &args.address)?;
    if args.whole.app {
        if path.is_some() {
            return Err(Error::usage("--app brings back a whole application: name no path in it").into());
        }
        let index = session.index(&repo)?;
        let reader = BlobReader::new(&repo, &index);
        return restore_app::run(&args.whole, &args.target, args.owner.into(), session, &reader, &listed);
    }
    let request = op::Request {
        path,
        target: args.target.clone().into_os_string().into_vec(),
        include: args.include,
        exclude: args.exclude,
        in_place: args.in_place,
        delete: args.delete,
        verify: args.verify,
        dry_run: args.dry_run,
        protect: None,
        owners: args.owner.into(),
        threads: args.threads,
    };
    let index = session.index(&repo)?;
    let reader = BlobReader::new(&repo, &index);
    bring_back(session, &reader, &listed, Plan { request, target: args.target })
}

/// Restores, and tells what came of it. The repository itself is left alone, wherever it is.
pub fn bring_back(session: &Session, reader: &BlobReader<'_>, listed: &Listed, plan: Plan) -> Result<Done, Failure> {
    let begun = Instant::now();
    let Plan { mut request, target } = plan;
    request.protect = session.repository_identity().map(|(device, inode)| Identity { device, inode });
    let progress = session.progress();
    let report = op::restore(reader, listed, &request, progress.monitor());
    let told = progress.end();
    let report = match report {
        Err(Error::Cancelled) if !request.dry_run => {
            return Err(Failure::Stopped(
                "stopped on request; what was restored is kept: run it again with --in-place to go on",
            ));
        }
        report => report?,
    };
    let totals = &report.totals;
    let nothing = !request.include.is_empty() && totals.files == 0 && totals.others == 0 && report.sockets == 0;
    let nothing = nothing.then_some(
        "nothing was restored but folders: nothing matches --include, whose patterns are relative to the target (/data is DIR/data)",
    );
    if !session.screen.json {
        if !session.global.quiet || request.dry_run {
            // It is done, whether or not anybody reads of it.
            match tell(&target, listed, &request, &report, begun.elapsed()) {
                Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                    session.screen.warn(&format!("cannot write the output: {e}"));
                }
                _ => {}
            }
        }
        if !report.shortfall.is_empty() {
            session.screen.note(&report.shortfall);
        }
        if report.problem_count > 0 {
            let count = tell_rest(&session.screen, &told, &report.problems, report.problem_count);
            session.screen.error(&format!("not everything was restored: {count}"));
        }
        if let Some(nothing) = nothing {
            session.screen.warn(nothing);
        }
        if !listed.snapshot.head.complete {
            let count = human::counted(listed.snapshot.problem_count, "entry", "entries");
            session
                .screen
                .warn(&format!("the snapshot itself is incomplete: {count} could not be read when it was made"));
        }
    }
    if let Some(nothing) = nothing.filter(|_| session.screen.json) {
        session.screen.event(&json!({ "event": "problem", "message": nothing }));
    }
    let result = json!({
        "snapshot": listed.id.to_string(),
        "dry_run": request.dry_run,
        "totals": json::totals(&report.totals),
        "files_unchanged": report.files_unchanged,
        "files_written": report.files_written,
        "bytes_written": report.bytes_written,
        "bytes_fetched": report.bytes_fetched,
        "deleted": report.deleted,
        "sockets": report.sockets,
        "shortfall": report.shortfall,
        "problem_count": report.problem_count,
        "problems": json::problems(&report.problems),
        "actions": report.actions,
        "seconds": begun.elapsed().as_secs_f64(),
    });
    Ok(Done::unless(report.problem_count > 0 || nothing.is_some(), result))
}

fn tell(
    target: &std::path::Path,
    listed: &Listed,
    request: &op::Request,
    report: &Report,
    took: Duration,
) -> io::Result<()> {
    let out = &mut io::BufWriter::new(io::stdout().lock());
    for action in &report.actions {
        writeln!(out, "{action}")?;
    }
    let target = Shown(target.as_os_str().as_bytes());
    let verb = if request.dry_run { "would restore" } else { "restored" };
    let part = request.path.as_deref().filter(|path| !path.is_empty());
    let part = part.map(|path| format!("{} from ", Shown(path))).unwrap_or_default();
    writeln!(out, "{verb} {part}snapshot {} to {target}", Session::name_of(listed))?;
    let totals = &report.totals;
    let mut facts = vec![
        ("files", format!("{}, {}", human::count(totals.files), human::bytes(totals.bytes))),
        (
            "folders",
            format!(
                "{}, and {}",
                human::count(totals.directories),
                human::counted(totals.others, "other entry", "other entries")
            ),
        ),
        (
            "written",
            format!(
                "{} in {}, {} were right already",
                human::bytes(report.bytes_written),
                human::counted(report.files_written, "file", "files"),
                human::count(report.files_unchanged)
            ),
        ),
        ("fetched", format!("{} from the repository", human::bytes(report.bytes_fetched))),
    ];
    if request.delete {
        facts.push(("removed", human::counted(report.deleted, "entry", "entries")));
    }
    if report.sockets > 0 {
        facts.push(("left out", human::counted(report.sockets, "socket", "sockets")));
    }
    facts.push(("time", human::duration(took)));
    human::print_facts(out, &facts)?;
    out.flush()
}
