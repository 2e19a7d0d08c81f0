//! A simulated phone of its own, for trying a server by hand: it enrols, then lists its open challenges each second,
//! as a phone does whose pushes do not arrive.

use std::collections::HashSet;
use std::time::Duration;

use super::keep::tell;
use super::prompt::Prompt;
use crate::phone::{Phone, PhoneError, PhoneNetwork, PhoneProfile};
use crate::{LoadtestError, PhoneKind};

/// How often it asks.
const LIST_INTERVAL: Duration = Duration::from_secs(1);

/// Challenges that it remembers to have shown; then it begins anew.
const SHOWN_MAX: usize = 10_000;

/// What the phone is told at the command line.
#[derive(Clone)]
pub struct LonePhone {
    /// The activation code.
    pub code: String,
    /// The server, as phones reach it.
    pub issuer: String,
    /// The app, by its name in the server's configuration.
    pub app: String,
    /// Whether it approves without asking.
    pub approves_all: bool,
}

impl std::fmt::Debug for LonePhone {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LonePhone").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Is a phone until Ctrl-C; `false` when it could not enrol or was refused later.
pub async fn be_a_phone(options: LonePhone) -> bool {
    tokio::select! {
        ended = live(options) => match ended {
            Ok(()) => true,
            Err(error) => {
                eprintln!("{error}");
                false
            }
        },
        interrupted = tokio::signal::ctrl_c() => interrupted.is_ok(),
    }
}

async fn live(options: LonePhone) -> Result<(), LoadtestError> {
    let kind = PhoneKind::Iphone;
    let profile = PhoneProfile {
        name: "Simulated iPhone".to_owned(),
        platform: kind.platform(),
        app: options.app,
        push: kind.push_object(&kind.new_target()),
    };
    let mut phone = Phone::new(PhoneNetwork::new(), &options.issuer, profile);
    phone.enrol(&options.code).await?;
    println!("Enrolled as {}. Waiting for logins; Ctrl-C ends it.", phone.device_id().unwrap_or_default());
    let mut prompt = if options.approves_all { Prompt::approve_all() } else { Prompt::open() };
    let mut shown = HashSet::new();
    loop {
        match phone.list().await {
            Ok(challenges) => {
                for challenge in challenges {
                    if !shown.insert(challenge.transaction_id.clone()) {
                        continue;
                    }
                    if let Some(choice) = prompt.decide("phone", &challenge).await {
                        tell("phone", choice.decision, choice.answer(&phone, &challenge).await);
                    }
                }
            }
            Err(PhoneError::Network(why)) => println!("  [phone] reaches nobody: {why}"),
            Err(error) => return Err(error.into()),
        }
        if shown.len() > SHOWN_MAX {
            shown.clear();
        }
        tokio::time::sleep(LIST_INTERVAL).await;
    }
}
