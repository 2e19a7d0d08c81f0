//! The log of the process: lines to standard error, each with the call that it belongs to, and panics without what
//! they carry.

use std::fmt;
use std::panic::PanicHookInfo;
use std::sync::Arc;

use tocsin_config::{Log, LogFormat};
use tocsin_model::Problem;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::SubscriberInitExt;

use crate::door::present_call;

/// A log filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("log.filter: {0}")]
pub(crate) struct LogError(String);

/// Whether the filter of the configuration can be read.
pub(crate) fn check(log: &Log) -> Result<EnvFilter, LogError> {
    parse(&log.filter)
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder().parse(filter).map_err(|error| LogError(error.to_string()))
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
            let builder = builder
                .json()
                .flatten_event(true)
                .map_event_format(NamingCalls::in_json)
                .with_filter_reloading();
            (LogControl::of(builder.reload_handle()), builder.finish().try_init())
        }
        LogFormat::Text => {
            let builder =
                builder.with_ansi(false).map_event_format(NamingCalls::in_text).with_filter_reloading();
            (LogControl::of(builder.reload_handle()), builder.finish().try_init())
        }
    };
    started.map_err(|error| LogError(error.to_string()))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(control)
}

/// Writes lines as `lines` does, and in each the call that the thread is at.
struct NamingCalls<F> {
    lines: F,
    format: LogFormat,
}

impl<F> NamingCalls<F> {
    const fn in_json(lines: F) -> Self {
        Self { lines, format: LogFormat::Json }
    }

    const fn in_text(lines: F) -> Self {
        Self { lines, format: LogFormat::Text }
    }
}

impl<S, N, F> FormatEvent<S, N> for NamingCalls<F>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(call) = present_call() else { return self.lines.format_event(context, writer, event) };
        let mut line = String::new();
        self.lines.format_event(context, Writer::new(&mut line), event)?;
        let (door, id) = (call.door.as_str(), call.request_id.as_str());
        let line = line.trim_end();
        // Neither word holds anything that a text or a JSON string would have to escape.
        match (self.format, line.strip_suffix('}')) {
            (LogFormat::Json, Some(open)) => {
                writeln!(writer, r#"{open},"call":{{"door":"{door}","request_id":"{id}"}}}}"#)
            }
            (LogFormat::Json | LogFormat::Text, _) => writeln!(writer, "{line} door={door} request_id={id}"),
        }
    }
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
    use std::io;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use hyper::header::{HeaderMap, HeaderValue};
    use serde_json::{Value, json};

    use crate::door::in_a_call;

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

    /// What is written of one line, outside of a call and in one.
    fn written(format: LogFormat) -> [String; 2] {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let builder = tracing_subscriber::fmt().with_ansi(false).with_writer(move || Kept(Arc::clone(&kept)));
        let log: Arc<dyn Subscriber + Send + Sync> = match format {
            LogFormat::Json => {
                Arc::new(builder.json().flatten_event(true).map_event_format(NamingCalls::in_json).finish())
            }
            LogFormat::Text => Arc::new(builder.map_event_format(NamingCalls::in_text).finish()),
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_static("trace-1"));
        tracing::subscriber::with_default(log, || {
            tracing::info!(number = 7, "a line");
            in_a_call(&headers, || tracing::info!(number = 7, "a line"));
        });
        let lines = String::from_utf8(lines.lock().expect("not poisoned").clone()).expect("UTF-8");
        let lines: Vec<_> = lines.lines().map(str::to_owned).collect();
        lines.try_into().expect("two lines")
    }

    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_names_its_call_and_is_json_still() {
        let [outside, inside] = written(LogFormat::Json).map(|line| serde_json::from_str::<Value>(&line));
        let (outside, inside) = (outside.expect("JSON"), inside.expect("JSON"));
        assert_eq!(outside.get("call"), None);
        assert_eq!(inside["call"], json!({"door": "portal", "request_id": "trace-1"}));
        assert_eq!((&inside["number"], &inside["message"]), (&json!(7), &json!("a line")));
    }

    #[test]
    fn a_line_for_people_names_its_call_at_its_end() {
        let [outside, inside] = written(LogFormat::Text);
        assert!(outside.ends_with("a line number=7"), "{outside}");
        assert!(inside.ends_with("a line number=7 door=portal request_id=trace-1"), "{inside}");
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
