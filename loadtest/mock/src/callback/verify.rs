//! The checks of Standard Webhooks, from its document alone.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{Method, header};

/// How far the timestamp may be from our clock.
const TOLERANCE_S: u64 = 300;

/// What is wrong with a callback; `None` when nothing is. `secrets` are those that the portal knows.
pub(super) fn fault(head: &Parts, body: &[u8], secrets: &[String], now_s: u64) -> Option<&'static str> {
    let value = |name: &str| {
        let mut values = head.headers.get_all(name).iter();
        let only = values.next().filter(|_| values.next().is_none())?;
        only.to_str().ok()
    };
    if head.method != Method::POST {
        return Some("not a POST");
    }
    if value(header::CONTENT_TYPE.as_str()) != Some("application/json") {
        return Some("not said to be JSON");
    }
    let (Some(id), Some(timestamp), Some(signatures)) =
        (value("webhook-id"), value("webhook-timestamp"), value("webhook-signature"))
    else {
        return Some("a webhook header is missing or stands twice");
    };
    let Some(timestamp_s) = timestamp.parse::<u64>().ok().filter(|number| number.to_string() == timestamp)
    else {
        return Some("the timestamp is no plain number");
    };
    if timestamp_s.abs_diff(now_s) > TOLERANCE_S {
        return Some("the timestamp is too far from now");
    }
    if id.is_empty() || id.contains('.') {
        return Some("the id is empty or has a dot");
    }
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    let is_good = secrets.iter().any(|secret| is_signed_by(secret, &signed, signatures));
    (!is_good).then_some("no signature fits")
}

/// Whether one of the signatures is by this secret.
fn is_signed_by(secret: &str, signed: &[u8], signatures: &str) -> bool {
    let Some(key) = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok()) else {
        return false;
    };
    let wanted = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed);
    signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,")).any(|encoded| {
        STANDARD.decode(encoded).is_ok_and(|found| verify_slices_are_equal(&found, wanted.as_ref()).is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NOW_S: u64 = 1_614_265_330;

    /// The vector of the Standard Webhooks reference libraries, with one header changed.
    fn fault_with(name: &'static str, value: &str) -> Option<&'static str> {
        let mut request = http::Request::post("/");
        for (known, good) in [
            ("content-type", "application/json"),
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ] {
            let value = if known == name { value } else { good };
            request = request.header(known, value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        fault(&head, br#"{"test": 2432232314}"#, &[SECRET.to_owned()], NOW_S)
    }

    #[test]
    fn the_public_vector_is_good_and_every_change_of_it_is_not() {
        assert_eq!(fault_with("", ""), None);
        for (name, value) in [
            ("content-type", "text/plain"),
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJel"),
            ("webhook-id", ""),
            ("webhook-timestamp", "1614265331"),
            ("webhook-timestamp", "01614265330"),
            ("webhook-timestamp", "1614264000"),
            ("webhook-signature", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            ("webhook-signature", "v1,"),
        ] {
            assert!(fault_with(name, value).is_some(), "{name}: {value}");
        }
    }
}
