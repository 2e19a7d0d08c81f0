//! What an approval may ask of the user: a number that only the portal's page shows, and a PIN.

use tocsin_model::{Decision, State};

use super::{expect_member, expect_state, receive, start};
use crate::demo::bank::{PIN_ATTEMPTS_MAX, TYPE_SIGN_IN, TYPE_TRANSFER};
use crate::demo::stage::Stage;
use crate::demo::teller::Teller;
use crate::error::ensure;
use crate::phone::{Approval, Challenge, Matching, PhoneReply};
use crate::{Handset, LoadtestError, PhoneKind};

const PIN_USER: &str = "carol";
const PIN: &str = "2580";

/// The user types the number of the page; whoever approves another page's login types another.
pub(in crate::demo) async fn match_number(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(), LoadtestError> {
    let (challenge, number) = numbered(stage, teller, phone).await?;
    let reply = by(phone, &challenge, Approval::Device, None).await?;
    expect_member(&reply, 422, "code", &"field_required".into())?;
    teller.say("phone", "sends no number: 422 field_required, and nothing is lost");
    let reply = by(phone, &challenge, Approval::Device, Some(&number)).await?;
    expect_member(&reply, 200, "state", &"accepted".into())?;
    teller.say("phone", format_args!("its user types {number} and approves: accepted"));

    let (challenge, number) = numbered(stage, teller, phone).await?;
    let other = if number == "10" { "11" } else { "10" };
    let reply = by(phone, &challenge, Approval::Device, Some(other)).await?;
    expect_member(&reply, 200, "reason", &"wrong_number".into())?;
    teller
        .say("phone", format_args!("its user looks at another page and types {other}: failed, wrong_number"));
    Ok(())
}

/// A login whose number the portal shows.
async fn numbered(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(Challenge, String), LoadtestError> {
    let id = start(stage, teller, phone, TYPE_SIGN_IN).await?;
    let number = stage.portal.transaction(id).await?.number;
    let number =
        number.ok_or_else(|| LoadtestError::Unexpected("the portal was given no number".to_owned()))?;
    teller.say("portal", format_args!("shows the number {number} on its page"));
    let challenge = receive(stage, teller, phone, id).await?;
    ensure(challenge.matching == Matching::Type, || {
        format!("the phone is to match {:?}", challenge.matching)
    })?;
    Ok((challenge, number))
}

/// A PIN, wrong once. The phone cannot tell, and neither can who has stolen it: only the server counts.
pub(in crate::demo) async fn enter_pin(stage: &Stage, teller: &Teller) -> Result<(), LoadtestError> {
    let mut phone = stage.enrol_with_pin(PhoneKind::Iphone, PIN_USER, PIN).await?;
    teller
        .say("phone", format_args!("{PIN_USER}'s iPhone is enrolled with a PIN, of which it keeps nothing"));
    let id = start(stage, teller, &phone, TYPE_TRANSFER).await?;
    let challenge = receive(stage, teller, &mut phone, id).await?;
    let reply = by(&phone, &challenge, Approval::Device, None).await?;
    expect_member(&reply, 403, "code", &"method_not_allowed".into())?;
    teller.say("phone", "approves without its PIN: 403 method_not_allowed");
    let reply = by(&phone, &challenge, Approval::Pin("0852"), None).await?;
    expect_member(&reply, 403, "code", &"wrong_pin".into())?;
    let left = PIN_ATTEMPTS_MAX - 1;
    expect_member(&reply, 403, "attempts_left", &left.into())?;
    teller.say("phone", format_args!("its user types a wrong PIN: 403 wrong_pin, {left} tries left"));
    expect_state(&stage.portal.transaction(id).await?, State::Pending)?;
    let reply = by(&phone, &challenge, Approval::Pin(PIN), None).await?;
    expect_member(&reply, 200, "state", &"accepted".into())?;
    teller.say("phone", "its user types the right one: accepted");
    let view = stage.portal.transaction(id).await?;
    let method = view.answer.map(|answer| answer.method);
    ensure(method.as_deref() == Some("pin"), || format!("the view says it was approved by {method:?}"))
}

async fn by(
    phone: &Handset,
    challenge: &Challenge,
    approval: Approval<'_>,
    number: Option<&str>,
) -> Result<PhoneReply, LoadtestError> {
    Ok(phone.phone.answer_by(challenge, Decision::Accept, approval, number).await?)
}
