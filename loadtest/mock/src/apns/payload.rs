//! The payload of a push: size, shape, and whether it is what its push type says.
//!
//! Pure. Of the many keys of `aps` only those are read that tell one push type from another.

use serde_json::{Map, Value};

use super::request::PushType;
use super::{ApnsReason, ApnsRefusal};

/// Longest payload in bytes, and that of a VoIP push.
const PAYLOAD_BYTES_MAX: usize = 4_096;
const VOIP_PAYLOAD_BYTES_MAX: usize = 5_120;

/// Checks a body of which `cut_short` says that it was longer than anything allowed.
pub(super) fn check(body: &[u8], cut_short: bool, push_type: PushType) -> Result<(), ApnsRefusal> {
    let bytes_max = if push_type == PushType::Voip { VOIP_PAYLOAD_BYTES_MAX } else { PAYLOAD_BYTES_MAX };
    if cut_short || body.len() > bytes_max {
        return Err(ApnsReason::PayloadTooLarge.into());
    }
    let payload = object(body)?;
    if push_type == PushType::Mdm {
        return if payload.contains_key("mdm") { Ok(()) } else { Err(ApnsReason::InvalidPushType.into()) };
    }
    let aps = payload.get("aps").and_then(Value::as_object).ok_or(ApnsReason::PayloadEmpty)?;
    if fits(aps, push_type) { Ok(()) } else { Err(ApnsReason::InvalidPushType.into()) }
}

/// The payload's object. For a body that is no JSON object Apple documents no reason of its own; to APNs
/// it holds nothing to deliver, so it counts as empty.
fn object(body: &[u8]) -> Result<Map<String, Value>, ApnsRefusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(payload)) => Ok(payload),
        _ => Err(ApnsReason::PayloadEmpty.into()),
    }
}

/// An alert shows, sounds or badges something; a background push wakes the app and does none of it.
fn fits(aps: &Map<String, Value>, push_type: PushType) -> bool {
    let shows_something = ["alert", "sound", "badge"].iter().any(|key| aps.contains_key(*key));
    match push_type {
        PushType::Alert => shows_something,
        PushType::Background => !shows_something && aps.get("content-available") == Some(&Value::from(1)),
        PushType::LiveActivity => aps.contains_key("event") && aps.contains_key("timestamp"),
        PushType::Mdm
        | PushType::Controls
        | PushType::Complication
        | PushType::FileProvider
        | PushType::Location
        | PushType::PushToTalk
        | PushType::Voip
        | PushType::Widgets => true,
    }
}
