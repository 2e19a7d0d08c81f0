//! Holds the product against the targets of its speed: each is measured several times by a scenario of its own, its
//! medians are set beside target and stretch, and what is missed is told by how much.
//!
//! A target is never measured with less than the product does for everybody: durability, checks, audit and metrics are
//! on. Phones of the crowd take challenges as they are unless told otherwise, since in the world each brings a processor
//! of its own.

mod burst;
mod figures;
mod full_flow;
mod pending;
mod refusals;
mod results;
mod search;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use figures::Target;
pub use results::Results;

use super::bare;
use super::run::{RunOptions, interruptible};
use super::scenario::{AnswerDelay, Pattern, Phase, Phones, Scenario, Shape};
use super::session::Session;
use super::target::TargetChoice;
use crate::LoadtestError;

/// Room for flows beside transactions that stay open.
const FLOWS_BESIDE: usize = 50_000;

/// What is proved, and how.
#[derive(Clone, Debug)]
pub struct ProveOptions {
    /// What is measured.
    pub targets: Vec<Target>,
    /// How often.
    pub runs: u32,
    /// Flows per second in place of a search for the highest rate.
    pub rate: Option<f64>,
    /// How long a rate must hold.
    pub length: Duration,
    /// Enrolled users in place of the scenario's.
    pub phones: Option<u32>,
    /// Open transactions that are many.
    pub pending: u64,
    /// The server and its folder.
    pub target: TargetChoice,
    /// Full flows are measured over TLS and with HPKE too.
    pub forms: bool,
    /// Phones check the signature of each challenge.
    pub checks_challenges: bool,
    /// Bars are shown where there is a terminal, and sentences as it goes.
    pub is_talkative: bool,
    /// The commit that was built.
    pub commit: String,
}

/// What the measurements share.
struct Prover {
    options: ProveOptions,
    is_interrupted: Arc<AtomicBool>,
}

/// Measures the targets, one after the other. After `interrupt` what has been measured so far is given.
///
/// # Errors
///
/// Something could not be measured.
pub async fn prove(
    options: ProveOptions,
    interrupt: impl Future<Output = ()>,
) -> Result<Results, LoadtestError> {
    interruptible(interrupt, async |is_interrupted| {
        let prover = Prover { options, is_interrupted };
        let mut results = Results::default();
        for target in prover.options.targets.clone() {
            if prover.is_interrupted() {
                break;
            }
            prover.tell(&format!("{}:", target.name()));
            let measured = match target {
                Target::FullFlow => prove_full_flow(&prover).await?,
                Target::BurstAcceptance => {
                    let mut session = prover.open("burst-acceptance").await?;
                    let measured = burst::prove_acceptance(&prover, &mut session).await;
                    close(session, measured).await?
                }
                Target::Pending => prove_pending(&prover).await?,
                Target::Refusals => {
                    let mut session = prover.open("refusals").await?;
                    let measured = refusals::prove(&prover, &mut session).await;
                    close(session, measured).await?
                }
                Target::Burst100k => {
                    let mut session = prover.open("burst-100k").await?;
                    let measured = burst::prove_burst(&prover, &mut session).await;
                    close(session, measured).await?
                }
            };
            results.targets.insert(target.name().to_owned(), measured);
        }
        Ok(results)
    })
    .await
}

/// The plain form as often as asked, then the others once each, on servers of their own.
async fn prove_full_flow(prover: &Prover) -> Result<results::Measured, LoadtestError> {
    let mut session = prover.open("full-flow").await?;
    let measured = full_flow::prove(prover, &mut session).await;
    let mut measured = close(session, measured).await?;
    for form in full_flow::Form::ALL {
        if prover.is_interrupted() || !prover.options.forms {
            break;
        }
        let scenario = form.of(prover.scenario("full-flow"));
        let mut session = prover.open_with(scenario, form.folder()).await?;
        let told = full_flow::tell_beside(prover, &mut session, form, &mut measured).await;
        close(session, told).await?;
    }
    Ok(measured)
}

/// A server for each run: it is filled but once. Where a folder is kept, phones enrol in one part of it, and each run
/// begins with a copy.
async fn prove_pending(prover: &Prover) -> Result<results::Measured, LoadtestError> {
    let mut measured = results::Measured::default();
    let kept = match &prover.options.target {
        TargetChoice::Own { binary, folder: Some(folder) } => Some((binary.clone(), folder.clone())),
        TargetChoice::Own { .. } | TargetChoice::Foreign(_) => None,
    };
    for _ in 0..prover.runs() {
        if prover.is_interrupted() {
            break;
        }
        let scenario = prover.scenario("pending");
        let target = match &kept {
            None => prover.options.target.clone(),
            Some((binary, folder)) => {
                let [enrolled, filled] = ["enrolled", "filled"].map(|part| folder.join(part));
                let own = |folder| TargetChoice::Own { binary: binary.clone(), folder: Some(folder) };
                // Enrols those who are not there yet.
                let session = prover.open_at(scenario.clone(), own(enrolled.clone())).await?;
                close(session, Ok(())).await?;
                copy_folder(&enrolled, &filled).map_err(LoadtestError::io("copy the enrolled phones"))?;
                own(filled)
            }
        };
        let mut session = prover.open_at(scenario, target).await?;
        let filled = pending::prove(prover, &mut session, &mut measured).await;
        close(session, filled).await?;
    }
    Ok(measured)
}

/// A folder with all that is in it, in place of what was there.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Ends the session; a server that ended by itself has proved nothing.
async fn close<T>(session: Session, measured: Result<T, LoadtestError>) -> Result<T, LoadtestError> {
    match session.close().await {
        Some(fault) => Err(fault),
        None => measured,
    }
}

impl Prover {
    fn runs(&self) -> u32 {
        self.options.runs
    }

    fn rate(&self) -> Option<f64> {
        self.options.rate
    }

    fn length(&self) -> Duration {
        self.options.length
    }

    /// No longer than what it comes before.
    fn warm_up(&self, wished: Duration) -> Duration {
        wished.min(self.options.length)
    }

    fn pending(&self) -> u64 {
        self.options.pending
    }

    fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::Relaxed)
    }

    fn tell(&self, sentence: &str) {
        if self.options.is_talkative {
            eprintln!("{sentence}");
        }
    }

    /// A scenario that comes with the tool, with the number of phones that was asked for.
    fn scenario(&self, name: &str) -> Scenario {
        let scenario = Scenario::named(name).and_then(Result::ok);
        let mut scenario = scenario.expect("a test reads all that come with the tool");
        if let Some(phones) = self.options.phones {
            scenario.phones.count = phones;
        }
        if name == "pending" {
            scenario.phones.count = u32::try_from(self.options.pending).unwrap_or(u32::MAX);
            scenario.flows.in_flight_max = usize::try_from(self.options.pending).unwrap_or(0) + FLOWS_BESIDE;
        }
        scenario
    }

    /// A server with the crowd of this scenario.
    async fn open(&self, scenario: &str) -> Result<Session, LoadtestError> {
        self.open_with(self.scenario(scenario), scenario).await
    }

    /// Where a folder is kept, each proof and each form of it has a part of its own: a database belongs to one issuer, and
    /// phones are enrolled as their scenario says.
    async fn open_with(&self, scenario: Scenario, part: &str) -> Result<Session, LoadtestError> {
        let target = match self.options.target.clone() {
            TargetChoice::Own { binary, folder: Some(folder) } => {
                TargetChoice::Own { binary, folder: Some(folder.join(part)) }
            }
            other => other,
        };
        self.open_at(scenario, target).await
    }

    async fn open_at(&self, scenario: Scenario, target: TargetChoice) -> Result<Session, LoadtestError> {
        let bare = bare::measure().await?;
        let options = RunOptions {
            scenario,
            target,
            checks_challenges: self.options.checks_challenges,
            measures_bare: true,
            shows_progress: self.options.is_talkative,
            commit: self.options.commit.clone(),
        };
        Session::open(&options, Some(bare), &self.is_interrupted).await
    }
}

impl Scenario {
    /// The same with arrivals at this rate for so long.
    fn at_rate(&self, rate_per_s: f64, duration: Duration) -> Self {
        let phase = Phase {
            name: format!("{rate_per_s:.0}/s"),
            shape: Shape::Steady { rate_per_s },
            pattern: Pattern::Poisson,
            duration,
        };
        Self { phases: vec![phase], ..self.clone() }
    }
}

impl Phones {
    /// The same, answering at once.
    fn at_once(&self) -> Self {
        Self { answer_delay: AnswerDelay::Zero, ..self.clone() }
    }
}
