//! Bodies: bounded in bytes and in time, and only of the media type that the door reads.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Data, Payload};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tocsin_model::{ErrorCode, Problem};

use super::{Coding, DoorError, DoorState, Fields, parse_object};

/// Longest time between the head of a request and the end of its body, where the door has none.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// The whole body, at most `bytes_max`.
pub(crate) async fn read_body(
    request: &HttpRequest,
    payload: Payload,
    bytes_max: usize,
) -> Result<Bytes, DoorError> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large(bytes_max));
    }
    let time_max = request.app_data::<Data<DoorState>>().map_or(BODY_TIME_MAX, |state| state.body_time_max);
    match tokio::time::timeout(time_max, collect(payload, bytes_max)).await {
        Ok(body) => body,
        Err(_) => Err(incomplete("the body did not come in time")),
    }
}

async fn collect(mut payload: Payload, bytes_max: usize) -> Result<Bytes, DoorError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| incomplete("the body broke off"))?;
        if body.len() + chunk.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Reads the body of a call that has nothing to say: it may be left out, be empty or an empty object.
pub(crate) async fn read_no_fields(
    request: &HttpRequest,
    payload: Payload,
    bytes_max: usize,
) -> Result<(), DoorError> {
    let body = read_body(request, payload, bytes_max).await?;
    if !body.is_empty() {
        Fields::of(&parse_object(&body)?).only(&[])?;
    }
    Ok(())
}

/// The whole body of a call that takes JSON; `required` refuses a missing media type too.
pub(crate) async fn read_json_body(
    request: &HttpRequest,
    payload: Payload,
    bytes_max: usize,
    required: MediaType,
) -> Result<Bytes, DoorError> {
    if !is_json(request.headers(), required) {
        let detail = "the body must be application/json in UTF-8, without content coding";
        return Err(DoorError::closing(Problem::new(ErrorCode::UnsupportedMediaType, detail)));
    }
    read_body(request, payload, bytes_max).await
}

/// What the body of a call is written in, of the codings that the portal door reads: 415 for any other.
pub(crate) fn coding_of(request: &HttpRequest) -> Result<Coding, DoorError> {
    if is_json(request.headers(), MediaType::Required) {
        return Ok(Coding::Json);
    }
    if is_form(request.headers()) {
        return Ok(Coding::Form);
    }
    let detail = "the body must be application/json or application/x-www-form-urlencoded, in UTF-8, without content \
                  coding";
    Err(DoorError::closing(Problem::new(ErrorCode::UnsupportedMediaType, detail)))
}

/// Whether the body is a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let typed = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    typed.is_some_and(|value| is_in_utf_8(value, "application/x-www-form-urlencoded")) && !is_coded(headers)
}

/// Whether a call must name its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaType {
    /// It must.
    Required,
    /// Nothing counts as JSON, anything else must be JSON.
    Optional,
}

fn is_json(headers: &HeaderMap, required: MediaType) -> bool {
    let typed = match headers.get(header::CONTENT_TYPE) {
        None => required == MediaType::Optional,
        Some(value) => value.to_str().is_ok_and(is_json_type),
    };
    typed && !is_coded(headers)
}

fn is_coded(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity")
}

/// JSON is UTF-8 (RFC 8259, section 8.1); a `charset` that says so is harmless, any other is wrong.
fn is_json_type(value: &str) -> bool {
    is_in_utf_8(value, "application/json")
}

fn is_in_utf_8(value: &str, media_type: &str) -> bool {
    let mut parts = value.split(';').map(str::trim);
    let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(media_type));
    let charset = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        name.eq_ignore_ascii_case("charset") && !value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    };
    named && !parts.any(charset)
}

fn too_large(bytes_max: usize) -> DoorError {
    let detail = format!("the body may have {bytes_max} bytes at most");
    DoorError::closing(Problem::new(ErrorCode::BodyTooLarge, detail))
}

fn incomplete(detail: &'static str) -> DoorError {
    DoorError::closing(Problem::new(ErrorCode::InvalidRequest, detail).with_field("body"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_in_utf_8_is_json() {
        for good in
            ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""]
        {
            assert!(is_json_type(good), "{good}");
        }
        for bad in ["", "text/json", "application/jsonp", "application/json; charset=utf-16"] {
            assert!(!is_json_type(bad), "{bad}");
        }
    }
}
