//! The shapes of values: what each looks like, what is allowed, and the one way from TOML to a checked value.
//!
//! No file is touched here; whether a path leads anywhere is asked by `check`, once the layers are merged.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use tocsin_model::{AppVersion, CallbackUrl, EmailAddress, KeyUse, Language, NameError, RealmName, Secret};
use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use crate::callbacks::{WEBHOOK_SECRETS_MAX, WebhookSecret};
use crate::hint;
use crate::place::{Origin, Place, one_line};
use crate::sms::{AnswerPattern, CountryPrefix, StatusRange};
use crate::template::Template;
use crate::texts::FieldPath;
use crate::types::Right;
use crate::url;
use crate::word::Word;

/// Longest template in characters.
const TEMPLATE_CHARACTERS_MAX: usize = 4_000;

/// Longest password in bytes.
const PASSWORD_BYTES_MAX: usize = 500;

/// What a value looks like.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// An IP address with a port.
    Address,
    /// A door's URL as callers see it.
    PublicUrl,
    /// A provider's base URL.
    Endpoint,
    /// A folder, which need not exist.
    Folder,
    /// A file that must exist.
    File,
    /// A file that must exist and holds a secret.
    CredentialFile,
    /// A file that must exist, holds a secret, and is refused when others than its owner may use it.
    SecretFile,
    /// The name of an environment variable that is not ours.
    Variable,
    /// A whole number.
    Integer {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A text for people, without control characters.
    Text {
        /// The longest.
        characters_max: usize,
    },
    /// A name that the operator gave.
    Name,
    /// A list.
    List(Item),
    /// A team id or key id of Apple.
    AppleId,
    /// The id of an iOS app.
    BundleId,
    /// The name of an Android app.
    PackageName,
    /// A version of an app.
    AppVersion,
    /// A host name, perhaps with a port.
    Host,
    /// A host's name in the DNS, in small letters.
    DomainName,
    /// An e-mail address.
    EmailAddress,
    /// A host name or an IP address, without scheme, port and brackets.
    BareHost,
    /// The scheme of a URL.
    Scheme,
    /// A SHA-256 in hex, the hash of a secret.
    Digest,
    /// A URL that outcomes are posted to.
    CallbackUrl,
    /// A password for somebody else's server.
    Password,
    /// What webhooks are signed with.
    WebhookSecrets,
    /// The URL of a server that knows places, with `{ip}` in it.
    LocationUrl,
    /// The names that lead to a member of a JSON object.
    FieldPath,
    /// An id of Twilio: these two letters and 32 hex digits.
    TwilioSid(&'static str),
    /// Where a gateway is asked, with placeholders in path or query.
    GatewayUrl,
    /// A text with placeholders for a request's body.
    Template,
    /// The name of a header, in small letters.
    HeaderName,
    /// A place in a JSON text (RFC 6901).
    JsonPointer,
    /// A regular expression.
    Pattern,
}

/// What stands in a list.
#[derive(Clone, Copy)]
pub(crate) enum Item {
    /// A name.
    Name,
    /// A name, or `*` alone.
    NameOrAll,
    /// An IP network or a single address.
    Network,
    /// A host's name in the DNS.
    HostName,
    /// A host's name in the DNS, with all below it, or an IP network.
    NoProxy,
    /// A SHA-256 in hex of something that is no secret.
    Digest,
    /// The use of a key.
    KeyUse,
    /// The id of an app's own way of approving.
    CustomId,
    /// A right of a client.
    Right,
    /// A language.
    Language,
    /// A program or one of its arguments; the same one may stand twice.
    Argument,
    /// The beginning of telephone numbers.
    CountryPrefix,
    /// A status of HTTP or a class of them.
    Status,
    /// A header with its value.
    Header,
}

/// A checked value. No debug form: one of them may be the hash of a secret.
#[derive(Clone)]
pub(crate) enum Value {
    /// For [`Shape::Address`].
    Address(SocketAddr),
    /// For all shapes that are texts.
    Text(String),
    /// For folders and files, resolved.
    Path(PathBuf),
    /// For [`Shape::Integer`].
    Integer(u64),
    /// For [`Shape::Flag`].
    Flag(bool),
    /// For [`Shape::List`].
    List(Vec<Element>),
    /// For [`Shape::Digest`].
    Digest([u8; 32]),
    /// For [`Shape::Password`].
    Password(Secret<String>),
    /// For [`Shape::WebhookSecrets`].
    WebhookSecrets(Vec<WebhookSecret>),
}

/// One element of a list, with its own place.
#[derive(Clone)]
pub(crate) struct Element {
    /// What it says.
    pub(crate) text: String,
    /// Where.
    pub(crate) place: Place,
}

impl Shape {
    /// Reads a value of this shape, or says all that is wrong with it.
    pub(crate) fn read(
        self,
        value: &Spanned<DeValue<'_>>,
        origin: &Origin<'_>,
    ) -> Result<Value, Vec<(Place, String)>> {
        let place = || origin.place(value.span());
        match self {
            Self::List(item) => item.read_list(value, origin),
            Self::WebhookSecrets => {
                webhook_secrets(value.get_ref()).ok_or_else(|| vec![(place(), format!("must be {self}"))])
            }
            Self::Integer { min, max } => {
                self.integer(value.get_ref(), min, max).map_err(|why| vec![(place(), why)])
            }
            Self::Flag => match value.get_ref().as_bool() {
                Some(flag) => Ok(Value::Flag(flag)),
                None => Err(vec![(place(), self.mismatch(value.get_ref()))]),
            },
            _ => match value.get_ref().as_str() {
                Some(text) => self.text(text, origin).map_err(|why| vec![(place(), why)]),
                None => Err(vec![(place(), self.mismatch(value.get_ref()))]),
            },
        }
    }

    /// Whether its values are written in TOML in the environment too; texts are taken as they are.
    pub(crate) const fn is_toml_in_environment(self) -> bool {
        matches!(self, Self::Integer { .. } | Self::Flag | Self::List(_) | Self::WebhookSecrets)
    }

    fn mismatch(self, value: &DeValue<'_>) -> String {
        format!("must be {self}, is {}", type_name(value))
    }

    fn integer(self, value: &DeValue<'_>, min: u64, max: u64) -> Result<Value, String> {
        let number = value.as_integer().ok_or_else(|| self.mismatch(value))?;
        match to_u64(number) {
            Some(number) if (min..=max).contains(&number) => Ok(Value::Integer(number)),
            Some(_) | None => Err(format!("must be {self}, is {number}")),
        }
    }

    fn text(self, text: &str, origin: &Origin<'_>) -> Result<Value, String> {
        let wrong = || format!("must be {self}");
        let kept_if = |fits: bool| if fits { Ok(Value::Text(text.to_owned())) } else { Err(wrong()) };
        match self {
            Self::Address => text.parse().map(Value::Address).map_err(|_| wrong()),
            Self::PublicUrl => {
                url::public(text).map(Value::Text).map_err(|allowed| format!("must be {allowed}"))
            }
            Self::Endpoint => {
                url::endpoint(text).map(Value::Text).map_err(|allowed| format!("must be {allowed}"))
            }
            Self::Folder | Self::File | Self::CredentialFile | Self::SecretFile => {
                let fits = !text.is_empty() && !text.chars().any(char::is_control);
                if fits { Ok(Value::Path(origin.resolve(text))) } else { Err(wrong()) }
            }
            Self::Choice(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
            Self::Choice(words) => Err(format!("must be {self}, is {text:?}{}", did_you_mean(text, words))),
            Self::Text { characters_max } => kept_if(is_plain_text(text, characters_max)),
            Self::Name => match text.parse::<RealmName>() {
                Ok(_) => Ok(Value::Text(text.to_owned())),
                Err(rule) => Err(not_a_name(text, rule)),
            },
            Self::AppleId => {
                let is_upper_case = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
                kept_if(text.len() == 10 && text.bytes().all(is_upper_case))
            }
            Self::BundleId => kept_if(is_bundle_id(text)),
            Self::PackageName => kept_if(text.contains('.') && is_app_id(text, b"_.")),
            Self::Variable => kept_if(is_foreign_variable(text)),
            Self::AppVersion => kept_if(AppVersion::new(text).is_some()),
            Self::Host => kept_if(url::is_host(text)),
            Self::DomainName => {
                kept_if(url::is_host_name(text) && !text.bytes().any(|byte| byte.is_ascii_uppercase()))
            }
            Self::BareHost => kept_if(url::is_bare_host(text)),
            Self::EmailAddress => kept_if(EmailAddress::parse(text).is_some()),
            Self::Scheme => kept_if(url::is_scheme(text)),
            Self::Digest => hex_digest(text).map(Value::Digest).ok_or_else(wrong),
            Self::CallbackUrl => match CallbackUrl::parse(text) {
                Ok(_) => Ok(Value::Text(text.to_owned())),
                Err(why) => Err(format!("must be {self}: {why}")),
            },
            Self::Password => {
                let fits =
                    (1..=PASSWORD_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
                if fits { Ok(Value::Password(Secret::new(text.to_owned()))) } else { Err(wrong()) }
            }
            Self::LocationUrl => {
                url::location(text).map(Value::Text).map_err(|allowed| format!("must be {allowed}"))
            }
            Self::FieldPath => kept_if(FieldPath::parse(text).is_some()),
            Self::TwilioSid(prefix) => {
                let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                kept_if(text.strip_prefix(prefix).is_some_and(|digits| digits.len() == 32 && is_hex(digits)))
            }
            Self::GatewayUrl => match url::gateway(text) {
                Ok(_) => Ok(Value::Text(text.to_owned())),
                Err(allowed) => Err(format!("must be {allowed}")),
            },
            Self::Template => template(text).map(|()| Value::Text(text.to_owned())),
            Self::HeaderName => kept_if(is_header_name(text)),
            Self::JsonPointer => kept_if(text.starts_with('/') && is_plain_text(text, 200)),
            Self::Pattern => match AnswerPattern::parse(text) {
                Ok(_) => Ok(Value::Text(text.to_owned())),
                Err(why) => Err(format!("must be {self}: {}", one_line(&why.to_string()))),
            },
            Self::Integer { .. } | Self::Flag | Self::List(_) | Self::WebhookSecrets => Err(wrong()),
        }
    }
}

impl Item {
    fn read_list(
        self,
        value: &Spanned<DeValue<'_>>,
        origin: &Origin<'_>,
    ) -> Result<Value, Vec<(Place, String)>> {
        let Some(array) = value.get_ref().as_array() else {
            return Err(vec![(origin.place(value.span()), Shape::List(self).mismatch(value.get_ref()))]);
        };
        let mut elements = Vec::new();
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for element in array.iter() {
            let place = origin.place(element.span());
            match self.element(element.get_ref(), array.len()) {
                Ok(text) if seen.insert(text.clone()) || matches!(self, Self::Argument) => {
                    elements.push(Element { text, place })
                }
                Ok(text) => problems.push((place, format!("{text:?} is listed twice"))),
                Err(why) => problems.push((place, why)),
            }
        }
        let may_not_be_empty = matches!(self, Self::KeyUse | Self::Argument | Self::CountryPrefix);
        if elements.is_empty() && problems.is_empty() && may_not_be_empty {
            problems.push((origin.place(value.span()), format!("must be {}, is empty", Shape::List(self))));
        }
        if problems.is_empty() { Ok(Value::List(elements)) } else { Err(problems) }
    }

    fn element(self, value: &DeValue<'_>, list_length: usize) -> Result<String, String> {
        let text = value.as_str().ok_or_else(|| Shape::List(self).mismatch(value))?;
        match self {
            Self::NameOrAll if text == "*" && list_length == 1 => {}
            Self::NameOrAll if text == "*" => return Err("\"*\" must stand alone".to_owned()),
            Self::Name | Self::NameOrAll => {
                text.parse::<RealmName>().map_err(|rule| not_a_name(text, rule))?;
            }
            Self::Network => return network(text),
            Self::HostName if url::is_host_name(text) => return Ok(text.to_ascii_lowercase()),
            Self::HostName => return Err(format!("must be {}, is {text:?}", Shape::List(self))),
            Self::NoProxy => return no_proxy(text),
            Self::Digest => {
                hex_digest(text).ok_or_else(|| format!("must be {}", Shape::List(self)))?;
                return Ok(text.to_ascii_lowercase());
            }
            Self::KeyUse => {
                KeyUse::parse(text).ok_or_else(|| format!("must be {}, is {text:?}", Shape::List(self)))?;
            }
            Self::Language => {
                let language = text.parse::<Language>();
                return language
                    .map(|language| language.to_string())
                    .map_err(|_| format!("must be {}, is {text:?}", Shape::List(self)));
            }
            Self::Argument => {
                if text.is_empty() || text.chars().any(char::is_control) {
                    return Err(format!("must be {}", Shape::List(self)));
                }
            }
            Self::CountryPrefix => {
                CountryPrefix::parse(text)
                    .ok_or_else(|| format!("must be {}, is {text:?}", Shape::List(self)))?;
            }
            Self::Status => {
                StatusRange::parse(text)
                    .ok_or_else(|| format!("must be {}, is {text:?}", Shape::List(self)))?;
            }
            Self::Header => {
                header(text).ok_or_else(|| format!("must be {}", Shape::List(self)))?;
            }
            Self::CustomId => {
                KeyUse::parse(&format!("custom:{text}"))
                    .ok_or_else(|| format!("must be {}, is {text:?}", Shape::List(self)))?;
            }
            Self::Right => {
                Right::parse(text).ok_or_else(|| {
                    format!("must be {}, is {text:?}{}", Shape::List(self), did_you_mean(text, Right::WORDS))
                })?;
            }
        }
        Ok(text.to_owned())
    }
}

/// What is allowed, to stand after "must be".
impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => formatter.write_str("an IP address and port, such as \"127.0.0.1:8440\""),
            Self::PublicUrl | Self::Endpoint | Self::LocationUrl => formatter.write_str("a URL in quotes"),
            Self::Folder => formatter.write_str("the path of a folder in quotes"),
            Self::File | Self::CredentialFile | Self::SecretFile => {
                formatter.write_str("the path of a file in quotes")
            }
            Self::Variable => formatter.write_str(
                "the name of an environment variable, of A-Z, 0-9 and '_', that does not begin with TOCSIN_",
            ),
            Self::Integer { min, max } => write!(formatter, "a whole number from {min} to {max}"),
            Self::Flag => formatter.write_str("true or false"),
            Self::Choice([word]) => write!(formatter, "\"{word}\""),
            Self::Choice(words) => write!(formatter, "one of \"{}\"", words.join("\", \"")),
            Self::Text { characters_max } => {
                write!(formatter, "a text of 1 to {characters_max} characters without control characters")
            }
            Self::Name => formatter.write_str("a name in quotes"),
            Self::List(Item::Name) => formatter.write_str("a list of names, such as [\"one\", \"two\"]"),
            Self::List(Item::NameOrAll) => formatter.write_str("a list of names, or [\"*\"] for all"),
            Self::List(Item::Network) => formatter
                .write_str("a list of networks, such as [\"10.1.0.0/16\", \"2001:db8::/32\", \"192.0.2.7\"]"),
            Self::List(Item::HostName) => {
                formatter.write_str("a list of DNS names, such as [\"portal.example.com\"]")
            }
            Self::List(Item::NoProxy) => formatter.write_str(
                "a list of DNS names, networks and addresses, such as [\"bank.example\", \"10.0.0.0/8\"]",
            ),
            Self::List(Item::Digest) => formatter.write_str("a list of texts of 64 hex digits"),
            Self::List(Item::KeyUse) => formatter
                .write_str("a list of at least one of \"device\", \"pin\", \"biometric\", \"custom:ID\""),
            Self::CallbackUrl => formatter.write_str("a URL to call back, such as \"https://portal.example.com/done\""),
            Self::Password => formatter.write_str("a text of 1 to 500 bytes without control characters"),
            Self::WebhookSecrets => formatter.write_str(
                "a list of one or two different secrets, each \"whsec_\" and 24 to 64 bytes in base64, as `tocsin client \
                 new` prints them",
            ),
            Self::List(Item::CustomId) => formatter
                .write_str("a list of ids of 1 to 32 letters, digits, '-' and '_', such as [\"face\"]"),
            Self::List(Item::Right) => write!(formatter, "a list of \"{}\"", Right::WORDS.join("\", \"")),
            Self::List(Item::Language) => {
                formatter.write_str("a list of languages, such as [\"en\", \"nl\", \"de-CH\"]")
            }
            Self::FieldPath => formatter.write_str(
                "the name of a member of a JSON object, with those around it before it, such as \"location.city\"",
            ),
            Self::List(Item::Argument) => formatter
                .write_str("a list with the path of a program and its arguments, such as [\"/usr/bin/vault\", \"read\"]"),
            Self::AppleId => formatter.write_str("ten characters of A-Z and 0-9, as Apple's developer site shows it"),
            Self::BundleId => {
                formatter.write_str("1 to 155 characters of letters, digits, '-' and '.', such as \"com.example.bank\"")
            }
            Self::PackageName => formatter.write_str(
                "2 to 155 characters of letters, digits, '_' and '.', with at least one '.', such as \"com.example.bank\"",
            ),
            Self::AppVersion => formatter.write_str("a version of 1 to 32 visible ASCII characters, such as \"4.2\""),
            Self::Host => formatter.write_str("a host in small letters, perhaps with a port, such as \"app.example.com\""),
            Self::DomainName => formatter.write_str("a DNS name in small letters, such as \"www.example.com\""),
            Self::EmailAddress => formatter.write_str("an e-mail address, such as \"no-reply@bank.example\""),
            Self::BareHost => formatter.write_str(
                "a host name or an IP address without scheme and port, such as \"proxy.example.com\"",
            ),
            Self::Scheme => formatter.write_str("the scheme of a URL in small letters, such as \"https\" or \"com.example.bank\""),
            Self::TwilioSid(prefix) => write!(formatter, "{prefix} and 32 hex digits, as Twilio's console shows it"),
            Self::GatewayUrl => formatter.write_str("a URL in quotes"),
            Self::Template => formatter
                .write_str("a text of 1 to 4000 characters, perhaps with {to}, {text}, {from} and {ref}"),
            Self::HeaderName => formatter.write_str(
                "the name of a header in small letters, such as \"x-api-key\", and none that HTTP itself needs",
            ),
            Self::JsonPointer => formatter.write_str("a JSON pointer, such as \"/messages/0/status\""),
            Self::Pattern => formatter.write_str("a regular expression, such as \"^(ok|queued)$\""),
            Self::List(Item::CountryPrefix) => formatter.write_str(
                "a list of at least one beginning of telephone numbers, \"+\" and 1 to 7 digits, such as [\"+49\"]",
            ),
            Self::List(Item::Status) => {
                formatter.write_str("a list of statuses or classes of them, such as [\"200\", \"4xx\"]")
            }
            Self::List(Item::Header) => formatter.write_str(
                "a list of headers, each a name in small letters and a value, such as [\"x-account: 7\"], and none that \
                 HTTP itself needs; secrets belong into token_file",
            ),
            Self::Digest => formatter.write_str("64 hex digits, as `tocsin client new` and `tocsin token new` print them"),
        }
    }
}

/// Headers that are made for each request, or that lead it elsewhere.
const RESERVED_HEADERS: [&str; 10] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn is_header_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=100).contains(&text.len()) && text.bytes().all(fits) && !RESERVED_HEADERS.contains(&text)
}

/// Name and value of `name: value`.
pub(crate) fn header(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once(':')?;
    let value = value.trim();
    let fits = (1..=500).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        && is_header_name(name);
    fits.then_some((name, value))
}

/// Lines and tabs are allowed: bodies may be written over several lines.
fn template(text: &str) -> Result<(), String> {
    let fits = |character: char| !character.is_control() || matches!(character, '\n' | '\t');
    if text.trim().is_empty() || text.chars().count() > TEMPLATE_CHARACTERS_MAX || !text.chars().all(fits) {
        return Err(format!("must be {}", Shape::Template));
    }
    match Template::parse(text) {
        Ok(_) => Ok(()),
        Err(name) => {
            Err(format!("has {{{name}}}, but only {{to}}, {{text}}, {{from}} and {{ref}} can be put in"))
        }
    }
}

/// Nothing of the value is repeated in a message.
fn webhook_secrets(value: &DeValue<'_>) -> Option<Value> {
    let mut secrets: Vec<WebhookSecret> = Vec::new();
    for element in value.as_array()?.iter() {
        let secret = WebhookSecret::parse(element.get_ref().as_str()?)?;
        if secrets.contains(&secret) || secrets.len() == WEBHOOK_SECRETS_MAX {
            return None;
        }
        secrets.push(secret);
    }
    Some(Value::WebhookSecrets(secrets))
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn to_u64(number: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(number.as_str().trim_start_matches('+'), number.radix()).ok()
}

fn did_you_mean(text: &str, words: &[&'static str]) -> String {
    hint::nearest(text, words.iter().copied())
        .map_or(String::new(), |word| format!("; did you mean \"{word}\"?"))
}

/// The message for a text that is no name.
pub(crate) fn not_a_name(text: &str, rule: NameError) -> String {
    format!("{text:?} is not a name: {rule}")
}

fn is_plain_text(text: &str, characters_max: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= characters_max && !text.chars().any(char::is_control)
}

fn is_foreign_variable(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let begins_well = text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    begins_well && text.len() <= 100 && text.bytes().all(fits) && !text.starts_with("TOCSIN_")
}

/// Whether a text can be the id of an iOS app.
pub(crate) fn is_bundle_id(text: &str) -> bool {
    is_app_id(text, b"-.")
}

fn is_app_id(text: &str, punctuation: &[u8]) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || punctuation.contains(&byte);
    (1..=155).contains(&text.len())
        && text.bytes().all(fits)
        && !text.starts_with('.')
        && !text.ends_with('.')
}

/// A network in its one spelling. Bits beyond the prefix are refused: one of the two was meant otherwise.
fn network(text: &str) -> Result<String, String> {
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = parsed.map_err(|_| format!("must be {}, is {text:?}", Shape::List(Item::Network)))?;
    if network.trunc() != network {
        return Err(format!("{text:?} has bits beyond its prefix; write \"{}\"", network.trunc()));
    }
    Ok(network.to_string())
}

/// A name or a network in its one spelling. What resolvers read as an address is none of a host.
fn no_proxy(text: &str) -> Result<String, String> {
    let looks_like_network = text.contains(['/', ':']) || url::ends_in_a_number(text);
    if looks_like_network {
        return network(text).map_err(|_| format!("must be {}, is {text:?}", Shape::List(Item::NoProxy)));
    }
    if !url::is_host_name(text) {
        return Err(format!("must be {}, is {text:?}", Shape::List(Item::NoProxy)));
    }
    Ok(text.to_ascii_lowercase())
}

pub(crate) fn hex_digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}
