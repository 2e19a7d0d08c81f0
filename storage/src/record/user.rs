//! The disk forms of what is known of a user.

use minicbor::{Decode, Encode};
use tocsin_model::{
    DurationMs, EmailAddress, PhoneNumber, Pseudonym, RealmName, UnixMs, User, UserId, UserLock, UserProfile,
    UserStanding,
};

use super::{Malformed, code, name};
use crate::envelope::Expiry;

/// How long it is known that a user was erased: longer than any activation code lives.
const ERASURE_KNOWN_FOR: DurationMs = DurationMs::from_seconds(2 * 24 * 60 * 60);

/// How a user stands, and how the audit trail names him.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UserRow {
    /// What locks him, and what he ignored or refused.
    pub(crate) standing: UserStanding,
    /// How the audit trail names him; `None` before its first row about him.
    pub(crate) pseudonym: Option<Pseudonym>,
    /// Until when the way from his pseudonym to him is kept; `None` in rows of versions that kept it for ever.
    pub(crate) named_until: Option<UnixMs>,
    /// When he was last erased, for as long as that matters.
    pub(crate) erased_at: Option<UnixMs>,
}

impl UserRow {
    /// As long as anything in it counts.
    pub(crate) fn expiry(&self) -> Expiry {
        let is_named_for_ever = self.pseudonym.is_some() && self.named_until.is_none();
        match self.standing.is_over_at().filter(|_| !is_named_for_ever) {
            Some(over) => {
                let erased = self.erased_at.map(|at| at.plus(ERASURE_KNOWN_FOR));
                Expiry::At([self.named_until, erased].into_iter().flatten().fold(over, UnixMs::max))
            }
            None => Expiry::Never,
        }
    }
}

/// The same on disk.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct UserRecord {
    #[cbor(n(0), skip_if = "Vec::is_empty")]
    locks: Vec<LockRecord>,
    #[cbor(n(1), skip_if = "Vec::is_empty")]
    misses_ms: Vec<u64>,
    #[cbor(n(2), with = "minicbor::bytes")]
    pseudonym: Option<[u8; 16]>,
    #[n(3)]
    erased_at_ms: Option<u64>,
    #[cbor(n(4), skip_if = "Vec::is_empty")]
    superseded_ms: Vec<u64>,
    #[n(5)]
    named_until_ms: Option<u64>,
}

#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct LockRecord {
    #[n(0)]
    reason: u8,
    #[n(1)]
    since_ms: u64,
    #[n(2)]
    until_ms: Option<u64>,
}

impl UserRecord {
    pub(crate) fn new(row: &UserRow) -> Self {
        Self {
            locks: row.standing.locks.iter().map(LockRecord::new).collect(),
            misses_ms: row.standing.misses.iter().copied().map(UnixMs::get).collect(),
            superseded_ms: row.standing.superseded.iter().copied().map(UnixMs::get).collect(),
            pseudonym: row.pseudonym.map(|pseudonym| *pseudonym.as_bytes()),
            erased_at_ms: row.erased_at.map(UnixMs::get),
            named_until_ms: row.named_until.map(UnixMs::get),
        }
    }

    pub(crate) fn into_model(self) -> Result<UserRow, Malformed> {
        Ok(UserRow {
            standing: UserStanding {
                locks: self.locks.into_iter().map(LockRecord::into_model).collect::<Result<_, _>>()?,
                misses: self.misses_ms.into_iter().map(UnixMs::new).collect(),
                superseded: self.superseded_ms.into_iter().map(UnixMs::new).collect(),
            },
            pseudonym: self.pseudonym.map(Pseudonym::from_bytes),
            named_until: self.named_until_ms.map(UnixMs::new),
            erased_at: self.erased_at_ms.map(UnixMs::new),
        })
    }
}

impl LockRecord {
    fn new(lock: &UserLock) -> Self {
        let UserLock { reason, since, until } = *lock;
        Self {
            reason: code::from_lock_reason(reason),
            since_ms: since.get(),
            until_ms: until.map(UnixMs::get),
        }
    }

    fn into_model(self) -> Result<UserLock, Malformed> {
        Ok(UserLock {
            reason: code::to_lock_reason(self.reason)?,
            since: UnixMs::new(self.since_ms),
            until: self.until_ms.map(UnixMs::new),
        })
    }
}

/// A profile. It holds a person's addresses, so it has no debug print.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct ProfileRecord {
    #[n(0)]
    phone_number: Option<String>,
    #[n(1)]
    email: Option<String>,
    #[n(2)]
    language: Option<String>,
}

impl ProfileRecord {
    pub(crate) fn new(profile: &UserProfile) -> Self {
        Self {
            phone_number: profile.phone_number.as_ref().map(|number| number.expose().to_owned()),
            email: profile.email.as_ref().map(|email| email.expose().to_owned()),
            language: profile.language.as_deref().map(str::to_owned),
        }
    }

    pub(crate) fn into_model(self) -> Result<UserProfile, Malformed> {
        let number = |text: String| {
            PhoneNumber::parse(&text).ok_or(Malformed("it holds a telephone number that is none"))
        };
        let email =
            |text: String| EmailAddress::parse(&text).ok_or(Malformed("it holds an address that is none"));
        Ok(UserProfile {
            phone_number: self.phone_number.map(number).transpose()?,
            email: self.email.map(email).transpose()?,
            language: self.language.map(String::into_boxed_str),
        })
    }
}

/// Whom a pseudonym of the audit trail stands for.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct NameRecord<'a> {
    #[b(0)]
    realm: &'a str,
    #[b(1)]
    user_id: &'a str,
}

impl<'a> NameRecord<'a> {
    pub(crate) fn new(user: &'a User) -> Self {
        Self { realm: user.realm.as_str(), user_id: user.id.as_str() }
    }

    pub(crate) fn to_model(&self) -> Result<User, Malformed> {
        Ok(User { realm: name::<RealmName>(self.realm)?, id: UserId::from_stored(self.user_id) })
    }
}
