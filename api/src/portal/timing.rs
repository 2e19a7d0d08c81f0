//! When a portal wants its reply: at once, after the first word of a provider, or at the outcome.
//!
//! `Prefer: wait=N` (RFC 7240, section 4.3) means the same as `wait_s`. Other preferences, and one that is not
//! well-formed, are wishes that this server does not know, and are ignored as that standard says.

use hyper::header::{HeaderMap, HeaderValue};
use tocsin_engine::Until;
use tocsin_model::{DurationMs, ErrorCode, Problem};

use crate::door::Fields;

/// Longest held reply and longest long poll, in seconds.
pub(super) const WAIT_S_MAX: u32 = 300;

/// Longest wait for the first word of a provider.
const SENT_WAIT_MAX: DurationMs = DurationMs::from_seconds(3);

const PREFER: &str = "prefer";
/// The header that says which preference was followed.
pub(super) const PREFERENCE_APPLIED: &str = "preference-applied";

/// When a portal wants its reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timing {
    wait_s: Option<u32>,
    /// The wait of the header, when it is the one that counts.
    preferred: Option<u32>,
    is_sent: bool,
}

impl Timing {
    /// Reads `wait_s`, `reply` and `Prefer`. Of two waits the smaller counts.
    pub(super) fn read(fields: &Fields<'_>, headers: &HeaderMap) -> Result<Self, Problem> {
        let is_sent = match fields.text("reply")? {
            None | Some("stored") => false,
            Some("sent") => true,
            Some(_) => return Err(fields.not_allowed("reply", "this must be \"stored\" or \"sent\"")),
        };
        let in_body = wait_of_body(fields)?;
        let in_header = wait_preferred(headers)?;
        let preferred = in_header.filter(|header| in_body.is_none_or(|body| *header <= body));
        Ok(Self { wait_s: preferred.or(in_body), preferred, is_sent })
    }

    /// Whether the reply is to be held until the outcome.
    pub(super) fn is_held(&self) -> bool {
        self.wait_s.is_some_and(|seconds| seconds > 0)
    }

    /// What is waited for, and how long; `None` for a reply at once. A wait wins over `reply`.
    pub(super) fn wait(&self) -> Option<(Until, DurationMs)> {
        match self.wait_s {
            Some(0) => None,
            Some(seconds) => Some((Until::Outcome, DurationMs::from_seconds(seconds.into()))),
            None => self.is_sent.then_some((Until::Sent, SENT_WAIT_MAX)),
        }
    }

    /// The value of `Preference-Applied`, when a preference was followed.
    pub(super) fn preference_applied(&self) -> Option<HeaderValue> {
        self.preferred.and_then(|seconds| HeaderValue::from_str(&format!("wait={seconds}")).ok())
    }
}

fn wait_of_body(fields: &Fields<'_>) -> Result<Option<u32>, Problem> {
    let Some(seconds) = fields.whole_number("wait_s")? else { return Ok(None) };
    let allowed = u32::try_from(seconds).ok().filter(|seconds| *seconds <= WAIT_S_MAX);
    allowed.map(Some).ok_or_else(|| fields.not_allowed("wait_s", too_long()))
}

fn too_long() -> String {
    format!("this may be {WAIT_S_MAX} at most")
}

/// The first `wait` among the preferences; of a preference that stands twice the first counts.
fn wait_preferred(headers: &HeaderMap) -> Result<Option<u32>, Problem> {
    let mut preferences =
        headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok()).flat_map(elements);
    let Some(seconds) = preferences.find_map(wait_of) else { return Ok(None) };
    let Some(digits) = seconds else { return Ok(None) };
    let allowed = digits.parse::<u32>().ok().filter(|seconds| *seconds <= WAIT_S_MAX);
    allowed.map(Some).ok_or_else(|| Problem::new(ErrorCode::InvalidField, too_long()).with_field("Prefer"))
}

/// The preferences of a header, which commas part, except inside a quoted string.
fn elements(value: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    value.split(move |character| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    })
}

/// `None` for another preference; for `wait` its digits, or nothing when it is not well-formed.
fn wait_of(preference: &str) -> Option<Option<&str>> {
    let preference = preference.split(';').next().unwrap_or(preference);
    let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
    if !name.trim().eq_ignore_ascii_case("wait") {
        return None;
    }
    let value = value.trim();
    let digits = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    Some(is_number.then_some(digits))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: &Value, prefer: &[&str]) -> Result<Timing, Problem> {
        let mut headers = HeaderMap::new();
        for value in prefer {
            headers.append(PREFER, HeaderValue::from_str(value).expect("a header value"));
        }
        Timing::read(&Fields::of(body.as_object().expect("an object")), &headers)
    }

    fn wait(body: &Value, prefer: &[&str]) -> Option<u64> {
        let timing = read(body, prefer).expect("allowed");
        timing.wait().filter(|(until, _)| *until == Until::Outcome).map(|(_, longest)| longest.get() / 1_000)
    }

    #[test]
    fn the_smaller_of_two_waits_counts_and_only_a_followed_preference_is_told() {
        let applied = |body: &Value, prefer: &[&str]| {
            let value = read(body, prefer).expect("allowed").preference_applied();
            value.map(|value| value.to_str().expect("visible").to_owned())
        };
        assert_eq!(wait(&json!({"wait_s": 5}), &["wait=9"]), Some(5));
        assert_eq!(applied(&json!({"wait_s": 5}), &["wait=9"]), None);
        assert_eq!(wait(&json!({"wait_s": 9}), &["wait=5"]), Some(5));
        assert_eq!(applied(&json!({"wait_s": 9}), &["wait=5"]), Some("wait=5".to_owned()));
        assert_eq!(applied(&json!({}), &["respond-async"]), None);
    }

    #[test]
    fn a_preference_is_found_wherever_the_standard_allows_it() {
        for prefer in [
            &["wait=7"][..],
            &["respond-async, WAIT = 7"],
            &["x=\"a, wait=1\", wait=7"],
            &["handling=lenient", "wait=7; x=y"],
            &["wait=7", "wait=9"],
            &["wait=\"7\""],
        ] {
            assert_eq!(wait(&json!({}), prefer), Some(7), "{prefer:?}");
        }
        for prefer in [&[][..], &["wait"], &["wait=x"], &["wait=-1"], &["waits=7"], &["wait=1.5"]] {
            assert_eq!(wait(&json!({}), prefer), None, "{prefer:?}");
        }
    }

    #[test]
    fn a_wait_beyond_its_limit_is_refused_wherever_it_stands() {
        assert_eq!(wait(&json!({"wait_s": 300}), &["wait=300"]), Some(300));
        for (body, prefer, field) in [
            (json!({"wait_s": 301}), &[][..], "wait_s"),
            (json!({}), &["wait=301"], "Prefer"),
            (json!({"wait_s": 1}), &["wait=99999999999"], "Prefer"),
            (json!({"reply": "soon"}), &[], "reply"),
        ] {
            let refused = read(&body, prefer).expect_err("refused");
            assert_eq!((refused.code, refused.field.as_deref()), (ErrorCode::InvalidField, Some(field)));
        }
    }

    #[test]
    fn a_wait_wins_over_a_reply_when_sent() {
        let timing = |body| read(&body, &[]).expect("allowed");
        assert_eq!(timing(json!({"reply": "sent"})).wait(), Some((Until::Sent, SENT_WAIT_MAX)));
        assert_eq!(timing(json!({"reply": "sent", "wait_s": 0})).wait(), None);
        assert_eq!(timing(json!({"reply": "stored"})).wait(), None);
        assert!(!timing(json!({"reply": "sent"})).is_held());
        assert!(timing(json!({"reply": "sent", "wait_s": 1})).is_held());
    }
}
