//! The log of the process: lines to standard error, and panics without what they carry.

use std::panic::PanicHookInfo;
use std::sync::Arc;

use tocsin_config::{Log, LogFormat};
use tocsin_model::Problem;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::SubscriberInitExt;

/// What the server library says of its threads at every start is of use to nobody; the filter may ask for it.
const QUIET: &str = "actix_server=warn";

/// A log filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("log.filter: {0}")]
pub(crate) struct LogError(String);

/// Whether the filter of the configuration can be read.
pub(crate) fn check(log: &Log) -> Result<EnvFilter, LogError> {
    parse(&log.filter)
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder().parse(format!("{QUIET},{filter}")).map_err(|error| LogError(error.to_string()))
}

/// Sets what is logged while the process runs; clones set the same log.
#[derive(Clone)]
pub(crate) struct LogControl(Arc<dyn Fn(EnvFilter) -> Result<(), LogError> + Send + Sync>);

impl LogControl {
    /// Logs from now on what `filter` lets through.
    pub(crate) fn set(&self, filter: &str) -> Result<(), LogError> {
        (self.0)(parse(filter)?)
    }

    /// The same once `note` is through. What cannot be read is not noted, and what cannot be noted is not set.
    pub(crate) async fn set_noted(
        &self,
        filter: &str,
        note: impl AsyncFnOnce() -> Result<(), Problem>,
    ) -> Result<Result<(), LogError>, Problem> {
        let filter = match parse(filter) {
            Ok(filter) => filter,
            Err(error) => return Ok(Err(error)),
        };
        note().await?;
        Ok((self.0)(filter))
    }

    /// One that sets nothing.
    #[cfg(test)]
    pub(crate) fn deaf() -> Self {
        Self(Arc::new(|_| Ok(())))
    }

    fn of<S: 'static>(handle: Handle<EnvFilter, S>) -> Self {
        Self(Arc::new(move |filter| handle.reload(filter).map_err(|error| LogError(error.to_string()))))
    }
}

/// Starts the log, once in the life of the process.
pub(crate) fn start(log: &Log) -> Result<LogControl, LogError> {
    let filter = check(log)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let (control, started) = match log.format {
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            (LogControl::of(builder.reload_handle()), builder.finish().try_init())
        }
        LogFormat::Text => {
            let builder = builder.with_ansi(false).with_filter_reloading();
            (LogControl::of(builder.reload_handle()), builder.finish().try_init())
        }
    };
    started.map_err(|error| LogError(error.to_string()))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(control)
}

/// A panic's text may hold what it panicked over, so only one that was written in the source is told.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let text = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("a text that is not told");
    let thread = std::thread::current();
    tracing::error!(place, thread = thread.name().unwrap_or("unnamed"), text, "panicked");
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Whether a filter was noted, and whether it was set, where the note ends like this.
    async fn noted_and_set(filter: &str, note: Result<(), Problem>) -> (bool, bool) {
        let (is_noted, is_set) = (AtomicBool::new(false), Arc::new(AtomicBool::new(false)));
        let set = Arc::clone(&is_set);
        let log = LogControl(Arc::new(move |_| {
            set.store(true, Ordering::SeqCst);
            Ok(())
        }));
        let noting = async || {
            is_noted.store(true, Ordering::SeqCst);
            assert!(!is_set.load(Ordering::SeqCst), "set before it was noted");
            note
        };
        let outcome = log.set_noted(filter, noting).await;
        assert_eq!(matches!(outcome, Ok(Ok(()))), is_set.load(Ordering::SeqCst));
        (is_noted.into_inner(), is_set.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn a_filter_is_noted_before_it_is_set() {
        assert_eq!(noted_and_set("info", Ok(())).await, (true, true));
    }

    #[tokio::test]
    async fn a_filter_that_cannot_be_noted_is_not_set() {
        assert_eq!(noted_and_set("info", Err(Problem::internal())).await, (true, false));
    }

    #[tokio::test]
    async fn a_filter_that_cannot_be_read_is_not_noted() {
        assert_eq!(noted_and_set("nonsense=loud", Ok(())).await, (false, false));
    }
}
