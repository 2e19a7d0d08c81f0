//! A push as an FCM request: a data message that is sent now and not kept beyond its time. Pure.
//!
//! No collapse key: collapsible messages are held to one in three minutes, and the phone drops doubles by the
//! transaction id. A closing push is of normal priority, because high-priority messages that show nothing make
//! Android lower all of the app's.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::uri::Uri;
use tocsin_model::{PushKind, UnixMs};

use crate::protocol::{Push, PushContent};
use crate::provider::courier::post;
use crate::provider::error::ProviderFault;
use crate::provider::payload::{PAYLOAD_BYTES_MAX, PayloadWriter, SealedText};
use crate::transport::{Endpoint, EndpointError};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// How many headers a request has, its access token included.
const HEADERS: usize = 2;
/// Google keeps a message for four weeks at most.
const TTL_MAX: Duration = Duration::from_secs(28 * 24 * 3_600);

/// What is the same in every request of a project.
pub(super) struct RequestTemplate {
    uri: Uri,
}

impl RequestTemplate {
    pub(super) fn new(endpoint: &Endpoint, project_id: &str) -> Result<Self, ProviderFault> {
        let (authority, path) = (endpoint.authority(), endpoint.path());
        let uri = format!("https://{authority}{path}/v1/projects/{project_id}/messages:send");
        let not_a_url = |_| ProviderFault::Endpoint {
            key: "endpoint",
            url: "the URL",
            reason: EndpointError::NotAUrl,
            example: "https://fcm.googleapis.com",
        };
        Ok(Self { uri: uri.try_into().map_err(not_a_url)? })
    }

    /// The request, or `None` for a target of another network or data that cannot be made small enough.
    pub(super) fn prepare(&self, push: &Push, now: UnixMs) -> Option<Request<Bytes>> {
        let member = match push.target.kind {
            PushKind::FcmToken => r#"{"message":{"token":"#,
            PushKind::FcmFid => r#"{"message":{"fid":"#,
            PushKind::Apns | PushKind::None => return None,
        };
        let token = push.target.token.as_ref()?;
        let data = data(push)?;
        let message = PayloadWriter::new(member).string(token.expose()).raw(r#","data":"#).raw(&data);
        let android = message.raw(r#","android":{"priority":""#).raw(priority(push)).raw(r#"","ttl":"#);
        let ttl_s = push.expires_at.since(now).to_std().min(TTL_MAX).as_secs();
        let android = android.plain(format_args!("{ttl_s}s")).raw(r#","restricted_package_name":"#);
        let body: Bytes = android.string(&push.app_id).raw("}}}").finish();
        let mut headers = HeaderMap::with_capacity(HEADERS);
        headers.insert(CONTENT_TYPE, JSON);
        Some(post(self.uri.clone(), headers, body))
    }
}

fn priority(push: &Push) -> &'static str {
    match push.content {
        PushContent::Ask | PushContent::AskInClear { .. } | PushContent::DeviceAdded => "HIGH",
        PushContent::Closed(_) => "NORMAL",
    }
}

/// The data as JSON. What does not fit is left out whole, the seal before the text in clear: the phone fetches it
/// anyway.
fn data(push: &Push) -> Option<String> {
    let id = push.transaction_id.to_string();
    let expires_s = push.expires_at.seconds().to_string();
    let sealed = push.sealed.as_deref().map(SealedText::of);
    let ask = [("v", "1"), ("t", id.as_str()), ("e", expires_s.as_str())];
    let data = match &push.content {
        PushContent::Ask => with_seal(&ask, sealed.as_ref()),
        PushContent::AskInClear { title, message } => {
            let in_clear = [&ask[..], &[("title", title), ("message", message)]].concat();
            let open = if size(&in_clear) <= PAYLOAD_BYTES_MAX { &in_clear[..] } else { &ask };
            with_seal(open, sealed.as_ref())
        }
        PushContent::DeviceAdded => vec![("v", "1"), ("loc-key", "TOCSIN_DEVICE_ADDED")],
        PushContent::Closed(state) => vec![("v", "1"), ("t", &id), ("closed", state.as_str())],
    };
    let is_small_enough = size(&data) <= PAYLOAD_BYTES_MAX;
    is_small_enough.then(|| object(&data))
}

/// These members, and the seal if it fits.
fn with_seal<'a>(open: &[(&'a str, &'a str)], sealed: Option<&'a SealedText>) -> Vec<(&'a str, &'a str)> {
    let members = sealed.map(|SealedText { enc, ct }| [("enc", enc.as_str()), ("ct", ct.as_str())]);
    let whole = [open, members.as_ref().map_or(&[], |members| &members[..])].concat();
    if size(&whole) <= PAYLOAD_BYTES_MAX { whole } else { open.to_vec() }
}

/// What Google counts: keys and values.
fn size(data: &[(&str, &str)]) -> usize {
    data.iter().map(|(key, value)| key.len() + value.len()).sum()
}

fn object(data: &[(&str, &str)]) -> String {
    let member = |(key, value): &(&str, &str)| format!("\"{key}\":{}", serde_json::Value::from(*value));
    let members: Vec<String> = data.iter().map(member).collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::fixtures::{TRANSACTION, push_to, sealed};
    use serde_json::{Value, json};
    use tocsin_model::State;

    const NOW: UnixMs = UnixMs::new(999_940_001);

    fn prepare_to(kind: PushKind, content: PushContent) -> Request<Bytes> {
        let endpoint = Endpoint::parse("https://localhost:8443").expect("valid");
        let template = RequestTemplate::new(&endpoint, "example-bank").expect("valid");
        template.prepare(&push_to(kind, "abc:def_1", content), NOW).expect("a request")
    }

    fn message(prepared: &Request<Bytes>) -> Value {
        serde_json::from_slice::<Value>(prepared.body()).expect("json")["message"].clone()
    }

    #[test]
    fn a_prompt_is_a_data_message_of_high_priority_with_the_time_that_is_left() {
        let prepared = prepare_to(PushKind::FcmToken, PushContent::Ask);
        assert_eq!(*prepared.uri(), "https://localhost:8443/v1/projects/example-bank/messages:send");
        assert_eq!(
            message(&prepared),
            json!({
                "token": "abc:def_1",
                "data": {"v": "1", "t": TRANSACTION, "e": "1000000"},
                "android": {"priority": "HIGH", "ttl": "60s", "restricted_package_name": "com.example.bank"},
            })
        );
    }

    #[test]
    fn an_installation_id_is_named_as_such() {
        let message = message(&prepare_to(PushKind::FcmFid, PushContent::Ask));
        assert_eq!(message["fid"], "abc:def_1");
        assert_eq!(message.get("token"), None);
    }

    #[test]
    fn a_text_in_clear_is_left_out_when_it_does_not_fit() {
        let ask = |message: String| PushContent::AskInClear { title: "Bank".into(), message: message.into() };
        let data = message(&prepare_to(PushKind::FcmToken, ask("Pay \"7\"?".into())))["data"].clone();
        assert_eq!((&data["title"], &data["message"]), (&json!("Bank"), &json!("Pay \"7\"?")));
        let data = message(&prepare_to(PushKind::FcmToken, ask("x".repeat(4_050))))["data"].clone();
        assert_eq!(data, json!({"v": "1", "t": TRANSACTION, "e": "1000000"}));
    }

    #[test]
    fn a_seal_is_in_the_data_where_it_fits_and_is_never_cut() {
        let endpoint = Endpoint::parse("https://localhost").expect("valid");
        let template = RequestTemplate::new(&endpoint, "example-bank").expect("valid");
        let data_with = |content: PushContent, ciphertext_bytes: usize| {
            let mut push = push_to(PushKind::FcmToken, "abc:def_1", content);
            push.sealed = Some(sealed(ciphertext_bytes));
            message(&template.prepare(&push, NOW).expect("a request"))["data"].clone()
        };
        let data = data_with(PushContent::Ask, 900);
        assert_eq!(data["enc"], json!("_".repeat(86) + "8"));
        assert_eq!(data["ct"].as_str().map(str::len), Some(1_200));
        let open = [("v", "1"), ("t", TRANSACTION), ("e", "1000000"), ("enc", ""), ("ct", "")];
        let longest = (PAYLOAD_BYTES_MAX - size(&open) - 87) * 3 / 4;
        assert!(data_with(PushContent::Ask, longest).get("ct").is_some());
        let without = data_with(PushContent::Ask, longest + 3);
        assert_eq!(without, json!({"v": "1", "t": TRANSACTION, "e": "1000000"}));
        let ask =
            |length| PushContent::AskInClear { title: "Bank".into(), message: "x".repeat(length).into() };
        let text_only = data_with(ask(1_000), 2_600);
        assert_eq!((text_only["title"].as_str(), text_only.get("enc")), (Some("Bank"), None));
        let seal_only = data_with(ask(4_050), 900);
        assert_eq!((seal_only.get("title"), seal_only.get("enc").is_some()), (None, true));
    }

    #[test]
    fn a_closing_push_says_how_it_ended_without_waking_the_phone() {
        let message = message(&prepare_to(PushKind::FcmToken, PushContent::Closed(State::Timeout)));
        assert_eq!(message["data"], json!({"v": "1", "t": TRANSACTION, "closed": "timeout"}));
        assert_eq!(message["android"]["priority"], "NORMAL");
    }

    #[test]
    fn a_notice_of_another_phone_names_no_transaction() {
        let message = message(&prepare_to(PushKind::FcmToken, PushContent::DeviceAdded));
        assert_eq!(message["data"], json!({"v": "1", "loc-key": "TOCSIN_DEVICE_ADDED"}));
        assert_eq!(message["android"]["priority"], "HIGH");
    }

    #[test]
    fn a_target_of_another_network_is_no_request() {
        let endpoint = Endpoint::parse("https://localhost").expect("valid");
        let template = RequestTemplate::new(&endpoint, "example-bank").expect("valid");
        assert!(template.prepare(&push_to(PushKind::Apns, "00ff", PushContent::Ask), NOW).is_none());
    }
}
