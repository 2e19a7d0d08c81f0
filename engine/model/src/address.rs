//! Where a one-time code is sent to. Such an address is a person's, so it is never printed.

use std::fmt;

/// A telephone number in international form (E.164).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNumber(Box<str>);

impl PhoneNumber {
    /// Takes `+`, a country code, which does not begin with 0, and the number: 7 to 15 digits altogether. Blanks,
    /// brackets and national forms such as `0505` are refused: to guess a country could reach a stranger.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+')?;
        let fits = (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        fits.then(|| Self(text.into()))
    }

    /// The number with its `+`; call it only where it is sent to, stored or compared.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PhoneNumber([redacted])")
    }
}

/// Longest part before the `@` in bytes (RFC 5321).
const LOCAL_PART_BYTES_MAX: usize = 64;
/// Longest e-mail address in bytes (RFC 5321).
const EMAIL_BYTES_MAX: usize = 254;

/// An e-mail address, `dot-atom@host.name` of RFC 5321 in ASCII. Quoted local parts, address literals and comments
/// are refused: nobody's mailbox needs them, and header injection does.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress(Box<str>);

impl EmailAddress {
    /// Takes an address, spelled as it is to be used.
    pub fn parse(text: &str) -> Option<Self> {
        let (local, domain) = text.split_once('@')?;
        let fits = text.len() <= EMAIL_BYTES_MAX
            && local.len() <= LOCAL_PART_BYTES_MAX
            && local.split('.').all(is_atom)
            && domain.contains('.')
            && domain.split('.').all(is_host_label);
        fits.then(|| Self(text.into()))
    }

    /// The address; call it only where it is sent to, stored or compared.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EmailAddress([redacted])")
    }
}

fn is_atom(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

fn is_host_label(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('-') && !text.ends_with('-')
}

/// Where a code is sent to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CodeAddress {
    /// A telephone, by SMS.
    Phone(PhoneNumber),
    /// A mailbox.
    Email(EmailAddress),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_international_or_refused() {
        for right in ["+15055551234", "+4915112345678", "+2901234", "+123456789012345"] {
            assert_eq!(PhoneNumber::parse(right).expect(right).expose(), right);
        }
        let wrong = [
            "0505",
            "15055551234",
            "+0505555123",
            "+123456",
            "+1234567890123456",
            "+1 505 555 1234",
            "+1505555123a",
            "",
            "+",
            "+١٥٠٥٥٥٥١٢٣٤",
            "+15055551234\r\nBcc: x",
            "++15055551234",
            "+15055551234 ",
        ];
        for wrong in wrong {
            assert_eq!(PhoneNumber::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_mailbox_is_plain_or_refused() {
        for right in ["alice@example.com", "a.b+c@mail.example.co.uk", "O'Neill@example.com"] {
            assert_eq!(EmailAddress::parse(right).expect(right).expose(), right);
        }
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long = format!("a@{}.com", "b.".repeat(126));
        let wrong = [
            "",
            "@",
            "alice",
            "alice@",
            "@example.com",
            "alice@localhost",
            "a@b@example.com",
            ".a@example.com",
            "a..b@example.com",
            "a.@example.com",
            "a b@example.com",
            "\"a b\"@example.com",
            "a@-x.com",
            "a@x-.com",
            "a@x..com",
            "a@[192.0.2.1]",
            "a@example.com\r\nBcc: b@example.com",
            "Alice <a@example.com>",
            "ä@example.com",
            "a@exämple.com",
            "a@example.com,b@example.com",
            &long_local,
            &long,
        ];
        for wrong in wrong {
            assert_eq!(EmailAddress::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn addresses_are_not_printed() {
        let phone = PhoneNumber::parse("+15055551234").expect("a number");
        let email = EmailAddress::parse("alice@example.com").expect("an address");
        let printed = format!("{:?} {:?}", CodeAddress::Phone(phone), CodeAddress::Email(email));
        assert!(!printed.contains("5055") && !printed.contains("alice"), "{printed}");
    }
}
