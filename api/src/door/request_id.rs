//! The id of a call, told in `x-request-id` and in every problem, so that a caller's report finds our log.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken from a caller, in bytes.
const CALLERS_ID_BYTES_MAX: usize = 64;

/// The id of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// The caller's id where it is one that can stand in a log, else a fresh one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(&X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let taken = sent.filter(|id| is_sane(id));
        Self(taken.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn header_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("an id of letters, digits and four marks is a header value")
    }
}

fn is_sane(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=CALLERS_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(sent: &str) -> RequestId {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_str(sent).expect("a header value"));
        RequestId::of(&headers)
    }

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        assert_eq!(id_for("trace-1.a:b_c").as_str(), "trace-1.a:b_c");
        for bad in ["", "a b", "{\"a\"}", "<script>", &"a".repeat(65)] {
            let made = id_for(bad);
            assert_ne!(made.as_str(), bad);
            assert_eq!(made.as_str().len(), 36, "{bad}");
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
