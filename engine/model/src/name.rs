//! Names that an operator gives in the configuration: short, printable, cheap to clone.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::shared_text::share;

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameError;

impl fmt::Display for NameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "a name is 1 to 64 characters of a-z, 0-9, '-', '_' and '.', and starts with a letter or digit",
        )
    }
}

impl std::error::Error for NameError {}

/// Longest name in bytes.
pub const NAME_BYTES_MAX: usize = 64;

fn is_name(text: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(byte);
    let first = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    first && text.len() <= NAME_BYTES_MAX && text.as_bytes().iter().all(inner)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                share(text, is_name).map(Self).ok_or(NameError)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, formatter)
            }
        }
    };
}

name! {
    /// A portal or gateway that may call the portal door.
    ClientId
}
name! {
    /// A realm: a name space of users.
    RealmName
}
name! {
    /// An authentication type.
    TypeName
}
name! {
    /// A phone app.
    AppName
}
name! {
    /// A token of the ops door: who an operator, a console or a scraper is.
    OperatorName
}
name! {
    /// A master key, as the configuration calls it.
    MasterKeyName
}
name! {
    /// A configured provider, such as `apns-main`.
    ProviderName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_lower_case_and_printable() {
        for good in ["a", "apns-main", "0x", "retail.eu_1", &"a".repeat(64)] {
            assert!(good.parse::<TypeName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a b", "ä", "a/b", "*", &"a".repeat(65)] {
            assert_eq!(bad.parse::<TypeName>(), Err(NameError), "{bad}");
        }
    }
}
