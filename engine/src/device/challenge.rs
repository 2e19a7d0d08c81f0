//! The challenge: what the server signs for one phone, and the digest of what the phone shows.
//!
//! Both are computed anew from the record whenever they are needed and stored nowhere. The challenge holds no
//! digest: the phone computes it from what it shows, so that its signature covers what its user saw.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Serialize;
use tocsin_model::{
    AppName, ContentLimits, Detail, DeviceId, ErrorCode, KeyUse, NAME_BYTES_MAX, NameError, Nonce,
    NumberMatchRule, Platform, Problem, Recipient, Transaction, TypeName, UnixMs, User, UserId,
};

use super::encoding::nonce_text;
use super::jwk::sha256;

/// The version of the challenge's claims.
const CHALLENGE_VERSION: u32 = 1;

/// Most earlier requests that a challenge names as replaced by it, the newest first.
const REPLACES_TOLD_MAX: usize = 10;

/// What the phone shows and its answer covers; also the member `shown` of the portal's view. Absent members are
/// left out, and every leaf is a string. Only what nobody has claimed yet has no user, and that is shown to no phone.
///
/// Members stand in the order of their names, here and in what they hold: so [`Shown::digest`] writes the canonical
/// form as it goes.
#[derive(Clone, Debug, Serialize)]
pub struct Shown<'a> {
    app: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<ShownDetail<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    hidden_details: BTreeMap<&'a str, &'a str>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secure_message: Option<&'a str>,
    title: &'a str,
    #[serde(rename = "type")]
    type_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<ShownUser<'a>>,
}

#[derive(Clone, Debug, Serialize)]
struct ShownUser<'a> {
    id: &'a str,
    realm: &'a str,
}

#[derive(Clone, Debug, Serialize)]
struct ShownDetail<'a> {
    label: &'a str,
    value: &'a str,
}

impl<'a> Shown<'a> {
    /// What a phone with `app` shows of `transaction`.
    pub fn of(transaction: &'a Transaction, app: &'a AppName) -> Self {
        let type_name: &TypeName = &transaction.type_name;
        let user = |user: &'a User| ShownUser { id: user.id.as_str(), realm: user.realm.as_str() };
        let (content, particulars) = (&transaction.content, transaction.content.particulars());
        let detail = |detail: &'a Detail| ShownDetail { label: &detail.label, value: &detail.value };
        Self {
            type_name: type_name.as_str(),
            user: transaction.user.as_ref().map(user),
            app: app.as_str(),
            title: &content.title,
            message: &content.message,
            secure_message: particulars.secure_message.as_deref(),
            details: particulars.details.iter().map(detail).collect(),
            hidden_details: particulars
                .hidden_details
                .iter()
                .map(|entry| (&*entry.label, &*entry.value))
                .collect(),
            context: particulars.context.as_deref(),
        }
    }

    /// `dh`: SHA-256 over the canonical form (RFC 8785).
    pub fn digest(&self) -> [u8; 32] {
        sha256(&self.canonical())
    }

    /// Compact JSON escapes strings as RFC 8785 does (section 3.2.2.2), so that only the order of members is left. Ours
    /// is given by this type; labels of a portal's choice sort alike by bytes and by UTF-16 as long as they are ASCII.
    fn canonical(&self) -> Vec<u8> {
        if self.hidden_details.keys().all(|label| label.is_ascii()) {
            return serde_json::to_vec(self).expect("an object whose leaves are strings always serialises");
        }
        serde_json_canonicalizer::to_vec(self)
            .expect("an object whose leaves are strings always has a canonical form")
    }
}

#[derive(Serialize)]
struct ChallengeClaims<'a> {
    iss: &'a str,
    sub: String,
    aud: String,
    iat: u64,
    exp: u64,
    nonce: String,
    v: u32,
    #[serde(flatten)]
    shown: Shown<'a>,
    methods: Vec<String>,
    number_match: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    numbers: Option<[String; 3]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replaces: Vec<String>,
}

impl<'a> ChallengeClaims<'a> {
    fn of(transaction: &'a Transaction, recipient: &'a Recipient, issuer: &'a str, now: UnixMs) -> Self {
        Self {
            iss: issuer,
            sub: transaction.id.to_string(),
            aud: recipient.device_id.to_string(),
            iat: now.seconds(),
            // Rounded up: a phone must not put a challenge away that is still open.
            exp: transaction.expires_at.get().div_ceil(1_000),
            nonce: nonce_text(&recipient.nonce),
            v: CHALLENGE_VERSION,
            shown: Shown::of(transaction, &recipient.app),
            methods: transaction.accepted_keys.iter().map(KeyUse::to_string).collect(),
            number_match: transaction.number().map_or(NumberMatchRule::Off, |number| number.rule()).as_str(),
            numbers: transaction
                .number()
                .and_then(|number| number.choices)
                .map(|choices| choices.map(|number| number.to_string())),
            replaces: transaction
                .replaces()
                .iter()
                .take(REPLACES_TOLD_MAX)
                .map(ToString::to_string)
                .collect(),
        }
    }
}

/// The claims of the challenge as JSON, to be signed as [`super::TokenType::Challenge`] by the server's key.
pub fn challenge_payload(
    transaction: &Transaction,
    recipient: &Recipient,
    issuer: &str,
    now: UnixMs,
) -> Vec<u8> {
    serde_json::to_vec(&ChallengeClaims::of(transaction, recipient, issuer, now))
        .expect("claims of strings and whole numbers always serialise")
}

/// Refuses a transaction whose challenge would be too large for some phone, before anything is stored:
/// 422 `content_too_large`.
pub fn check_challenge_size(transaction: &Transaction, issuer: &str) -> Result<(), Problem> {
    if claims_bytes_at_most(transaction, issuer) <= ContentLimits::CLAIMS_BYTES_MAX {
        return Ok(());
    }
    let bytes = |recipient| challenge_payload(transaction, recipient, issuer, transaction.created_at).len();
    let longest = transaction.recipients.iter().map(bytes).max().unwrap_or(0);
    if longest <= ContentLimits::CLAIMS_BYTES_MAX {
        return Ok(());
    }
    let detail = format!(
        "the claims of the challenge come to {longest} bytes of JSON; {} are allowed",
        ContentLimits::CLAIMS_BYTES_MAX
    );
    Err(Problem::new(ErrorCode::ContentTooLarge, detail))
}

/// No challenge of this transaction has more bytes of claims: few come near the limit, and those alone are written out
/// to be measured.
fn claims_bytes_at_most(transaction: &Transaction, issuer: &str) -> usize {
    let (content, particulars) = (&transaction.content, transaction.content.particulars());
    let labelled = particulars.details.iter().map(|detail| (&*detail.label, &*detail.value));
    let hidden = particulars.hidden_details.iter().map(|detail| (&*detail.label, &*detail.value));
    let pairs: usize = labelled
        .chain(hidden)
        .map(|(label, value)| PAIR_BYTES + JSON_BYTES_PER_BYTE * (label.len() + value.len()))
        .sum();
    let user = transaction.user.as_ref().map_or(0, |user| user.id.as_str().len() + user.realm.as_str().len());
    let texts = content.title.len()
        + content.message.len()
        + particulars.secure_message.as_deref().map_or(0, str::len)
        + particulars.context.as_deref().map_or(0, str::len);
    let apps = transaction.recipients.iter().map(|recipient| recipient.app.as_str().len()).max().unwrap_or(0);
    let names = transaction.type_name.as_str().len() + apps + issuer.len() + user;
    let keys: usize = transaction.accepted_keys.iter().map(|key_use| 3 + key_use.to_string().len()).sum();
    let replaces = transaction.replaces().len().min(REPLACES_TOLD_MAX) * ID_BYTES;
    CLAIMS_FRAME_BYTES + JSON_BYTES_PER_BYTE * (texts + names) + pairs + keys + replaces
}

/// What one byte of a text comes to in JSON at the most: `\u001f`.
const JSON_BYTES_PER_BYTE: usize = 6;

/// A pair of two empty texts in JSON, with its comma.
const PAIR_BYTES: usize = 24;

/// An id in JSON, with its comma.
const ID_BYTES: usize = 39;

/// Claims that say nothing: names of members, ids, times, nonce, numbers.
const CLAIMS_FRAME_BYTES: usize = 640;

/// The same for one that nobody has claimed yet: it must fit whoever does, with the longest names that there are.
pub fn check_size_for_any_claimer(transaction: &Transaction, issuer: &str) -> Result<(), Problem> {
    // In JSON a quotation mark takes two bytes, and nothing that an id may hold takes more for each of its own.
    let id = UserId::from_stored(&"\"".repeat(UserId::BYTES_MAX));
    let user = Some(User { realm: longest_name(), id });
    let recipient = Recipient {
        device_id: DeviceId::from_bytes([0; 16]),
        device_name: "".into(),
        platform: Platform::Other,
        app: longest_name(),
        nonce: Nonce::from_bytes([0; 16]),
        delivery: None,
    };
    let claimed = Transaction { user, recipients: vec![recipient], ..transaction.clone() };
    check_challenge_size(&claimed, issuer)
}

fn longest_name<N: FromStr<Err = NameError>>() -> N {
    "a".repeat(NAME_BYTES_MAX).parse().expect("letters are a name up to its longest")
}

#[cfg(test)]
#[path = "challenge_tests.rs"]
mod tests;
