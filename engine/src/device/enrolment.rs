//! The body of an enrolment, and activation codes.
//!
//! [`EnrolmentRequest::parse`] judges everything that the body alone can tell; the code, the mode and whether the
//! key is taken are judged by the storage in one step. `attestation` is not read yet.

use serde_json::Value;
use tocsin_model::{
    ActivationCodeHash, AppName, AppVersion, Device, DeviceGuards, DeviceId, DeviceKey, DeviceProfile,
    DeviceStatus, Enrollment, ErrorCode, KeyId, KeyUse, Platform, Problem, ProfileChange, PublicKey,
    PushEnvironment, PushKind, PushTarget, PushToken, Secret, Thumbprint, UnixMs,
};

use super::body::{Fields, parse_body, spoils_a_line};
use super::encoding::base64url;
use super::jose::COMPACT_BYTES_MAX;
use super::jwk::{parse_jwk, sha256, thumbprint};
use super::key_proof::proves_itself;
use super::seal::parse_encryption_jwk;

/// The bounds of an enrolment's texts, in characters unless the name says bytes.
#[derive(Clone, Copy, Debug)]
pub struct EnrolmentLimits;

impl EnrolmentLimits {
    /// Longest activation code.
    pub const ACTIVATION_CODE_BYTES_MAX: usize = 128;
    /// Longest name of a device.
    pub const NAME_CHARACTERS_MAX: usize = 64;
    /// Longest version of an operating system.
    pub const OS_VERSION_CHARACTERS_MAX: usize = 64;
    /// Longest model.
    pub const MODEL_CHARACTERS_MAX: usize = 64;
    /// Longest language tag; RFC 5646, section 4.4.1, asks for 35 at least.
    pub const LOCALE_CHARACTERS_MAX: usize = 35;
    /// Most capabilities.
    pub const CAPABILITIES_MAX: usize = 32;
    /// Longest capability.
    pub const CAPABILITY_CHARACTERS_MAX: usize = 64;
    /// Longest word of a closed list, such as a platform.
    const WORD_BYTES_MAX: usize = 64;
    /// Longest push token.
    pub const PUSH_VALUE_BYTES_MAX: usize = 4_096;
    /// Most keys.
    pub const KEYS_MAX: usize = 8;
}

/// An activation code: 192 unpredictable bits in hexadecimal, told to the portal and never stored.
#[derive(Clone, Debug)]
pub struct ActivationCode(Secret<String>);

impl ActivationCode {
    /// The code of these 192 unpredictable bits, in hexadecimal: people paste it into command lines, where a
    /// leading hyphen would be taken for an option.
    pub fn from_bits(bits: &[u8; 24]) -> Self {
        Self(Secret::new(bits.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// The code itself; call it only where it is told to the portal.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// What is stored in its place.
    pub fn hash(&self) -> ActivationCodeHash {
        ActivationCodeHash::from_bytes(sha256(self.0.expose().as_bytes()))
    }
}

/// What a phone asks for when it enrols, valid as far as the body alone can tell.
#[derive(Clone, Debug)]
pub struct EnrolmentRequest {
    activation_code: ActivationCode,
    profile: DeviceProfile,
    app: AppName,
    push_kind: PushKind,
    push_token: Option<PushToken>,
    push_environment: PushEnvironment,
    device_key: PublicKey,
    device_key_thumbprint: Thumbprint,
    encryption_key: Option<PublicKey>,
    further_keys: Vec<FurtherKey>,
}

/// A key beside the `device` key, with what it signed for itself.
#[derive(Clone, Debug)]
struct FurtherKey {
    /// Its place in `keys`.
    index: usize,
    key_use: KeyUse,
    public_key: PublicKey,
    thumbprint: Thumbprint,
    proof: String,
}

/// The proofs of the keys beside the `device` key, to be checked.
#[derive(Clone, Debug)]
pub struct KeyProofs {
    keys: Vec<FurtherKey>,
    issuer: String,
    activation_code_sha256: String,
    device_key_sha256: String,
}

impl KeyProofs {
    /// Checks each: a public-key operation a key, for the signature pool. 422 `invalid_field`.
    pub fn verify(self) -> Result<(), Problem> {
        self.keys.iter().try_for_each(|key| self.check(key))
    }

    fn check(&self, key: &FurtherKey) -> Result<(), Problem> {
        let key_use = key.key_use.to_string();
        let expected = [
            ("aud", self.issuer.as_str()),
            ("use", &key_use),
            ("activation_code_sha256", &self.activation_code_sha256),
            ("device_key_sha256", &self.device_key_sha256),
        ];
        if proves_itself(&key.proof, &key.public_key, &expected) {
            return Ok(());
        }
        let detail = "this must be a tocsin-enrol+jwt by the key itself";
        Err(Problem::new(ErrorCode::InvalidField, detail).with_field(format!("keys[{}].proof", key.index)))
    }
}

impl EnrolmentRequest {
    /// Parses and judges the body: 400 `invalid_request`, 422 `invalid_field` or `field_required`.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        let members = parse_body(body)?;
        let fields = Fields::of(&members);
        let activation_code = parse_code(&fields)?;
        let profile = parse_profile(&fields)?;
        let app = fields.raw_text("app", EnrolmentLimits::WORD_BYTES_MAX)?;
        let app = app.parse().map_err(|error| fields.not_allowed("app", format!("{error}")))?;
        let (push_kind, push_token, push_environment) = parse_push(&fields.object("push")?)?;
        let (device_key, further_keys) = parse_keys(&fields)?;
        let others = further_keys.iter().map(|key| &key.public_key);
        let encryption_key = parse_encryption_jwk(&fields, others.chain([&device_key]))?;
        let device_key_thumbprint = thumbprint(&device_key);
        Ok(Self {
            activation_code,
            profile,
            app,
            push_kind,
            push_token,
            push_environment,
            device_key,
            device_key_thumbprint,
            encryption_key,
            further_keys,
        })
    }

    /// The `device` key of the body, which must have signed the request's proof.
    pub fn device_key(&self) -> &PublicKey {
        &self.device_key
    }

    /// The hash of the activation code, to find the enrolment by.
    pub fn code_hash(&self) -> ActivationCodeHash {
        self.activation_code.hash()
    }

    /// The proofs of its other keys, for the server `issuer`.
    pub fn key_proofs(&self, issuer: &str) -> KeyProofs {
        KeyProofs {
            keys: self.further_keys.clone(),
            issuer: issuer.to_owned(),
            activation_code_sha256: base64url(self.activation_code.hash().as_bytes()),
            device_key_sha256: base64url(self.device_key_thumbprint.as_bytes()),
        }
    }

    /// Refuses keys that the app does not take: 422 `invalid_field`.
    pub fn check_uses(&self, takes: impl Fn(&KeyUse) -> bool) -> Result<(), Problem> {
        match self.further_keys.iter().find(|key| !takes(&key.key_use)) {
            None => Ok(()),
            Some(key) => {
                let detail = "the app is not configured for such a key";
                Err(Problem::new(ErrorCode::InvalidField, detail)
                    .with_field(format!("keys[{}].use", key.index)))
            }
        }
    }

    /// The device to store under `enrollment`, or 422 when the app is another than the enrolment's. `new_kid` names
    /// each of its keys.
    pub fn into_device(
        self,
        enrollment: &Enrollment,
        id: DeviceId,
        mut new_kid: impl FnMut() -> Result<KeyId, Problem>,
        now: UnixMs,
    ) -> Result<Device, Problem> {
        if self.app != enrollment.app {
            let detail = "the activation code is for another app";
            return Err(Problem::new(tocsin_model::ErrorCode::InvalidField, detail).with_field("app"));
        }
        let push = PushTarget {
            kind: self.push_kind,
            token: self.push_token,
            environment: self.push_environment,
            registered_at: now,
        };
        let key = |key_use, public_key, thumbprint, kid| DeviceKey {
            key_use,
            kid,
            public_key,
            thumbprint,
            registered_at: now,
        };
        let mut keys = vec![key(KeyUse::Device, self.device_key, self.device_key_thumbprint, new_kid()?)];
        for further in self.further_keys {
            keys.push(key(further.key_use, further.public_key, further.thumbprint, new_kid()?));
        }
        Ok(Device {
            id,
            revision: 1,
            user: enrollment.user.clone(),
            app: self.app,
            enrollment_id: enrollment.id,
            status: DeviceStatus::Active,
            profile: self.profile,
            push,
            push_suspect_count: 0,
            push_is_dead: false,
            last_signed_at: None,
            unconfirmed_until: None,
            keys,
            encryption_key: self.encryption_key,
            guards: DeviceGuards::default(),
            created_at: now,
            last_used_at: now,
            server_key: None,
        })
    }
}

/// A phone's new push address: the body is the `push` object itself.
pub(crate) fn parse_push_target(body: &[u8], now: UnixMs) -> Result<PushTarget, Problem> {
    let members = parse_body(body)?;
    let (kind, token, environment) = parse_push(&Fields::of(&members))?;
    Ok(PushTarget { kind, token, environment, registered_at: now })
}

/// What a phone with these keys says of itself anew; what it leaves out stays.
pub(crate) fn parse_profile_change(body: &[u8], keys: &[DeviceKey]) -> Result<ProfileChange, Problem> {
    let members = parse_body(body)?;
    let fields = Fields::of(&members);
    let encryption_key = parse_encryption_jwk(&fields, keys.iter().map(|key| &key.public_key))?;
    let line = |name: &'static str, characters_max| {
        fields.has(name).then(|| fields.line(name, characters_max)).transpose()
    };
    Ok(ProfileChange {
        name: line("name", EnrolmentLimits::NAME_CHARACTERS_MAX)?,
        app_version: fields.has("app_version").then(|| parse_app_version(&fields)).transpose()?,
        os_version: line("os_version", EnrolmentLimits::OS_VERSION_CHARACTERS_MAX)?,
        locale: fields.has("locale").then(|| parse_locale(&fields)).transpose()?,
        capabilities: fields.has("capabilities").then(|| parse_capabilities(&fields)).transpose()?,
        encryption_key,
    })
}

/// Any text is taken for a code here: whether it is one, only the storage says, with one error for all.
fn parse_code(fields: &Fields<'_>) -> Result<ActivationCode, Problem> {
    let code = fields.raw_text("activation_code", EnrolmentLimits::ACTIVATION_CODE_BYTES_MAX)?;
    Ok(ActivationCode(Secret::new(code.to_owned())))
}

fn parse_profile(fields: &Fields<'_>) -> Result<DeviceProfile, Problem> {
    let platform = fields.raw_text("platform", EnrolmentLimits::WORD_BYTES_MAX)?;
    let app_version = parse_app_version(fields)?;
    let locale = parse_locale(fields)?;
    Ok(DeviceProfile {
        name: fields.line("name", EnrolmentLimits::NAME_CHARACTERS_MAX)?,
        platform: Platform::parse(platform)
            .ok_or_else(|| fields.not_allowed("platform", "this must be ios, android or other"))?,
        app_version,
        os_version: fields.line("os_version", EnrolmentLimits::OS_VERSION_CHARACTERS_MAX)?,
        model: fields.line("model", EnrolmentLimits::MODEL_CHARACTERS_MAX)?,
        locale,
        capabilities: parse_capabilities(fields)?,
    })
}

fn parse_app_version(fields: &Fields<'_>) -> Result<AppVersion, Problem> {
    let text = fields.raw_text("app_version", EnrolmentLimits::WORD_BYTES_MAX)?;
    AppVersion::new(text)
        .ok_or_else(|| fields.not_allowed("app_version", "this must be 1 to 32 visible ASCII characters"))
}

fn parse_locale(fields: &Fields<'_>) -> Result<Box<str>, Problem> {
    let locale = fields.line("locale", EnrolmentLimits::LOCALE_CHARACTERS_MAX)?;
    if locale.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Ok(locale);
    }
    Err(fields.not_allowed("locale", "this must be a language tag such as en or de-CH"))
}

fn parse_capabilities(fields: &Fields<'_>) -> Result<Vec<Box<str>>, Problem> {
    if !fields.has("capabilities") {
        return Ok(Vec::new());
    }
    let items = fields.array("capabilities", EnrolmentLimits::CAPABILITIES_MAX)?;
    let capability = |(index, item): (usize, &Value)| {
        let name = format!("capabilities[{index}]");
        let text = item.as_str().ok_or_else(|| fields.malformed(&name, "this must be a string"))?;
        let characters = text.chars().count();
        if characters > EnrolmentLimits::CAPABILITY_CHARACTERS_MAX {
            return Err(fields.malformed(&name, "this may have 64 characters at most"));
        }
        if characters == 0 || text.chars().any(spoils_a_line) {
            return Err(fields.not_allowed(&name, "this must be a word without control characters"));
        }
        Ok(text.into())
    };
    items.iter().enumerate().map(capability).collect()
}

fn parse_push(push: &Fields<'_>) -> Result<(PushKind, Option<PushToken>, PushEnvironment), Problem> {
    let kind = push.raw_text("kind", EnrolmentLimits::WORD_BYTES_MAX)?;
    let kind = PushKind::parse(kind)
        .ok_or_else(|| push.not_allowed("kind", "this must be apns, fcm_token, fcm_fid or none"))?;
    let token = match kind {
        PushKind::None => None,
        PushKind::Apns | PushKind::FcmToken | PushKind::FcmFid => {
            let value = push.raw_text("value", EnrolmentLimits::PUSH_VALUE_BYTES_MAX)?;
            let token = PushToken::new(kind, value);
            Some(token.ok_or_else(|| push.not_allowed("value", "this is not a push token of this kind"))?)
        }
    };
    Ok((kind, token, parse_environment(push)?))
}

fn parse_environment(push: &Fields<'_>) -> Result<PushEnvironment, Problem> {
    if !push.has("environment") {
        return Ok(PushEnvironment::default());
    }
    let word = push.raw_text("environment", EnrolmentLimits::WORD_BYTES_MAX)?;
    [PushEnvironment::Production, PushEnvironment::Sandbox]
        .into_iter()
        .find(|environment| environment.as_str() == word)
        .ok_or_else(|| push.not_allowed("environment", "this must be production or sandbox"))
}

/// The `device` key and the others. All keys of a device differ, and none has the use of another.
fn parse_keys(fields: &Fields<'_>) -> Result<(PublicKey, Vec<FurtherKey>), Problem> {
    let items = fields.array("keys", EnrolmentLimits::KEYS_MAX)?;
    let mut device_key = None;
    let mut further_keys: Vec<FurtherKey> = Vec::new();
    let mut thumbprints = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let key = fields.item("keys", index, item)?;
        let key_use = parse_use(&key)?;
        let public_key = parse_key(&key)?;
        let thumbprint = thumbprint(&public_key);
        if thumbprints.contains(&thumbprint) {
            return Err(key.not_allowed("jwk", "all keys of a device must differ"));
        }
        thumbprints.push(thumbprint);
        if key_use == KeyUse::Device && device_key.is_none() {
            device_key = Some(public_key);
        } else if key_use == KeyUse::Device || further_keys.iter().any(|known| known.key_use == key_use) {
            return Err(key.not_allowed("use", "a device has one key for each use"));
        } else {
            let proof = key.raw_text("proof", COMPACT_BYTES_MAX)?.to_owned();
            further_keys.push(FurtherKey { index, key_use, public_key, thumbprint, proof });
        }
    }
    let device_key =
        device_key.ok_or_else(|| fields.not_allowed("keys", "one of the keys must have the use device"))?;
    Ok((device_key, further_keys))
}

fn parse_use(key: &Fields<'_>) -> Result<KeyUse, Problem> {
    let word = key.raw_text("use", EnrolmentLimits::WORD_BYTES_MAX)?;
    KeyUse::parse(word)
        .ok_or_else(|| key.not_allowed("use", "this must be device, pin, biometric or custom:<id>"))
}

fn parse_key(key: &Fields<'_>) -> Result<PublicKey, Problem> {
    let jwk = key.object("jwk")?;
    parse_jwk(jwk.members()).map_err(|error| key.not_allowed("jwk", error.to_string()))
}

#[cfg(test)]
#[path = "enrolment_tests.rs"]
mod tests;
