//! The JSON of a send, by Google's rules.
//!
//! Pure: bytes in, target or refusal out.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::FcmRefusal;
use super::schema::{SEND, normalise};

/// Most bytes of data, keys and values together, to one device and to a topic.
const DATA_BYTES_MAX: usize = 4_096;
const TOPIC_DATA_BYTES_MAX: usize = 2_048;
/// Longest life of a message in seconds (28 days).
const TTL_MAX_S: u64 = 2_419_200;
const TTL_FRACTION_DIGITS_MAX: usize = 9;
const TARGET_BYTES_MAX: usize = 1_024;
const ANALYTICS_LABEL_CHARACTERS_MAX: usize = 50;
const TARGET_KINDS: [&str; 4] = ["token", "fid", "topic", "condition"];

/// Whom a message is for.
#[derive(Clone, PartialEq, Eq)]
pub enum FcmTarget {
    /// A registration token.
    Token(String),
    /// A Firebase installation id.
    InstallationId(String),
    /// Everybody who listens to a topic.
    Topic(String),
    /// Everybody whose topics fit.
    Condition(String),
}

impl FcmTarget {
    /// The value without its kind.
    pub fn value(&self) -> &str {
        match self {
            Self::Token(value)
            | Self::InstallationId(value)
            | Self::Topic(value)
            | Self::Condition(value) => value,
        }
    }
}

impl std::fmt::Debug for FcmTarget {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Token(_) => "Token(…)",
            Self::InstallationId(_) => "InstallationId(…)",
            Self::Topic(_) => "Topic(…)",
            Self::Condition(_) => "Condition(…)",
        })
    }
}

/// A send that keeps every rule.
pub(super) struct Send {
    pub(super) target: FcmTarget,
    pub(super) validate_only: bool,
}

/// Reads a send.
pub(super) fn parse(body: &[u8]) -> Result<Send, FcmRefusal> {
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
        return Err(FcmRefusal::json("", "The body is no JSON object."));
    };
    let send = normalise(&body, SEND, "")?;
    let Some(message) = send.get("message").and_then(Value::as_object) else {
        return Err(FcmRefusal::field("message", "Message is missing."));
    };
    let target = target(message)?;
    check_data(message, &target)?;
    check_android(message)?;
    check_analytics_labels(message)?;
    let validate_only = send.get("validate_only").and_then(Value::as_bool).unwrap_or(false);
    Ok(Send { target, validate_only })
}

/// The target of a body of which nothing else is checked.
pub(super) fn target_unchecked(body: &[u8]) -> Option<String> {
    let Targeted { message } = serde_json::from_slice(body).ok()?;
    [message.token, message.fid, message.topic, message.condition].into_iter().flatten().next()
}

/// A body of which nothing but the target is read.
#[derive(Deserialize)]
struct Targeted {
    message: TargetKinds,
}

#[derive(Deserialize)]
struct TargetKinds {
    token: Option<String>,
    fid: Option<String>,
    topic: Option<String>,
    condition: Option<String>,
}

fn target(message: &Map<String, Value>) -> Result<FcmTarget, FcmRefusal> {
    let mut named =
        TARGET_KINDS.iter().filter_map(|kind| Some((*kind, message.get(*kind)?.as_str()?.to_owned())));
    let (Some((kind, value)), None) = (named.next(), named.next()) else {
        return Err(FcmRefusal::field(
            "message",
            "Exactly one of token, fid, topic and condition must be set.",
        ));
    };
    let characters_allowed = match kind {
        "token" => ":_-",
        "topic" => "-_.~%",
        "fid" => "_-",
        _ => return Ok(FcmTarget::Condition(value)),
    };
    let well_formed = !value.is_empty()
        && value.len() <= TARGET_BYTES_MAX
        && value.chars().all(|c| c.is_ascii_alphanumeric() || characters_allowed.contains(c));
    match kind {
        "token" if well_formed => Ok(FcmTarget::Token(value)),
        "token" => Err(FcmRefusal::InvalidToken),
        "fid" if well_formed => Ok(FcmTarget::InstallationId(value)),
        "topic" if well_formed => Ok(FcmTarget::Topic(value)),
        _ => Err(FcmRefusal::field(&format!("message.{kind}"), "Malformed value.")),
    }
}

/// Reserved keys and size, for `data` and for `android.data`, which takes its place on Android.
fn check_data(message: &Map<String, Value>, target: &FcmTarget) -> Result<(), FcmRefusal> {
    let bytes_max = match target {
        FcmTarget::Token(_) | FcmTarget::InstallationId(_) => DATA_BYTES_MAX,
        FcmTarget::Topic(_) | FcmTarget::Condition(_) => TOPIC_DATA_BYTES_MAX,
    };
    let android = message.get("android").and_then(|android| android.get("data"));
    for (field, data) in [("message.data", message.get("data")), ("message.android.data", android)] {
        let Some(data) = data.and_then(Value::as_object) else { continue };
        if let Some(key) = data.keys().find(|key| is_reserved(key)) {
            return Err(FcmRefusal::field(field, format!("Invalid data payload key: {key}")));
        }
        let bytes: usize =
            data.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
        if bytes > bytes_max {
            return Err(FcmRefusal::field(
                field,
                format!("Message is too big: {bytes} of {bytes_max} bytes."),
            ));
        }
    }
    Ok(())
}

fn is_reserved(key: &str) -> bool {
    key.is_empty()
        || matches!(key, "from" | "message_type")
        || key.starts_with("google.")
        || key.starts_with("gcm.notification.")
}

fn check_android(message: &Map<String, Value>) -> Result<(), FcmRefusal> {
    let Some(android) = message.get("android") else { return Ok(()) };
    let priority = android.get("priority").and_then(Value::as_str);
    if priority.is_some_and(|given| !["NORMAL", "HIGH"].iter().any(|known| given.eq_ignore_ascii_case(known)))
    {
        return Err(FcmRefusal::json(
            "message.android.priority",
            "Invalid value at 'message.android.priority'.",
        ));
    }
    match android.get("ttl").and_then(Value::as_str).map(seconds) {
        None => Ok(()),
        Some(None) => Err(FcmRefusal::json(
            "message.android.ttl",
            "Invalid value at 'message.android.ttl': not a duration.",
        )),
        Some(Some((whole, fraction))) if whole < TTL_MAX_S || (whole == TTL_MAX_S && !fraction) => Ok(()),
        Some(Some(_)) => Err(FcmRefusal::field("message.android.ttl", "The ttl is longer than 28 days.")),
    }
}

/// A protobuf duration that is not negative: whole seconds, and whether a fraction adds to them.
fn seconds(text: &str) -> Option<(u64, bool)> {
    let number = text.strip_suffix('s')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > TTL_FRACTION_DIGITS_MAX {
        return None;
    }
    Some((whole.parse().ok()?, fraction.bytes().any(|digit| digit != b'0')))
}

fn check_analytics_labels(message: &Map<String, Value>) -> Result<(), FcmRefusal> {
    for place in ["", "android", "apns", "webpush"] {
        let holder =
            if place.is_empty() { Some(message) } else { message.get(place).and_then(Value::as_object) };
        let label = holder
            .and_then(|holder| holder.get("fcm_options")?.get("analytics_label")?.as_str())
            .unwrap_or_default();
        let well_formed = label.len() <= ANALYTICS_LABEL_CHARACTERS_MAX
            && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~%".contains(c));
        if !well_formed {
            let dot = if place.is_empty() { "" } else { "." };
            let field = format!("message{dot}{place}.fcm_options.analytics_label");
            return Err(FcmRefusal::field(&field, "Invalid analytics label."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_protobuf_writes_them() {
        assert_eq!(seconds("90s"), Some((90, false)));
        assert_eq!(seconds("90.500000000s"), Some((90, true)));
        assert_eq!(seconds("3.5s"), Some((3, true)));
        for wrong in ["90", "-1s", "s", ".5s", "1.s", "1.0000000000s", "1e3s", " 1s"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
