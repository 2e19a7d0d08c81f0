//! What happens in each step. Whatever goes otherwise is an error.

use std::time::Duration;

use tocsin_mock::PushLog;
use tocsin_model::{Decision, State, TransactionId};

use super::script::Phones;
use super::stage::{LONG_POLL_S, PUSH_DEADLINE, Stage};
use super::teller::Teller;
use crate::error::ensure;
use crate::handset::pushed_transaction;
use crate::phone::{Challenge, PhoneReply};
use crate::{Handset, LoadtestError, PhoneKind, StartFields, TYPE_BRIEF, TYPE_LOGIN, TransactionView};

pub(super) const IPHONE_USER: &str = "alice";
pub(super) const ANDROID_USER: &str = "bruno";

/// How late a time-out may be stored.
const TIMEOUT_LATE_MAX: Duration = Duration::from_millis(500);

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

pub(super) async fn approve(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(), LoadtestError> {
    decide(stage, teller, phone, Decision::Accept, State::Accepted).await
}

pub(super) async fn refuse(stage: &Stage, teller: &Teller, phone: &mut Handset) -> Result<(), LoadtestError> {
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

pub(super) async fn time_out(
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

pub(super) async fn start_twice(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(), LoadtestError> {
    let fields = StartFields::new(TYPE_LOGIN, phone.user());
    let key = uuid::Uuid::new_v4().to_string();
    let first = stage.portal.start(&fields, Some(&key)).await?;
    let id = first.view.id;
    ensure(!first.seen_before, || "a new key was answered as seen".to_owned())?;
    teller.say("portal", format_args!("POST with Idempotency-Key {key}: 201, {id}"));
    let second = stage.portal.start(&fields, Some(&key)).await?;
    let same = second.seen_before && second.view.id == id;
    ensure(same, || format!("the second start gave {second:?}"))?;
    teller.say("portal", "the same again: 200, the same transaction");
    let other = StartFields { message: Some("Something else".to_owned()), ..fields.clone() };
    let refused = stage.portal.start(&other, Some(&key)).await.err();
    let code = refused.as_ref().and_then(LoadtestError::problem_code);
    ensure(code == Some("idempotency_mismatch"), || format!("another body under the key: {refused:?}"))?;
    teller.say("portal", "the same key with another message: 422 idempotency_mismatch");
    let challenge = receive(stage, teller, phone, id).await?;
    answer(teller, phone, &challenge, Decision::Accept, State::Accepted).await?;
    let third = stage.portal.start(&fields, Some(&key)).await?;
    ensure(third.view.id == id, || format!("after the end the key gave {third:?}"))?;
    expect_state(&third.view, State::Accepted)?;
    let pushes = pushes_of(phone.kind().pushes(&stage.world), phone.kind(), id).len();
    ensure(pushes == 1, || format!("{} has {pushes} pushes of it on record", phone.kind().network()))?;
    teller.say(phone.kind().network(), "has exactly one push of it on record");
    Ok(())
}

pub(super) async fn forge(stage: &Stage, teller: &Teller, phone: &mut Handset) -> Result<(), LoadtestError> {
    let id = start(stage, teller, phone, TYPE_LOGIN).await?;
    let challenge = receive(stage, teller, phone, id).await?;
    let impostor = phone.phone.impostor();
    let forged = impostor.sign_answer(&impostor.answer_claims(&challenge, Decision::Accept)?)?;
    let reply = impostor.send_answer(&id.to_string(), &forged).await?;
    expect_problem(&reply, 401, "bad_proof")?;
    teller.say("thief", "signs \"accept\" with a key of its own: 401 bad_proof");
    let mut other_text = challenge.clone();
    other_text.screen.message = "Nothing to see here".to_owned();
    let reply = send(phone, &other_text, Decision::Accept).await?;
    expect_problem(&reply, 422, "wrong_challenge")?;
    teller.say("thief", "gets the phone to sign another text: 422 wrong_challenge");
    expect_state(&stage.portal.transaction(id).await?, State::Pending)?;
    teller.say("portal", "sees it pending as before");
    answer(teller, phone, &challenge, Decision::Accept, State::Accepted).await?;
    expect_state(&stage.portal.transaction(id).await?, State::Accepted)
}

pub(super) async fn kill_and_approve(
    stage: &mut Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(), LoadtestError> {
    let id = start(stage, teller, phone, TYPE_LOGIN).await?;
    let poll = stage.long_poll(id);
    let challenge = receive(stage, teller, phone, id).await?;
    let server = stage.take_server()?;
    let pid = server.pid();
    server.kill().await?;
    teller.say("server", format_args!("kill -9 {pid}: gone"));
    let cut = poll.returned().await;
    ensure(cut.is_err(), || format!("the long poll of the dead server returned {cut:?}"))?;
    let unreachable = phone.phone.fetch(&id.to_string()).await;
    ensure(unreachable.is_err(), || "the dead server answered the phone".to_owned())?;
    teller.say("phone", "reaches nobody, and the portal's long poll is cut");
    stage.start_server(teller).await?;
    let view = stage.portal.transaction(id).await?;
    expect_state(&view, State::Pending)?;
    teller.say("portal", format_args!("asks for {id}: pending, as it was"));
    let poll = stage.long_poll(id);
    let again = phone.phone.fetch(&id.to_string()).await?;
    ensure(again == challenge, || "the challenge has changed over the restart".to_owned())?;
    teller.say("phone", "fetches the challenge again: the same, to the nonce");
    answer(teller, phone, &challenge, Decision::Accept, State::Accepted).await?;
    poll.returned_with(State::Accepted).await?;
    teller.say("portal", "the long poll returns: accepted");
    expect_same_push(stage, teller, phone.kind(), id)
}

/// A push that was cut by the crash may leave once more, under the same ids.
fn expect_same_push(
    stage: &Stage,
    teller: &Teller,
    kind: PhoneKind,
    id: TransactionId,
) -> Result<(), LoadtestError> {
    let pushes = pushes_of(kind.pushes(&stage.world), kind, id);
    let (count, mut ids) = (pushes.len(), pushes);
    ids.dedup();
    ensure((1..=2).contains(&count) && ids.len() == 1, || format!("{count} pushes with the ids {ids:?}"))?;
    let times = if count == 1 { "once" } else { "twice, under the same apns-id" };
    teller.say(kind.network(), format_args!("was asked to push it {times}"));
    Ok(())
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
    let started = stage.portal.start(&StartFields::new(type_name, phone.user()), None).await?;
    let TransactionView { id, state, .. } = started.view;
    ensure(state == State::Pending, || format!("a new transaction is {state}"))?;
    teller.say("portal", format_args!("POST /v1/transactions for {}: 201, {id} is on disk", phone.user()));
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
            break;
        }
    }
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

fn expect_problem(reply: &PhoneReply, status: u16, code: &str) -> Result<(), LoadtestError> {
    let told = reply.body.get("code").and_then(|code| code.as_str());
    ensure(reply.status == status && told == Some(code), || {
        format!("{status} {code} was due, but the phone was answered {reply:?}")
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
