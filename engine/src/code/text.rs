//! The text of a message with a code: each `{code}` becomes the code, a text without one is the code alone.

use tocsin_model::{CodeState, CodeText, OneTimeCode};

/// Where the code belongs in a text.
const PLACEHOLDER: &str = "{code}";

/// What is sent. Where the code is bound to a site, the message ends in the line that phones look for
/// (`@host #code`, after an empty line).
pub(crate) fn text_of(state: &CodeState, code: &OneTimeCode) -> CodeText {
    let code = code.expose();
    let told = if state.message.contains(PLACEHOLDER) {
        state.message.replace(PLACEHOLDER, code)
    } else {
        code.to_owned()
    };
    CodeText::new(match &state.autofill_domain {
        Some(domain) => format!("{told}\n\n@{domain} #{code}"),
        None => told,
    })
}

#[cfg(test)]
mod tests {
    use tocsin_model::{CodeDigits, CodeKeyId, Counter, DurationMs};

    use super::*;

    fn text(message: &str, domain: Option<&str>) -> String {
        let state = CodeState {
            key: CodeKeyId::from_bytes([1; 8]),
            digits: CodeDigits::new(6).expect("allowed"),
            address: None,
            gateways: Vec::new(),
            delivery: None,
            title: None,
            message: message.into(),
            autofill_domain: domain.map(Into::into),
            attempts: Counter::new(3),
            resend_gap: DurationMs::default(),
            verified_at: None,
        };
        text_of(&state, &OneTimeCode::new("012345".to_owned())).expose().to_owned()
    }

    #[test]
    fn every_placeholder_becomes_the_code_and_a_text_without_one_is_the_code() {
        assert_eq!(text("A {code} B", None), "A 012345 B");
        assert_eq!(text("{code}{code} {code}", None), "012345012345 012345");
        for bare in ["hello", "{CODE}", "{ code }", "{code", ""] {
            assert_eq!(text(bare, None), "012345", "{bare:?}");
        }
        assert_eq!(
            text("Log in: {code}\n\n@www.example.com #{code}", None),
            "Log in: 012345\n\n@www.example.com #012345"
        );
    }

    #[test]
    fn a_code_that_is_bound_to_a_site_ends_in_its_line() {
        assert_eq!(
            text("Log in: {code}", Some("www.example.com")),
            "Log in: 012345\n\n@www.example.com #012345"
        );
        assert_eq!(text("hello", Some("www.example.com")), "012345\n\n@www.example.com #012345");
    }
}
