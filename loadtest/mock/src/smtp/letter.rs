//! A letter as it came: its header fields, its text, and which rule it breaks. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest line in bytes without its end (RFC 5322, section 2.1.1).
const LINE_BYTES_MAX: usize = 998;
/// Fields that stand exactly once.
const ONCE: [&str; 6] = ["from", "to", "date", "subject", "message-id", "auto-submitted"];

/// A letter in its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Letter {
    /// Names as sent, values unfolded.
    pub(super) headers: Vec<(String, String)>,
    /// The text, decoded.
    pub(super) text: String,
}

impl Letter {
    /// A field by its name in any case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }
}

/// Reads a letter whose dots are unstuffed.
pub(super) fn read(bytes: &[u8]) -> Result<Letter, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the letter is no text")?;
    if !text.is_ascii() {
        return Err("bytes beyond ASCII without 8BITMIME");
    }
    let without_ends = text.replace("\r\n", "");
    if without_ends.contains(['\r', '\n']) {
        return Err("a line that does not end with CRLF");
    }
    if text.split("\r\n").any(|line| line.len() > LINE_BYTES_MAX) {
        return Err("a line that is too long");
    }
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no line between header and text")?;
    let letter = Letter { headers: fields(head)?, text: String::new() };
    let encoding = letter.header("content-transfer-encoding").unwrap_or("7bit").to_ascii_lowercase();
    let text = match encoding.as_str() {
        "7bit" => body.as_bytes().to_vec(),
        "quoted-printable" => quoted_printable(body)?,
        "base64" => {
            let joined: String = body.split_ascii_whitespace().collect();
            STANDARD.decode(joined).map_err(|_| "a text that is not base64")?
        }
        _ => return Err("an encoding that is none"),
    };
    let text = String::from_utf8(text).map_err(|_| "a text that is not UTF-8")?;
    let text = text.replace("\r\n", "\n").trim_end_matches('\n').to_owned();
    Ok(Letter { text, ..letter })
}

/// Which rule a letter to `recipient` breaks.
pub(super) fn judge(letter: &Letter, recipient: &str) -> Result<(), &'static str> {
    let count =
        |name: &str| letter.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).count();
    if ONCE.iter().any(|name| count(name) != 1) {
        return Err("a header field that is missing or stands twice");
    }
    if letter.header("auto-submitted") != Some("auto-generated") {
        return Err("a machine's message that does not say so (RFC 3834)");
    }
    if letter.header("to").is_none_or(|to| !to.contains(recipient)) {
        return Err("to somebody else than the envelope says");
    }
    let id = letter.header("message-id").unwrap_or_default();
    let inner = id.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or_default();
    if inner.matches('@').count() != 1 || inner.contains(char::is_whitespace) {
        return Err("a message id that is none");
    }
    if count("bcc") > 0 {
        return Err("a blind copy that all can see");
    }
    Ok(())
}

/// A header value with its encoded words decoded (RFC 2047).
pub(super) fn decoded(value: &str) -> String {
    let mut decoded = String::new();
    let mut was_encoded = false;
    for word in value.split(' ') {
        let encoded = encoded_word(word);
        let is_joined = was_encoded && encoded.is_some();
        decoded.push_str(if decoded.is_empty() || is_joined { "" } else { " " });
        was_encoded = encoded.is_some();
        decoded.push_str(&encoded.unwrap_or_else(|| word.to_owned()));
    }
    decoded
}

fn encoded_word(word: &str) -> Option<String> {
    let inner = word.strip_prefix("=?")?.strip_suffix("?=")?;
    let mut parts = inner.splitn(3, '?');
    let (_charset, kind, text) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = match kind.to_ascii_lowercase().as_str() {
        "b" => STANDARD.decode(text).ok()?,
        "q" => quoted_printable(&text.replace('_', " ")).ok()?,
        _ => return None,
    };
    String::from_utf8(bytes).ok()
}

fn fields(head: &str) -> Result<Vec<(String, String)>, &'static str> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in head.split("\r\n") {
        if line.starts_with([' ', '\t']) {
            let (_, value) = fields.last_mut().ok_or("a folded line before any field")?;
            // A field may begin on its second line.
            if !value.is_empty() {
                value.push(' ');
            }
            value.push_str(line.trim());
            continue;
        }
        let (name, value) = line.split_once(':').ok_or("a line that is no header field")?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a header field without a proper name");
        }
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(fields)
}

fn quoted_printable(text: &str) -> Result<Vec<u8>, &'static str> {
    let joined = text.replace("=\r\n", "");
    let mut decoded = Vec::new();
    let mut bytes = joined.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'=' {
            decoded.push(byte);
            continue;
        }
        let pair = [bytes.next(), bytes.next()].map(|byte| byte.unwrap_or_default());
        let pair = std::str::from_utf8(&pair).map_err(|_| "a broken escape")?;
        decoded.push(u8::from_str_radix(pair, 16).map_err(|_| "a broken escape")?);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "From: Bank <no-reply@bank.example>\r\nTo: ada@example.com\r\nDate: x\r\n\
        Subject: =?utf-8?b?w5xiZXI=?= =?utf-8?q?_all?=\r\nMessage-ID:\r\n <a.b@bank.example>\r\n\
        Auto-Submitted: auto-generated\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n";

    #[test]
    fn a_good_letter_is_read_and_its_text_decoded() {
        let letter = read(format!("{GOOD}Code =C3=A9 1=\r\n23\r\n456\r\n").as_bytes()).expect("good");
        assert_eq!(judge(&letter, "ada@example.com"), Ok(()));
        assert_eq!(letter.text, "Code é 123\n456");
        assert_eq!(decoded(letter.header("SUBJECT").expect("a subject")), "Über all");
        assert_eq!(letter.header("message-id"), Some("<a.b@bank.example>"));
    }

    #[test]
    fn what_breaks_a_rule_is_found() {
        let told = |text: String| read(text.as_bytes()).and_then(|letter| judge(&letter, "ada@example.com"));
        for (letter, part) in [
            (format!("{GOOD}a\nb"), "CRLF"),
            (format!("{GOOD}é"), "ASCII"),
            (format!("{GOOD}{}", "x".repeat(999)), "too long"),
            (GOOD.replace("Date: x\r\n", "") + "x", "missing"),
            (GOOD.replace("Date: x", "Date: x\r\nTo: eve@example.com") + "x", "twice"),
            (GOOD.replace("auto-generated", "no") + "x", "machine"),
            (GOOD.replace("ada@", "bob@") + "x", "somebody else"),
            (GOOD.replace("<a.b@bank.example>", "a.b") + "x", "message id"),
            ("From: x".to_owned(), "between header and text"),
        ] {
            let found = told(letter).expect_err(part);
            assert!(found.contains(part), "{found}");
        }
    }
}
