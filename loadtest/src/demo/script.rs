//! The order of the steps and how the demo ends.

use std::future::Future;
use std::time::Duration;

use super::keep;
use super::stage::Stage;
use super::steps::{self, approval, bombing, callback, code, crash, logins, operator, qr, safety, waiting};
use super::teller::Teller;
use crate::{Handset, LoadtestError};

/// Longest time for one step; a quiet machine needs a tenth.
const STEP_DEADLINE: Duration = Duration::from_secs(60);

/// Runs the demo and says whether every step went as told.
pub async fn run(keep_up: bool) -> bool {
    let teller = Teller::new();
    teller.line(
        "Tocsin end to end: the real server with its database on disk, doubles of Apple, Google and Twilio that",
    );
    teller.line("refuse what the real ones refuse, a portal that is called back, and simulated phones.");
    match play_all(&teller, keep_up).await {
        Ok(()) => true,
        Err(error) => {
            teller.failed(&error);
            false
        }
    }
}

async fn play_all(teller: &Teller, keep_up: bool) -> Result<(), LoadtestError> {
    let mut stage = play(teller, "Start the server", Stage::set(teller)).await?;
    let played = play_on(&mut stage, teller, keep_up).await;
    if played.is_err() {
        // A server that has ended by itself is the better explanation.
        stage.check_server()?;
    }
    played
}

async fn play_on(stage: &mut Stage, teller: &Teller, keep_up: bool) -> Result<(), LoadtestError> {
    let mut phones =
        play(teller, "Enrol an iPhone and an Android phone", steps::enrol(stage, teller)).await?;
    play_steps(stage, teller, &mut phones).await?;
    if keep_up {
        teller.all_done();
        keep::keep_up(stage, phones).await?;
    }
    play(teller, "Stop the server", steps::stop(stage, teller)).await?;
    if !keep_up {
        teller.all_done();
    }
    Ok(())
}

/// The two phones of the demo.
pub(super) struct Phones {
    pub(super) iphone: Handset,
    pub(super) android: Handset,
}

async fn play_steps(stage: &mut Stage, teller: &Teller, phones: &mut Phones) -> Result<(), LoadtestError> {
    let Phones { iphone, android } = phones;
    play(teller, "Approve a login on the iPhone", logins::approve(stage, teller, iphone)).await?;
    play(teller, "Refuse a login on the Android phone", logins::refuse(stage, teller, android)).await?;
    play(teller, "Let a login time out", logins::time_out(stage, teller, android)).await?;
    play(teller, "Log in by one held call", waiting::hold(stage, teller, android)).await?;
    play(teller, "Follow a login by its event stream", waiting::follow(stage, teller, iphone)).await?;
    play(teller, "Match a number", approval::match_number(stage, teller, iphone)).await?;
    play(teller, "Approve by PIN, with a wrong try", approval::enter_pin(stage, teller)).await?;
    play(teller, "Log in by a QR code", qr::scan(stage, teller, iphone, android)).await?;
    play(teller, "Fall back to a code by SMS", code::fall_back(stage, teller)).await?;
    play(teller, "Stand against prompt bombing", bombing::withstand(stage, teller, iphone)).await?;
    play(
        teller,
        "Start one login twice with the same idempotency key",
        safety::start_twice(stage, teller, iphone),
    )
    .await?;
    play(teller, "Forge answers", safety::forge(stage, teller, iphone)).await?;
    play(teller, "Suspend a phone", operator::suspend(stage, teller, android)).await?;
    play(teller, "Add a provider while the server runs", operator::reload(stage, teller, iphone)).await?;
    play(teller, "Kill the server in mid-transaction", crash::kill_and_approve(stage, teller, iphone))
        .await?;
    play(
        teller,
        "Kill the server while it owes a callback",
        callback::owe_over_a_crash(stage, teller, android),
    )
    .await?;
    Ok(())
}

/// One step: its heading, what happens within its deadline, its mark.
async fn play<T>(
    teller: &Teller,
    title: &str,
    step: impl Future<Output = Result<T, LoadtestError>>,
) -> Result<T, LoadtestError> {
    teller.step(title);
    let late = || LoadtestError::Deadline { what: "the step".to_owned(), after: STEP_DEADLINE };
    let played = tokio::time::timeout(STEP_DEADLINE, step).await.unwrap_or_else(|_| Err(late()))?;
    teller.step_done();
    Ok(played)
}
