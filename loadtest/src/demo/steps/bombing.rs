//! Prompt bombing: a stranger who knows a password starts one login after the other, until the user approves out of
//! weariness.

use tocsin_model::{Decision, State, TransactionId};

use super::{answer, expect_refused, expect_state, receive};
use crate::demo::bank::TYPE_SIGN_IN;
use crate::demo::stage::Stage;
use crate::demo::teller::Teller;
use crate::error::ensure;
use crate::phone::Matching;
use crate::{Handset, LoadtestError, StartFields};

/// Logins that the stranger starts.
const LOGINS: usize = 3;

/// One login at a time is on the phone, it cannot be approved without the stranger's page, and a report ends the matter.
pub(in crate::demo) async fn withstand(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(), LoadtestError> {
    let user = phone.user().to_owned();
    let fields = StartFields::new(TYPE_SIGN_IN, &user);
    let mut ids = Vec::new();
    for _ in 0..LOGINS {
        ids.push(stage.portal.start(&fields, None).await?.view.id);
    }
    let (last, earlier) = ids.split_last().ok_or_else(|| unexpected("nothing was started"))?;
    teller.say("stranger", format_args!("starts {LOGINS} logins as {user}"));
    for id in earlier {
        expect_state(&stage.portal.transaction(*id).await?, State::Cancelled)?;
    }
    teller.say("server", "each takes the place of the one before, which is cancelled");
    let challenge = receive(stage, teller, phone, *last).await?;
    let replaced: Vec<String> = earlier.last().map(TransactionId::to_string).into_iter().collect();
    ensure(challenge.replaces == replaced, || format!("it says that it replaces {:?}", challenge.replaces))?;
    ensure(challenge.matching == Matching::Type, || format!("it is matched by {:?}", challenge.matching))?;
    teller.say("phone", "shows one login that replaced another, and wants the number of the stranger's page");
    answer(teller, phone, &challenge, Decision::Report, State::Reported).await?;
    expect_refused(stage, &fields, "user_locked").await?;
    teller.say("stranger", "starts one more: 403 user_locked");
    stage.portal.remove_locks(&user).await?;
    teller.say("portal", format_args!("has spoken with {user}; DELETE /v1/users/{user}/locks: 204"));
    let id = stage.portal.start(&fields, None).await?.view.id;
    expect_state(&stage.portal.cancel(id).await?, State::Cancelled)
}

fn unexpected(what: &str) -> LoadtestError {
    LoadtestError::Unexpected(what.to_owned())
}
