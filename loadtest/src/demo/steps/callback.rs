//! A portal that hears of the outcome by a callback, although it and the server are down in between.

use http::StatusCode;
use tocsin_mock::{CallbackRecord, CallbackRefusal, Fault};
use tocsin_model::{Decision, State};

use super::{answer, receive, started};
use crate::demo::stage::{PUSH_DEADLINE, Stage};
use crate::demo::teller::Teller;
use crate::error::ensure;
use crate::{Handset, LoadtestError, StartFields, TYPE_LOGIN};

const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

pub(in crate::demo) async fn owe_over_a_crash(
    stage: &mut Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(), LoadtestError> {
    stage.receiver.faults().for_all(Fault::Refuse(CallbackRefusal::Status(UNAVAILABLE)))?;
    let fields = StartFields {
        callback_url: Some(stage.callback_url()),
        ..StartFields::new(TYPE_LOGIN, phone.user())
    };
    let id = started(stage, teller, &fields).await?;
    let challenge = receive(stage, teller, phone, id).await?;
    answer(teller, phone, &challenge, Decision::Accept, State::Accepted).await?;
    let name = id.to_string();
    let of_it = |record: &CallbackRecord| record.header("webhook-id") == Some(&name);
    let refused = |record: &CallbackRecord| of_it(record) && record.answered == Some(UNAVAILABLE.as_u16());
    stage.receiver.callbacks().wait_for(1, refused, PUSH_DEADLINE).await?;
    teller.say("portal", "is called back, but is down itself: 503");
    stage.kill_server(teller).await?;
    stage.receiver.faults().clear();
    stage.start_server(teller).await?;
    let taken = |record: &CallbackRecord| of_it(record) && record.is_taken();
    let taken = stage.receiver.callbacks().wait_for(1, taken, PUSH_DEADLINE).await?;
    let body = taken[0].json();
    ensure(body == serde_json::json!({"id": id.to_string()}), || format!("it was told {body}"))?;
    teller.say("portal", format_args!("is up again and called back, signed, with {body}"));
    super::expect_state(&stage.portal.transaction(id).await?, State::Accepted)?;
    teller.say("portal", "reads the view: accepted");
    Ok(())
}
