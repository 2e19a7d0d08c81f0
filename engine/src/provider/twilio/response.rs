//! What an answer of Twilio means. Pure: status and body in, ruling out.
//!
//! Twilio's documented errors are one table; what is not in it is judged by the class of its status. A refusal is known
//! to have sent nothing; a 5xx but for 503 says nothing about it.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use tocsin_model::UnixMs;

use crate::provider::messenger::Ruling;
use crate::provider::progress::Treatment;
use crate::provider::retry_after::retry_after;
use crate::transport::HttpAnswer;

/// How long to wait when Twilio asks for fewer messages and does not say for how long.
const THROTTLED_FOR: Duration = Duration::from_secs(1);

/// The body of a refusal.
#[derive(Deserialize)]
struct Refusal {
    code: u32,
}

/// What an error asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// The number is none, has opted out, or cannot be reached by anybody.
    Number,
    /// Account, sender, region or right: an operator must act.
    Account,
    /// Our request is wrong.
    OurFault,
    /// Too many messages.
    TooFast,
    /// Twilio is out of order and has sent nothing.
    OutOfOrder,
    /// This account or a carrier does not reach the number; another way may.
    Unreached,
}

macro_rules! errors {
    ($($code:literal => $group:ident,)+) => {
        /// Every reason, for the metric; the first is a message that was taken, the last are undocumented ones.
        pub(super) const REASONS: &[&str] = &[TAKEN, $(stringify!($code),)+ UNKNOWN_4XX, UNKNOWN_5XX, UNKNOWN_OTHER];

        const DOCUMENTED: &[(u32, &str, Group)] = &[$(($code, stringify!($code), Group::$group),)+];
    };
}

const TAKEN: &str = "ok";
const UNKNOWN_4XX: &str = "unknown_4xx";
const UNKNOWN_5XX: &str = "unknown_5xx";
const UNKNOWN_OTHER: &str = "unknown_other";

errors! {
    20003 => Account,
    20404 => Account,
    20429 => TooFast,
    20503 => OutOfOrder,
    21211 => Number,
    21212 => Account,
    21214 => Number,
    21217 => Number,
    21408 => Unreached,
    21602 => OurFault,
    21603 => Account,
    21606 => Account,
    21608 => Unreached,
    21609 => OurFault,
    21610 => Number,
    21611 => TooFast,
    21612 => Unreached,
    21614 => Number,
    21617 => OurFault,
    21659 => Account,
    30001 => Unreached,
    30002 => Account,
    30003 => Unreached,
    30004 => Number,
    30005 => Number,
    30006 => Number,
    30007 => Unreached,
    30008 => Unreached,
    30034 => Account,
}

/// What a documented error asks for.
pub(super) fn group_of(code: u32) -> Option<Group> {
    DOCUMENTED.iter().find(|(known, ..)| *known == code).map(|(.., group)| *group)
}

/// What an answer means.
pub(super) fn rule(answer: &HttpAnswer, now: UnixMs) -> Ruling {
    if answer.status.is_success() {
        return Ruling { reason: TAKEN, treatment: Treatment::Relayed };
    }
    let code = serde_json::from_slice::<Refusal>(&answer.body).map(|refusal| refusal.code).ok();
    let known = DOCUMENTED.iter().find(|(known, ..)| Some(*known) == code);
    if let (Some((_, reason, group)), false) = (known, is_unclear(answer.status)) {
        return Ruling { reason, treatment: group.treatment(answer, now) };
    }
    let (reason, treatment) = match answer.status {
        StatusCode::TOO_MANY_REQUESTS => (UNKNOWN_4XX, Group::TooFast.treatment(answer, now)),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (UNKNOWN_4XX, Treatment::CredentialRefused),
        StatusCode::SERVICE_UNAVAILABLE => (UNKNOWN_5XX, Group::OutOfOrder.treatment(answer, now)),
        status if status.is_client_error() => (UNKNOWN_4XX, Treatment::RequestRefused),
        status if status.is_server_error() => (UNKNOWN_5XX, Treatment::Unclear),
        _ => (UNKNOWN_OTHER, Treatment::RequestRefused),
    };
    Ruling { reason, treatment }
}

/// Whether the message may have been sent although the answer is a fault.
fn is_unclear(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE
}

impl Group {
    fn treatment(self, answer: &HttpAnswer, now: UnixMs) -> Treatment {
        let after = retry_after(&answer.headers, now);
        match self {
            Self::Number => Treatment::AddressRefused,
            Self::Account => Treatment::CredentialRefused,
            Self::OurFault | Self::Unreached => Treatment::RequestRefused,
            Self::TooFast => Treatment::ProviderThrottled { after: after.unwrap_or(THROTTLED_FOR) },
            Self::OutOfOrder => Treatment::QuickRetry { after },
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn ruled(status: u16, body: &str, wait: Option<&'static str>) -> Ruling {
        let mut headers = HeaderMap::new();
        headers.extend(wait.map(|wait| (http::header::RETRY_AFTER, HeaderValue::from_static(wait))));
        let status = StatusCode::from_u16(status).expect("a status");
        let body = Bytes::copy_from_slice(body.as_bytes());
        rule(&HttpAnswer { status, headers, body, body_is_whole: true }, UnixMs::new(0))
    }

    fn by_code(status: u16, code: u32) -> (&'static str, Treatment) {
        let ruling = ruled(status, &format!(r#"{{"code":{code},"message":"x","status":{status}}}"#), None);
        (ruling.reason, ruling.treatment)
    }

    #[test]
    fn a_message_is_taken_by_201_and_nothing_in_its_body_changes_that() {
        for body in ["", r#"{"sid":"SM1","status":"queued","error_code":null}"#, r#"{"code":21211}"#] {
            assert_eq!(ruled(201, body, None), Ruling { reason: "ok", treatment: Treatment::Relayed });
        }
    }

    #[test]
    fn documented_errors_are_told_apart() {
        for code in [21_211, 21_214, 21_217, 21_610, 21_614] {
            assert_eq!(by_code(400, code).1, Treatment::AddressRefused, "{code}");
        }
        for code in [21_212, 21_603, 21_606, 21_659] {
            assert_eq!(by_code(400, code).1, Treatment::CredentialRefused, "{code}");
        }
        assert_eq!(by_code(401, 20_003), ("20003", Treatment::CredentialRefused));
        assert_eq!(by_code(404, 20_404).1, Treatment::CredentialRefused);
        for code in [21_408, 21_608, 21_612, 21_617] {
            assert_eq!(by_code(400, code).1, Treatment::RequestRefused, "{code}");
        }
        assert_eq!(by_code(503, 20_503).1, Treatment::QuickRetry { after: None });
    }

    #[test]
    fn too_many_messages_wait_as_long_as_twilio_says() {
        let after = Duration::from_secs(7);
        let told = ruled(429, r#"{"code":20429}"#, Some("7"));
        assert_eq!(told, Ruling { reason: "20429", treatment: Treatment::ProviderThrottled { after } });
        let untold = ruled(429, "busy", None);
        assert_eq!(untold.treatment, Treatment::ProviderThrottled { after: THROTTLED_FOR });
    }

    #[test]
    fn what_is_not_documented_is_judged_by_its_class() {
        let ruled = |status| {
            let ruling = ruled(status, "<html>", None);
            (ruling.reason, ruling.treatment)
        };
        assert_eq!(ruled(418), (UNKNOWN_4XX, Treatment::RequestRefused));
        assert_eq!(ruled(403), (UNKNOWN_4XX, Treatment::CredentialRefused));
        assert_eq!(ruled(307), (UNKNOWN_OTHER, Treatment::RequestRefused));
        assert_eq!(ruled(503), (UNKNOWN_5XX, Treatment::QuickRetry { after: None }));
        for unclear in [500, 502, 504, 599] {
            assert_eq!(ruled(unclear), (UNKNOWN_5XX, Treatment::Unclear), "nobody knows what {unclear} sent");
        }
        assert_eq!(by_code(500, 21_211).1, Treatment::Unclear);
    }

    #[test]
    fn every_reason_stands_once() {
        let mut sorted = REASONS.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), REASONS.len());
    }
}
