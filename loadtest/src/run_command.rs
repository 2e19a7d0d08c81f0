//! `tocsin-loadtest run`: from the command line to a load run and its exit code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;
use tocsin_loadtest::PortalCredentials;
use tocsin_loadtest::load::scenario::Scenario;
use tocsin_loadtest::load::{self, ForeignTarget, Ran, RunOptions, Summary, TargetChoice, write_report};
use tokio::signal::unix::{SignalKind, signal};

/// How a load run is asked for.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The scenario's TOML file, or the name of one that comes with the tool: steady, full-flow, login-burst,
    /// pay-day-morning, soak, provider-outage, retry-storm, sms-fallback-wave, burst-100k.
    scenario: PathBuf,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the report as a page for a browser.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Draw all that is random from this, in place of the scenario's seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Keep the server's data and the enrolled phones in this folder, so that the next run need not enrol again.
    #[arg(long, value_name = "FOLDER", conflicts_with = "url")]
    folder: Option<PathBuf>,
    /// Take challenges as they are: phones check no signature. It spares this machine some processor time.
    #[arg(long)]
    unchecked_challenges: bool,
    /// Load this running server, by its portal door, in place of one of its own.
    #[arg(long, requires_all = ["device_url", "secret_file"])]
    url: Option<String>,
    /// The device door of the running server: its issuer.
    #[arg(long, requires = "url")]
    device_url: Option<String>,
    /// The client of the running server that starts transactions and enrols phones.
    #[arg(long, default_value = "portal")]
    client: String,
    /// Holds that client's secret.
    #[arg(long, value_name = "FILE", requires = "url")]
    secret_file: Option<PathBuf>,
    /// The authentication type of the running server that asks by push.
    #[arg(long, default_value = "login")]
    push_type: String,
    /// The app of the running server that phones enrol with.
    #[arg(long, default_value = "bank")]
    app: String,
    /// The running server is yours. Needed unless it is on this machine.
    #[arg(long)]
    i_own_this_target: bool,
}

/// Makes the run. 0: every threshold met; 1: no run could be made, or the server ended; 3: a threshold was missed.
pub(crate) async fn run(arguments: RunArguments) -> ExitCode {
    let options = match options(&arguments) {
        Ok(options) => options,
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::FAILURE;
        }
    };
    match load::run(options, interrupted()).await {
        Ok(ran) => tell(&ran, &arguments),
        Err(error) => {
            eprintln!("no load run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C, or SIGTERM, as `timeout` and service managers send it: a server of the run's own must not outlive the tool.
/// Without these signals a run simply cannot be ended early.
pub(crate) async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => {}
        Some(()) = terminate.recv() => {}
        else => std::future::pending().await,
    }
}

fn tell(ran: &Ran, arguments: &RunArguments) -> ExitCode {
    if ran.was_interrupted {
        println!("Interrupted; this is what it was until then.");
    }
    print!("{}", Summary(&ran.report));
    if let Err(error) = write_report(&ran.report, arguments.report.as_deref(), arguments.html.as_deref()) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    if let Some(fault) = &ran.server_fault {
        eprintln!("{fault}");
        return ExitCode::FAILURE;
    }
    ExitCode::from(ran.report.verdict.exit_code())
}

fn options(arguments: &RunArguments) -> Result<RunOptions, String> {
    let mut scenario = scenario(&arguments.scenario)?;
    if let Some(seed) = arguments.seed {
        scenario.seed = seed;
    }
    Ok(RunOptions {
        scenario,
        target: target(arguments)?,
        checks_challenges: !arguments.unchecked_challenges,
        measures_bare: true,
        shows_progress: true,
        commit: commit(),
    })
}

fn scenario(path: &Path) -> Result<Scenario, String> {
    let wrong = |faults: &dyn std::fmt::Display| format!("{}:\n{faults}", path.display());
    if let Some(named) = path.to_str().and_then(Scenario::named) {
        return named.map_err(|faults| wrong(&faults));
    }
    let text =
        fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Scenario::parse(&name, &text).map_err(|faults| wrong(&faults))
}

fn target(arguments: &RunArguments) -> Result<TargetChoice, String> {
    let (Some(portal_url), Some(device_url), Some(secret_file)) =
        (&arguments.url, &arguments.device_url, &arguments.secret_file)
    else {
        return Ok(TargetChoice::Own { binary: None, folder: arguments.folder.clone() });
    };
    let secret = fs::read_to_string(secret_file);
    let secret = secret.map_err(|error| format!("cannot read {}: {error}", secret_file.display()))?;
    Ok(TargetChoice::Foreign(ForeignTarget {
        portal_url: portal_url.clone(),
        device_url: device_url.clone(),
        credentials: PortalCredentials {
            client_id: arguments.client.clone(),
            secret: secret.trim().to_owned(),
        },
        push_type: arguments.push_type.clone(),
        app: arguments.app.clone(),
        is_owned: arguments.i_own_this_target,
    }))
}

/// The commit of the tree that this is run in, with `+` where that has changes; empty where there is none.
pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    let plus = if changed { "+" } else { "" };
    git(&["rev-parse", "--short", "HEAD"]).map(|commit| format!("{commit}{plus}")).unwrap_or_default()
}
