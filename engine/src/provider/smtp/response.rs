//! What a mail server's reply means, by where in the dialogue it came. Pure.
//!
//! 4yz is for now and may be tried again; 5yz is for ever (RFC 5321, section 4.2.1). Until the letter itself is written
//! nothing was taken; a connection that is cut behind it leaves that unknown.

use std::time::Duration;

use crate::provider::progress::Treatment;

/// A step of the dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Connection, greeting, EHLO, STARTTLS.
    Opening,
    /// AUTH.
    Login,
    /// MAIL FROM.
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA.
    Data,
    /// The letter and its end.
    Content,
}

/// What went wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A negative reply.
    Reply(u16),
    /// No address took the connection.
    Unreachable,
    /// The connection ended, or what came was no reply.
    Cut,
    /// TLS failed; a certificate that does not verify included.
    Tls,
    /// The server has no STARTTLS, so that it could be spoken to in clear only.
    NoTls,
    /// It takes no login, or by no mechanism that we have.
    NoLogin,
    /// It sent a reply in clear that was to be read inside of TLS.
    Injected,
}

/// How handing a letter over failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) stage: Stage,
    pub(super) trouble: Trouble,
}

impl Fault {
    /// Whether the session may be used for another letter.
    pub(super) const fn leaves_session(self) -> bool {
        matches!(self.trouble, Trouble::Reply(code) if code != 421)
    }
}

/// What a fault means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ruling {
    /// Its word in [`REASONS`].
    pub(super) reason: &'static str,
    /// What it asks for.
    pub(super) treatment: Treatment,
}

/// The word for a letter that was taken.
pub(super) const TAKEN: &str = "ok";
/// The word for a server that gave no reply in time.
pub(super) const LATE: &str = "late";

const UNKNOWN_4YZ: &str = "unknown_4yz";
const UNKNOWN_5YZ: &str = "unknown_5yz";

macro_rules! replies {
    ($($code:literal)+) => {
        /// Every reason, for the metric.
        pub(super) const REASONS: &[&str] = &[
            TAKEN, $(stringify!($code),)+ UNKNOWN_4YZ, UNKNOWN_5YZ, LATE,
            "unreachable", "cut", "tls", "no_tls", "no_login", "injected",
        ];

        const fn documented(code: u16) -> Option<&'static str> {
            match code { $($code => Some(stringify!($code)),)+ _ => None }
        }
    };
}

replies! {
    421 432 450 451 452 454 455
    500 501 502 503 504 521 523 530 534 535 538 550 551 552 553 554 555 556
}

/// How long a server that says "later" is left alone.
const LATER: Duration = Duration::from_secs(1);

/// What a fault means.
pub(super) fn rule(fault: Fault) -> Ruling {
    let quick = Treatment::QuickRetry { after: None };
    let (reason, treatment) = match fault.trouble {
        Trouble::Reply(code) => (word(code), reply(fault.stage, code)),
        Trouble::Cut if fault.stage == Stage::Content => ("cut", Treatment::Unclear),
        Trouble::Cut => ("cut", quick),
        Trouble::Unreachable => ("unreachable", quick),
        Trouble::Tls => ("tls", quick),
        Trouble::NoTls => ("no_tls", Treatment::CredentialRefused),
        Trouble::NoLogin => ("no_login", Treatment::CredentialRefused),
        Trouble::Injected => ("injected", Treatment::CredentialRefused),
    };
    Ruling { reason, treatment }
}

fn word(code: u16) -> &'static str {
    documented(code).unwrap_or(if code < 500 { UNKNOWN_4YZ } else { UNKNOWN_5YZ })
}

fn reply(stage: Stage, code: u16) -> Treatment {
    let is_for_now = code < 500;
    match stage {
        // A mailbox that is busy, full for the moment, or does not know us yet (greylisting).
        Stage::Recipient if is_for_now && code != 421 => Treatment::TargetThrottled { after: None },
        _ if is_for_now => Treatment::QuickRetry { after: Some(LATER) },
        _ if matches!(code, 530 | 534 | 535 | 538) => Treatment::CredentialRefused,
        Stage::Opening | Stage::Login | Stage::Sender => Treatment::CredentialRefused,
        Stage::Recipient => Treatment::AddressRefused,
        Stage::Data | Stage::Content => Treatment::RequestRefused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: [Stage; 6] =
        [Stage::Opening, Stage::Login, Stage::Sender, Stage::Recipient, Stage::Data, Stage::Content];

    fn treated(stage: Stage, trouble: Trouble) -> Treatment {
        let ruling = rule(Fault { stage, trouble });
        assert!(REASONS.contains(&ruling.reason), "{ruling:?}");
        ruling.treatment
    }

    #[test]
    fn what_is_for_now_is_tried_again_and_what_is_for_ever_is_not() {
        for stage in STAGES {
            for code in [421, 450, 451, 452, 454, 499] {
                let treatment = treated(stage, Trouble::Reply(code));
                let again =
                    matches!(treatment, Treatment::QuickRetry { .. } | Treatment::TargetThrottled { .. });
                assert!(again, "{stage:?} {code}: {treatment:?}");
            }
            for code in [500, 530, 535, 550, 552, 554, 599] {
                let treatment = treated(stage, Trouble::Reply(code));
                let ends = matches!(
                    treatment,
                    Treatment::CredentialRefused | Treatment::AddressRefused | Treatment::RequestRefused
                );
                assert!(ends, "{stage:?} {code}: {treatment:?}");
            }
        }
    }

    #[test]
    fn a_refusal_is_of_whom_it_is_about() {
        assert_eq!(treated(Stage::Recipient, Trouble::Reply(550)), Treatment::AddressRefused);
        assert_eq!(treated(Stage::Sender, Trouble::Reply(550)), Treatment::CredentialRefused);
        assert_eq!(treated(Stage::Login, Trouble::Reply(535)), Treatment::CredentialRefused);
        assert_eq!(treated(Stage::Content, Trouble::Reply(554)), Treatment::RequestRefused);
        assert_eq!(treated(Stage::Recipient, Trouble::Reply(530)), Treatment::CredentialRefused);
    }

    #[test]
    fn only_a_cut_behind_the_letter_leaves_its_end_unknown() {
        for stage in STAGES {
            let is_unknown = treated(stage, Trouble::Cut) == Treatment::Unclear;
            assert_eq!(is_unknown, stage == Stage::Content, "{stage:?}");
        }
    }

    #[test]
    fn reasons_are_unique() {
        let unique: std::collections::HashSet<_> = REASONS.iter().collect();
        assert_eq!(unique.len(), REASONS.len());
        assert_eq!(rule(Fault { stage: Stage::Data, trouble: Trouble::Reply(499) }).reason, "unknown_4yz");
    }

    #[test]
    fn a_session_outlives_a_refusal_but_not_its_end() {
        let leaves = |trouble| Fault { stage: Stage::Recipient, trouble }.leaves_session();
        assert!(leaves(Trouble::Reply(550)) && leaves(Trouble::Reply(450)));
        assert!(!leaves(Trouble::Reply(421)) && !leaves(Trouble::Cut));
    }
}
