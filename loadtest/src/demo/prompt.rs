//! Asks the user of a simulated phone at the terminal.

use std::fmt::Arguments;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::thread;
use std::time::Duration;

use tocsin_model::Decision;
use tokio::sync::mpsc;

use crate::phone::{Challenge, Matching, Phone, PhoneError};

/// Lines that may have been typed before anybody asked.
const LINES_MAX: usize = 16;

/// How long a phone without a terminal seems to think.
const THINKING_TIME: Duration = Duration::from_secs(1);

/// What the user of a simulated phone does.
pub(super) struct Choice {
    pub(super) decision: Decision,
    /// The number of the portal's page, where it is asked for.
    pub(super) number: Option<String>,
}

impl Choice {
    /// Lets the phone sign and send it; answers with the state that it made.
    pub(super) async fn answer(&self, phone: &Phone, challenge: &Challenge) -> Result<String, PhoneError> {
        phone.answer_with(challenge, self.decision, self.number.as_deref()).await
    }
}

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
    pub(super) async fn decide(&mut self, phone: &str, challenge: &Challenge) -> Option<Choice> {
        let screen = &challenge.screen;
        println!("\n  [{phone}] {}: {}", screen.title, screen.message);
        for detail in screen.details.iter().flatten() {
            println!("      {}: {}", detail.label, detail.value);
        }
        let Some(lines) = &mut self.lines else { return alone(phone, &challenge.matching).await };
        while lines.try_recv().is_ok() {}
        ask(format_args!("[{phone}] (a)ccept, (d)ecline, (r)eport as fraud, or Enter to let it lie"));
        let decision = match lines.recv().await?.trim() {
            "a" | "accept" => Decision::Accept,
            "d" | "decline" => return Some(Choice { decision: Decision::Decline, number: None }),
            "r" | "report" => return Some(Choice { decision: Decision::Report, number: None }),
            _ => return None,
        };
        match &challenge.matching {
            Matching::Off => return Some(Choice { decision, number: None }),
            Matching::Type => ask(format_args!("[{phone}] the number that the portal shows")),
            Matching::Choose(numbers) => ask(format_args!("[{phone}] which of {}", numbers.join(", "))),
        }
        Some(Choice { decision, number: Some(lines.recv().await?.trim().to_owned()) })
    }
}

/// Without a terminal the phone approves, unless it would have to know what the portal shows.
async fn alone(phone: &str, matching: &Matching) -> Option<Choice> {
    if *matching != Matching::Off {
        println!("  [{phone}] lets it lie: nobody is here to read the portal's number");
        return None;
    }
    tokio::time::sleep(THINKING_TIME).await;
    println!("  [{phone}] approves after a second");
    Some(Choice { decision: Decision::Accept, number: None })
}

fn ask(question: Arguments<'_>) {
    print!("  {question}: ");
    // A prompt that is not seen is not answered.
    let _ = io::stdout().flush();
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
