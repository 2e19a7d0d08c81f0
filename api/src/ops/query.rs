//! Parameters that several lists take.

use std::str::FromStr;

use jiff::Timestamp;
use tocsin_config::{Config, Realm};
use tocsin_model::{ErrorCode, Problem, RealmName, UnixMs, User, UserId};

use crate::door::Query;

/// A value that has a form of its own, such as an id.
pub(super) fn parsed<T: FromStr>(query: &Query, name: &'static str) -> Result<Option<T>, Problem> {
    let refused = || Problem::new(ErrorCode::InvalidField, "there is nothing of this form").with_field(name);
    query.text(name).map(|text| text.parse().map_err(|_| refused())).transpose()
}

/// A time in RFC 3339.
pub(super) fn time(query: &Query, name: &'static str) -> Result<Option<UnixMs>, Problem> {
    let Some(text) = query.text(name) else { return Ok(None) };
    let parsed = text.parse::<Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
    let refused = || {
        let detail = "this must be a time as in 2030-01-31T12:00:00Z; a plus sign is written %2B";
        Problem::new(ErrorCode::InvalidField, detail).with_field(name)
    };
    parsed.map(UnixMs::new).map(Some).ok_or_else(refused)
}

/// `user` with `realm`, as at the portal door: an operator has no realm of its own, so `realm` may be left out only
/// where the id ends in `@` and a realm, or where there is just one realm.
pub(super) fn user(config: &Config, query: &Query) -> Result<Option<User>, Problem> {
    let realm = query.text("realm");
    match query.text("user") {
        Some(text) => user_of(config, text, realm).map(Some),
        None if realm.is_some() => {
            Err(Problem::new(ErrorCode::FieldRequired, "a realm alone names nobody").with_field("user"))
        }
        None => Ok(None),
    }
}

/// The user of this name in this realm.
pub(super) fn user_of(config: &Config, text: &str, realm: Option<&str>) -> Result<User, Problem> {
    let no_realm = || Problem::new(ErrorCode::InvalidField, "there is no such realm").with_field("realm");
    let find =
        |name: &str| name.parse::<RealmName>().ok().and_then(|name| config.realms.get_key_value(&name));
    let named = text.rsplit_once('@').and_then(|(id, name)| find(name).map(|found| (id, found)));
    let (id, (name, rule)): (&str, (&RealmName, &Realm)) = match (named, realm) {
        (Some((id, found)), None) => (id, found),
        (Some((id, found)), Some(realm)) if found.0.as_str() == realm => (id, found),
        (Some(_), Some(_)) => return Err(contradiction()),
        (None, Some(realm)) => (text, find(realm).ok_or_else(no_realm)?),
        (None, None) => (text, only_realm(config)?),
    };
    let id = UserId::new(id, rule.user_id_rule)
        .map_err(|error| Problem::new(ErrorCode::InvalidField, error.to_string()).with_field("user"))?;
    Ok(User { realm: name.clone(), id })
}

fn contradiction() -> Problem {
    Problem::new(ErrorCode::InvalidField, "this contradicts the realm behind the @").with_field("realm")
}

fn only_realm(config: &Config) -> Result<(&RealmName, &Realm), Problem> {
    let mut realms = config.realms.iter();
    match (realms.next(), realms.next()) {
        (Some(only), None) => Ok(only),
        _ => {
            Err(Problem::new(ErrorCode::FieldRequired, "there are several realms; name one")
                .with_field("realm"))
        }
    }
}
