//! Two more ways to hear of an outcome: one held call, and the event stream.

use tocsin_model::{Decision, State};

use super::{answer, pushed, receive, start};
use crate::demo::stage::{LONG_POLL_S, PUSH_DEADLINE, Stage};
use crate::demo::teller::Teller;
use crate::error::ensure;
use crate::{EventStream, Handset, LoadtestError, StartFields, TYPE_LOGIN, TransactionEvent};

/// One call starts the login and is held until the outcome.
pub(in crate::demo) async fn hold(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(), LoadtestError> {
    let call = stage.held_start(StartFields::new(TYPE_LOGIN, phone.user()));
    teller.say("portal", format_args!("POST /v1/transactions with Prefer: wait={LONG_POLL_S}: it is held"));
    let id = phone.next_push(PUSH_DEADLINE).await?;
    let challenge = pushed(stage, teller, phone, id).await?;
    answer(teller, phone, &challenge, Decision::Accept, State::Accepted).await?;
    let view = call.returned_with(State::Accepted).await?;
    ensure(view.id == id, || format!("the call returned {} and not {id}", view.id))?;
    teller.say("portal", "the same call returns: accepted");
    Ok(())
}

/// A stream tells each change, then the outcome, and ends.
pub(in crate::demo) async fn follow(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(), LoadtestError> {
    let id = start(stage, teller, phone, TYPE_LOGIN).await?;
    let mut stream = stage.portal.events(id).await?;
    let mut event = next(&mut stream).await?;
    teller.say("portal", format_args!("GET …/events: {}", told(&event)));
    ensure(event.view.state == State::Pending, || format!("it begins with {}", told(&event)))?;
    let challenge = receive(stage, teller, phone, id).await?;
    answer(teller, phone, &challenge, Decision::Accept, State::Accepted).await?;
    while event.view.state == State::Pending {
        let later = next(&mut stream).await?;
        ensure(later.id > event.id, || format!("{} came after {}", told(&later), told(&event)))?;
        teller.say("portal", format_args!("is told: {}", told(&later)));
        event = later;
    }
    ensure(event.view.state == State::Accepted, || format!("it ends with {}", told(&event)))?;
    let further = stream.next(PUSH_DEADLINE).await?;
    ensure(further.is_none(), || format!("after the outcome came {further:?}"))?;
    teller.say("portal", "the stream ends");
    Ok(())
}

async fn next(stream: &mut EventStream) -> Result<TransactionEvent, LoadtestError> {
    let event = stream.next(PUSH_DEADLINE).await?;
    event.ok_or_else(|| LoadtestError::Unexpected("the stream ended before the outcome".to_owned()))
}

fn told(event: &TransactionEvent) -> String {
    let pushes: Vec<&str> = event.view.delivery.iter().map(|delivery| &*delivery.status).collect();
    format!("revision {}, {}, push {}", event.id, event.view.state, pushes.join(", "))
}
