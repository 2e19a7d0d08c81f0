//! A login by a QR code: the portal does not know who stands before it until a phone has claimed what it shows.

use tocsin_model::{Decision, State};

use super::{answer, expect_problem, expect_state};
use crate::demo::bank::TYPE_QR;
use crate::demo::stage::Stage;
use crate::demo::teller::Teller;
use crate::error::ensure;
use crate::{Handset, LoadtestError, StartFields};

/// One phone scans the code and approves; a second one that scans it comes too late.
pub(in crate::demo) async fn scan(
    stage: &Stage,
    teller: &Teller,
    first: &Handset,
    second: &Handset,
) -> Result<(), LoadtestError> {
    let begun = stage.portal.start(&StartFields::anonymous(TYPE_QR), None).await?.view;
    let otp = begun.otp.ok_or_else(|| LoadtestError::Unexpected("the start has no password".to_owned()))?;
    ensure(begun.user.is_none(), || format!("it is {:?}'s already", begun.user))?;
    teller.say("portal", "POST /v1/transactions without a user: 201, with a one-time password");
    teller.say("portal", "shows it as the QR code of GET …/qr.png");
    let challenge = first.phone.claim(&otp).await?;
    teller.say(
        "phone",
        format_args!("{}'s scans it; POST /device/v1/otp: shows: {}", first.user(), challenge.screen.message),
    );
    let claimed = stage.portal.transaction(begun.id).await?;
    expect_state(&claimed, State::Pending)?;
    ensure(claimed.user.as_deref() == Some(first.user()), || format!("it is {:?}'s", claimed.user))?;
    teller.say("portal", format_args!("learns that it is {}; nothing is approved yet", first.user()));
    expect_problem(&second.phone.send_claim(&otp).await?, 409, "otp_used")?;
    teller.say("phone", format_args!("{}'s scans it too: 409 otp_used", second.user()));
    answer(teller, first, &challenge, Decision::Accept, State::Accepted).await?;
    expect_state(&stage.portal.transaction(begun.id).await?, State::Accepted)?;
    teller.say("portal", format_args!("lets {} in", first.user()));
    Ok(())
}
