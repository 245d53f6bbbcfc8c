//! `vault completions`

use super::{
    args::Cli,
    exit::{Done, Failure},
};
use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::Value;
use std::io::{self, Write};

const EXAMPLES: &str = "\
Examples:
  vault completions bash > /etc/bash_completion.d/vault
  vault completions zsh > ~/.zfunc/_vault
  vault completions fish > ~/.config/fish/completions/vault.fish";

/// Print a shell's completions
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell
    shell: Shell,
}

pub fn run(args: Args) -> Result<Done, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "vault", &mut text);
    io::stdout().write_all(&text)?;
    Ok(Done::good(Value::Null))
}
