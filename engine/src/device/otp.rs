//! One-time passwords as phones send them.

use tocsin_model::{Otp, OtpHash, Problem};

use super::body::{Fields, parse_body};
use super::jwk::sha256;

/// Longest text that is looked at; a longer one is none of ours.
const OTP_BYTES_MAX: usize = 128;

/// What is stored in the password's place.
pub fn otp_hash(otp: &Otp) -> OtpHash {
    hash(otp.expose())
}

/// The hash of what a phone claims. Any text is taken for a password here: whether it is one, only the storage says.
pub(crate) fn parse_otp(body: &[u8]) -> Result<OtpHash, Problem> {
    let members = parse_body(body)?;
    Fields::of(&members).raw_text("otp", OTP_BYTES_MAX).map(hash)
}

fn hash(text: &str) -> OtpHash {
    OtpHash::from_bytes(sha256(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use tocsin_model::ErrorCode;

    use super::*;

    #[test]
    fn the_phones_text_leads_to_the_same_hash() {
        let otp = Otp::from_bits(&[7; 20]);
        let body = format!(r#"{{"otp":"{}","later":1}}"#, otp.expose());
        assert_eq!(parse_otp(body.as_bytes()), Ok(otp_hash(&otp)));
        assert_ne!(parse_otp(br#"{"otp":""}"#), Ok(otp_hash(&otp)));
    }

    #[test]
    fn what_is_no_text_or_too_long_is_refused() {
        let long = format!(r#"{{"otp":"{}"}}"#, "A".repeat(OTP_BYTES_MAX + 1));
        for (body, code) in [
            ("", ErrorCode::InvalidRequest),
            ("[]", ErrorCode::InvalidRequest),
            (r#"{"otp":7}"#, ErrorCode::InvalidRequest),
            (&long, ErrorCode::InvalidRequest),
            (r#"{"otp":null}"#, ErrorCode::FieldRequired),
            ("{}", ErrorCode::FieldRequired),
        ] {
            assert_eq!(parse_otp(body.as_bytes()).map_err(|problem| problem.code), Err(code), "{body}");
        }
    }
}
