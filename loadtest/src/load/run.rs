//! A whole run: the outside, the server, the crowd, then the load, then what is left of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::bare;
use super::report::Report;
use super::scenario::Scenario;
use super::session::Session;
use super::target::TargetChoice;
use crate::LoadtestError;

/// What a run is made with.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What shall happen.
    pub scenario: Scenario,
    /// To whom.
    pub target: TargetChoice,
    /// Phones check the signature of each challenge, as they do in the world.
    pub checks_challenges: bool,
    /// The bare libraries are measured first, for the report.
    pub measures_bare: bool,
    /// A bar is shown where there is a terminal.
    pub shows_progress: bool,
    /// The commit that was built, for the report.
    pub commit: String,
}

/// What a run left.
#[derive(Debug)]
pub struct Ran {
    /// The report.
    pub report: Report,
    /// It was ended by somebody before its time.
    pub was_interrupted: bool,
    /// What the server of its own counted until the end, as Prometheus reads it.
    pub server_metrics: Option<String>,
    /// The server of its own ended by itself.
    pub server_fault: Option<LoadtestError>,
}

/// Makes a run. `interrupt` ends it before its time, with a report of what it was until then; before the load has
/// begun there is none.
pub async fn run(options: RunOptions, interrupt: impl Future<Output = ()>) -> Result<Ran, LoadtestError> {
    interruptible(interrupt, async |is_interrupted| {
        let bare = if options.measures_bare { Some(bare::measure().await?) } else { None };
        let mut session = Session::open(&options, bare, &is_interrupted).await?;
        let report = session.load(&options.scenario).await?;
        let server_metrics = session.server_metrics().await;
        let was_interrupted = is_interrupted.load(Ordering::Relaxed);
        let server_fault = session.close().await;
        Ok(Ran { report, was_interrupted, server_metrics, server_fault })
    })
    .await
}

/// Does the work to its end; the interruption only tells it to come to one.
pub(super) async fn interruptible<T>(
    interrupt: impl Future<Output = ()>,
    work: impl AsyncFnOnce(Arc<AtomicBool>) -> T,
) -> T {
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let work = work(Arc::clone(&is_interrupted));
    tokio::pin!(work, interrupt);
    tokio::select! {
        done = &mut work => done,
        () = &mut interrupt => {
            is_interrupted.store(true, Ordering::Relaxed);
            work.await
        }
    }
}

/// Writes the report's two forms where they are wanted.
pub fn write_report(report: &Report, json: Option<&Path>, html: Option<&Path>) -> Result<(), LoadtestError> {
    let unwritable = |error: &dyn std::fmt::Display| LoadtestError::Unexpected(error.to_string());
    if let Some(path) = json {
        let text = report.to_json().map_err(|error| unwritable(&error))?;
        std::fs::write(path, text).map_err(LoadtestError::io("write the report"))?;
    }
    if let Some(path) = html {
        std::fs::write(path, report.to_html()).map_err(LoadtestError::io("write the report's page"))?;
    }
    Ok(())
}
