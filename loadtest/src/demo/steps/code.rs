//! A login of a user without a phone that could be pushed to: the type's fallback sends a code by SMS.

use tocsin_model::State;

use super::{expect_code, expect_state};
use crate::demo::bank::{CODE_ATTEMPTS_MAX, TYPE_ANYWHERE};
use crate::demo::stage::{PUSH_DEADLINE, Stage};
use crate::demo::teller::Teller;
use crate::error::ensure;
use crate::{LoadtestError, StartFields};

const USER: &str = "dora";
/// A number that Twilio sets aside for documentation.
const NUMBER: &str = "+15005550001";

/// The portal names a number, the user types what she reads there, wrong once.
pub(in crate::demo) async fn fall_back(stage: &Stage, teller: &Teller) -> Result<(), LoadtestError> {
    let fields =
        StartFields { phone_number: Some(NUMBER.to_owned()), ..StartFields::new(TYPE_ANYWHERE, USER) };
    let begun = stage.portal.start(&fields, None).await?.view;
    ensure(begun.method == "sms", || format!("it goes by {}", begun.method))?;
    teller.say("portal", format_args!("POST /v1/transactions for {USER}, who has no phone: 201, by sms"));
    let code = code_sent(stage).await?;
    teller.say("Twilio", format_args!("takes an SMS with the code {code}"));
    let wrong = if code == "000000" { "000001" } else { "000000" };
    expect_code(stage.portal.check_code(begun.id, wrong).await, "wrong_code")?;
    let left = CODE_ATTEMPTS_MAX - 1;
    teller.say("portal", format_args!("POST …/code with a wrong one: 422 wrong_code, {left} tries left"));
    expect_state(&stage.portal.check_code(begun.id, &code).await?, State::Accepted)?;
    teller.say("portal", "POST …/code with the right one: accepted");
    Ok(())
}

/// The digits of the one message that was sent.
async fn code_sent(stage: &Stage) -> Result<String, LoadtestError> {
    let sent = stage.twilio.messages().wait_for(1, |message| message.to() == NUMBER, PUSH_DEADLINE).await?;
    let message = sent.first().ok_or_else(|| LoadtestError::Unexpected("no message".to_owned()))?;
    Ok(message.text().chars().filter(char::is_ascii_digit).collect())
}
