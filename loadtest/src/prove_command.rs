//! `tocsin-loadtest prove`: from the command line to measured targets and an exit code.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use tocsin_loadtest::LoadtestError;
use tocsin_loadtest::load::prove::{self, ProveOptions, Results, Target};
use tocsin_loadtest::load::{MISSED, TargetChoice};

use crate::run_command::{commit, interrupted};

/// How a proof is asked for.
#[derive(Debug, Args)]
pub(crate) struct ProveArguments {
    /// What is measured; everything where nothing is named.
    #[arg(value_parser = PossibleValuesParser::new(Target::ALL.map(Target::name)))]
    targets: Vec<String>,
    /// How often each is measured; medians count.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Flows per second, in place of a search for the highest rate that is sustained.
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Seconds for which a rate must hold.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Enrolled users, in place of the scenario's.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    phones: Option<u32>,
    /// Open transactions of the target `pending`, each of a user of its own.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    pending: u64,
    /// Keep the server's data and the enrolled phones in this folder, so that the next call need not enrol again.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Leave out full flows over TLS and with HPKE.
    #[arg(long)]
    plain_only: bool,
    /// Phones check the signature of each challenge, on the processors of the server.
    #[arg(long)]
    checked_challenges: bool,
    /// Keep the results in this file, and those of other targets that are there.
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Write the table of all kept results into this page, between its lines `prove:begin` and `prove:end`.
    #[arg(long, value_name = "FILE", requires = "keep")]
    page: Option<PathBuf>,
}

/// Measures. 0: every target met that was measured; 1: something could not be measured; 3: a target was missed.
pub(crate) async fn prove(arguments: ProveArguments) -> ExitCode {
    let named = arguments.targets.iter().filter_map(|name| Target::named(name));
    let targets: Vec<Target> = named.collect();
    let options = ProveOptions {
        targets: if targets.is_empty() { Target::ALL.to_vec() } else { targets },
        runs: arguments.runs,
        rate: arguments.rate,
        length: Duration::from_secs(arguments.seconds),
        phones: arguments.phones,
        pending: arguments.pending,
        target: TargetChoice::Own { binary: None, folder: arguments.folder.clone() },
        forms: !arguments.plain_only,
        checks_challenges: arguments.checked_challenges,
        is_talkative: true,
        commit: commit(),
    };
    match prove::prove(options, interrupted()).await.and_then(|results| tell(results, &arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(MISSED),
        Err(error) => {
            eprintln!("not proved: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tell(results: Results, arguments: &ProveArguments) -> Result<bool, LoadtestError> {
    print!("{}", results.table());
    let are_met = results.are_met();
    if let Some(file) = &arguments.keep {
        let mut kept = Results::read(file)?;
        kept.take(results);
        kept.write(file)?;
        if let Some(page) = &arguments.page {
            kept.write_page(page)?;
        }
    }
    Ok(are_met)
}
