//! The server is killed while a user decides.

use tocsin_model::{Decision, State, TransactionId};

use super::{answer, expect_state, pushes_of, receive, start};
use crate::demo::stage::Stage;
use crate::demo::teller::Teller;
use crate::error::ensure;
use crate::{Handset, LoadtestError, PhoneKind, TYPE_LOGIN};

pub(in crate::demo) async fn kill_and_approve(
    stage: &mut Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(), LoadtestError> {
    let id = start(stage, teller, phone, TYPE_LOGIN).await?;
    let poll = stage.long_poll(id);
    let challenge = receive(stage, teller, phone, id).await?;
    stage.kill_server(teller).await?;
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
