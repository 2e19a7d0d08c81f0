//! Twilio's status reports and their signature: base64 of HMAC-SHA1, by the account's token, over the URL and then each
//! field's name and value in the order of the names.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::form;

/// A report as Twilio posts it.
#[derive(Clone, Debug)]
pub struct StatusReport {
    /// Where to: the `StatusCallback` of the message.
    pub url: String,
    /// The body, `application/x-www-form-urlencoded`.
    pub body: String,
    /// The value of `X-Twilio-Signature`.
    pub signature: String,
}

impl StatusReport {
    pub(super) fn new(url: &str, fields: &[(&str, &str)], auth_token: &str) -> Self {
        let pairs: Vec<_> =
            fields.iter().map(|(name, value)| format!("{name}={}", form::encode(value))).collect();
        Self { url: url.to_owned(), body: pairs.join("&"), signature: signature(url, fields, auth_token) }
    }
}

fn signature(url: &str, fields: &[(&str, &str)], auth_token: &str) -> String {
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let mut signed = url.to_owned();
    for (name, value) in sorted {
        signed.push_str(name);
        signed.push_str(value);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, auth_token.as_bytes());
    STANDARD.encode(hmac::sign(&key, signed.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Twilio's own page on the security of webhooks.
    #[test]
    fn the_signature_is_that_of_twilios_example() {
        let fields = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+12349013030"),
            ("Digits", "1234"),
            ("From", "+12349013030"),
            ("To", "+18005551212"),
        ];
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        assert_eq!(signature(url, &fields, "12345"), "0/KCTR6DLpKmkAf8muzZqo1nDgQ=");
    }

    #[test]
    fn a_report_is_a_form() {
        let report = StatusReport::new("https://x/", &[("To", "+1 5"), ("A", "b")], "t");
        assert_eq!(report.body, "To=%2B1%205&A=b");
    }
}
