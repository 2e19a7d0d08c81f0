//! `Idempotency-Key`: the key, and the fingerprint of what it was sent with.
//!
//! The fingerprint is over what the call means (its validated request as canonical JSON, RFC 8785), not over its
//! bytes: order, white space and spelling of the body do not count, nor does another spelling of the same user.

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::{Map, Value, json};
use tocsin_model::{
    CallContext, ClientId, DeliveryChoice, Detail, DurationMs, ErrorCode, Fingerprint, Idempotency,
    IdempotencyKey, Problem, StartRequest, User,
};

use crate::door::Request;

/// The header.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What a keyed call means.
pub(super) struct Meaning<'a> {
    pub(super) client: &'a ClientId,
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    pub(super) body: Value,
}

/// The key that the caller sent, with the fingerprint of this call; `None` without a key.
pub(super) fn idempotency<'m>(
    request: &Request,
    meaning: impl FnOnce() -> Meaning<'m>,
) -> Result<Option<Idempotency>, Problem> {
    let mut sent = request.headers().get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = sent.next() else { return Ok(None) };
    let only = value.to_str().ok().filter(|_| sent.next().is_none());
    let key = only.and_then(IdempotencyKey::new).ok_or_else(|| {
        let detail = "an idempotency key is 1 to 255 visible ASCII characters and stands once";
        Problem::new(ErrorCode::InvalidField, detail).with_field("Idempotency-Key")
    })?;
    Ok(Some(Idempotency { key, fingerprint: fingerprint(&meaning()) }))
}

/// Each part is hashed with its length before it, so that no two calls run into one.
fn fingerprint(meaning: &Meaning<'_>) -> Fingerprint {
    let body = serde_json_canonicalizer::to_vec(&meaning.body)
        .expect("an object of strings and whole numbers always has a canonical form");
    let mut context = Context::new(&SHA256);
    for part in
        [meaning.client.as_str().as_bytes(), meaning.method.as_bytes(), meaning.path.as_bytes(), &body]
    {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    Fingerprint::from_bytes(bytes)
}

/// The user as part of a meaning.
pub(super) fn user_meaning(user: &User) -> Value {
    json!({"id": user.id.as_str(), "realm": user.realm.as_str()})
}

/// What a start means; members that were not given are left out.
pub(super) fn start_meaning(start: &StartRequest) -> Value {
    // Every field is named, so that no new one is forgotten.
    let StartRequest {
        // Part of every meaning.
        client: _,
        type_name,
        user,
        content,
        phone_number,
        email,
        device_id,
        app,
        time_to_live,
        delivery,
        callback_url,
        call_context,
        number_match,
        // When the reply is wanted changes nothing of what is started.
        is_held: _,
        idempotency: _,
    } = start;
    let is_usual = matches!(delivery, DeliveryChoice::Usual | DeliveryChoice::Push);
    let particulars = content.particulars();
    let given = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    let members = [
        ("type", Some(Value::from(type_name.as_str()))),
        ("user", user.as_ref().map(user_meaning)),
        ("title", given(&content.title)),
        ("message", given(&content.message)),
        ("secure_message", particulars.secure_message.as_deref().map(Value::from)),
        ("details", listed(&particulars.details)),
        ("hidden_details", keyed(&particulars.hidden_details)),
        ("phone_number", phone_number.as_ref().map(|number| Value::from(number.expose()))),
        ("email", email.as_ref().map(|address| Value::from(address.expose()))),
        ("device_id", device_id.map(|id| Value::from(id.to_string()))),
        ("app", app.as_ref().map(|app| Value::from(app.as_str()))),
        // The default of a push said aloud means the same as not said.
        ("delivery", (!is_usual).then(|| Value::from(delivery.words()))),
        ("callback_url", callback_url.as_ref().map(|url| Value::from(url.as_str()))),
        ("number_match", number_match.map(|rule| Value::from(rule.as_str()))),
        ("ttl_ms", time_to_live.map(DurationMs::get).map(Value::from)),
        ("call_context", call_context.as_deref().map(called_from)),
    ];
    let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect::<Map<String, Value>>())
}

fn called_from(context: &CallContext) -> Value {
    let members = [
        ("language", &context.language),
        ("ip_address", &context.ip_address),
        ("user_agent", &context.user_agent),
        ("session_id", &context.session_id),
    ];
    let given =
        members.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.as_deref()?.into())));
    Value::Object(given.collect())
}

fn listed(details: &[Detail]) -> Option<Value> {
    let entry = |detail: &Detail| json!({"label": detail.label, "value": detail.value});
    (!details.is_empty()).then(|| Value::Array(details.iter().map(entry).collect()))
}

fn keyed(details: &[Detail]) -> Option<Value> {
    let entry = |detail: &Detail| (detail.label.to_string(), Value::from(&*detail.value));
    (!details.is_empty()).then(|| Value::Object(details.iter().map(entry).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning<'a>(client: &'a ClientId, path: &'a str, body: Value) -> Meaning<'a> {
        Meaning { client, method: "POST", path, body }
    }

    #[test]
    fn every_part_counts_and_the_order_of_members_does_not() {
        let (portal, shop) = ("portal".parse().expect("a name"), "shop".parse().expect("a name"));
        let base = fingerprint(&meaning(&portal, "/v1/a", json!({"x": "1", "y": "2"})));
        assert_eq!(base, fingerprint(&meaning(&portal, "/v1/a", json!({"y": "2", "x": "1"}))));
        for other in [
            meaning(&shop, "/v1/a", json!({"x": "1", "y": "2"})),
            meaning(&portal, "/v1/b", json!({"x": "1", "y": "2"})),
            meaning(&portal, "/v1/a", json!({"x": "1", "y": "3"})),
            meaning(&portal, "/v1/a", json!({"x": "1"})),
        ] {
            assert_ne!(base, fingerprint(&other), "{}", other.body);
        }
    }
}
