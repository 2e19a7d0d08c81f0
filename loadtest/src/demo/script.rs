//! The order of the steps and how the demo ends.

use std::future::Future;
use std::time::Duration;

use super::keep;
use super::stage::Stage;
use super::steps;
use super::teller::Teller;
use crate::{Handset, LoadtestError};

/// Longest time for one step; a quiet machine needs a tenth.
const STEP_DEADLINE: Duration = Duration::from_secs(60);

/// Runs the demo and says whether every step went as told.
pub async fn run(keep_up: bool) -> bool {
    let mut teller = Teller::new();
    teller.line(
        "Tocsin end to end: the real server with its database on disk, doubles of Apple and Google that",
    );
    teller.line("refuse what the real ones refuse, and two simulated phones.");
    match play(&mut teller, keep_up).await {
        Ok(()) => true,
        Err(error) => {
            teller.failed(&error);
            false
        }
    }
}

async fn play(teller: &mut Teller, keep_up: bool) -> Result<(), LoadtestError> {
    teller.step("Start the server");
    let mut stage = in_time(Stage::set(teller)).await?;
    teller.step_done();
    let played = play_on(&mut stage, teller, keep_up).await;
    if played.is_err() {
        // A server that has ended by itself is the better explanation.
        stage.check_server()?;
    }
    played
}

async fn play_on(stage: &mut Stage, teller: &mut Teller, keep_up: bool) -> Result<(), LoadtestError> {
    teller.step("Enrol an iPhone and an Android phone");
    let mut phones = in_time(steps::enrol(stage, teller)).await?;
    teller.step_done();
    play_logins(stage, teller, &mut phones).await?;
    if keep_up {
        teller.all_done();
        keep::keep_up(stage, phones).await?;
    }
    teller.step("Stop the server");
    in_time(steps::stop(stage, teller)).await?;
    teller.step_done();
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

async fn play_logins(
    stage: &mut Stage,
    teller: &mut Teller,
    phones: &mut Phones,
) -> Result<(), LoadtestError> {
    let Phones { iphone, android } = phones;
    teller.step("Approve a login on the iPhone");
    in_time(steps::approve(stage, teller, iphone)).await?;
    teller.step_done();
    teller.step("Refuse a login on the Android phone");
    in_time(steps::refuse(stage, teller, android)).await?;
    teller.step_done();
    teller.step("Let a login time out");
    in_time(steps::time_out(stage, teller, android)).await?;
    teller.step_done();
    teller.step("Start one login twice with the same idempotency key");
    in_time(steps::start_twice(stage, teller, iphone)).await?;
    teller.step_done();
    teller.step("Forge answers");
    in_time(steps::forge(stage, teller, iphone)).await?;
    teller.step_done();
    teller.step("Kill the server in mid-transaction");
    in_time(steps::kill_and_approve(stage, teller, iphone)).await?;
    teller.step_done();
    Ok(())
}

async fn in_time<T>(step: impl Future<Output = Result<T, LoadtestError>>) -> Result<T, LoadtestError> {
    let late = || LoadtestError::Deadline { what: "the step".to_owned(), after: STEP_DEADLINE };
    tokio::time::timeout(STEP_DEADLINE, step).await.unwrap_or_else(|_| Err(late()))
}
