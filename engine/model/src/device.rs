//! Enrolled phones.

use std::fmt;

use crate::{
    AppName, DeviceId, DeviceKey, EnrollmentId, KeyId, KeyUse, PublicKey, PushTarget, ServerKeyPair, UnixMs,
    User,
};

/// The operating system of a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Platform {
    /// iOS and iPadOS.
    Ios,
    /// Android.
    Android,
    /// Anything else.
    Other,
}

impl Platform {
    /// The word of the protocol.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ios => "ios",
            Self::Android => "android",
            Self::Other => "other",
        }
    }

    /// Parses the protocol's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Ios, Self::Android, Self::Other].into_iter().find(|platform| platform.as_str() == word)
    }
}

/// What a device may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceStatus {
    /// Enrolled, but the portal has not yet confirmed the number.
    Unconfirmed,
    /// In use.
    Active,
    /// Stopped by the portal for a while.
    Suspended,
    /// In use, but its push address is dead; it asks by itself.
    Unreachable,
    /// Removed for good.
    Revoked,
}

impl DeviceStatus {
    /// The word of the protocol.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unconfirmed => "unconfirmed",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Unreachable => "unreachable",
            Self::Revoked => "revoked",
        }
    }

    /// Whether a device of this status gets challenges and may answer them.
    pub const fn may_answer(self) -> bool {
        match self {
            Self::Active | Self::Unreachable => true,
            Self::Unconfirmed | Self::Suspended | Self::Revoked => false,
        }
    }
}

/// A version of an app, as the phone says it; 1 to 32 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppVersion(Box<str>);

impl AppVersion {
    /// `None` when `text` is not 1 to 32 visible ASCII characters.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.into()))
    }

    /// The version as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a phone says of itself; shown to people, trusted for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceProfile {
    /// The name its user gave it.
    pub name: Box<str>,
    /// The operating system.
    pub platform: Platform,
    /// The version of the app.
    pub app_version: AppVersion,
    /// The version of the operating system.
    pub os_version: Box<str>,
    /// The model.
    pub model: Box<str>,
    /// The language tag (BCP 47).
    pub locale: Box<str>,
    /// What the app can do, in the protocol's words.
    pub capabilities: Vec<Box<str>>,
}

/// An enrolled phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Counts its changes; a change names the revision it was made from.
    pub revision: u32,
    /// Whose it is.
    pub user: User,
    /// Which app it runs.
    pub app: AppName,
    /// The enrolment it came from.
    pub enrollment_id: EnrollmentId,
    /// What it may do.
    pub status: DeviceStatus,
    /// What it says of itself.
    pub profile: DeviceProfile,
    /// Where it can be pushed to.
    pub push: PushTarget,
    /// Refusals of its push address in a row that may be our own fault.
    pub push_suspect_count: u32,
    /// Its keys; exactly one is the `device` key.
    pub keys: Vec<DeviceKey>,
    /// The key that its challenges are sealed to; none of `keys`. Without one they are only signed.
    pub encryption_key: Option<PublicKey>,
    /// When it was enrolled.
    pub created_at: UnixMs,
    /// When it last enrolled or answered.
    pub last_used_at: UnixMs,
    /// The server key that signs its challenges, where it has one for itself.
    pub server_key: Option<Box<ServerKeyPair>>,
}

impl Device {
    /// The key with this use.
    pub fn key(&self, key_use: &KeyUse) -> Option<&DeviceKey> {
        self.keys.iter().find(|key| key.key_use == *key_use)
    }

    /// The key with this name.
    pub fn key_by_kid(&self, kid: &KeyId) -> Option<&DeviceKey> {
        self.keys.iter().find(|key| key.kid == *kid)
    }

    /// The `device` key.
    pub fn device_key(&self) -> Option<&DeviceKey> {
        self.key(&KeyUse::Device)
    }

    /// Whether a push can reach it.
    pub fn can_be_pushed(&self) -> bool {
        self.status == DeviceStatus::Active && self.push.token.is_some()
    }
}
