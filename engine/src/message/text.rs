//! Titles and messages of the configuration, with what they name filled in.

use std::sync::Arc;

use tocsin_model::{CallContext, Template, TextTag, TypeName, User};

use super::Software;
use super::value::{one_line, shortened};

/// Longest value in a text, in characters.
const VALUE_CHARACTERS_MAX: usize = 64;

/// What a text can name.
#[derive(Clone, Copy)]
pub(crate) struct TextParts<'a> {
    pub(crate) type_name: &'a TypeName,
    /// Nobody, as long as nobody has claimed the transaction.
    pub(crate) user: Option<&'a User>,
    pub(crate) call_context: Option<&'a CallContext>,
}

/// A text of the configuration as its user reads it. One without places is shared by all transactions. One that would be
/// longer than `characters_max` by what is filled in is cut there: a long name keeps nobody out.
pub(crate) fn shown_text(
    template: &Template<TextTag>,
    parts: TextParts<'_>,
    characters_max: usize,
) -> Arc<str> {
    if template.is_plain() {
        return Arc::clone(template.text());
    }
    let value = |text: Option<&str>| safe(text.unwrap_or_default());
    let user_agent = parts.call_context.and_then(|context| context.user_agent.as_deref());
    let software = Software::named_in(template, user_agent);
    let user = value(parts.user.map(|user| user.id.as_str()));
    let realm = value(parts.user.map(|user| user.realm.as_str()));
    let ip_address = value(parts.call_context.and_then(|context| context.ip_address.as_deref()));
    let filled = template.fill(|tag| match tag {
        TextTag::User => &user,
        TextTag::Realm => &realm,
        TextTag::TypeName => parts.type_name.as_str(),
        TextTag::IpAddress => &ip_address,
        TextTag::OperatingSystem => &software.operating_system,
        TextTag::Browser => &software.browser,
        TextTag::Code => "{code}",
    });
    match filled.trim() {
        // A text of places alone, none of which has a value here.
        "" => parts.type_name.as_str().into(),
        filled => shortened(filled, characters_max).into(),
    }
}

/// No value is taken for a place by whoever fills in the code.
fn safe(value: &str) -> String {
    one_line(&value.replace(['{', '}'], ""), VALUE_CHARACTERS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER_AGENT: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_3) AppleWebKit/537.36 (KHTML, like Gecko) \
                              Chrome/73.0.3683.86 Safari/537.36";

    fn user(id: &str) -> User {
        let realm = "retail".parse().expect("a name");
        User { id: tocsin_model::UserId::from_stored(id), realm }
    }

    fn shown(text: &str, user: Option<&User>, characters_max: usize) -> String {
        let context = CallContext {
            ip_address: Some("192.0.2.7".into()),
            user_agent: Some(USER_AGENT.into()),
            ..CallContext::default()
        };
        let template = Template::parse(text).expect("known places");
        let type_name = "login".parse().expect("a name");
        let parts = TextParts { type_name: &type_name, user, call_context: Some(&context) };
        shown_text(&template, parts, characters_max).to_string()
    }

    #[test]
    fn every_place_is_filled_in() {
        let text = "{type}: {user} of {realm} at {ip_address} by {browser} on {operating_system}";
        assert_eq!(
            shown(text, Some(&user("alice")), 155),
            "login: alice of retail at 192.0.2.7 by Chrome 73.0 on Mac 10.14"
        );
        assert_eq!(shown("{code} for {user}", Some(&user("alice")), 155), "{code} for alice");
    }

    #[test]
    fn what_has_no_value_leaves_nothing_behind() {
        assert_eq!(shown("Log in {user}", None, 155), "Log in");
        assert_eq!(shown("{user}", None, 155), "login", "a text is never empty");
    }

    #[test]
    fn a_value_makes_no_place_and_no_line_and_nothing_too_long() {
        assert_eq!(shown("For {user}", Some(&user("{code}\u{202e}x{realm}")), 155), "For codexrealm");
        let long = shown("For {user} of {realm}", Some(&user(&"a".repeat(250))), 155);
        assert_eq!(long.chars().count(), "For ".len() + 64 + " of retail".len());
        let cut = shown("For {user}", Some(&user("alice")), 6);
        assert_eq!(cut, "For a…");
    }

    #[test]
    fn a_text_without_places_is_one_for_all() {
        let template: Template<TextTag> = Template::parse("Log in").expect("text");
        let type_name = "login".parse().expect("a name");
        let parts = TextParts { type_name: &type_name, user: None, call_context: None };
        assert!(Arc::ptr_eq(&shown_text(&template, parts, 3), template.text()));
    }
}
