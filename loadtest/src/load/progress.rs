//! What is seen while a run goes on: a bar with the live rate and percentiles, where there is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::meter::Live;

/// A bar on standard error; without a terminal nothing is shown.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// For phones that enrol.
    pub(super) fn enrolling(phones: u32, is_shown: bool) -> Self {
        Self::new(u64::from(phones), "{msg} {wide_bar} {pos}/{len}", "enrolling", is_shown)
    }

    /// For flows that arrive over this time.
    pub(super) fn running(title: &str, lasts: Duration, is_shown: bool) -> Self {
        Self::new(lasts.as_secs().max(1), "{wide_bar} {pos}/{len} s\n{msg}", title, is_shown)
    }

    fn new(length: u64, template: &str, message: &str, is_shown: bool) -> Self {
        let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(length), target);
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(message.to_owned());
        Self(bar)
    }

    /// One more has enrolled.
    pub(super) fn one_more(&self) {
        self.0.inc(1);
    }

    /// How the run goes at this time.
    pub(super) fn show(&self, at: Duration, live: &Live) {
        self.0.set_position(at.as_secs());
        self.0.set_message(describe(live));
    }

    /// It is over.
    pub(super) fn end(self) {
        self.0.finish_and_clear();
    }
}

fn describe(live: &Live) -> String {
    let mut text = format!(
        "{}/s ended, {} in flight, flow p50 {} ms p99 {} ms",
        live.finished_per_s,
        live.in_flight(),
        milliseconds(live.flow_p50_us),
        milliseconds(live.flow_p99_us)
    );
    for (count, what) in [(live.refused, "refused"), (live.failed, "failed"), (live.dropped, "dropped")] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}

fn milliseconds(latency_us: u64) -> String {
    format!("{:.1}", latency_us as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trouble_that_there_is_is_told() {
        let mut live = Live { arrived: 30, finished: 20, finished_per_s: 20, ..Live::default() };
        (live.flow_p50_us, live.flow_p99_us) = (1_500, 20_000);
        assert_eq!(describe(&live), "20/s ended, 10 in flight, flow p50 1.5 ms p99 20.0 ms");
        live.dropped = 3;
        assert!(describe(&live).ends_with(", 3 dropped"));
    }
}
