//! What happens in each step. Whatever goes otherwise is an error.

pub(super) mod approval;
pub(super) mod bombing;
pub(super) mod callback;
pub(super) mod code;
pub(super) mod crash;
pub(super) mod logins;
pub(super) mod operator;
pub(super) mod qr;
pub(super) mod safety;
pub(super) mod waiting;

use serde_json::Value;
use tocsin_mock::PushLog;
use tocsin_model::{Decision, State, TransactionId};

use super::script::Phones;
use super::stage::{PUSH_DEADLINE, Stage};
use super::teller::Teller;
use crate::error::ensure;
use crate::handset::pushed_transaction;
use crate::phone::{Challenge, PhoneReply};
use crate::{Handset, LoadtestError, PhoneKind, StartFields, TransactionView};

pub(super) const IPHONE_USER: &str = "alice";
pub(super) const ANDROID_USER: &str = "bruno";

pub(super) async fn enrol(stage: &Stage, teller: &Teller) -> Result<Phones, LoadtestError> {
    let iphone = enrol_one(stage, teller, PhoneKind::Iphone, IPHONE_USER).await?;
    let android = enrol_one(stage, teller, PhoneKind::Android, ANDROID_USER).await?;
    Ok(Phones { iphone, android })
}

async fn enrol_one(
    stage: &Stage,
    teller: &Teller,
    kind: PhoneKind,
    user: &str,
) -> Result<Handset, LoadtestError> {
    teller.say("portal", format_args!("opens an enrolment for {user} and shows the activation code"));
    let phone = stage.enrol(kind, user).await?;
    let id = phone.device_id();
    teller.say("phone", format_args!("{user}'s {} has made its key and is enrolled as {id}", kind.as_str()));
    let devices = stage.portal.devices(user).await?.items;
    let listed = devices.iter().any(|device| device.device_id == id && device.status == "active");
    ensure(listed, || format!("the portal does not list the phone: {devices:?}"))?;
    Ok(phone)
}

pub(super) async fn stop(stage: &mut Stage, teller: &Teller) -> Result<(), LoadtestError> {
    let status = stage.take_server()?.stop().await?;
    ensure(status.success(), || format!("after SIGTERM the server ended with {status}"))?;
    teller.say("server", "SIGTERM: drained, exit code 0");
    Ok(())
}

/// The portal starts a transaction for the phone's user.
async fn start(
    stage: &Stage,
    teller: &Teller,
    phone: &Handset,
    type_name: &str,
) -> Result<TransactionId, LoadtestError> {
    started(stage, teller, &StartFields::new(type_name, phone.user())).await
}

/// The portal starts this transaction.
async fn started(
    stage: &Stage,
    teller: &Teller,
    fields: &StartFields,
) -> Result<TransactionId, LoadtestError> {
    let TransactionView { id, state, .. } = stage.portal.start(fields, None).await?.view;
    ensure(state == State::Pending, || format!("a new transaction is {state}"))?;
    teller.say("portal", format_args!("POST /v1/transactions for {}: 201, {id} is on disk", fields.user));
    Ok(id)
}

/// The phone is pushed to, fetches and verifies.
async fn receive(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
    id: TransactionId,
) -> Result<Challenge, LoadtestError> {
    loop {
        // A push that was repeated after a crash may still be in the tray: phones drop doubles by the id.
        if phone.next_push(PUSH_DEADLINE).await? == id {
            return pushed(stage, teller, phone, id).await;
        }
    }
}

/// The phone was pushed to, fetches and verifies.
async fn pushed(
    stage: &Stage,
    teller: &Teller,
    phone: &Handset,
    id: TransactionId,
) -> Result<Challenge, LoadtestError> {
    let network = phone.kind().network();
    teller.say(network, format_args!("took the push and rings {}'s {}", phone.user(), phone.kind().as_str()));
    let pushes = pushes_of(phone.kind().pushes(&stage.world), phone.kind(), id);
    ensure(!pushes.is_empty(), || format!("{network} has no accepted push of it on record"))?;
    let challenge = phone.phone.fetch(&id.to_string()).await?;
    let screen = &challenge.screen;
    teller
        .say("phone", format_args!("fetched it; the server's signature is good; shows: {}", screen.message));
    Ok(challenge)
}

/// The phone signs and sends its user's decision, which makes this state.
async fn answer(
    teller: &Teller,
    phone: &Handset,
    challenge: &Challenge,
    decision: Decision,
    state: State,
) -> Result<(), LoadtestError> {
    let said = phone.phone.answer(challenge, decision).await?;
    ensure(said == state.as_str(), || format!("the phone was told {said}"))?;
    teller.say("phone", format_args!("signs \"{}\" over what it shows: {said}", decision.as_str()));
    Ok(())
}

async fn send(
    phone: &Handset,
    challenge: &Challenge,
    decision: Decision,
) -> Result<PhoneReply, LoadtestError> {
    let answer = phone.phone.sign_answer(&phone.phone.answer_claims(challenge, decision)?)?;
    Ok(phone.phone.send_answer(&challenge.transaction_id, &answer).await?)
}

/// The portal is refused with this code.
async fn expect_refused(stage: &Stage, fields: &StartFields, code: &str) -> Result<(), LoadtestError> {
    expect_code(stage.portal.start(fields, None).await, code)
}

/// The portal's call was refused with this code.
fn expect_code<T: std::fmt::Debug>(reply: Result<T, LoadtestError>, code: &str) -> Result<(), LoadtestError> {
    let refused = reply.as_ref().err().and_then(LoadtestError::problem_code);
    ensure(refused == Some(code), || format!("{code} was due, but the portal got {reply:?}"))
}

fn expect_problem(reply: &PhoneReply, status: u16, code: &str) -> Result<(), LoadtestError> {
    expect_member(reply, status, "code", &code.into())
}

/// The reply to the phone has this status and this member.
fn expect_member(reply: &PhoneReply, status: u16, name: &str, value: &Value) -> Result<(), LoadtestError> {
    ensure(reply.status == status && reply.body.get(name) == Some(value), || {
        format!("{status} with {name} {value} was due, but the phone was answered {reply:?}")
    })
}

pub(super) fn expect_state(view: &TransactionView, state: State) -> Result<(), LoadtestError> {
    ensure(view.state == state, || format!("{} is {} and not {state}", view.id, view.state))
}

/// The ids that the server gave the accepted pushes of a transaction: `apns-id`; FCM takes none, so that they are empty.
fn pushes_of(log: &PushLog, kind: PhoneKind, id: TransactionId) -> Vec<String> {
    let records = log.records();
    let of_it =
        records.iter().filter(|record| record.is_accepted() && pushed_transaction(kind, record) == Some(id));
    of_it.map(|record| record.header("apns-id").unwrap_or_default().to_owned()).collect()
}
