//! What a portal keeps of a user: where codes go to when a start names no address.

use crate::{EmailAddress, PhoneNumber};

/// A user's profile. Its debug print shows neither number nor address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserProfile {
    /// Where SMS go to.
    pub phone_number: Option<PhoneNumber>,
    /// Where e-mails go to.
    pub email: Option<EmailAddress>,
    /// His language, a tag of BCP 47.
    pub language: Option<Box<str>>,
}

impl UserProfile {
    /// The members that it has, for the audit trail: never their values.
    pub fn members(&self) -> Vec<&'static str> {
        let Self { phone_number, email, language } = self;
        let members = [
            phone_number.as_ref().map(|_| "phone_number"),
            email.as_ref().map(|_| "email"),
            language.as_ref().map(|_| "language"),
        ];
        members.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_tells_its_members_and_prints_no_address() {
        let profile = UserProfile {
            phone_number: PhoneNumber::parse("+15055551234"),
            email: EmailAddress::parse("alice@example.com"),
            language: None,
        };
        assert_eq!(profile.members(), ["phone_number", "email"]);
        let printed = format!("{profile:?}");
        assert!(!printed.contains("5551234") && !printed.contains("alice"), "{printed}");
        assert!(UserProfile::default().members().is_empty());
    }
}
