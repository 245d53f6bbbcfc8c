//! `vault media`

mod recover;

use super::{
    exit::{Done, Failure},
    session::Session,
};

const EXAMPLES: &str = "\
Examples:
  vault media recover /dev/sdb1 --image /srv/sdb1.img --to /srv/salvage
  vault media recover /srv/sdb1.img --to /srv/salvage --list";

/// Media that repositories lie on
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Recover(recover::Args),
}

impl Args {
    /// What the result is a result of.
    pub fn name(&self) -> &'static str {
        match self.verb {
            Verb::Recover(_) => "media recover",
        }
    }
}

pub fn run(args: Args, session: &Session) -> Result<Done, Failure> {
    match args.verb {
        Verb::Recover(args) => recover::run(args, session),
    }
}
