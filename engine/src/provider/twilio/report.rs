//! Twilio's status reports: where they go, whether they are Twilio's, and what they say. Pure.
//!
//! The signature covers the URL, in which transaction and sending stand, so nothing of a message has to be remembered
//! to know what a report is about. A report that is played again says what it said before.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use tocsin_model::{DeliveryReason, ProviderName, PushId, TransactionId};

use super::response::{Group, group_of};
use crate::provider::{GatewayReport, MessageFate, ReportCall, ReportFault};

/// The header of the signature.
const SIGNATURE: &str = "x-twilio-signature";
/// Most fields of a report; Twilio sends some twenty.
const FIELDS_MAX: usize = 100;

/// Where the reports of a provider go, without the ids of a message.
pub(super) fn url(issuer: &str, name: &ProviderName) -> String {
    format!("{issuer}/hooks/v1/{name}")
}

/// Where the reports of one message go.
pub(super) fn with_ids(base: &str, transaction_id: TransactionId, push_id: PushId) -> String {
    format!("{base}?t={transaction_id}&s={push_id}")
}

/// Reads a report that is signed by `key`.
pub(super) fn read(call: &ReportCall<'_>, key: &hmac::Key) -> Result<GatewayReport, ReportFault> {
    let signature = (call.header)(SIGNATURE).ok_or(ReportFault::BadSignature)?;
    let signature = STANDARD.decode(signature).map_err(|_| ReportFault::BadSignature)?;
    let fields = fields(call.body).ok_or(ReportFault::Malformed)?;
    hmac::verify(key, signed(call.url, &fields).as_bytes(), &signature)
        .map_err(|_| ReportFault::BadSignature)?;
    let query = self::fields(call.query.as_bytes()).ok_or(ReportFault::Malformed)?;
    let id = |name: &str| field(&query, name).ok_or(ReportFault::Malformed);
    Ok(GatewayReport {
        transaction_id: id("t")?.parse().map_err(|_| ReportFault::Malformed)?,
        push_id: id("s")?.parse().map_err(|_| ReportFault::Malformed)?,
        fate: fate(&fields).ok_or(ReportFault::Malformed)?,
    })
}

type Fields = Vec<(String, String)>;

/// The fields of a form; `None` if it is none or too long.
fn fields(form: &[u8]) -> Option<Fields> {
    let form = std::str::from_utf8(form).ok()?;
    let pairs = form.split('&').filter(|pair| !pair.is_empty());
    let mut fields = Vec::new();
    for pair in pairs {
        if fields.len() == FIELDS_MAX {
            return None;
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        fields.push((decoded(name)?, decoded(value)?));
    }
    Some(fields)
}

fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().ok().map(String::from)
}

fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// What Twilio signs: the URL, then each field's name and value in the order of the names.
fn signed(url: &str, fields: &Fields) -> String {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_unstable();
    let mut text = url.to_owned();
    for (name, value) in sorted {
        text.push_str(name);
        text.push_str(value);
    }
    text
}

fn fate(fields: &Fields) -> Option<MessageFate> {
    let status = field(fields, "MessageStatus").or_else(|| field(fields, "SmsStatus"))?;
    Some(match status {
        "delivered" | "read" => MessageFate::Delivered,
        "undelivered" | "failed" | "canceled" => MessageFate::Failed(reason(fields)),
        _ => MessageFate::Underway,
    })
}

/// Why it will not arrive; without a code that is known, another way may still do.
fn reason(fields: &Fields) -> DeliveryReason {
    let code = field(fields, "ErrorCode").and_then(|code| code.parse().ok());
    match code.and_then(group_of) {
        Some(Group::Number) => DeliveryReason::AddressRefused,
        Some(Group::Account) => DeliveryReason::CredentialRefused,
        Some(Group::TooFast) => DeliveryReason::Throttled,
        Some(Group::OurFault) => DeliveryReason::RequestRefused,
        Some(Group::Unreached | Group::OutOfOrder) | None => DeliveryReason::Undelivered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "12345";
    const TRANSACTION: &str = "01913f5e-7f00-8abc-8def-0123456789ab";
    const SENDING: &str = "01913f5e-7f00-8abc-9def-0123456789ab";

    fn key() -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, TOKEN.as_bytes())
    }

    /// Reads a report to this URL, signed over another body where one is given.
    fn read_from(url: &str, body: &str, signed_body: &str) -> Result<GatewayReport, ReportFault> {
        let text = signed(url, &fields(signed_body.as_bytes()).expect("a form"));
        let signature = STANDARD.encode(hmac::sign(&key(), text.as_bytes()));
        let header = |name: &str| (name == SIGNATURE).then_some(signature.as_str());
        let query = url.split_once('?').map_or("", |(_, query)| query);
        read(&ReportCall { url, query, header: &header, body: body.as_bytes() }, &key())
    }

    fn url_of_a_message() -> String {
        format!("https://push.example.com/hooks/v1/twilio-main?t={TRANSACTION}&s={SENDING}")
    }

    fn fate_of(body: &str) -> MessageFate {
        read_from(&url_of_a_message(), body, body).expect("a report").fate
    }

    /// The example of Twilio's own page on the security of webhooks.
    #[test]
    fn the_signature_is_that_of_twilios_example() {
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        let body = "CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030&To=%2B18005551212";
        let text = signed(url, &fields(body.as_bytes()).expect("a form"));
        let signature = STANDARD.encode(hmac::sign(&key(), text.as_bytes()));
        assert_eq!(signature, "0/KCTR6DLpKmkAf8muzZqo1nDgQ=");
    }

    #[test]
    fn a_report_names_its_message_and_what_became_of_it() {
        let url = url_of_a_message();
        let body = "MessageSid=SM1&MessageStatus=delivered&To=%2B15055551234";
        let report = read_from(&url, body, body).expect("a report");
        assert_eq!(report.transaction_id.to_string(), TRANSACTION);
        assert_eq!((report.push_id.to_string().as_str(), report.fate), (SENDING, MessageFate::Delivered));
        for status in ["accepted", "queued", "sending", "sent", "something-new"] {
            assert_eq!(fate_of(&format!("MessageStatus={status}")), MessageFate::Underway);
        }
    }

    #[test]
    fn failures_are_told_apart_by_their_code() {
        for (code, reason) in [
            ("30004", DeliveryReason::AddressRefused),
            ("30005", DeliveryReason::AddressRefused),
            ("30006", DeliveryReason::AddressRefused),
            ("30034", DeliveryReason::CredentialRefused),
            ("30003", DeliveryReason::Undelivered),
            ("30007", DeliveryReason::Undelivered),
            ("30008", DeliveryReason::Undelivered),
            ("99999", DeliveryReason::Undelivered),
            ("", DeliveryReason::Undelivered),
        ] {
            let body = format!("MessageStatus=undelivered&ErrorCode={code}");
            assert_eq!(fate_of(&body), MessageFate::Failed(reason), "{code}");
        }
        assert_eq!(fate_of("MessageStatus=failed"), MessageFate::Failed(DeliveryReason::Undelivered));
    }

    #[test]
    fn what_is_not_signed_as_it_is_is_refused() {
        let (url, good) = (url_of_a_message(), "MessageStatus=delivered");
        assert_eq!(read_from(&url, "MessageStatus=failed", good), Err(ReportFault::BadSignature));
        assert_eq!(read_from(&url, "MessageStatus=delivered&A=", good), Err(ReportFault::BadSignature));
        for header in [None, Some(""), Some("!"), Some("AAAA"), Some("0/KCTR6DLpKmkAf8muzZqo1nDgQ=")] {
            let call = ReportCall { url: &url, query: "", header: &|_: &str| header, body: good.as_bytes() };
            assert_eq!(read(&call, &key()), Err(ReportFault::BadSignature));
        }
        let moved = format!("{url}&t=2");
        let text = signed(&url, &fields(good.as_bytes()).expect("a form"));
        let signature = STANDARD.encode(hmac::sign(&key(), text.as_bytes()));
        let header = |_: &str| Some(signature.as_str());
        let call = ReportCall { url: &moved, query: "", header: &header, body: good.as_bytes() };
        assert_eq!(read(&call, &key()), Err(ReportFault::BadSignature), "the ids are signed with it");
    }

    #[test]
    fn what_is_signed_and_no_report_is_refused() {
        let base = "https://push.example.com/hooks/v1/twilio-main";
        let body = "MessageStatus=delivered";
        for query in ["", "?t=1&s=2", &format!("?t={TRANSACTION}"), &format!("?s={SENDING}")] {
            let url = format!("{base}{query}");
            assert_eq!(read_from(&url, body, body), Err(ReportFault::Malformed), "{query}");
        }
        assert_eq!(read_from(&url_of_a_message(), "A=b", "A=b"), Err(ReportFault::Malformed));
        for hostile in ["%ff=1", &"a=b&".repeat(FIELDS_MAX + 1)] {
            assert_eq!(read_from(&url_of_a_message(), hostile, "A=b"), Err(ReportFault::Malformed));
        }
    }
}
