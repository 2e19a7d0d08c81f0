//! Tells what happens, in plain words with times; in colour only on a terminal.

use std::cell::Cell;
use std::fmt::{Arguments, Display};
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// Tells a story on standard output. A reader that goes away does not stop it.
#[derive(Debug)]
pub(super) struct Teller {
    in_colour: bool,
    begun: Instant,
    steps: Cell<u32>,
    step_begun: Cell<Instant>,
}

impl Teller {
    pub(super) fn new() -> Self {
        let in_colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let now = Instant::now();
        Self { in_colour, begun: now, steps: Cell::new(0), step_begun: Cell::new(now) }
    }

    /// A line of its own.
    pub(super) fn line(&self, text: impl Display) {
        // Nothing is left to be told to a reader that has gone.
        let _ = writeln!(io::stdout(), "{text}");
    }

    /// Begins a numbered step.
    pub(super) fn step(&self, title: &str) {
        self.steps.update(|steps| steps + 1);
        self.step_begun.set(Instant::now());
        let heading = self.paint(BOLD, format_args!("{}. {title}", self.steps.get()));
        self.line(format_args!("\n{heading}"));
    }

    /// One event of the step, with the time since its beginning.
    pub(super) fn say(&self, who: &str, text: impl Display) {
        let time = milliseconds(self.step_begun.get().elapsed());
        let time = self.paint(DIM, format_args!("{time:>9}"));
        self.line(format_args!("{time}  {who:<8} {text}"));
    }

    /// The step went as told.
    pub(super) fn step_done(&self) {
        let time = milliseconds(self.step_begun.get().elapsed());
        let mark = self.paint(GREEN, format_args!("ok"));
        self.line(format_args!("{:>9}  {mark}, {time}", ""));
    }

    /// The step did not.
    pub(super) fn failed(&self, error: &dyn Display) {
        let mark = self.paint(RED, format_args!("FAILED"));
        self.line(format_args!("{:>9}  {mark}: {error}", ""));
    }

    /// The end of the story.
    pub(super) fn all_done(&self) {
        let text = format!(
            "All {} steps went as told, in {:.1} s.",
            self.steps.get(),
            self.begun.elapsed().as_secs_f32()
        );
        let text = self.paint(GREEN, format_args!("{text}"));
        self.line(format_args!("\n{text}"));
    }

    fn paint(&self, colour: &str, text: Arguments<'_>) -> String {
        if self.in_colour { format!("{colour}{text}{PLAIN}") } else { text.to_string() }
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
