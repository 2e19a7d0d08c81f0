//! What an answer of a gateway means, by the rules of its configuration. Pure.
//!
//! The rules come first. What they do not speak of is judged as HTTP means it: a refusal has sent nothing, and so have
//! 429 and 503; of any other 5xx nobody knows.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use tocsin_config::{AnswerPattern, AnswerRules, StatusRange};
use tocsin_model::UnixMs;

use crate::provider::messenger::Ruling;
use crate::provider::progress::Treatment;
use crate::provider::retry_after::retry_after;
use crate::transport::HttpAnswer;

/// Every reason, for the metric; the first is a message that was taken.
pub(super) const REASONS: &[&str] = &[TAKEN, PERMANENT, REFUSED, CREDENTIAL, THROTTLED, UNAVAILABLE, UNCLEAR];

const TAKEN: &str = "ok";
const PERMANENT: &str = "permanent";
const REFUSED: &str = "refused";
const CREDENTIAL: &str = "credential";
const THROTTLED: &str = "throttled";
const UNAVAILABLE: &str = "unavailable";
const UNCLEAR: &str = "unclear";

/// How long to wait when the gateway asks for fewer messages and does not say for how long.
const THROTTLED_FOR: Duration = Duration::from_secs(1);

/// What an answer means.
pub(super) fn rule(rules: &AnswerRules, answer: &HttpAnswer, now: UnixMs) -> Ruling {
    let status = answer.status.as_u16();
    let is_among = |ranges: &[StatusRange]| ranges.iter().any(|range| range.contains(status));
    let said = said(rules, answer);
    let matches = |pattern: &AnswerPattern| said.as_deref().is_some_and(|said| pattern.is_found_in(said));
    let (reason, treatment) = if is_among(&rules.permanent_statuses)
        || rules.permanent_pattern.as_ref().is_some_and(matches)
    {
        (PERMANENT, Treatment::AddressRefused)
    } else if is_among(&rules.unclear_statuses) {
        (UNCLEAR, Treatment::Unclear)
    } else if is_among(&rules.success_statuses) {
        match &rules.success_pattern {
            None => (TAKEN, Treatment::Relayed),
            Some(pattern) if matches(pattern) => (TAKEN, Treatment::Relayed),
            // An answer that was cut off, or says nothing, refuses nothing.
            Some(_) if !answer.body_is_whole || is_silent(said.as_deref()) => (UNCLEAR, Treatment::Unclear),
            Some(_) => (REFUSED, Treatment::RequestRefused),
        }
    } else {
        by_status(answer, now)
    };
    Ruling { reason, treatment }
}

fn by_status(answer: &HttpAnswer, now: UnixMs) -> (&'static str, Treatment) {
    let after = retry_after(&answer.headers, now);
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS => {
            (THROTTLED, Treatment::ProviderThrottled { after: after.unwrap_or(THROTTLED_FOR) })
        }
        StatusCode::SERVICE_UNAVAILABLE => (UNAVAILABLE, Treatment::QuickRetry { after }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            (CREDENTIAL, Treatment::CredentialRefused)
        }
        // A success that the rules do not count as one: it may have been taken all the same.
        status if status.is_server_error() || status.is_success() => (UNCLEAR, Treatment::Unclear),
        _ => (REFUSED, Treatment::RequestRefused),
    }
}

fn is_silent(said: Option<&str>) -> bool {
    said.is_none_or(|said| matches!(said.trim(), "" | "null"))
}

/// What the patterns are held against: the body, or the value that the pointer leads to.
fn said<'a>(rules: &AnswerRules, answer: &'a HttpAnswer) -> Option<Cow<'a, str>> {
    let Some(pointer) = &rules.pointer else { return Some(String::from_utf8_lossy(&answer.body)) };
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    Some(match body.pointer(pointer)? {
        Value::String(text) => Cow::Owned(text.clone()),
        other => Cow::Owned(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn rules(success: Option<&str>, permanent: Option<&str>) -> AnswerRules {
        let pattern = |text: &str| AnswerPattern::parse(text).expect("valid");
        AnswerRules {
            pointer: Some("/result/status".to_owned()),
            success_statuses: vec![StatusRange::parse("2xx").expect("valid")],
            success_pattern: success.map(pattern),
            permanent_statuses: vec![StatusRange::parse("410").expect("valid")],
            permanent_pattern: permanent.map(pattern),
            unclear_statuses: vec![StatusRange::parse("503").expect("valid")],
        }
    }

    fn ruled(rules: &AnswerRules, status: u16, body: &str) -> (&'static str, Treatment) {
        let answer = HttpAnswer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            body_is_whole: true,
        };
        let ruling = rule(rules, &answer, UnixMs::new(0));
        (ruling.reason, ruling.treatment)
    }

    const QUEUED: &str = r#"{"result":{"status":"queued"}}"#;

    #[test]
    fn a_status_is_enough_where_no_pattern_is_asked_for() {
        let rules = rules(None, None);
        assert_eq!(ruled(&rules, 202, "whatever"), (TAKEN, Treatment::Relayed));
        assert_eq!(ruled(&rules, 410, QUEUED), (PERMANENT, Treatment::AddressRefused));
        assert_eq!(ruled(&rules, 400, QUEUED), (REFUSED, Treatment::RequestRefused));
        assert_eq!(ruled(&rules, 307, QUEUED), (REFUSED, Treatment::RequestRefused));
        for status in [401, 403, 407] {
            assert_eq!(ruled(&rules, status, ""), (CREDENTIAL, Treatment::CredentialRefused));
        }
        assert_eq!(
            ruled(&rules, 429, ""),
            (THROTTLED, Treatment::ProviderThrottled { after: THROTTLED_FOR })
        );
        for status in [500, 502, 503, 504] {
            assert_eq!(ruled(&rules, status, ""), (UNCLEAR, Treatment::Unclear));
        }
    }

    #[test]
    fn a_success_says_what_the_pattern_asks_for() {
        let rules = rules(Some("^(queued|sent)$"), Some("^invalid_number$"));
        assert_eq!(ruled(&rules, 200, QUEUED), (TAKEN, Treatment::Relayed));
        let refused = r#"{"result":{"status":"no credit, was queued"}}"#;
        assert_eq!(ruled(&rules, 200, refused), (REFUSED, Treatment::RequestRefused));
        let permanent = r#"{"result":{"status":"invalid_number"}}"#;
        assert_eq!(ruled(&rules, 200, permanent), (PERMANENT, Treatment::AddressRefused));
        assert_eq!(ruled(&rules, 422, permanent), (PERMANENT, Treatment::AddressRefused));
        let listed = r#"{"result":{"status":["queued"]}}"#;
        assert_eq!(ruled(&rules, 200, listed), (REFUSED, Treatment::RequestRefused));
    }

    #[test]
    fn a_success_that_says_nothing_is_unclear() {
        let mut rules = rules(Some("^queued$"), None);
        for silent in ["", "<html>", "queued", "[]", r#"{"result":7}"#, r#"{"result":{"status":null}}"#] {
            assert_eq!(ruled(&rules, 200, silent), (UNCLEAR, Treatment::Unclear), "{silent}");
        }
        rules.pointer = None;
        assert_eq!(ruled(&rules, 200, " \n"), (UNCLEAR, Treatment::Unclear));
        assert_eq!(ruled(&rules, 200, "no credit"), (REFUSED, Treatment::RequestRefused));
    }

    #[test]
    fn a_503_is_tried_again_unless_the_rules_call_it_unclear() {
        let mut rules = rules(None, None);
        assert_eq!(ruled(&rules, 503, ""), (UNCLEAR, Treatment::Unclear));
        rules.unclear_statuses.clear();
        assert_eq!(ruled(&rules, 503, ""), (UNAVAILABLE, Treatment::QuickRetry { after: None }));
    }

    #[test]
    fn an_answer_that_was_cut_off_may_have_said_it() {
        let answer = HttpAnswer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"{\"result\":{\"sta"),
            body_is_whole: false,
        };
        let ruling = rule(&rules(Some("queued"), None), &answer, UnixMs::new(0));
        assert_eq!(ruling, Ruling { reason: UNCLEAR, treatment: Treatment::Unclear });
    }

    #[test]
    fn a_success_beside_the_rules_is_unclear() {
        let mut rules = rules(None, None);
        rules.success_statuses = vec![StatusRange::parse("202").expect("valid")];
        assert_eq!(ruled(&rules, 200, ""), (UNCLEAR, Treatment::Unclear));
    }
}
