//! The fields of an HTTP v1 send, object by object, with their JSON types.
//!
//! As Google's reader, it takes each name in snake case and in camel case, and refuses a name it does not
//! know. Values are judged in `message`; here only names and types count.

use serde_json::{Map, Value};

use super::FcmRefusal;

/// The JSON type of a field.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Flag,
    Number,
    /// A 64-bit number, which protobuf's JSON also takes as a string.
    Whole,
    TextMap,
    TextList,
    /// An object of any content.
    AnyObject,
    Object(&'static [(&'static str, Kind)]),
}

use Kind::{AnyObject, Flag, Number, Object, Text, TextList, TextMap, Whole};

/// The body of a send.
pub(super) const SEND: &[(&str, Kind)] = &[("validate_only", Flag), ("message", Object(MESSAGE))];

const MESSAGE: &[(&str, Kind)] = &[
    ("name", Text),
    ("data", TextMap),
    ("notification", Object(NOTIFICATION)),
    ("android", Object(ANDROID)),
    ("webpush", Object(WEBPUSH)),
    ("apns", Object(APNS)),
    ("fcm_options", Object(FCM_OPTIONS)),
    ("token", Text),
    ("fid", Text),
    ("topic", Text),
    ("condition", Text),
];

const NOTIFICATION: &[(&str, Kind)] = &[("title", Text), ("body", Text), ("image", Text)];
const FCM_OPTIONS: &[(&str, Kind)] = &[("analytics_label", Text)];

const ANDROID: &[(&str, Kind)] = &[
    ("collapse_key", Text),
    ("priority", Text),
    ("ttl", Text),
    ("restricted_package_name", Text),
    ("data", TextMap),
    ("notification", Object(ANDROID_NOTIFICATION)),
    ("fcm_options", Object(FCM_OPTIONS)),
    ("direct_boot_ok", Flag),
    ("bandwidth_constrained_ok", Flag),
    ("restricted_satellite_ok", Flag),
];

const ANDROID_NOTIFICATION: &[(&str, Kind)] = &[
    ("title", Text),
    ("body", Text),
    ("icon", Text),
    ("color", Text),
    ("sound", Text),
    ("tag", Text),
    ("click_action", Text),
    ("body_loc_key", Text),
    ("body_loc_args", TextList),
    ("title_loc_key", Text),
    ("title_loc_args", TextList),
    ("channel_id", Text),
    ("ticker", Text),
    ("sticky", Flag),
    ("event_time", Text),
    ("local_only", Flag),
    ("notification_priority", Text),
    ("default_sound", Flag),
    ("default_vibrate_timings", Flag),
    ("default_light_settings", Flag),
    ("vibrate_timings", TextList),
    ("visibility", Text),
    ("notification_count", Whole),
    ("light_settings", Object(LIGHT_SETTINGS)),
    ("image", Text),
    ("proxy", Text),
    ("bypass_proxy_notification", Flag),
];

const LIGHT_SETTINGS: &[(&str, Kind)] =
    &[("color", Object(COLOR)), ("light_on_duration", Text), ("light_off_duration", Text)];
const COLOR: &[(&str, Kind)] = &[("red", Number), ("green", Number), ("blue", Number), ("alpha", Number)];

const WEBPUSH: &[(&str, Kind)] = &[
    ("headers", TextMap),
    ("data", TextMap),
    ("notification", AnyObject),
    ("fcm_options", Object(&[("link", Text), ("analytics_label", Text)])),
];

const APNS: &[(&str, Kind)] = &[
    ("headers", TextMap),
    ("payload", AnyObject),
    ("fcm_options", Object(&[("analytics_label", Text), ("image", Text)])),
    ("live_activity_token", Text),
];

/// Checks `object` against `fields` and returns it with every known name in snake case.
pub(super) fn normalise(
    object: &Map<String, Value>,
    fields: &[(&str, Kind)],
    path: &str,
) -> Result<Map<String, Value>, FcmRefusal> {
    let mut normal = Map::new();
    for (name, value) in object {
        let snake = snake_case(name);
        let Some((_, kind)) = fields.iter().find(|(known, _)| *known == snake) else {
            return Err(FcmRefusal::json(
                path,
                format!("Unknown name \"{name}\" at '{path}': Cannot find field."),
            ));
        };
        if value.is_null() {
            continue;
        }
        let inner = if path.is_empty() { snake.clone() } else { format!("{path}.{snake}") };
        let value = typed(value, *kind, &inner)?;
        if normal.insert(snake, value).is_some() {
            return Err(FcmRefusal::json(&inner, "The field stands there twice."));
        }
    }
    Ok(normal)
}

fn typed(value: &Value, kind: Kind, path: &str) -> Result<Value, FcmRefusal> {
    let fits = match kind {
        Text => value.is_string(),
        Flag => value.is_boolean(),
        Number => value.is_number(),
        Whole => value.is_i64() || value.as_str().is_some_and(|text| text.parse::<i64>().is_ok()),
        TextMap => value.as_object().is_some_and(|map| map.values().all(Value::is_string)),
        TextList => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
        AnyObject => value.is_object(),
        Object(fields) => {
            let object = value.as_object().ok_or_else(|| wrong_type(path))?;
            return normalise(object, fields, path).map(Value::Object);
        }
    };
    if fits { Ok(value.clone()) } else { Err(wrong_type(path)) }
}

fn wrong_type(path: &str) -> FcmRefusal {
    FcmRefusal::json(path, format!("Invalid value at '{path}': wrong type."))
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}
