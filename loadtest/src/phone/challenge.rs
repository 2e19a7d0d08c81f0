//! What the phone accepts as a challenge, and the screen it makes of it (sections 6 and 7).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::error::Refusal;
use super::jose;
use super::key::{ServerKeySet, from_base64url, hash};

/// What a challenge must say to be for this phone.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// The server.
    pub issuer: &'a str,
    /// This phone.
    pub device_id: &'a str,
    /// The transaction, when it was asked for by id.
    pub transaction_id: Option<&'a str>,
    /// What the phone's keys are for.
    pub uses: &'a [&'a str],
    /// The phone's clock with its offset, in seconds since 1970.
    pub now_s: f64,
}

/// A challenge that the phone may show.
#[derive(Clone, Debug, PartialEq)]
pub struct Challenge {
    /// The transaction.
    pub transaction_id: String,
    /// To be signed with the answer.
    pub nonce: String,
    /// What its user sees.
    pub screen: Screen,
    /// The keys that may approve.
    pub methods: Vec<String>,
    /// How an approval is matched with the portal's screen.
    pub matching: Matching,
    /// Earlier requests that this one took the place of: their prompts go, and the user is told.
    pub replaces: Vec<String>,
}

/// How an approval is matched with the portal's screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matching {
    /// Not at all.
    Off,
    /// The user chooses one of these.
    Choose(Vec<String>),
    /// The user types two digits.
    Type,
}

/// What stands on the screen, and the hidden details. The digest is taken of this and of nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Screen {
    /// The authentication type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Who is asked.
    pub user: ScreenUser,
    /// The app.
    pub app: String,
    /// The title.
    pub title: String,
    /// The message.
    pub message: String,
    /// The longer text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure_message: Option<String>,
    /// The labelled lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Vec<ScreenDetail>>,
    /// Not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_details: Option<BTreeMap<String, String>>,
    /// Where the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScreenUser {
    /// The user's id.
    pub id: String,
    /// The realm.
    pub realm: String,
}

/// A labelled line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScreenDetail {
    /// The label.
    pub label: String,
    /// The value.
    pub value: String,
}

impl Screen {
    /// `dh`: the digest of the canonical form (RFC 8785).
    pub fn digest(&self) -> String {
        hash(
            &serde_json_canonicalizer::to_vec(self).expect("a screen of strings always has a canonical form"),
        )
    }
}

impl Challenge {
    /// Verifies `compact` and makes the screen of it, or refuses.
    pub fn verify(compact: &str, keys: &ServerKeySet, expected: Expectation<'_>) -> Result<Self, Refusal> {
        let claims = Claims(jose::verify(compact, "tocsin-challenge+jwt", keys)?);
        let transaction_id = claims.text("sub")?;
        let for_us = claims.text("iss")? == expected.issuer
            && claims.text("aud")? == expected.device_id
            && expected.transaction_id.is_none_or(|id| id == transaction_id);
        if !for_us {
            return Err(Refusal::NotForUs);
        }
        if claims.0.get("v") != Some(&Value::from(1)) {
            return Err(Refusal::UnknownVersion);
        }
        let made_at_s = claims.seconds("iat")?;
        if jose::kid_of(compact).is_some_and(|kid| keys.is_retired(&kid, made_at_s)) {
            return Err(Refusal::RetiredKey);
        }
        if claims.seconds("exp")? <= expected.now_s {
            return Err(Refusal::Expired);
        }
        let (methods, matching) = (claims.methods(expected.uses)?, claims.matching()?);
        let (nonce, screen, replaces) = (claims.nonce()?, claims.screen()?, claims.replaces()?);
        Ok(Self { transaction_id, nonce, screen, methods, matching, replaces })
    }
}

struct Claims(Map<String, Value>);

impl Claims {
    fn text(&self, name: &'static str) -> Result<String, Refusal> {
        text_of(self.0.get(name), name)
    }

    fn seconds(&self, name: &'static str) -> Result<f64, Refusal> {
        self.0.get(name).and_then(Value::as_f64).ok_or(Refusal::BadClaim(name))
    }

    fn nonce(&self) -> Result<String, Refusal> {
        let nonce = self.text("nonce")?;
        let sixteen_bytes = from_base64url(&nonce).is_some_and(|bytes| bytes.len() == 16);
        if sixteen_bytes { Ok(nonce) } else { Err(Refusal::BadClaim("nonce")) }
    }

    /// One of them must be a key that this phone has.
    fn methods(&self, uses: &[&str]) -> Result<Vec<String>, Refusal> {
        let methods = self.0.get("methods").and_then(Value::as_array).ok_or(Refusal::BadClaim("methods"))?;
        let words: Option<Vec<String>> =
            methods.iter().map(|word| word.as_str().map(str::to_owned)).collect();
        let words = words.ok_or(Refusal::BadClaim("methods"))?;
        if words.iter().any(|word| uses.contains(&word.as_str())) {
            Ok(words)
        } else {
            Err(Refusal::UnknownMethod)
        }
    }

    fn matching(&self) -> Result<Matching, Refusal> {
        match self.text("number_match")?.as_str() {
            "off" => Ok(Matching::Off),
            "type" => Ok(Matching::Type),
            "choose" => self.numbers().map(Matching::Choose),
            _ => Err(Refusal::UnknownMethod),
        }
    }

    /// Three different numbers of two digits.
    fn numbers(&self) -> Result<Vec<String>, Refusal> {
        let numbers = self.0.get("numbers").and_then(Value::as_array).ok_or(Refusal::BadClaim("numbers"))?;
        let mut read: Vec<String> = Vec::new();
        for number in numbers {
            let number = number.as_str().filter(|text| text.len() == 2);
            let number = number.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let number = number.filter(|text| !read.iter().any(|known| known == text));
            read.push(number.ok_or(Refusal::BadClaim("numbers"))?.to_owned());
        }
        if read.len() == 3 { Ok(read) } else { Err(Refusal::BadClaim("numbers")) }
    }

    fn shown(&self, name: &'static str) -> Result<String, Refusal> {
        shown_text(self.0.get(name), name)
    }

    fn shown_if_there(&self, name: &'static str) -> Result<Option<String>, Refusal> {
        self.0.get(name).map(|value| shown_text(Some(value), name)).transpose()
    }

    fn screen(&self) -> Result<Screen, Refusal> {
        let user = self.0.get("user").and_then(Value::as_object).filter(|user| user.len() == 2);
        let user = user.ok_or(Refusal::BadClaim("user"))?;
        Ok(Screen {
            type_name: self.shown("type")?,
            user: ScreenUser {
                id: shown_text(user.get("id"), "user.id")?,
                realm: shown_text(user.get("realm"), "user.realm")?,
            },
            app: self.shown("app")?,
            title: self.shown("title")?,
            message: self.shown("message")?,
            secure_message: self.shown_if_there("secure_message")?,
            details: self.details()?,
            hidden_details: self.hidden_details()?,
            context: self.shown_if_there("context")?,
        })
    }

    fn replaces(&self) -> Result<Vec<String>, Refusal> {
        let Some(ids) = self.0.get("replaces") else { return Ok(Vec::new()) };
        let ids = ids.as_array().filter(|ids| !ids.is_empty()).ok_or(Refusal::BadClaim("replaces"))?;
        ids.iter().map(|id| text_of(Some(id), "replaces")).collect()
    }

    /// A detail with more than label and value holds something that this phone would not show.
    fn details(&self) -> Result<Option<Vec<ScreenDetail>>, Refusal> {
        let Some(details) = self.0.get("details") else { return Ok(None) };
        let detail = |detail: &Value| {
            let members = detail.as_object().filter(|members| members.len() == 2);
            let members = members.ok_or(Refusal::BadClaim("details"))?;
            Ok(ScreenDetail {
                label: shown_text(members.get("label"), "details.label")?,
                value: shown_text(members.get("value"), "details.value")?,
            })
        };
        let details = details.as_array().ok_or(Refusal::BadClaim("details"))?;
        details.iter().map(detail).collect::<Result<_, _>>().map(Some)
    }

    fn hidden_details(&self) -> Result<Option<BTreeMap<String, String>>, Refusal> {
        let Some(hidden) = self.0.get("hidden_details") else { return Ok(None) };
        let entry = |(name, value): (&String, &Value)| {
            text_of(Some(value), "hidden_details").map(|value| (name.clone(), value))
        };
        let hidden = hidden.as_object().ok_or(Refusal::BadClaim("hidden_details"))?;
        hidden.iter().map(entry).collect::<Result<_, _>>().map(Some)
    }
}

fn text_of(value: Option<&Value>, name: &'static str) -> Result<String, Refusal> {
    value.and_then(Value::as_str).map(str::to_owned).ok_or(Refusal::BadClaim(name))
}

fn shown_text(value: Option<&Value>, name: &'static str) -> Result<String, Refusal> {
    let text = text_of(value, name)?;
    if text.chars().all(can_be_shown) { Ok(text) } else { Err(Refusal::CannotShow(name)) }
}

fn can_be_shown(character: char) -> bool {
    let turns_direction = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let separates_lines = matches!(character, '\u{2028}' | '\u{2029}');
    let controls = character.is_control() && character != '\n';
    !(turns_direction || separates_lines || controls)
}
