//! Asks the user of a simulated phone at the terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::thread;
use std::time::Duration;

use tocsin_model::Decision;
use tokio::sync::mpsc;

use crate::phone::Screen;

/// Lines that may have been typed before anybody asked.
const LINES_MAX: usize = 16;

/// How long a phone without a terminal seems to think.
const THINKING_TIME: Duration = Duration::from_secs(1);

/// The user of a simulated phone.
pub(super) struct Prompt {
    /// `None` without a terminal.
    lines: Option<mpsc::Receiver<String>>,
}

impl Prompt {
    /// Asks at the terminal, if there is one to be asked at.
    pub(super) fn open() -> Self {
        let at_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        Self { lines: at_terminal.then(read_lines) }
    }

    /// Approves everything.
    pub(super) fn approve_all() -> Self {
        Self { lines: None }
    }

    /// Whether a person decides.
    pub(super) fn is_asked(&self) -> bool {
        self.lines.is_some()
    }

    /// What the user decides about what the phone shows; `None` when nothing was decided.
    pub(super) async fn decide(&mut self, phone: &str, screen: &Screen) -> Option<Decision> {
        println!("\n  [{phone}] {}: {}", screen.title, screen.message);
        for detail in screen.details.iter().flatten() {
            println!("      {}: {}", detail.label, detail.value);
        }
        let Some(lines) = &mut self.lines else {
            tokio::time::sleep(THINKING_TIME).await;
            println!("  [{phone}] approves after a second");
            return Some(Decision::Accept);
        };
        while lines.try_recv().is_ok() {}
        print!("  [{phone}] (a)ccept, (d)ecline, (r)eport as fraud, or Enter to let it lie: ");
        // A prompt that is not seen is not answered.
        let _ = io::stdout().flush();
        match lines.recv().await?.trim() {
            "a" | "accept" => Some(Decision::Accept),
            "d" | "decline" => Some(Decision::Decline),
            "r" | "report" => Some(Decision::Report),
            _ => None,
        }
    }
}

/// A thread of its own, because reading a terminal cannot be given up.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
