//! What an answer of FCM means. Pure: status, headers and body in, ruling out.
//!
//! `errorCode` of the FcmError detail decides; without it the generic status only speaks of our request, account
//! or project, and never of the phone. Only UNREGISTERED makes a token dead.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use tocsin_model::UnixMs;

use crate::provider::courier::Ruling;
use crate::provider::progress::Treatment;
use crate::provider::retry_after::retry_after;

/// The wait when a quota is used up and Google names none.
const QUOTA_WAIT: Duration = Duration::from_secs(60);
/// The type of the detail that carries FCM's own code.
const FCM_ERROR: &str = "google.firebase.fcm.v1.FcmError";

macro_rules! reasons {
    ($($name:ident = $word:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Reason { $($name,)+ }

        /// Every reason, for the metric.
        pub(super) const REASONS: &[&str] = &[$($word,)+];
    };
}

reasons! {
    Taken = "ok",
    InvalidToken = "invalid_token",
    InvalidArgument = "invalid_argument",
    Unauthenticated = "unauthenticated",
    ThirdPartyAuthError = "third_party_auth_error",
    SenderIdMismatch = "sender_id_mismatch",
    PermissionDenied = "permission_denied",
    Unregistered = "unregistered",
    NotFound = "not_found",
    DeviceQuotaExceeded = "device_quota_exceeded",
    QuotaExceeded = "quota_exceeded",
    Internal = "internal",
    Unavailable = "unavailable",
    Unknown4xx = "unknown_4xx",
    Unknown5xx = "unknown_5xx",
    UnknownOther = "unknown_other",
}

#[derive(Default, Deserialize)]
struct Body {
    #[serde(default)]
    error: ErrorBody,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    message: String,
    status: String,
    details: Vec<Detail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    #[serde(rename = "@type")]
    kind: String,
    #[serde(rename = "errorCode")]
    code: String,
    #[serde(rename = "fieldViolations")]
    fields: Vec<FieldViolation>,
    violations: Vec<QuotaViolation>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FieldViolation {
    field: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct QuotaViolation {
    subject: String,
    description: String,
}

/// What this answer asks for.
pub(super) fn rule(status: StatusCode, headers: &HeaderMap, body: &[u8], now: UnixMs) -> Ruling {
    // A body that is no JSON says nothing, like one without details.
    let Body { error } = serde_json::from_slice(body).unwrap_or_default();
    let reason = reason(status, &error);
    Ruling { reason: reason as usize, treatment: treatment(reason, status, retry_after(headers, now)) }
}

fn reason(status: StatusCode, error: &ErrorBody) -> Reason {
    let has_status = |word: &str| error.status == word;
    match (status.as_u16(), error.code()) {
        (200, _) => Reason::Taken,
        (400, Some("INVALID_ARGUMENT")) if error.is_about_the_target() => Reason::InvalidToken,
        (400, Some("INVALID_ARGUMENT")) => Reason::InvalidArgument,
        (400, None) if has_status("INVALID_ARGUMENT") => Reason::InvalidArgument,
        (401, Some("THIRD_PARTY_AUTH_ERROR" | "APNS_AUTH_ERROR")) => Reason::ThirdPartyAuthError,
        (401, _) => Reason::Unauthenticated,
        (403, Some("SENDER_ID_MISMATCH")) => Reason::SenderIdMismatch,
        (403, _) => Reason::PermissionDenied,
        (404, Some("UNREGISTERED")) => Reason::Unregistered,
        (404, _) => Reason::NotFound,
        (429, _) if error.is_device_quota() => Reason::DeviceQuotaExceeded,
        (429, _) => Reason::QuotaExceeded,
        (500, Some("INTERNAL")) => Reason::Internal,
        (500, None) if has_status("INTERNAL") => Reason::Internal,
        (503, _) => Reason::Unavailable,
        (400..=499, _) => Reason::Unknown4xx,
        (500..=599, _) => Reason::Unknown5xx,
        _ => Reason::UnknownOther,
    }
}

fn treatment(reason: Reason, status: StatusCode, after: Option<Duration>) -> Treatment {
    match reason {
        Reason::Taken => Treatment::Relayed,
        Reason::InvalidToken | Reason::SenderIdMismatch => Treatment::TokenSuspect,
        Reason::Unregistered => Treatment::TokenDead { since: None },
        Reason::InvalidArgument | Reason::UnknownOther => Treatment::RequestRefused,
        Reason::Unauthenticated => Treatment::RenewToken { retires_connection: false },
        Reason::ThirdPartyAuthError | Reason::PermissionDenied | Reason::NotFound => {
            Treatment::CredentialRefused
        }
        Reason::DeviceQuotaExceeded => {
            Treatment::TargetThrottled { after: Some(after.unwrap_or(QUOTA_WAIT)) }
        }
        Reason::QuotaExceeded => Treatment::ProviderThrottled { after: after.unwrap_or(QUOTA_WAIT) },
        Reason::Internal | Reason::Unavailable | Reason::Unknown5xx => Treatment::QuickRetry { after },
        Reason::Unknown4xx if status == StatusCode::REQUEST_TIMEOUT => Treatment::QuickRetry { after },
        Reason::Unknown4xx => Treatment::RequestRefused,
    }
}

impl ErrorBody {
    /// FCM's own code.
    fn code(&self) -> Option<&str> {
        let own = |detail: &&Detail| detail.kind.ends_with(FCM_ERROR) && !detail.code.is_empty();
        self.details.iter().find(own).map(|detail| &*detail.code)
    }

    /// Whether an invalid argument is the phone's address: a field that says so, or no field at all.
    fn is_about_the_target(&self) -> bool {
        let mut fields = self.details.iter().flat_map(|detail| &detail.fields).peekable();
        let names_target = |field: &FieldViolation| matches!(&*field.field, "message.token" | "message.fid");
        let says_token = self.message.contains("registration token");
        says_token || fields.peek().is_none() || fields.any(names_target)
    }

    /// Whether the used-up quota is that of one device and not of the project.
    fn is_device_quota(&self) -> bool {
        let names_device = |quota: &QuotaViolation| {
            [&quota.subject, &quota.description]
                .iter()
                .any(|text| text.to_ascii_lowercase().contains("device"))
        };
        self.details.iter().flat_map(|detail| &detail.violations).any(names_device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::RETRY_AFTER;
    use serde_json::{Value, json};

    const NOW: UnixMs = UnixMs::new(784_111_747_000);

    fn ruled_with(status: u16, body: &str, wait: Option<&str>) -> (&'static str, Treatment) {
        let mut headers = HeaderMap::new();
        if let Some(wait) = wait {
            headers.insert(RETRY_AFTER, wait.parse().expect("ascii"));
        }
        let status = StatusCode::from_u16(status).expect("valid");
        let Ruling { reason, treatment } = rule(status, &headers, body.as_bytes(), NOW);
        (REASONS[reason], treatment)
    }

    fn ruled(status: u16, word: &str, details: Value) -> (&'static str, Treatment) {
        let error = json!({"error": {"code": status, "message": "…", "status": word, "details": details}});
        ruled_with(status, &error.to_string(), None)
    }

    fn coded(code: &str) -> Value {
        json!([{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}])
    }

    fn invalid(field: &str) -> Value {
        let violation = json!({"@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": field, "description": "…"}]});
        json!([coded("INVALID_ARGUMENT")[0], violation])
    }

    fn quota(description: &str) -> Value {
        let failure = json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"subject": "project", "description": description}]});
        json!([coded("QUOTA_EXCEEDED")[0], failure])
    }

    #[test]
    fn a_200_is_relayed() {
        assert_eq!(ruled_with(200, r#"{"name":"projects/p/messages/1"}"#, None), ("ok", Treatment::Relayed));
    }

    #[test]
    fn an_invalid_argument_is_suspect_when_it_is_the_address_and_never_dead() {
        let suspect = ("invalid_token", Treatment::TokenSuspect);
        assert_eq!(ruled(400, "INVALID_ARGUMENT", invalid("message.token")), suspect);
        assert_eq!(ruled(400, "INVALID_ARGUMENT", invalid("message.fid")), suspect);
        assert_eq!(ruled(400, "INVALID_ARGUMENT", coded("INVALID_ARGUMENT")), suspect);
    }

    #[test]
    fn an_invalid_argument_elsewhere_is_our_own_fault() {
        let refused = ("invalid_argument", Treatment::RequestRefused);
        assert_eq!(ruled(400, "INVALID_ARGUMENT", invalid("message.android.ttl")), refused);
        assert_eq!(ruled(400, "INVALID_ARGUMENT", json!([])), refused);
    }

    #[test]
    fn an_expired_access_token_is_renewed_on_the_same_connection() {
        let renewed = Treatment::RenewToken { retires_connection: false };
        assert_eq!(ruled(401, "UNAUTHENTICATED", json!([])), ("unauthenticated", renewed));
        assert_eq!(ruled_with(401, "", None), ("unauthenticated", renewed));
    }

    #[test]
    fn a_refused_account_project_or_firebase_credential_needs_an_operator() {
        let refused = Treatment::CredentialRefused;
        for code in ["THIRD_PARTY_AUTH_ERROR", "APNS_AUTH_ERROR"] {
            assert_eq!(ruled(401, "UNAUTHENTICATED", coded(code)), ("third_party_auth_error", refused));
        }
        assert_eq!(ruled(403, "PERMISSION_DENIED", json!([])), ("permission_denied", refused));
        assert_eq!(ruled(404, "NOT_FOUND", json!([])), ("not_found", refused));
    }

    #[test]
    fn a_token_of_another_project_is_only_suspect() {
        let ruling = ruled(403, "PERMISSION_DENIED", coded("SENDER_ID_MISMATCH"));
        assert_eq!(ruling, ("sender_id_mismatch", Treatment::TokenSuspect));
    }

    #[test]
    fn only_unregistered_makes_a_token_dead() {
        let dead = ("unregistered", Treatment::TokenDead { since: None });
        assert_eq!(ruled(404, "NOT_FOUND", coded("UNREGISTERED")), dead);
        let ruling = ruled(400, "INVALID_ARGUMENT", coded("UNREGISTERED"));
        assert_eq!(ruling, ("unknown_4xx", Treatment::RequestRefused));
    }

    #[test]
    fn a_used_up_quota_holds_back_the_project_or_the_device() {
        let project = |after_s| Treatment::ProviderThrottled { after: Duration::from_secs(after_s) };
        let ruling = ruled(429, "RESOURCE_EXHAUSTED", quota("Message rate quota exceeded"));
        assert_eq!(ruling, ("quota_exceeded", project(60)));
        assert_eq!(ruled_with(429, "", Some("17")), ("quota_exceeded", project(17)));
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(ruled_with(429, "", date), ("quota_exceeded", project(30)));
        let device = Treatment::TargetThrottled { after: Some(Duration::from_secs(60)) };
        let ruling = ruled(429, "RESOURCE_EXHAUSTED", quota("Device message rate exceeded"));
        assert_eq!(ruling, ("device_quota_exceeded", device));
    }

    #[test]
    fn faults_of_google_are_tried_once_more_when_it_says() {
        let soon = Treatment::QuickRetry { after: None };
        assert_eq!(ruled(500, "INTERNAL", coded("INTERNAL")), ("internal", soon));
        assert_eq!(ruled(500, "INTERNAL", json!([])), ("internal", soon));
        assert_eq!(ruled(503, "UNAVAILABLE", coded("UNAVAILABLE")), ("unavailable", soon));
        let later = Treatment::QuickRetry { after: Some(Duration::from_secs(5)) };
        assert_eq!(ruled_with(503, "", Some("5")), ("unavailable", later));
    }

    #[test]
    fn what_is_undocumented_goes_by_its_status_under_a_bounded_label() {
        let retry = Treatment::QuickRetry { after: None };
        assert_eq!(ruled_with(400, "<html>", None), ("unknown_4xx", Treatment::RequestRefused));
        assert_eq!(ruled(409, "INVENTED", coded("INVENTED")), ("unknown_4xx", Treatment::RequestRefused));
        assert_eq!(ruled_with(408, "", None), ("unknown_4xx", retry));
        assert_eq!(ruled_with(500, r#"{"error":"text"}"#, None), ("unknown_5xx", retry));
        assert_eq!(ruled_with(502, "", None), ("unknown_5xx", retry));
        assert_eq!(ruled_with(302, "", None), ("unknown_other", Treatment::RequestRefused));
    }
}
