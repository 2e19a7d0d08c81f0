//! What repeats and thieves get.

use tocsin_model::{Decision, State};

use super::{answer, expect_problem, expect_state, pushes_of, receive, send, start};
use crate::demo::stage::Stage;
use crate::demo::teller::Teller;
use crate::error::ensure;
use crate::{Handset, LoadtestError, StartFields, TYPE_LOGIN};

pub(in crate::demo) async fn start_twice(
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

pub(in crate::demo) async fn forge(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(), LoadtestError> {
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
