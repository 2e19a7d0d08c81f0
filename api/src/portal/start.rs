//! The body of a start, read strictly into the engine's request. What the engine knows better (devices, the longest
//! life of the type) is judged there. When the reply is wanted is read in `timing`.

use std::net::IpAddr;

use tocsin_config::{AuthenticationType, Right};
use tocsin_engine::names_an_addressee;
use tocsin_model::{
    CallContext, CallbackUrl, Content, ContentLimits, DeliveryChoice, Detail, DeviceId, DurationMs,
    EmailAddress, ErrorCode, Language, Method, NumberMatchRule, Particulars, PhoneNumber, Problem,
    StartRequest, User,
};

use super::caller::Caller;
use super::user::user_of_body;
use crate::door::Fields;

/// The fields of this version. A later one is refused as unknown, so that no caller believes in what did not happen.
pub(super) const FIELDS: &[&str] = &[
    "type",
    "user",
    "title",
    "message",
    "secure_message",
    "details",
    "hidden_details",
    "device_id",
    "app",
    "phone_number",
    "email",
    "ttl_s",
    "delivery",
    "callback_url",
    "language",
    "context",
    "reply",
    "wait_s",
    "number_match",
];

/// Longest tag of a language in characters.
pub(super) const LANGUAGE_CHARACTERS_MAX: usize = Language::CHARACTERS_MAX;

/// Longest `context.user_agent` and `context.session_id` in characters.
pub(super) const USER_AGENT_CHARACTERS_MAX: usize = 1_000;
pub(super) const SESSION_ID_CHARACTERS_MAX: usize = 256;

/// A start as its body says it, valid as far as body and client can tell; what its headers say is still open.
pub(super) fn start_of_body(caller: &Caller, fields: &Fields<'_>) -> Result<StartRequest, Problem> {
    fields.only(FIELDS)?;
    let type_name = caller.permitted_type(fields.required_text("type")?)?;
    let configured = caller.config.types.get(&type_name);
    let is_anonymous = configured.is_some_and(|kind| kind.method == Method::Otp);
    Ok(StartRequest {
        client: caller.id.clone(),
        user: if is_anonymous { no_addressee(fields)? } else { Some(user_of_body(caller, fields)?) },
        content: content(fields, configured)?,
        device_id: device_id(fields)?,
        app: fields.text("app")?.map(|name| caller.permitted_app(name)).transpose()?,
        time_to_live: time_to_live(fields)?,
        phone_number: phone_number(fields)?,
        email: email(fields)?,
        delivery: delivery(caller, fields)?,
        callback_url: callback_url(fields)?,
        call_context: call_context(fields)?,
        number_match: number_match(fields)?,
        type_name,
        is_held: false,
        idempotency: None,
    })
}

/// What is for whoever claims it names neither a user nor a phone, nor how it would leave for one.
fn no_addressee(fields: &Fields<'_>) -> Result<Option<User>, Problem> {
    let mut names = ["user", "device_id", "app", "delivery", "phone_number", "email"].into_iter();
    let named = names.find(|name| fields.value(name).is_some());
    named.map_or(Ok(None), |name| Err(names_an_addressee(name)))
}

/// Where the user is calling from; nothing where the portal says nothing.
fn call_context(fields: &Fields<'_>) -> Result<Option<Box<CallContext>>, Problem> {
    let mut context = CallContext { language: language(fields)?, ..CallContext::default() };
    if let Some(origin) = fields.object("context")? {
        origin.only(&["ip_address", "user_agent", "session_id"])?;
        context.ip_address = ip_address(&origin)?;
        context.user_agent = text(&origin, "user_agent", USER_AGENT_CHARACTERS_MAX, Lines::One)?;
        context.session_id = text(&origin, "session_id", SESSION_ID_CHARACTERS_MAX, Lines::One)?;
    }
    Ok((context != CallContext::default()).then(|| Box::new(context)))
}

/// A tag of BCP 47 as far as its letters go: which ones there are texts for is known where texts are chosen.
pub(super) fn language(fields: &Fields<'_>) -> Result<Option<Box<str>>, Problem> {
    let Some(tag) = fields.text("language")? else { return Ok(None) };
    if tag.parse::<Language>().is_err() {
        return Err(fields.not_allowed("language", "this must be a language tag such as \"de\" or \"de-CH\""));
    }
    Ok(Some(tag.into()))
}

/// An address in its one spelling (RFC 5952).
fn ip_address(origin: &Fields<'_>) -> Result<Option<Box<str>>, Problem> {
    let Some(text) = origin.text("ip_address")? else { return Ok(None) };
    let address = text.parse::<IpAddr>();
    let address =
        address.map_err(|_| origin.not_allowed("ip_address", "this must be an IPv4 or IPv6 address"))?;
    Ok(Some(address.to_canonical().to_string().into()))
}

/// Seconds, at least one; the engine knows the most.
pub(super) fn time_to_live(fields: &Fields<'_>) -> Result<Option<DurationMs>, Problem> {
    match fields.whole_number("ttl_s")? {
        Some(0) => Err(fields.not_allowed("ttl_s", "this must be 1 at least")),
        seconds => Ok(seconds.map(DurationMs::from_seconds)),
    }
}

/// A number in international form.
fn phone_number(fields: &Fields<'_>) -> Result<Option<PhoneNumber>, Problem> {
    let Some(text) = fields.text("phone_number")? else { return Ok(None) };
    let why = "this must be a number in international form: a plus and 7 to 15 digits, such as +15055551234";
    PhoneNumber::parse(text).map(Some).ok_or_else(|| fields.not_allowed("phone_number", why))
}

fn email(fields: &Fields<'_>) -> Result<Option<EmailAddress>, Problem> {
    let Some(text) = fields.text("email")? else { return Ok(None) };
    let why = "this must be an e-mail address, such as alice@example.com";
    EmailAddress::parse(text).map(Some).ok_or_else(|| fields.not_allowed("email", why))
}

/// A subset of the first two words, in any order, each once and one at least; or `custom` alone, which is a right of
/// its own.
fn delivery(caller: &Caller, fields: &Fields<'_>) -> Result<DeliveryChoice, Problem> {
    const CHOICES: [DeliveryChoice; 4] = [
        DeliveryChoice::Push,
        DeliveryChoice::RequestMessage,
        DeliveryChoice::PushAndRequestMessage,
        DeliveryChoice::Custom,
    ];
    let Some(mut words) = fields.words("delivery")? else { return Ok(DeliveryChoice::default()) };
    words.sort_unstable();
    let chosen = CHOICES.into_iter().find(|choice| choice.words() == words);
    let why = "this must be push, request_message or both, or custom alone";
    let chosen = chosen.ok_or_else(|| fields.not_allowed("delivery", why))?;
    if chosen == DeliveryChoice::Custom {
        caller.must_have(Right::CustomDelivery).map_err(|problem| problem.with_field("delivery"))?;
    }
    Ok(chosen)
}

/// A well-formed URL; the engine knows which ones the client may name.
fn callback_url(fields: &Fields<'_>) -> Result<Option<CallbackUrl>, Problem> {
    let Some(text) = fields.text("callback_url")? else { return Ok(None) };
    CallbackUrl::parse(text).map(Some).map_err(|why| fields.not_allowed("callback_url", why.to_string()))
}

fn number_match(fields: &Fields<'_>) -> Result<Option<NumberMatchRule>, Problem> {
    let Some(word) = fields.text("number_match")? else { return Ok(None) };
    let rule = NumberMatchRule::parse(word);
    rule.map(Some).ok_or_else(|| fields.not_allowed("number_match", "this must be off, choose or type"))
}

fn device_id(fields: &Fields<'_>) -> Result<Option<DeviceId>, Problem> {
    let Some(text) = fields.text("device_id")? else { return Ok(None) };
    // What cannot be the id of a device is an unknown one.
    text.parse().map(Some).map_err(|_| {
        Problem::new(ErrorCode::NoDevice, "this device cannot take the transaction").with_field("device_id")
    })
}

fn content(fields: &Fields<'_>, configured: Option<&AuthenticationType>) -> Result<Content, Problem> {
    let message_max =
        configured.map_or(ContentLimits::MESSAGE_CHARACTERS_DEFAULT, |kind| kind.message_characters_max);
    let secure_message_max = ContentLimits::SECURE_MESSAGE_CHARACTERS_MAX;
    Ok(Content {
        title: text(fields, "title", ContentLimits::TITLE_CHARACTERS_MAX, Lines::One)?
            .unwrap_or_default()
            .into(),
        message: text(fields, "message", message_max, Lines::Many)?.unwrap_or_default().into(),
        particulars: Particulars {
            secure_message: text(fields, "secure_message", secure_message_max, Lines::Many)?,
            details: details(fields)?,
            hidden_details: hidden_details(fields)?,
            context: None,
        }
        .kept(),
    })
}

fn details(fields: &Fields<'_>) -> Result<Vec<Detail>, Problem> {
    let entries = fields.objects("details")?;
    check_count(fields, "details", entries.len())?;
    entries.iter().map(detail).collect()
}

fn detail(entry: &Fields<'_>) -> Result<Detail, Problem> {
    entry.only(&["label", "value"])?;
    let required = |name: &str, characters_max, lines| {
        text(entry, name, characters_max, lines)?.ok_or_else(|| entry.missing(name))
    };
    Ok(Detail {
        label: required("label", ContentLimits::LABEL_CHARACTERS_MAX, Lines::One)?,
        value: required("value", ContentLimits::VALUE_CHARACTERS_MAX, Lines::Many)?,
    })
}

fn hidden_details(fields: &Fields<'_>) -> Result<Vec<Detail>, Problem> {
    let Some(entries) = fields.object("hidden_details")? else { return Ok(Vec::new()) };
    check_count(fields, "hidden_details", entries.members().len())?;
    entries.members().keys().map(|label| hidden_detail(fields, &entries, label)).collect()
}

fn hidden_detail(fields: &Fields<'_>, entries: &Fields<'_>, label: &str) -> Result<Detail, Problem> {
    if let Err(why) = check_text(label, ContentLimits::LABEL_CHARACTERS_MAX, Lines::One) {
        return Err(fields.not_allowed("hidden_details", format!("a label: {why}")));
    }
    let value = text(entries, label, ContentLimits::VALUE_CHARACTERS_MAX, Lines::Many)?;
    Ok(Detail { label: label.into(), value: value.ok_or_else(|| entries.missing(label))? })
}

fn check_count(fields: &Fields<'_>, name: &str, count: usize) -> Result<(), Problem> {
    if count <= ContentLimits::DETAILS_MAX {
        return Ok(());
    }
    Err(fields.not_allowed(name, format!("this may have {} entries at most", ContentLimits::DETAILS_MAX)))
}

/// Whether a text may have line breaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    One,
    Many,
}

fn text(
    fields: &Fields<'_>,
    name: &str,
    characters_max: usize,
    lines: Lines,
) -> Result<Option<Box<str>>, Problem> {
    let Some(text) = fields.text(name)? else { return Ok(None) };
    match check_text(text, characters_max, lines) {
        Ok(()) => Ok(Some(text.into())),
        Err(why) => Err(fields.not_allowed(name, why)),
    }
}

/// What a phone cannot show faithfully is refused: it must sign exactly what its user saw.
fn check_text(text: &str, characters_max: usize, lines: Lines) -> Result<(), String> {
    let count = text.chars().count();
    if !(1..=characters_max).contains(&count) {
        return Err(format!("this must have 1 to {characters_max} characters"));
    }
    let allowed = |character: char| {
        let turns_or_breaks =
            matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let layout = lines == Lines::Many && (character == '\n' || character == '\t');
        !turns_or_breaks && (!character.is_control() || layout)
    };
    if text.chars().all(allowed) {
        return Ok(());
    }
    Err("this must not hold characters that control or turn the text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_counted_in_characters_and_hold_no_control_characters() {
        assert_eq!(check_text(&"ü".repeat(100), 100, Lines::One), Ok(()));
        assert_eq!(check_text("a\n\tb", 9, Lines::Many), Ok(()));
        for (bad, lines) in [
            ("", Lines::Many),
            ("a\nb", Lines::One),
            ("a\u{0}", Lines::Many),
            ("12\u{202e}05", Lines::Many),
            ("abcdefghij", Lines::One),
        ] {
            assert!(check_text(bad, 9, lines).is_err(), "{bad:?}");
        }
    }
}
