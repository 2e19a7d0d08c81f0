//! A message with a code as a letter (RFC 5322). Pure.
//!
//! It says that a machine wrote it (RFC 3834), so that nobody's absence answers it, and when it is worthless. Its
//! Message-ID comes from the transaction and this sending of it, so that a repetition of the same sending is the same
//! letter to whoever looks for doubles.

use std::time::{Duration, UNIX_EPOCH};

use lettre::address::Envelope;
use lettre::message::header::{Date, HeaderName, HeaderValue, Headers};
use lettre::message::{Mailbox, SinglePart};
use lettre::{Address, Message};
use tocsin_model::{EmailAddress, UnixMs};
use zeroize::Zeroizing;

use crate::protocol::CodeMessage;

/// What is the same in all letters.
pub(super) struct Template {
    from: Mailbox,
}

/// A letter, ready to be handed over.
pub(super) struct Letter {
    pub(super) envelope: Envelope,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl Template {
    /// Letters from this address; `None` where it is none.
    pub(super) fn new(sender: &EmailAddress, name: Option<&str>) -> Option<Self> {
        let address: Address = sender.expose().parse().ok()?;
        Some(Self { from: Mailbox::new(name.map(str::to_owned), address) })
    }

    /// The letter; `None` where there can be none: a subject or text that holds control characters would be read as
    /// something else by some program on the way.
    pub(super) fn write(&self, message: &CodeMessage, to: &EmailAddress, now: UnixMs) -> Option<Letter> {
        let to: Address = to.expose().parse().ok()?;
        let text = message.text.expose();
        let is_plain = |text: &str| !text.chars().any(char::is_control);
        if !text.split(['\n', '\t']).all(|line| is_plain(line.strip_suffix('\r').unwrap_or(line))) {
            return None;
        }
        let id = format!("<{}.{}@{}>", message.transaction_id, message.push_id, self.from.email.domain());
        let mut builder = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .date(moment(now))
            .message_id(Some(id))
            .raw_header(raw("Auto-Submitted", "auto-generated".to_owned()))
            .raw_header(raw("Expires", date(message.expires_at)));
        if let Some(title) = &message.title {
            if !is_plain(title) {
                return None;
            }
            builder = builder.subject(&**title);
        }
        if let Some(language) = message.language.as_deref().filter(|language| is_tag(language)) {
            builder = builder.raw_header(raw("Content-Language", language.to_owned()));
        }
        let letter = builder.singlepart(SinglePart::plain(text.to_owned())).ok()?;
        Some(Letter { envelope: letter.envelope().clone(), bytes: Zeroizing::new(letter.formatted()) })
    }
}

fn raw(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

fn moment(at: UnixMs) -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_millis(at.get())
}

fn date(at: UnixMs) -> String {
    let mut headers = Headers::new();
    headers.set(Date::new(moment(at)));
    headers.get_raw("Date").unwrap_or_default().to_owned()
}

/// Whether this can be a tag of BCP 47; anything else is left out of the header.
fn is_tag(text: &str) -> bool {
    let fits =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 35 && text.split('-').all(fits)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tocsin_model::{CodeAddress, CodeText, Partition, PushId, Sending, TransactionId};

    use super::*;

    const NOW: UnixMs = UnixMs::new(1_784_894_057_000);

    fn ada() -> EmailAddress {
        EmailAddress::parse("ada.o'neil@example.com").expect("an address")
    }

    fn message(title: Option<&str>, text: &str) -> CodeMessage {
        CodeMessage {
            transaction_id: TransactionId::compose(NOW, Partition::new(0).expect("six bits"), [7; 16]),
            sending: Sending { fell_back_at: UnixMs::new(0), resends_used: 0, gateway: 0 },
            push_id: PushId::from_digest(&[9; 32]),
            address: CodeAddress::Email(ada()),
            prefix: None,
            title: title.map(Arc::from),
            text: CodeText::new(text.to_owned()),
            expires_at: UnixMs::new(1_784_894_117_000),
            language: Some("de-CH".into()),
        }
    }

    fn template() -> Template {
        let sender = EmailAddress::parse("no-reply@bank.example").expect("an address");
        Template::new(&sender, Some("The \"Bank\", Ltd.")).expect("a template")
    }

    fn written(message: &CodeMessage) -> Option<String> {
        let letter = template().write(message, &ada(), NOW)?;
        Some(String::from_utf8(letter.bytes.to_vec()).expect("ASCII"))
    }

    #[test]
    fn a_letter_says_what_it_is_and_when_it_is_worthless() {
        let message = message(Some("Your code"), "Your code is 123456.\nDo not tell it.");
        let letter = written(&message).expect("a letter");
        let id = format!("Message-ID: <{}.{}@bank.example>\r\n", message.transaction_id, message.push_id);
        for part in [
            id.as_str(),
            "Auto-Submitted: auto-generated\r\n",
            "Date: Fri, 24 Jul 2026 11:54:17 +0000\r\n",
            "Expires: Fri, 24 Jul 2026 11:55:17 +0000\r\n",
            "Subject: Your code\r\n",
            "To: ada.o'neil@example.com\r\n",
            "Content-Language: de-CH\r\n",
            "Content-Type: text/plain; charset=utf-8\r\n",
            "\r\n\r\nYour code is 123456.\r\nDo not tell it.",
        ] {
            assert!(letter.contains(part), "{part:?} in\n{letter}");
        }
        assert!(letter.is_ascii() && letter.contains("<no-reply@bank.example>"), "{letter}");
    }

    #[test]
    fn the_same_sending_is_the_same_letter_and_another_is_not() {
        let first = message(None, "123456");
        let mut again = first.clone();
        again.push_id = PushId::from_digest(&[8; 32]);
        assert_eq!(written(&first), written(&first.clone()));
        assert_ne!(written(&first), written(&again));
    }

    #[test]
    fn other_scripts_are_encoded_and_lines_stay_short() {
        let long = "Ünïcödé ".repeat(100);
        let letter = written(&message(Some("Ваш код 🔑"), &long)).expect("a letter");
        let (head, text) = letter.split_once("\r\n\r\n").expect("a text");
        assert!(letter.is_ascii() && text.split("\r\n").all(|line| line.len() <= 76), "{letter}");
        assert!(head.split("\r\n").all(|line| line.len() <= 100), "an id cannot be folded: {letter}");
        assert!(letter.contains("Subject: =?utf-8?b?"), "{letter}");
    }

    #[test]
    fn control_characters_make_no_letter() {
        for title in ["a\r\nBcc: eve@example.com", "a\nb", "a\0b", "\u{85}"] {
            assert_eq!(written(&message(Some(title), "123456")), None, "{title:?}");
        }
        for text in ["a\rb", "a\0b", "a\u{1b}[2J", "a\u{7f}"] {
            assert_eq!(written(&message(None, text)), None, "{text:?}");
        }
        assert!(written(&message(None, "a\r\n.\r\nb\tc")).is_some(), "lines, dots and tabs are text");
    }

    #[test]
    fn a_language_that_is_no_tag_is_left_out() {
        for bad in ["de\r\nX: y", "", "a b", "toolongpart-x"] {
            let message = CodeMessage { language: Some(bad.into()), ..message(None, "123456") };
            let letter = written(&message).expect("a letter");
            assert!(!letter.contains("Content-Language"), "{letter}");
        }
    }
}
