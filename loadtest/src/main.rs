//! The `tocsin-loadtest` binary; see [`tocsin_loadtest::demo`] and [`tocsin_loadtest::load`].

mod prove_command;
mod run_command;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::{Parser, Subcommand};
use tocsin_loadtest::demo::{self, LonePhone};
use tocsin_loadtest::load::report::{Comparison, Report};

use prove_command::ProveArguments;
use run_command::RunArguments;

/// Demo, simulated phones and load for Tocsin.
#[derive(Debug, Parser)]
#[command(name = "tocsin-loadtest", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show real logins go through a real server, against doubles of Apple, Google and Twilio.
    Demo {
        /// Leave everything up afterwards, with lines to try.
        #[arg(long, env = "KEEP", value_parser = FalseyValueParser::new())]
        keep: bool,
    },
    /// Be a phone: enrol with an activation code, then ask at the terminal about each login.
    Phone {
        /// The activation code that `POST /v1/enrollments` gave.
        code: String,
        /// The server, as phones reach it.
        #[arg(long, default_value = "http://127.0.0.1:8441")]
        issuer: String,
        /// The app, by its name in the server's configuration.
        #[arg(long, default_value = "bank")]
        app: String,
        /// Approve everything without asking.
        #[arg(long)]
        yes: bool,
    },
    /// Put a load on a server and say how it bore it.
    Run(Box<RunArguments>),
    /// Hold the product against the targets of its speed.
    Prove(ProveArguments),
    /// Set the reports of two load runs side by side: the second over the first.
    Compare {
        /// The JSON of the first run.
        first: PathBuf,
        /// The JSON of the second run.
        second: PathBuf,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Demo { keep } => on_runtime(async move { code_of(demo::run(keep).await) }),
        Command::Phone { code, issuer, app, yes } => {
            let phone = LonePhone { code, issuer, app, approves_all: yes };
            on_runtime(async { code_of(demo::be_a_phone(phone).await) })
        }
        Command::Run(arguments) => on_runtime(run_command::run(*arguments)),
        Command::Prove(arguments) => on_runtime(prove_command::prove(arguments)),
        Command::Compare { first, second } => compare(&first, &second),
    }
}

fn code_of(went_well: bool) -> ExitCode {
    if went_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn on_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(work);
    // A thread that reads the terminal cannot be ended; it must not hold up the exit.
    runtime.shutdown_background();
    code
}

fn compare(first: &Path, second: &Path) -> ExitCode {
    let read =
        |path: &Path| Report::read(path).inspect_err(|error| eprintln!("{}: {error}", path.display())).ok();
    match (read(first), read(second)) {
        (Some(first), Some(second)) => {
            print!("{}", Comparison::of(&first, &second));
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}
