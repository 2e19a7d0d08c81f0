//! SMS gateways: Twilio, a gateway described by templates, and the rules for what is sent at all. Part of the typed
//! configuration.

use std::fmt;
use std::path::PathBuf;

use tocsin_model::PhoneNumber;

use crate::callbacks::BasicCredentials;
use crate::template::Template;

/// `[sms]`: where codes may go, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmsRules {
    /// The beginnings of numbers that codes may be sent to; empty only where no gateway is configured.
    pub country_prefixes: Vec<CountryPrefix>,
    /// The beginnings within these that nothing is sent to.
    pub refused_prefixes: Vec<CountryPrefix>,
    /// Codes to one number in an hour.
    pub sends_per_number_per_hour_max: u32,
    /// Codes to all numbers of one prefix in an hour.
    pub sends_per_prefix_per_hour_max: u32,
    /// Codes that one client may have sent in an hour.
    pub sends_per_client_per_hour_max: u32,
}

impl SmsRules {
    /// The longest of the prefixes that this number begins with; `None` means that nothing may be sent there.
    pub fn prefix_of(&self, number: &PhoneNumber) -> Option<&CountryPrefix> {
        let allowed = CountryPrefix::longest(&self.country_prefixes, number)?;
        let refused = CountryPrefix::longest(&self.refused_prefixes, number);
        refused.is_none_or(|refused| refused.0.len() < allowed.0.len()).then_some(allowed)
    }
}

/// The beginning of a number: `+`, a country code and perhaps more digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountryPrefix(Box<str>);

impl CountryPrefix {
    /// Longest prefix in digits: longer ones would be numbers.
    const DIGITS_MAX: usize = 7;

    /// Takes `+` and one to seven digits, the first of them not 0.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+')?;
        let fits = (1..=Self::DIGITS_MAX).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        fits.then(|| Self(text.into()))
    }

    fn longest<'a>(prefixes: &'a [Self], number: &PhoneNumber) -> Option<&'a Self> {
        let fits = prefixes.iter().filter(|prefix| number.expose().starts_with(prefix.as_str()));
        fits.max_by_key(|prefix| prefix.0.len())
    }

    /// The prefix with its `+`; also the value of a metric's label.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An account of Twilio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwilioProvider {
    /// The base URL; by default Twilio's.
    pub endpoint: String,
    /// Trust only the certificate authorities of this PEM file instead of the platform's.
    pub ca_file: Option<PathBuf>,
    /// The account, `AC…`.
    pub account_sid: String,
    /// Holds the account's token, by which status reports are signed.
    pub auth_token_file: PathBuf,
    /// A key that sends in the account's place.
    pub api_key: Option<TwilioApiKey>,
    /// Whom messages come from.
    pub sender: TwilioSender,
    /// Whether Twilio is asked to report what became of a message.
    pub status_reports: bool,
    /// Whether a message whose outcome is unknown is sent once more.
    pub resend_unknown: bool,
}

/// A key of a Twilio account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwilioApiKey {
    /// Its id, `SK…`.
    pub sid: String,
    /// Holds its secret.
    pub secret_file: PathBuf,
}

/// Whom a message comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TwilioSender {
    /// A number, a short code or a name.
    From(String),
    /// A messaging service, `MG…`, which chooses.
    Service(String),
}

/// A gateway that is described by templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSmsProvider {
    /// Scheme, host and port.
    pub base_url: String,
    /// Path and query.
    pub target: Template,
    /// The method.
    pub http_method: GatewayMethod,
    /// What the body is.
    pub body_format: BodyFormat,
    /// The body; absent with a GET.
    pub body: Option<Template>,
    /// Headers that every request carries, names in small letters.
    pub headers: Vec<(String, String)>,
    /// How the gateway knows us.
    pub access: GatewayAccess,
    /// What `{from}` stands for.
    pub from: String,
    /// Trust only the certificate authorities of this PEM file instead of the platform's.
    pub ca_file: Option<PathBuf>,
    /// What the answer means.
    pub rules: AnswerRules,
    /// Whether a message whose outcome is unknown is sent once more.
    pub resend_unknown: bool,
}

/// How a gateway is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayMethod {
    /// GET; everything stands in the URL.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
}

/// What the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
    /// `application/xml`.
    Xml,
}

/// How a gateway knows us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayAccess {
    /// By our address, or not at all.
    None,
    /// By HTTP Basic.
    Basic(BasicCredentials),
    /// By a token from a file.
    Token {
        /// Holds the token.
        file: PathBuf,
        /// The header that carries it alone; `None` for `Authorization: Bearer`.
        header: Option<String>,
    },
}

/// What an answer of a gateway means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRules {
    /// Where in a JSON answer the patterns look (RFC 6901); `None` for the whole body.
    pub pointer: Option<String>,
    /// Statuses of a message that was taken.
    pub success_statuses: Vec<StatusRange>,
    /// What the answer must say besides.
    pub success_pattern: Option<AnswerPattern>,
    /// Statuses that say that this number will never do.
    pub permanent_statuses: Vec<StatusRange>,
    /// What an answer says then, whatever its status.
    pub permanent_pattern: Option<AnswerPattern>,
    /// Statuses that leave open whether the message was taken.
    pub unclear_statuses: Vec<StatusRange>,
}

/// One status of HTTP, or a class of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    first: u16,
    last: u16,
}

impl StatusRange {
    /// Takes `200`, or `2xx` for a hundred of them.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(class) = text.strip_suffix("xx") {
            let class: u16 = class.parse().ok().filter(|class| (2..=5).contains(class))?;
            return Some(Self { first: class * 100, last: class * 100 + 99 });
        }
        let status: u16 = text.parse().ok().filter(|status| (200..=599).contains(status))?;
        (text.len() == 3).then_some(Self { first: status, last: status })
    }

    /// Whether a status is among both.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether it is among them.
    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

/// A regular expression that an answer is held against.
#[derive(Clone)]
pub struct AnswerPattern(regex::Regex);

impl AnswerPattern {
    /// Most memory of a compiled pattern in bytes.
    const SIZE_BYTES_MAX: usize = 1 << 18;

    /// Compiles a pattern; it is matched in a time linear in the answer.
    pub fn parse(text: &str) -> Result<Self, regex::Error> {
        regex::RegexBuilder::new(text).size_limit(Self::SIZE_BYTES_MAX).build().map(Self)
    }

    /// Whether it is found.
    pub fn is_found_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for AnswerPattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for AnswerPattern {}

impl fmt::Debug for AnswerPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AnswerPattern({:?})", self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_country_or_more_and_no_number() {
        for right in ["+1", "+49", "+1246", "+4915112"] {
            assert_eq!(CountryPrefix::parse(right).expect(right).as_str(), right);
        }
        for wrong in ["", "+", "49", "+0", "0049", "+49151123", "+4 9", "*", "+4x"] {
            assert_eq!(CountryPrefix::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_longest_prefix_counts() {
        let prefix = |text: &str| CountryPrefix::parse(text).expect("a prefix");
        let rules = SmsRules {
            country_prefixes: vec![prefix("+1"), prefix("+1505"), prefix("+49"), prefix("+187612")],
            refused_prefixes: vec![prefix("+1876"), prefix("+150"), prefix("+49151")],
            sends_per_number_per_hour_max: 1,
            sends_per_prefix_per_hour_max: 1,
            sends_per_client_per_hour_max: 1,
        };
        let of = |number: &str| {
            let number = PhoneNumber::parse(number).expect("a number");
            rules.prefix_of(&number).map(|prefix| prefix.as_str().to_owned())
        };
        assert_eq!(of("+15055551234").as_deref(), Some("+1505"), "refused is what is shorter");
        assert_eq!(of("+18765551234"), None, "refused is what is longer");
        assert_eq!(of("+18761251234").as_deref(), Some("+187612"));
        assert_eq!(of("+15095551234"), None);
        assert_eq!(of("+12125551234").as_deref(), Some("+1"));
        assert_eq!(of("+4917112345678").as_deref(), Some("+49"));
        assert_eq!(of("+4915112345678"), None);
        assert_eq!(of("+4315112345678"), None);
    }

    #[test]
    fn a_status_stands_alone_or_for_its_class() {
        let range = |text: &str| StatusRange::parse(text).expect(text);
        assert!(range("2xx").contains(200) && range("2xx").contains(299) && !range("2xx").contains(300));
        assert!(range("404").contains(404) && !range("404").contains(405));
        for wrong in ["", "xx", "1xx", "6xx", "2x", "199", "600", "0200", "+200", "22xx"] {
            assert_eq!(StatusRange::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_pattern_too_large_is_refused() {
        assert!(AnswerPattern::parse("(").is_err());
        assert!(AnswerPattern::parse("((a{100}){100}){100}").is_err());
        assert!(AnswerPattern::parse("^(ok|queued)$").expect("valid").is_found_in("queued"));
    }
}
