//! Bodies: bounded in bytes and in time, and only of the media type that the door reads.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use hyper::header::{self, HeaderMap};
use tocsin_model::{ErrorCode, Problem};

use super::request::BrokenOff;
use super::{Coding, DoorError, DoorState, Fields, Payload, Request, parse_object};

/// The whole body, at most as much of it as the door takes.
pub(crate) async fn read_body(
    state: &DoorState,
    request: &Request,
    payload: Payload,
) -> Result<Bytes, DoorError> {
    let bytes_max = state.body_bytes_max;
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large(bytes_max));
    }
    let mut collecting = pin!(collect(payload, bytes_max));
    // Mostly the body came with the head, and no clock need be set for it.
    if let Poll::Ready(body) = poll_fn(|context| Poll::Ready(collecting.as_mut().poll(context))).await {
        return body;
    }
    match tokio::time::timeout(state.body_time_max, collecting).await {
        Ok(body) => body,
        Err(_) => Err(incomplete("the body did not come in time")),
    }
}

async fn collect(mut payload: Payload, bytes_max: usize) -> Result<Bytes, DoorError> {
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(part) = payload.next().await {
        let part = part.map_err(|BrokenOff| incomplete("the body broke off"))?;
        if first.len() + more.len() + part.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        if first.is_empty() {
            first = part;
            if payload.is_at_its_end() {
                break;
            }
        } else {
            more.extend_from_slice(&part);
        }
    }
    if more.is_empty() {
        return Ok(first);
    }
    Ok([first, more.freeze()].concat().into())
}

/// Reads the body of a call that has nothing to say: it may be left out, be empty or an empty object.
pub(crate) async fn read_no_fields(
    state: &DoorState,
    request: &Request,
    payload: Payload,
) -> Result<(), DoorError> {
    let body = read_body(state, request, payload).await?;
    if !body.is_empty() {
        Fields::of(&parse_object(&body)?).only(&[])?;
    }
    Ok(())
}

/// The whole body of a call that takes JSON; `required` refuses a missing media type too.
pub(crate) async fn read_json_body(
    state: &DoorState,
    request: &Request,
    payload: Payload,
    required: MediaType,
) -> Result<Bytes, DoorError> {
    if !is_json(request.headers(), required) {
        let detail = "the body must be application/json in UTF-8, without content coding";
        return Err(DoorError::closing(Problem::new(ErrorCode::UnsupportedMediaType, detail)));
    }
    read_body(state, request, payload).await
}

/// What the body of a call is written in, of the codings that the portal door reads: 415 for any other.
pub(crate) fn coding_of(request: &Request) -> Result<Coding, DoorError> {
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
