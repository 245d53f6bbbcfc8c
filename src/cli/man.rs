//! `vault man`

use super::{
    args::Cli,
    exit::{Done, Failure},
    secrets,
};
use clap::CommandFactory;
use clap_mangen::Man;
use serde_json::Value;
use std::{
    io::{self, Write},
    path::PathBuf,
};

const EXAMPLES: &str = "\
Examples:
  vault man | man -l -                       read the main page
  vault man /usr/local/share/man/man1        one page for each command";

/// Print the manual page, or write one for each command
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder for vault.1, vault-snapshot.1 and so on; made when it is not there
    #[arg(value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<Done, Failure> {
    match args.dir {
        Some(dir) => {
            std::fs::create_dir_all(&dir).and_then(|()| clap_mangen::generate_to(Cli::command(), &dir)).map_err(
                |source| Failure::File { doing: "write manual pages to", path: secrets::shown(&dir), source },
            )?;
        }
        None => {
            let mut page = Vec::new();
            Man::new(Cli::command()).render(&mut page)?;
            io::stdout().write_all(&page)?;
        }
    }
    Ok(Done::good(Value::Null))
}
