//! What an answer of APNs means. Pure: status and body in, ruling out.
//!
//! Apple's documented reasons are one table; what is not in it is judged by the class of its status. Only a 410
//! that says since when makes a token dead: without that a re-installed app could lose its fresh one.

use http::StatusCode;
use serde::Deserialize;
use tocsin_model::{DeliveryReason, UnixMs};

use crate::provider::courier::Ruling;
use crate::provider::progress::Treatment;

/// The body of a refusal.
#[derive(Deserialize)]
struct Refusal<'a> {
    #[serde(borrow)]
    reason: std::borrow::Cow<'a, str>,
    timestamp: Option<u64>,
}

/// What a reason asks for.
#[derive(Clone, Copy)]
enum Group {
    OurFault,
    Token,
    DeadToken,
    Credential,
    ExpiredCredential,
    SpoiledConnection,
    BlockedConnection,
    ForeignConnection,
    TooFast,
    ServerFault,
}

macro_rules! reasons {
    ($($word:literal => $group:ident,)+) => {
        /// Every reason, for the metric; the first is a push that was taken, the last are undocumented ones.
        pub(super) const REASONS: &[&str] = &[TAKEN, $($word,)+ UNKNOWN_4XX, UNKNOWN_5XX, UNKNOWN_OTHER];

        const DOCUMENTED: &[(&str, Group)] = &[$(($word, Group::$group),)+];
    };
}

const TAKEN: &str = "ok";
const UNKNOWN_4XX: &str = "unknown_4xx";
const UNKNOWN_5XX: &str = "unknown_5xx";
const UNKNOWN_OTHER: &str = "unknown_other";

reasons! {
    "BadCollapseId" => OurFault,
    "BadExpirationDate" => OurFault,
    "BadMessageId" => OurFault,
    "BadPriority" => OurFault,
    "BadTopic" => OurFault,
    "DuplicateHeaders" => OurFault,
    "InvalidPushType" => OurFault,
    "MissingDeviceToken" => OurFault,
    "MissingTopic" => OurFault,
    "PayloadEmpty" => OurFault,
    "BadPath" => OurFault,
    "MethodNotAllowed" => OurFault,
    "PayloadTooLarge" => OurFault,
    "BadDeviceToken" => Token,
    "DeviceTokenNotForTopic" => Token,
    "Unregistered" => DeadToken,
    "ExpiredToken" => DeadToken,
    "TopicDisallowed" => Credential,
    "InvalidProviderToken" => Credential,
    "MissingProviderToken" => Credential,
    "BadEnvironmentKeyIdInToken" => Credential,
    "BadEnvironmentKeyInToken" => Credential,
    "Forbidden" => Credential,
    "BadCertificate" => Credential,
    "BadCertificateEnvironment" => Credential,
    "ExpiredProviderToken" => ExpiredCredential,
    "UnrelatedKeyIdInToken" => ForeignConnection,
    "TooManyProviderTokenUpdates" => BlockedConnection,
    "IdleTimeout" => SpoiledConnection,
    "Shutdown" => SpoiledConnection,
    "TooManyRequests" => TooFast,
    "InternalServerError" => ServerFault,
    "ServiceUnavailable" => ServerFault,
}

/// What this answer asks for.
pub(super) fn rule(status: StatusCode, body: &[u8]) -> Ruling {
    if status == StatusCode::OK {
        return Ruling { reason: 0, treatment: Treatment::Relayed };
    }
    let refusal: Option<Refusal<'_>> = serde_json::from_slice(body).ok();
    let documented = refusal.as_ref().and_then(|refusal| {
        let index = DOCUMENTED.iter().position(|(word, _)| *word == refusal.reason)?;
        Some((index + 1, DOCUMENTED[index].1))
    });
    match documented {
        Some((reason, group)) => {
            let timestamp = refusal.and_then(|refusal| refusal.timestamp);
            Ruling { reason, treatment: treatment(group, status, timestamp) }
        }
        None => undocumented(status),
    }
}

fn treatment(group: Group, status: StatusCode, timestamp_ms: Option<u64>) -> Treatment {
    match (group, timestamp_ms) {
        (Group::DeadToken, Some(since)) if status == StatusCode::GONE => {
            Treatment::TokenDead { since: Some(UnixMs::new(since)) }
        }
        (Group::DeadToken | Group::Token, _) => Treatment::TokenSuspect,
        (Group::OurFault, _) => Treatment::RequestRefused,
        (Group::Credential, _) => Treatment::CredentialRefused,
        (Group::ExpiredCredential, _) => Treatment::RenewToken { retires_connection: true },
        (Group::ForeignConnection, _) => {
            Treatment::MoveConnection { otherwise: DeliveryReason::CredentialRefused }
        }
        (Group::BlockedConnection, _) => Treatment::MoveConnection { otherwise: DeliveryReason::Throttled },
        (Group::SpoiledConnection, _) => Treatment::MoveConnection { otherwise: DeliveryReason::Unavailable },
        (Group::TooFast, _) => Treatment::TargetThrottled { after: None },
        (Group::ServerFault, _) => Treatment::QuickRetry { after: None },
    }
}

/// A word that Apple does not document, or no word at all.
fn undocumented(status: StatusCode) -> Ruling {
    let from_end = |place: usize| REASONS.len() - place;
    let treatment = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Treatment::CredentialRefused,
        StatusCode::TOO_MANY_REQUESTS => Treatment::TargetThrottled { after: None },
        StatusCode::GONE => Treatment::TokenSuspect,
        _ if status.is_server_error() => Treatment::QuickRetry { after: None },
        _ => Treatment::RequestRefused,
    };
    let reason = match status {
        _ if status.is_client_error() => from_end(3),
        _ if status.is_server_error() => from_end(2),
        _ => from_end(1),
    };
    Ruling { reason, treatment }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DeliveryReason::{CredentialRefused, Throttled, Unavailable};

    fn ruled(status: u16, body: &str) -> (&'static str, Treatment) {
        let Ruling { reason, treatment } =
            rule(StatusCode::from_u16(status).expect("valid"), body.as_bytes());
        (REASONS[reason], treatment)
    }

    fn refused(status: u16, reason: &str) -> Treatment {
        let (word, treatment) = ruled(status, &format!("{{\"reason\":\"{reason}\"}}"));
        assert_eq!(word, reason, "the metric's label");
        treatment
    }

    #[test]
    fn a_200_is_relayed() {
        assert_eq!(ruled(200, ""), ("ok", Treatment::Relayed));
    }

    #[test]
    fn faults_of_ours_are_not_repeated() {
        for reason in [
            "BadCollapseId",
            "BadExpirationDate",
            "BadMessageId",
            "BadPriority",
            "BadTopic",
            "DuplicateHeaders",
            "InvalidPushType",
            "MissingDeviceToken",
            "MissingTopic",
            "PayloadEmpty",
        ] {
            assert_eq!(refused(400, reason), Treatment::RequestRefused, "{reason}");
        }
        assert_eq!(refused(404, "BadPath"), Treatment::RequestRefused);
        assert_eq!(refused(405, "MethodNotAllowed"), Treatment::RequestRefused);
        assert_eq!(refused(413, "PayloadTooLarge"), Treatment::RequestRefused);
    }

    #[test]
    fn a_bad_or_foreign_device_token_is_only_suspect() {
        assert_eq!(refused(400, "BadDeviceToken"), Treatment::TokenSuspect);
        assert_eq!(refused(400, "DeviceTokenNotForTopic"), Treatment::TokenSuspect);
    }

    #[test]
    fn only_a_410_with_its_time_makes_a_token_dead() {
        for reason in ["Unregistered", "ExpiredToken"] {
            let with_time = format!("{{\"reason\":\"{reason}\",\"timestamp\":1700000000123}}");
            let dead = Treatment::TokenDead { since: Some(UnixMs::new(1_700_000_000_123)) };
            assert_eq!(ruled(410, &with_time), (reason, dead));
            assert_eq!(refused(410, reason), Treatment::TokenSuspect);
            assert_eq!(ruled(400, &with_time), (reason, Treatment::TokenSuspect));
        }
    }

    #[test]
    fn a_refused_credential_needs_an_operator() {
        assert_eq!(refused(400, "TopicDisallowed"), Treatment::CredentialRefused);
        for reason in [
            "InvalidProviderToken",
            "MissingProviderToken",
            "BadEnvironmentKeyIdInToken",
            "BadEnvironmentKeyInToken",
            "Forbidden",
            "BadCertificate",
            "BadCertificateEnvironment",
        ] {
            assert_eq!(refused(403, reason), Treatment::CredentialRefused, "{reason}");
        }
    }

    #[test]
    fn an_expired_provider_token_is_renewed_on_a_new_connection() {
        assert_eq!(refused(403, "ExpiredProviderToken"), Treatment::RenewToken { retires_connection: true });
    }

    #[test]
    fn a_connection_that_is_of_no_use_is_left() {
        let moved = |otherwise| Treatment::MoveConnection { otherwise };
        assert_eq!(refused(403, "UnrelatedKeyIdInToken"), moved(CredentialRefused));
        assert_eq!(refused(429, "TooManyProviderTokenUpdates"), moved(Throttled));
        assert_eq!(refused(400, "IdleTimeout"), moved(Unavailable));
        assert_eq!(refused(503, "Shutdown"), moved(Unavailable));
    }

    #[test]
    fn too_many_requests_hold_back_one_address() {
        assert_eq!(refused(429, "TooManyRequests"), Treatment::TargetThrottled { after: None });
    }

    #[test]
    fn faults_of_apple_are_tried_once_more() {
        assert_eq!(refused(500, "InternalServerError"), Treatment::QuickRetry { after: None });
        assert_eq!(refused(503, "ServiceUnavailable"), Treatment::QuickRetry { after: None });
    }

    #[test]
    fn what_is_undocumented_goes_by_its_status_under_a_bounded_label() {
        let retry = Treatment::QuickRetry { after: None };
        assert_eq!(ruled(400, r#"{"reason":"Invented"}"#), ("unknown_4xx", Treatment::RequestRefused));
        assert_eq!(ruled(403, "<html>"), ("unknown_4xx", Treatment::CredentialRefused));
        assert_eq!(ruled(410, ""), ("unknown_4xx", Treatment::TokenSuspect));
        assert_eq!(ruled(429, ""), ("unknown_4xx", Treatment::TargetThrottled { after: None }));
        assert_eq!(ruled(500, "not json"), ("unknown_5xx", retry));
        assert_eq!(ruled(502, r#"{"reason":7}"#), ("unknown_5xx", retry));
        assert_eq!(ruled(302, ""), ("unknown_other", Treatment::RequestRefused));
    }

    #[test]
    fn every_documented_reason_is_tested_above() {
        assert_eq!(DOCUMENTED.len(), 33);
    }
}
