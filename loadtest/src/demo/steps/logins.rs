//! The main job: a login is approved, refused, or nobody answers.

use std::time::Duration;

use tocsin_model::{Decision, State};

use super::{answer, expect_problem, expect_state, receive, send, start};
use crate::demo::stage::{LONG_POLL_S, Stage};
use crate::demo::teller::Teller;
use crate::error::ensure;
use crate::{Handset, LoadtestError, TYPE_BRIEF, TYPE_LOGIN};

/// How late a time-out may be stored.
const TIMEOUT_LATE_MAX: Duration = Duration::from_millis(500);

pub(in crate::demo) async fn approve(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(), LoadtestError> {
    decide(stage, teller, phone, Decision::Accept, State::Accepted).await
}

pub(in crate::demo) async fn refuse(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(), LoadtestError> {
    decide(stage, teller, phone, Decision::Decline, State::Declined).await
}

async fn decide(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
    decision: Decision,
    state: State,
) -> Result<(), LoadtestError> {
    let id = start(stage, teller, phone, TYPE_LOGIN).await?;
    let poll = stage.long_poll(id);
    teller.say("portal", format_args!("GET …?wait_s={LONG_POLL_S}: a long poll is held"));
    let challenge = receive(stage, teller, phone, id).await?;
    answer(teller, phone, &challenge, decision, state).await?;
    let view = poll.returned_with(state).await?;
    teller.say("portal", format_args!("the long poll returns: {state}"));
    let relayed = view.delivery.iter().all(|delivery| ["relayed", "fetched"].contains(&&*delivery.status));
    ensure(relayed && view.delivery.len() == 1, || format!("deliveries: {:?}", view.delivery))?;
    let by = view.answer.map(|answer| answer.device_id);
    ensure(by == Some(phone.device_id()), || format!("the view names {by:?} as the phone that answered"))
}

pub(in crate::demo) async fn time_out(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(), LoadtestError> {
    let id = start(stage, teller, phone, TYPE_BRIEF).await?;
    let poll = stage.long_poll(id);
    let challenge = receive(stage, teller, phone, id).await?;
    teller.say("phone", "lies on the table, nobody answers");
    let view = poll.returned_with(State::Timeout).await?;
    let ended_at = view.ended_at.unwrap_or_default();
    let late = ended_at.since(view.expires_at);
    teller
        .say("portal", format_args!("the long poll returns: timeout, {} ms after its deadline", late.get()));
    let in_time = ended_at >= view.expires_at && late.to_std() <= TIMEOUT_LATE_MAX;
    ensure(in_time, || format!("it ended at {ended_at:?}, its deadline was {:?}", view.expires_at))?;
    let reply = send(phone, &challenge, Decision::Accept).await?;
    expect_problem(&reply, 409, "transaction_final")?;
    teller.say("phone", "answers too late: 409 transaction_final, and the state stays timeout");
    expect_state(&stage.portal.transaction(id).await?, State::Timeout)
}
