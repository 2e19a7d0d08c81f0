//! Everything stays up: lines to try, and phones that answer, until Ctrl-C.

use std::time::Duration;

use tocsin_model::Decision;
use tokio::signal::unix::{SignalKind, signal};

use super::prompt::Prompt;
use super::script::Phones;
use super::stage::Stage;
use crate::phone::PhoneError;
use crate::{APP, Handset, LoadtestError, TYPE_LOGIN};

/// A phone waits this long for a push before it looks at the clock again.
const PUSH_WAIT: Duration = Duration::from_secs(3_600);

/// How long the Android phone's user thinks.
const THINKING_TIME: Duration = Duration::from_secs(1);

/// Prints lines to try and lets the phones answer until a signal comes.
pub(super) async fn keep_up(stage: &Stage, phones: Phones) -> Result<(), LoadtestError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(LoadtestError::io("await Ctrl-C"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(LoadtestError::io("await SIGTERM"))?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(LoadtestError::io("await SIGHUP"))?;
    let prompt = Prompt::open();
    print_lines(stage, prompt.is_asked(), &phones);
    let iphone = tokio::spawn(ask_user(phones.iphone, prompt));
    let android = tokio::spawn(decline_all(phones.android));
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    iphone.abort();
    android.abort();
    Ok(())
}

fn print_lines(stage: &Stage, asks: bool, phones: &Phones) {
    let installation = &stage.installation;
    let (portal, device, ops) =
        (installation.portal_url(), installation.device_url(), installation.ops_url());
    let credentials = installation.credentials();
    let (client, secret) = (&credentials.client_id, &credentials.secret);
    let (iphone_user, android_user) = (phones.iphone.user(), phones.android.user());
    let decides = if asks { "asks you here, at this terminal" } else { "approves after a second" };
    let own = std::env::current_exe().unwrap_or_default();
    let own = own.display();
    println!(
        r#"
Everything stays up until Ctrl-C. {iphone_user}'s iPhone {decides}; {android_user}'s Android phone declines
after a second. In another terminal:

  export P={portal} C={client}:{secret}

  # Push a login to {iphone_user} and wait for the outcome
  ID=$(curl -su $C $P/v1/transactions -H 'content-type: application/json' \
       -d '{{"type":"{TYPE_LOGIN}","user":"{iphone_user}"}}' | sed 's/.*"id":"\([^"]*\)","revision.*/\1/'); echo $ID
  curl -su $C "$P/v1/transactions/$ID?wait_s=60"; echo

  # Follow it as it goes
  curl -Nsu $C $P/v1/transactions/$ID/events

  # Withdraw one
  curl -su $C -X DELETE $P/v1/transactions/$ID; echo

  # Enrol a phone for somebody else: the first line gives an activation code, the second is a phone that takes it
  # and then asks about each login at its terminal
  curl -su $C $P/v1/enrollments -H 'content-type: application/json' -d '{{"user":"carol","app":"{APP}"}}'; echo
  {own} phone --issuer {device} CODE

  # Look inside
  curl -s {ops}/metrics | grep ^tocsin_
  tail -f {log}
"#,
        log = installation.log_file().display(),
    );
}

/// The iPhone shows what it is pushed and does what its user says.
async fn ask_user(mut phone: Handset, mut prompt: Prompt) {
    let name = format!("{}'s {}", phone.user(), phone.kind().as_str());
    loop {
        let Ok(id) = phone.next_push(PUSH_WAIT).await else { continue };
        match phone.phone.fetch(&id.to_string()).await {
            Ok(challenge) => {
                let Some(choice) = prompt.decide(&name, &challenge).await else { continue };
                let answered = choice.answer(&phone.phone, &challenge).await;
                tell(&name, choice.decision, answered);
            }
            Err(error) => println!("  [{name}] cannot show {id}: {error}"),
        }
    }
}

async fn decline_all(mut phone: Handset) {
    let name = format!("{}'s {}", phone.user(), phone.kind().as_str());
    loop {
        let Ok(id) = phone.next_push(PUSH_WAIT).await else { continue };
        tokio::time::sleep(THINKING_TIME).await;
        match phone.phone.fetch(&id.to_string()).await {
            Ok(challenge) => {
                let declined = phone.phone.answer(&challenge, Decision::Decline).await;
                tell(&name, Decision::Decline, declined);
            }
            Err(error) => println!("  [{name}] cannot show {id}: {error}"),
        }
    }
}

pub(super) fn tell(name: &str, decision: Decision, answered: Result<String, PhoneError>) {
    match answered {
        Ok(state) => println!("  [{name}] signed \"{}\": {state}", decision.as_str()),
        Err(error) => println!("  [{name}] signed \"{}\", but: {error}", decision.as_str()),
    }
}
