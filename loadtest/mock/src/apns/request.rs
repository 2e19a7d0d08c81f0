//! Method, path and headers of a push, each by Apple's rule.
//!
//! Pure: it reads a request's head and says what it found or which rule it breaks.

use http::request::Parts;
use http::{HeaderMap, Method};

use super::{ApnsReason, ApnsRefusal};

/// Most hex digits of a device token; Apple names no length and asks not to assume one.
const TOKEN_DIGITS_MAX: usize = 400;
/// Longest collapse id in bytes.
const COLLAPSE_ID_BYTES_MAX: usize = 64;
/// Longest topic in bytes.
const TOPIC_BYTES_MAX: usize = 255;
const DEVICE_PATH: &str = "/3/device";
/// Headers of which a second one is refused.
const SINGLE_HEADERS: [&str; 8] = [
    "authorization",
    "apns-id",
    "apns-topic",
    "apns-push-type",
    "apns-priority",
    "apns-expiration",
    "apns-collapse-id",
    "content-length",
];

/// What a push is for, by `apns-push-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PushType {
    Alert,
    Background,
    Controls,
    Complication,
    FileProvider,
    LiveActivity,
    Location,
    Mdm,
    PushToTalk,
    Voip,
    Widgets,
}

impl PushType {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "alert" => Self::Alert,
            "background" => Self::Background,
            "controls" => Self::Controls,
            "complication" => Self::Complication,
            "fileprovider" => Self::FileProvider,
            "liveactivity" => Self::LiveActivity,
            "location" => Self::Location,
            "mdm" => Self::Mdm,
            "pushtotalk" => Self::PushToTalk,
            "voip" => Self::Voip,
            "widgets" => Self::Widgets,
            _ => return None,
        })
    }

    /// What the topic has after the bundle id.
    fn topic_suffix(self) -> &'static str {
        match self {
            Self::Alert | Self::Background | Self::Mdm => "",
            Self::Controls => ".push-type.controls",
            Self::Complication => ".complication",
            Self::FileProvider => ".pushkit.fileprovider",
            Self::LiveActivity => ".push-type.liveactivity",
            Self::Location => ".location-query",
            Self::PushToTalk => ".voip-ptt",
            Self::Voip => ".voip",
            Self::Widgets => ".push-type.widgets",
        }
    }
}

/// Whether the request says which host it is for, by `:authority` or, as Apple's own sample, by `host`.
pub(super) fn names_a_host(head: &Parts) -> bool {
    head.uri.authority().is_some() || head.headers.contains_key(http::header::HOST)
}

/// The device token of the path, if the path is one of a device.
pub(super) fn path_token(head: &Parts) -> Option<&str> {
    let rest = head.uri.path().strip_prefix(DEVICE_PATH)?;
    let token = if rest.is_empty() { "" } else { rest.strip_prefix('/')? };
    (!token.contains('/')).then_some(token)
}

/// Method and path; returns the device token.
pub(super) fn device_token(head: &Parts) -> Result<&str, ApnsRefusal> {
    let token = path_token(head).ok_or(ApnsReason::BadPath)?;
    if head.method != Method::POST {
        return Err(ApnsReason::MethodNotAllowed.into());
    }
    if token.is_empty() {
        return Err(ApnsReason::MissingDeviceToken.into());
    }
    let well_formed = token.len() <= TOKEN_DIGITS_MAX
        && token.len().is_multiple_of(2)
        && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    if well_formed { Ok(token) } else { Err(ApnsReason::BadDeviceToken.into()) }
}

/// No header that must stand alone stands there twice.
pub(super) fn no_duplicates(headers: &HeaderMap) -> Result<(), ApnsRefusal> {
    let doubled = SINGLE_HEADERS.iter().any(|name| headers.get_all(*name).iter().nth(1).is_some());
    if doubled { Err(ApnsReason::DuplicateHeaders.into()) } else { Ok(()) }
}

/// `apns-id`: canonical lower-case UUID; `None` if there is none.
pub(super) fn message_id(headers: &HeaderMap) -> Result<Option<&str>, ApnsRefusal> {
    let Some(id) = text(headers, "apns-id", ApnsReason::BadMessageId)? else { return Ok(None) };
    let canonical = uuid::Uuid::try_parse(id).is_ok_and(|uuid| uuid.hyphenated().to_string() == id);
    if canonical { Ok(Some(id)) } else { Err(ApnsReason::BadMessageId.into()) }
}

/// `apns-push-type`. Apple lets it be absent for some systems and asks to send it always; absence is
/// refused here, because what Apple then infers is not documented.
pub(super) fn push_type(headers: &HeaderMap) -> Result<PushType, ApnsRefusal> {
    text(headers, "apns-push-type", ApnsReason::InvalidPushType)?
        .and_then(PushType::parse)
        .ok_or_else(|| ApnsReason::InvalidPushType.into())
}

/// `apns-topic`; returns the bundle id, that is the topic without the suffix of its push type.
pub(super) fn bundle_id(headers: &HeaderMap, push_type: PushType) -> Result<&str, ApnsRefusal> {
    let topic = text(headers, "apns-topic", ApnsReason::BadTopic)?
        .filter(|topic| !topic.is_empty())
        .ok_or(ApnsReason::MissingTopic)?;
    let bundle_id = topic.strip_suffix(push_type.topic_suffix()).ok_or(ApnsReason::BadTopic)?;
    let well_formed = topic.len() <= TOPIC_BYTES_MAX
        && !bundle_id.is_empty()
        && bundle_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    if well_formed { Ok(bundle_id) } else { Err(ApnsReason::BadTopic.into()) }
}

/// `apns-priority`: 10, 5 or 1; a background push must say 5, because the default is 10.
pub(super) fn priority(headers: &HeaderMap, push_type: PushType) -> Result<(), ApnsRefusal> {
    let priority = text(headers, "apns-priority", ApnsReason::BadPriority)?.unwrap_or("10");
    let allowed = match push_type {
        PushType::Background => priority == "5",
        _ => matches!(priority, "10" | "5" | "1"),
    };
    if allowed { Ok(()) } else { Err(ApnsReason::BadPriority.into()) }
}

/// `apns-expiration`: Unix seconds.
pub(super) fn expiration(headers: &HeaderMap) -> Result<(), ApnsRefusal> {
    let Some(seconds) = text(headers, "apns-expiration", ApnsReason::BadExpirationDate)? else {
        return Ok(());
    };
    let whole = !seconds.starts_with('+') && seconds.parse::<u64>().is_ok();
    if whole { Ok(()) } else { Err(ApnsReason::BadExpirationDate.into()) }
}

/// `apns-collapse-id`: at most 64 bytes.
pub(super) fn collapse_id(headers: &HeaderMap) -> Result<(), ApnsRefusal> {
    let fits = headers.get("apns-collapse-id").is_none_or(|id| id.len() <= COLLAPSE_ID_BYTES_MAX);
    if fits { Ok(()) } else { Err(ApnsReason::BadCollapseId.into()) }
}

fn text<'a>(headers: &'a HeaderMap, name: &str, refusal: ApnsReason) -> Result<Option<&'a str>, ApnsRefusal> {
    headers.get(name).map(|value| value.to_str().map_err(|_| refusal.into())).transpose()
}
