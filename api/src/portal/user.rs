//! Users as portals name them: `"alice"`, `"alice@retail"` or `{"id","realm"}`, normalised once, here.

use serde_json::Value;
use tocsin_model::{ErrorCode, Problem, RealmName, User, UserId};

use super::caller::Caller;
use crate::door::Fields;

/// The member of bodies.
const USER: &str = "user";

/// The user that a body names.
pub(super) fn user_of_body(caller: &Caller, fields: &Fields<'_>) -> Result<User, Problem> {
    match fields.value(USER) {
        None => Err(fields.missing(USER)),
        Some(Value::String(text)) => user_of_text(caller, text),
        Some(Value::Object(_)) => user_of_object(caller, fields),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            Err(fields.malformed(USER, "this must be a string or an object"))
        }
    }
}

/// The user that a path names, with `realm` from the query.
pub(super) fn user_of_path(caller: &Caller, text: &str, realm: Option<&str>) -> Result<User, Problem> {
    let Some(realm) = realm else { return user_of_text(caller, text) };
    let realm = visible_realm(caller, realm)?;
    match split(caller, text) {
        (id, Some(named)) if named == realm => user(caller, id, realm),
        (_, Some(_)) => {
            let detail = "this contradicts the realm in the path";
            Err(Problem::new(ErrorCode::InvalidField, detail).with_field("realm"))
        }
        (id, None) => user(caller, id, realm),
    }
}

fn user_of_text(caller: &Caller, text: &str) -> Result<User, Problem> {
    match split(caller, text) {
        (id, Some(realm)) => user(caller, id, realm),
        (id, None) => user(caller, id, caller.client.default_realm.clone()),
    }
}

fn user_of_object(caller: &Caller, fields: &Fields<'_>) -> Result<User, Problem> {
    let Some(object) = fields.object(USER)? else { return Err(fields.missing(USER)) };
    object.only(&["id", "realm"])?;
    let id = object.required_text("id")?;
    let realm = visible_realm(caller, object.required_text("realm")?)?;
    user(caller, id, realm).map_err(|problem| match problem.code {
        ErrorCode::InvalidField => problem.with_field("user.id"),
        _ => problem,
    })
}

/// What follows the last `@` is a realm only if it is one that the client sees; any other `@` belongs to the id.
fn split<'t>(caller: &Caller, text: &'t str) -> (&'t str, Option<RealmName>) {
    let parts = text.rsplit_once('@').and_then(|(id, realm)| Some((id, realm.parse::<RealmName>().ok()?)));
    match parts {
        Some((id, realm)) if caller.sees_realm(&realm) => (id, Some(realm)),
        _ => (text, None),
    }
}

/// A realm that is foreign or not there is 404, as all that is foreign.
fn visible_realm(caller: &Caller, name: &str) -> Result<RealmName, Problem> {
    name.parse().ok().filter(|realm| caller.sees_realm(realm)).ok_or_else(Problem::not_found)
}

fn user(caller: &Caller, id: &str, realm: RealmName) -> Result<User, Problem> {
    let configured = caller.config.realms.get(&realm).filter(|_| caller.sees_realm(&realm));
    let rule = configured.ok_or_else(Problem::not_found)?.user_id_rule;
    let id = UserId::new(id, rule)
        .map_err(|error| Problem::new(ErrorCode::InvalidField, error.to_string()).with_field(USER))?;
    Ok(User { realm, id })
}
