//! A push as an APNs request: path, headers, payload. Pure.
//!
//! A closing push is an `alert` too, and not a `background` one: background pushes are held to a few an hour and
//! do not reach an app that was swiped away, so the dead prompt would stay. With the prompt's own collapse id a
//! passive, silent alert takes its place on the screen, at the lower priority.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use tocsin_model::PushKind;

use crate::protocol::{Push, PushContent};
use crate::provider::courier::post;
use crate::provider::payload::{PAYLOAD_BYTES_MAX, PayloadWriter, SealedText};
use crate::transport::Endpoint;

const APNS_ID: HeaderName = HeaderName::from_static("apns-id");
const APNS_TOPIC: HeaderName = HeaderName::from_static("apns-topic");
const APNS_PUSH_TYPE: HeaderName = HeaderName::from_static("apns-push-type");
const APNS_PRIORITY: HeaderName = HeaderName::from_static("apns-priority");
const APNS_EXPIRATION: HeaderName = HeaderName::from_static("apns-expiration");
const APNS_COLLAPSE_ID: HeaderName = HeaderName::from_static("apns-collapse-id");

/// How many headers a request has, its provider token included.
const HEADERS: usize = 7;

const ALERT: HeaderValue = HeaderValue::from_static("alert");
const PRIORITY_NOW: HeaderValue = HeaderValue::from_static("10");
const PRIORITY_SAVING_POWER: HeaderValue = HeaderValue::from_static("5");

/// A prompt by localisation keys of the app: the network learns nothing.
const ASK: &str = r#"{"aps":{"alert":{"title-loc-key":"LOGIN_TITLE","loc-key":"LOGIN_REQ"}"#;
/// The number on the app's icon: what waits for the user.
const BADGE: &str = r#","badge":"#;
/// What every prompt says: shown at once, with the app's actions, and open to its notification service.
const PROMPT: &str = r#","sound":"default","category":"TOCSIN_AUTH","interruption-level":"time-sensitive","relevance-score":1,"mutable-content":1,"thread-id":"auth"},"v":"1","t":"#;
/// What takes the place of a prompt that is over.
const CLOSED: &str = r#"{"aps":{"alert":{"title-loc-key":"CLOSED_TITLE","loc-key":"CLOSED"},"interruption-level":"passive","relevance-score":0,"mutable-content":1,"thread-id":"auth"},"v":"1","t":"#;

/// The whole notice that another phone was enrolled. It names no transaction, so that no app asks for one.
const DEVICE_ADDED: &str = r#"{"aps":{"alert":{"loc-key":"TOCSIN_DEVICE_ADDED"},"sound":"default"},"v":"1"}"#;

/// What is the same in every request.
pub(super) struct RequestTemplate {
    authority: Authority,
    path: Box<str>,
}

impl RequestTemplate {
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self {
            authority: endpoint.authority().clone(),
            path: format!("{}/3/device/", endpoint.path()).into(),
        }
    }

    /// The request, or `None` for a target of another network, an app id that no header can carry, or a payload
    /// that cannot be made small enough.
    pub(super) fn prepare(&self, push: &Push) -> Option<Request<Bytes>> {
        let token = push.target.token.as_ref().filter(|_| push.target.kind == PushKind::Apns)?;
        let body = payload(push);
        let path: PathAndQuery = [&*self.path, token.expose()].concat().try_into().ok()?;
        let mut uri = http::uri::Parts::default();
        (uri.scheme, uri.authority) = (Some(Scheme::HTTPS), Some(self.authority.clone()));
        uri.path_and_query = Some(path);
        let is_small_enough = fits(&body);
        let headers = headers(push)?;
        is_small_enough.then_some(post(Uri::from_parts(uri).ok()?, headers, body))
    }
}

/// Ids are new in each push: marked sensitive they are sent without entering the peer's small header table. The
/// expiry is rounded up to the second and so repeats.
fn headers(push: &Push) -> Option<HeaderMap> {
    let priority = match push.content {
        PushContent::Ask | PushContent::AskInClear { .. } | PushContent::DeviceAdded => PRIORITY_NOW,
        PushContent::Closed(_) => PRIORITY_SAVING_POWER,
    };
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(APNS_TOPIC, HeaderValue::from_str(&push.app_id).ok()?);
    headers.insert(APNS_PUSH_TYPE, ALERT);
    headers.insert(APNS_PRIORITY, priority);
    headers.insert(APNS_EXPIRATION, HeaderValue::from(push.expires_at.get().div_ceil(1_000)));
    headers.insert(APNS_ID, unrepeated(push.push_id.to_string())?);
    headers.insert(APNS_COLLAPSE_ID, unrepeated(push.transaction_id.to_string())?);
    Some(headers)
}

fn unrepeated(value: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The payload. What does not fit is left out whole, the seal before the text in clear: the phone fetches it anyway.
fn payload(push: &Push) -> bytes::Bytes {
    let by_keys = || PayloadWriter::new(ASK);
    let sealed = push.sealed.as_deref().map(SealedText::of);
    match &push.content {
        PushContent::Ask => prompt(by_keys(), sealed.as_ref(), push),
        PushContent::AskInClear { title, message } => {
            let alert = PayloadWriter::new(r#"{"aps":{"alert":{"title":"#).string(title);
            let alert = alert.raw(r#","body":"#).string(message).raw("}");
            let in_clear = prompt(alert, sealed.as_ref(), push);
            if fits(&in_clear) { in_clear } else { prompt(by_keys(), sealed.as_ref(), push) }
        }
        PushContent::DeviceAdded => PayloadWriter::new(DEVICE_ADDED).finish(),
        PushContent::Closed(state) => {
            let closed = PayloadWriter::new(CLOSED).plain(push.transaction_id).raw(r#","closed":"#);
            closed.plain(state).raw("}").finish()
        }
    }
}

/// A prompt with this alert, and with the seal if it fits.
fn prompt(alert: PayloadWriter, sealed: Option<&SealedText>, push: &Push) -> bytes::Bytes {
    let open = alert
        .raw(BADGE)
        .raw(&push.open_requests.to_string())
        .raw(PROMPT)
        .plain(push.transaction_id)
        .raw(r#","e":"#)
        .plain(push.expires_at.seconds());
    if let Some(SealedText { enc, ct }) = sealed {
        let whole = open.clone().raw(r#","enc":"#).plain(enc).raw(r#","ct":"#).plain(ct).raw("}").finish();
        if fits(&whole) {
            return whole;
        }
    }
    open.raw("}").finish()
}

fn fits(payload: &[u8]) -> bool {
    payload.len() <= PAYLOAD_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::fixtures::{TRANSACTION, push_to, sealed};
    use serde_json::{Value, json};
    use tocsin_model::{State, UnixMs};

    const TOKEN: &str = "0A1B2c3d";

    fn prepare(content: PushContent) -> Request<Bytes> {
        let endpoint = Endpoint::parse("https://localhost:8443").expect("valid");
        let template = RequestTemplate::new(Arc::new(endpoint));
        template.prepare(&push_to(PushKind::Apns, TOKEN, content)).expect("a request")
    }

    fn json_of(prepared: &Request<Bytes>) -> Value {
        serde_json::from_slice(prepared.body()).expect("json")
    }

    fn header<'a>(prepared: &'a Request<Bytes>, name: &str) -> &'a HeaderValue {
        &prepared.headers()[name]
    }

    #[test]
    fn a_prompt_names_the_transaction_and_shows_localisation_keys() {
        let prepared = prepare(PushContent::Ask);
        assert_eq!(*prepared.uri(), "https://localhost:8443/3/device/0A1B2c3d");
        assert_eq!(
            json_of(&prepared),
            json!({
                "aps": {
                    "alert": {"title-loc-key": "LOGIN_TITLE", "loc-key": "LOGIN_REQ"},
                    "badge": 1, "sound": "default", "category": "TOCSIN_AUTH", "interruption-level": "time-sensitive",
                    "relevance-score": 1, "mutable-content": 1, "thread-id": "auth",
                },
                "v": "1", "t": TRANSACTION, "e": "1000000",
            })
        );
    }

    #[test]
    fn headers_carry_topic_type_priority_and_an_expiry_rounded_up() {
        let prepared = prepare(PushContent::Ask);
        assert_eq!(header(&prepared, "apns-topic"), "com.example.bank");
        assert_eq!(header(&prepared, "apns-push-type"), "alert");
        assert_eq!(header(&prepared, "apns-priority"), "10");
        assert_eq!(header(&prepared, "apns-expiration"), "1000001");
    }

    #[test]
    fn ids_are_never_indexed_and_what_repeats_is() {
        let prepared = prepare(PushContent::Ask);
        assert_eq!(header(&prepared, "apns-collapse-id"), TRANSACTION);
        let sensitive: Vec<&str> = prepared
            .headers()
            .iter()
            .filter(|(_, value)| value.is_sensitive())
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(sensitive, ["apns-id", "apns-collapse-id"]);
    }

    #[test]
    fn a_text_in_clear_is_escaped_and_left_out_when_it_does_not_fit() {
        let ask =
            |message: &str| PushContent::AskInClear { title: "A \"bank\"".into(), message: message.into() };
        let prepared = prepare(ask("Pay\n7 €?"));
        assert_eq!(json_of(&prepared)["aps"]["alert"], json!({"title": "A \"bank\"", "body": "Pay\n7 €?"}));
        let prepared = prepare(ask(&"€".repeat(1_400)));
        assert_eq!(json_of(&prepared)["aps"]["alert"]["loc-key"], "LOGIN_REQ");
        assert!(prepared.body().len() <= PAYLOAD_BYTES_MAX);
    }

    /// The payload of a push with a seal whose ciphertext has this many bytes.
    fn sealed_payload(content: PushContent, ciphertext_bytes: usize) -> Value {
        let endpoint = Endpoint::parse("https://localhost").expect("valid");
        let template = RequestTemplate::new(Arc::new(endpoint));
        let mut push = push_to(PushKind::Apns, TOKEN, content);
        push.sealed = Some(sealed(ciphertext_bytes));
        let prepared = template.prepare(&push).expect("a request");
        assert!(prepared.body().len() <= PAYLOAD_BYTES_MAX);
        json_of(&prepared)
    }

    #[test]
    fn a_seal_stands_beside_aps_where_it_fits_and_is_never_cut() {
        let payload = sealed_payload(PushContent::Ask, 900);
        assert_eq!(payload["enc"], json!("_".repeat(86) + "8"));
        assert_eq!(payload["ct"].as_str().map(str::len), Some(1_200));
        // The longest that fits, and one character more.
        let open = prepare(PushContent::Ask).body().len() + r#","enc":"","ct":"""#.len() + 87;
        let longest = (PAYLOAD_BYTES_MAX - open) * 3 / 4;
        assert!(sealed_payload(PushContent::Ask, longest).get("ct").is_some());
        let without = sealed_payload(PushContent::Ask, longest + 3);
        assert_eq!((without.get("enc"), without.get("ct"), &without["t"]), (None, None, &json!(TRANSACTION)));
    }

    #[test]
    fn a_text_in_clear_comes_before_the_seal() {
        let ask = |characters: usize| PushContent::AskInClear {
            title: "Bank".into(),
            message: "x".repeat(characters).into(),
        };
        let whole = sealed_payload(ask(100), 900);
        assert_eq!(
            (whole["aps"]["alert"]["title"].as_str(), whole.get("ct").is_some()),
            (Some("Bank"), true)
        );
        let text_only = sealed_payload(ask(1_000), 2_600);
        assert_eq!((text_only["aps"]["alert"]["title"].as_str(), text_only.get("ct")), (Some("Bank"), None));
        let seal_only = sealed_payload(ask(4_000), 900);
        assert_eq!(seal_only["aps"]["alert"]["loc-key"], "LOGIN_REQ");
        assert!(seal_only.get("ct").is_some());
    }

    #[test]
    fn a_closing_push_takes_the_prompts_place_quietly() {
        let prepared = prepare(PushContent::Closed(State::Accepted));
        let payload = json_of(&prepared);
        assert_eq!((&payload["v"], &payload["t"]), (&json!("1"), &json!(TRANSACTION)));
        assert_eq!(payload["closed"], "accepted");
        assert_eq!(payload["aps"]["interruption-level"], "passive");
        assert_eq!(payload["aps"].get("sound"), None);
        assert_eq!(header(&prepared, "apns-priority"), "5");
        assert_eq!(header(&prepared, "apns-collapse-id"), TRANSACTION);
    }

    #[test]
    fn a_notice_of_another_phone_names_no_transaction() {
        let prepared = prepare(PushContent::DeviceAdded);
        let expected = json!({
            "aps": {"alert": {"loc-key": "TOCSIN_DEVICE_ADDED"}, "sound": "default"}, "v": "1",
        });
        assert_eq!(json_of(&prepared), expected);
        assert_eq!(header(&prepared, "apns-priority"), "10");
    }

    #[test]
    fn what_apns_cannot_carry_is_no_request() {
        let endpoint = Endpoint::parse("https://localhost").expect("valid");
        let template = RequestTemplate::new(Arc::new(endpoint));
        let foreign = push_to(PushKind::FcmToken, "abc:def", PushContent::Ask);
        assert!(template.prepare(&foreign).is_none());
        let mut bad_topic = push_to(PushKind::Apns, TOKEN, PushContent::Ask);
        bad_topic.app_id = "com.example\nbank".into();
        assert!(template.prepare(&bad_topic).is_none());
    }

    #[test]
    fn a_whole_second_is_not_rounded_up() {
        let mut push = push_to(PushKind::Apns, TOKEN, PushContent::Ask);
        push.expires_at = UnixMs::new(2_000);
        let headers = headers(&push).expect("valid");
        assert_eq!(headers["apns-expiration"], "2");
    }
}
