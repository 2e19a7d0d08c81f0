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
    /// Every platform.
    pub const ALL: [Self; 3] = [Self::Ios, Self::Android, Self::Other];

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
        Self::ALL.into_iter().find(|platform| platform.as_str() == word)
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
    /// Every status.
    pub const ALL: [Self; 5] =
        [Self::Unconfirmed, Self::Active, Self::Suspended, Self::Unreachable, Self::Revoked];

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

    /// Compares as people read versions: run by run, digits as numbers, everything else as text; a part that is
    /// missing counts as zero, so that `2` and `2.0` are the same, and `2.10` is above `2.9`.
    pub fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let mut ours = self.0.split(['.', '-', '+', '_']);
        let mut theirs = other.0.split(['.', '-', '+', '_']);
        loop {
            let (our, their) = (ours.next(), theirs.next());
            if our.is_none() && their.is_none() {
                return std::cmp::Ordering::Equal;
            }
            match compare_part(our.unwrap_or("0"), their.unwrap_or("0")) {
                std::cmp::Ordering::Equal => {}
                decided => return decided,
            }
        }
    }
}

/// Numbers of any length come in the order of their value and before all that is no number.
fn compare_part(our: &str, their: &str) -> std::cmp::Ordering {
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let value = part.trim_start_matches('0').to_owned();
        digits.then_some((value.len(), value))
    };
    match (number(our), number(their)) {
        (Some(our), Some(their)) => our.cmp(&their),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => our.cmp(their),
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

/// Parts of what a phone says of itself, to change; the others stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// The name its user gave it.
    pub name: Option<Box<str>>,
    /// The version of the app.
    pub app_version: Option<AppVersion>,
    /// The version of the operating system.
    pub os_version: Option<Box<str>>,
    /// The language tag (BCP 47).
    pub locale: Option<Box<str>>,
    /// What the app can do.
    pub capabilities: Option<Vec<Box<str>>>,
    /// The key that its challenges are sealed to from now on.
    pub encryption_key: Option<PublicKey>,
}

impl ProfileChange {
    /// The device after the change.
    pub fn apply(self, device: Device) -> Device {
        let profile = device.profile;
        let profile = DeviceProfile {
            name: self.name.unwrap_or(profile.name),
            platform: profile.platform,
            app_version: self.app_version.unwrap_or(profile.app_version),
            os_version: self.os_version.unwrap_or(profile.os_version),
            model: profile.model,
            locale: self.locale.unwrap_or(profile.locale),
            capabilities: self.capabilities.unwrap_or(profile.capabilities),
        };
        Device { profile, encryption_key: self.encryption_key.or(device.encryption_key), ..device }
    }
}

/// What the server remembers of a phone, so that neither a restart nor a repeated request gives it anything back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceGuards {
    /// Wrong PINs in a row, over all its transactions; a right one makes it zero.
    pub pin_tries_used: u32,
    /// The highest `iat` of an authorization by its PIN that was taken; only a later one makes the count zero.
    pub last_authorization: UnixMs,
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
    /// Whether its push address is dead or taken over, so that it is `unreachable` whenever it is in use.
    pub push_is_dead: bool,
    /// The `iat` of the last change that it signed; the next one must be above it.
    pub last_signed_at: Option<UnixMs>,
    /// Its keys; exactly one is the `device` key.
    pub keys: Vec<DeviceKey>,
    /// The key that its challenges are sealed to; none of `keys`. Without one they are only signed.
    pub encryption_key: Option<PublicKey>,
    /// Until when an unconfirmed one waits for its confirmation; then it is gone.
    pub unconfirmed_until: Option<UnixMs>,
    /// What keeps its tries and requests from being repeated.
    pub guards: DeviceGuards,
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

    /// What it is when it is in use.
    pub const fn status_in_use(&self) -> DeviceStatus {
        if self.push_is_dead { DeviceStatus::Unreachable } else { DeviceStatus::Active }
    }

    /// Whether a push can reach it.
    pub fn can_be_pushed(&self) -> bool {
        self.status == DeviceStatus::Active && self.push.token.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering::{Equal, Greater, Less};

    use super::*;

    #[test]
    fn versions_compare_as_people_read_them() {
        let version = |text: &str| AppVersion::new(text).expect("valid");
        let cases = [
            ("2.9", "2.10", Less),
            ("2", "2.0.0", Equal),
            ("02.1", "2.1", Equal),
            ("10.0", "9.9.9", Greater),
            ("2.0", "2.0.1", Less),
            ("4.2-17", "4.2-9", Greater),
            ("99999999999999999999999", "3", Greater),
            ("2.0-beta", "2.0", Greater),
        ];
        for (one, other, order) in cases {
            assert_eq!(version(one).compare(&version(other)), order, "{one} {other}");
            assert_eq!(version(other).compare(&version(one)), order.reverse(), "{other} {one}");
        }
    }
}
