//! The disk form of a device. Holds the push token, so it has no debug print.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use tocsin_model::{
    AppVersion, Device, DeviceGuards, DeviceId, DeviceKey, DeviceProfile, EnrollmentId, KeyId, KeyUse,
    PublicKey, PushTarget, PushToken, Thumbprint, UnixMs, User, UserId,
};

use super::{Malformed, ServerKeyRecord, code, is_unset, key_use, name};

/// A device on disk.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct DeviceRecord<'a> {
    #[n(0)]
    revision: u32,
    #[b(1)]
    realm: &'a str,
    #[b(2)]
    user_id: &'a str,
    #[b(3)]
    app: &'a str,
    #[cbor(n(4), with = "minicbor::bytes")]
    enrollment_id: [u8; 16],
    #[n(5)]
    status: u8,
    #[b(6)]
    profile: ProfileRecord<'a>,
    #[b(7)]
    push: PushRecord<'a>,
    #[n(8)]
    push_suspect_count: u32,
    #[n(9)]
    keys: Vec<KeyRecord>,
    #[n(10)]
    created_at_ms: u64,
    #[n(11)]
    last_used_at_ms: u64,
    /// `x ‖ y`
    #[n(16)]
    encryption_key: Option<ByteArray<64>>,
    #[cbor(n(19), skip_if = "is_unset")]
    push_is_dead: bool,
    #[n(20)]
    last_signed_at_ms: Option<u64>,
    #[n(21)]
    unconfirmed_until_ms: Option<u64>,
    #[n(24)]
    server_key: Option<ServerKeyRecord>,
    /// Written exactly for a phone that has a PIN: where it is missing the row must be unreadable, not give tries back.
    #[n(12)]
    pin_tries_used: Option<u32>,
    #[n(14)]
    last_authorization_ms: Option<u64>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct ProfileRecord<'a> {
    #[b(0)]
    name: &'a str,
    #[n(1)]
    platform: u8,
    #[b(2)]
    app_version: &'a str,
    #[b(3)]
    os_version: &'a str,
    #[b(4)]
    model: &'a str,
    #[b(5)]
    locale: &'a str,
    #[b(6)]
    capabilities: Vec<&'a str>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct PushRecord<'a> {
    #[n(0)]
    kind: u8,
    #[b(1)]
    token: Option<&'a str>,
    #[n(2)]
    environment: u8,
    #[n(3)]
    registered_at_ms: u64,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct KeyRecord {
    #[n(0)]
    key_use: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    kid: [u8; 16],
    #[cbor(n(2), with = "minicbor::bytes")]
    x: [u8; 32],
    #[cbor(n(3), with = "minicbor::bytes")]
    y: [u8; 32],
    #[cbor(n(4), with = "minicbor::bytes")]
    thumbprint: [u8; 32],
    #[n(5)]
    registered_at_ms: u64,
}

impl<'a> DeviceRecord<'a> {
    pub(crate) fn new(device: &'a Device) -> Self {
        Self {
            revision: device.revision,
            realm: device.user.realm.as_str(),
            user_id: device.user.id.as_str(),
            app: device.app.as_str(),
            enrollment_id: *device.enrollment_id.as_bytes(),
            status: code::from_device_status(device.status),
            profile: ProfileRecord::new(&device.profile),
            push: PushRecord::new(&device.push),
            push_suspect_count: device.push_suspect_count,
            keys: device.keys.iter().map(KeyRecord::new).collect(),
            created_at_ms: device.created_at.get(),
            last_used_at_ms: device.last_used_at.get(),
            encryption_key: device.encryption_key.as_ref().map(from_public_key),
            push_is_dead: device.push_is_dead,
            last_signed_at_ms: device.last_signed_at.map(UnixMs::get),
            unconfirmed_until_ms: device.unconfirmed_until.map(UnixMs::get),
            server_key: device.server_key.as_deref().map(ServerKeyRecord::new),
            pin_tries_used: device.key(&KeyUse::Pin).map(|_| device.guards.pin_tries_used),
            last_authorization_ms: unless_zero(device.guards.last_authorization),
        }
    }

    pub(crate) fn into_model(self, id: DeviceId) -> Result<Device, Malformed> {
        let keys: Vec<DeviceKey> =
            self.keys.into_iter().map(KeyRecord::into_model).collect::<Result<_, _>>()?;
        let has_pin = keys.iter().any(|key| key.key_use == KeyUse::Pin);
        if has_pin != self.pin_tries_used.is_some() {
            return Err(Malformed("its count of PIN tries does not fit its keys"));
        }
        Ok(Device {
            id,
            revision: self.revision,
            user: User { realm: name(self.realm)?, id: UserId::from_stored(self.user_id) },
            app: name(self.app)?,
            enrollment_id: EnrollmentId::from_bytes(self.enrollment_id),
            status: code::to_device_status(self.status)?,
            profile: self.profile.into_model()?,
            push: self.push.into_model()?,
            push_suspect_count: self.push_suspect_count,
            push_is_dead: self.push_is_dead,
            last_signed_at: self.last_signed_at_ms.map(UnixMs::new),
            unconfirmed_until: self.unconfirmed_until_ms.map(UnixMs::new),
            keys,
            encryption_key: self.encryption_key.map(to_public_key),
            guards: DeviceGuards {
                pin_tries_used: self.pin_tries_used.unwrap_or(0),
                last_authorization: UnixMs::new(self.last_authorization_ms.unwrap_or(0)),
            },
            created_at: UnixMs::new(self.created_at_ms),
            last_used_at: UnixMs::new(self.last_used_at_ms),
            server_key: self.server_key.map(ServerKeyRecord::into_model),
        })
    }
}

fn from_public_key(key: &PublicKey) -> ByteArray<64> {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&key.x);
    bytes[32..].copy_from_slice(&key.y);
    bytes.into()
}

fn to_public_key(bytes: ByteArray<64>) -> PublicKey {
    let mut key = PublicKey { x: [0; 32], y: [0; 32] };
    key.x.copy_from_slice(&bytes[..32]);
    key.y.copy_from_slice(&bytes[32..]);
    key
}

fn unless_zero(time: UnixMs) -> Option<u64> {
    Some(time.get()).filter(|milliseconds| *milliseconds > 0)
}

impl<'a> ProfileRecord<'a> {
    fn new(profile: &'a DeviceProfile) -> Self {
        Self {
            name: &profile.name,
            platform: code::from_platform(profile.platform),
            app_version: profile.app_version.as_str(),
            os_version: &profile.os_version,
            model: &profile.model,
            locale: &profile.locale,
            capabilities: profile.capabilities.iter().map(|capability| &**capability).collect(),
        }
    }

    fn into_model(self) -> Result<DeviceProfile, Malformed> {
        Ok(DeviceProfile {
            name: self.name.into(),
            platform: code::to_platform(self.platform)?,
            app_version: AppVersion::new(self.app_version)
                .ok_or(Malformed("it holds no version of an app"))?,
            os_version: self.os_version.into(),
            model: self.model.into(),
            locale: self.locale.into(),
            capabilities: self.capabilities.into_iter().map(Into::into).collect(),
        })
    }
}

impl<'a> PushRecord<'a> {
    fn new(push: &'a PushTarget) -> Self {
        Self {
            kind: code::from_push_kind(push.kind),
            token: push.token.as_ref().map(PushToken::expose),
            environment: code::from_push_environment(push.environment),
            registered_at_ms: push.registered_at.get(),
        }
    }

    fn into_model(self) -> Result<PushTarget, Malformed> {
        let kind = code::to_push_kind(self.kind)?;
        let token = match self.token {
            Some(value) => Some(PushToken::new(kind, value).ok_or(Malformed("it holds no push address"))?),
            None => None,
        };
        Ok(PushTarget {
            kind,
            token,
            environment: code::to_push_environment(self.environment)?,
            registered_at: UnixMs::new(self.registered_at_ms),
        })
    }
}

impl KeyRecord {
    fn new(key: &DeviceKey) -> Self {
        Self {
            key_use: key.key_use.to_string(),
            kid: *key.kid.as_bytes(),
            x: key.public_key.x,
            y: key.public_key.y,
            thumbprint: *key.thumbprint.as_bytes(),
            registered_at_ms: key.registered_at.get(),
        }
    }

    fn into_model(self) -> Result<DeviceKey, Malformed> {
        Ok(DeviceKey {
            key_use: key_use(&self.key_use)?,
            kid: KeyId::from_bytes(self.kid),
            public_key: PublicKey { x: self.x, y: self.y },
            thumbprint: Thumbprint::from_bytes(self.thumbprint),
            registered_at: UnixMs::new(self.registered_at_ms),
        })
    }
}
