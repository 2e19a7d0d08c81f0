//! Many users with a phone each, enrolled over the real doors, and the file that keeps them for a second run.
//!
//! Every second phone is an iPhone. Push addresses name their phone, so that whoever gets a push knows whose it is
//! without a table.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http::header::HeaderValue;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::doors::{Authorization, Call, Door, Reply};
use super::signer::{SealKey, ServerKey, SigningKey, hash};
use crate::LoadtestError;

/// Longest wait for a reply while phones enrol.
const REPLY_DEADLINE: Duration = Duration::from_secs(30);

/// Tries of a call that the server refuses for now.
const TRIES_MAX: u32 = 20;

/// An enrolled phone.
#[derive(Debug)]
pub(super) struct CrowdPhone {
    pub(super) device_id: Box<str>,
    pub(super) kid: Box<str>,
    pub(super) key: SigningKey,
    pub(super) seal_key: Option<SealKey>,
}

/// The user whose phone has this number.
pub(super) fn user_of(number: u32) -> String {
    format!("user-{number}")
}

/// The number to which the user of this phone has codes sent.
pub(super) fn phone_number_of(number: u32) -> String {
    format!("+1555{number:07}")
}

/// The phone to whose user this number belongs.
pub(super) fn phone_of_number(text: &str) -> Option<u32> {
    text.strip_prefix("+1555")?.parse().ok()
}

/// A new push address of the phone with this number, as the `push` object of an enrolment.
fn push_object(number: u32) -> String {
    let random = || Uuid::new_v4().simple().to_string();
    if number.is_multiple_of(2) {
        let token = format!("{number:08x}{}{}", random(), &random()[..24]);
        format!(r#"{{"kind":"apns","value":"{token}","environment":"production"}}"#)
    } else {
        format!(r#"{{"kind":"fcm_token","value":"{number:08x}{}:APA91b{}"}}"#, &random()[..14], random())
    }
}

/// The phone that this push address names.
pub(super) fn phone_of_target(target: &str) -> Option<u32> {
    u32::from_str_radix(target.get(..8)?, 16).ok()
}

/// What phones enrol with.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) portal: Rc<Door>,
    pub(super) device: Rc<Door>,
    pub(super) authorization: HeaderValue,
    pub(super) issuer: Box<str>,
    pub(super) app: Box<str>,
    pub(super) hpke: bool,
}

#[derive(Deserialize)]
struct Opened {
    activation_code: String,
}

#[derive(Deserialize)]
struct Enrolled {
    device_id: Box<str>,
    kids: Kids,
    issuer: String,
    server_keys: Vec<ServerKey>,
}

#[derive(Deserialize)]
struct Kids {
    device: Box<str>,
}

impl Desk {
    /// Lets the portal open an enrolment for the user of this phone, and the phone follow it.
    pub(super) async fn enrol(&self, number: u32) -> Result<(CrowdPhone, Vec<ServerKey>), LoadtestError> {
        let body = format!(r#"{{"user":"{}","app":"{}"}}"#, user_of(number), self.app);
        let opened = self.repeat(&self.portal, "/v1/enrollments", &body, || None).await?;
        let Opened { activation_code } = read(&opened)?;
        let key = SigningKey::generate()?;
        let seal_key = if self.hpke { Some(SealKey::generate()?) } else { None };
        let body = self.enrolment_body(number, &activation_code, &key, seal_key.as_ref());
        let path = "/device/v1/enrollments";
        let reply = self.repeat(&self.device, path, &body, || Some(self.proof(&key, path, &body))).await?;
        let enrolled: Enrolled = read(&reply)?;
        if *enrolled.issuer != *self.issuer {
            let what = format!("phones are enrolled by {} in place of {}", enrolled.issuer, self.issuer);
            return Err(LoadtestError::Unexpected(what));
        }
        let phone = CrowdPhone { device_id: enrolled.device_id, kid: enrolled.kids.device, key, seal_key };
        Ok((phone, enrolled.server_keys))
    }

    fn enrolment_body(
        &self,
        number: u32,
        code: &str,
        key: &SigningKey,
        seal_key: Option<&SealKey>,
    ) -> String {
        let platform = if number.is_multiple_of(2) { "ios" } else { "android" };
        let seal = seal_key.map(|key| format!(r#","encryption_jwk":{}"#, key.jwk())).unwrap_or_default();
        format!(
            concat!(
                r#"{{"activation_code":"{code}","name":"Phone {number}","platform":"{platform}","app":"{app}","#,
                r#""app_version":"1.0","os_version":"1","model":"simulated","locale":"en","capabilities":[],"#,
                r#""push":{push},"keys":[{{"use":"device","jwk":{jwk}}}]{seal}}}"#
            ),
            code = code,
            number = number,
            platform = platform,
            app = self.app,
            push = push_object(number),
            jwk = key.jwk(),
            seal = seal,
        )
    }

    fn proof(&self, key: &SigningKey, path: &str, body: &str) -> String {
        let issuer = &self.issuer;
        let claims = format!(
            r#"{{"aud":"{issuer}","htm":"POST","htu":"{issuer}{path}","iat":{},"jti":"{}","body_sha256":"{}"}}"#,
            now_s(),
            Uuid::new_v4().simple(),
            hash(body.as_bytes())
        );
        key.sign("tocsin-proof+jwt", None, &claims)
    }

    /// Posts until the reply is 201, for as long as the server only asks for patience: a phone with a proof, made anew
    /// each time, or the portal.
    async fn repeat(
        &self,
        door: &Door,
        path: &'static str,
        body: &str,
        prove: impl Fn() -> Option<String>,
    ) -> Result<Reply, LoadtestError> {
        let mut tries = 0;
        loop {
            let proof = prove();
            let authorization =
                proof.as_deref().map_or(Authorization::Basic(&self.authorization), Authorization::Proof);
            let reply = door.call(Call::post(path, authorization, body), REPLY_DEADLINE).await.result;
            let reply = reply.map_err(|lost| {
                LoadtestError::Unexpected(format!(
                    "{path} got no reply while phones enrolled: {}",
                    lost.word()
                ))
            })?;
            tries += 1;
            match reply.asks_to_wait() {
                Some(pause) if tries < TRIES_MAX => tokio::time::sleep(pause).await,
                _ if reply.status == StatusCode::CREATED => return Ok(reply),
                _ => {
                    let what =
                        format!("{path} answered {} {} while phones enrolled", reply.status, reply.code());
                    return Err(LoadtestError::Unexpected(what));
                }
            }
        }
    }
}

/// Seconds since 1970.
pub(super) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn read<'a, T: Deserialize<'a>>(reply: &'a Reply) -> Result<T, LoadtestError> {
    serde_json::from_slice(&reply.body)
        .map_err(|error| LoadtestError::Unreadable { status: reply.status, why: error.to_string() })
}

/// The version of the file's form.
const VERSION: u32 = 2;

/// A crowd in its file. Its keys are of no use but on the server that it was enrolled on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptCrowd {
    version: u32,
    issuer: String,
    server_keys: Vec<ServerKey>,
    phones: Vec<KeptPhone>,
}

/// A phone in that file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptPhone {
    device_id: Box<str>,
    kid: Box<str>,
    /// Secret and point, base64url.
    key: String,
}

impl KeptPhone {
    /// A phone to be kept; one whose challenges are sealed cannot be.
    pub(super) fn of(phone: &CrowdPhone) -> Self {
        let key = URL_SAFE_NO_PAD.encode(phone.key.to_bytes());
        Self { device_id: phone.device_id.clone(), kid: phone.kid.clone(), key }
    }
}

impl KeptCrowd {
    /// A crowd to be kept, in the order of its numbers.
    pub(super) fn new(issuer: &str, server_keys: Vec<ServerKey>, phones: Vec<KeptPhone>) -> Self {
        Self { version: VERSION, issuer: issuer.to_owned(), server_keys, phones }
    }

    /// The crowd in this file, if it is of this server and large enough.
    pub(super) fn read(file: &Path, issuer: &str, count: u32) -> Option<Self> {
        let kept: Self = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        let fits = kept.version == VERSION
            && kept.issuer == issuer
            && u32::try_from(kept.phones.len()).is_ok_and(|held| held >= count);
        fits.then_some(kept)
    }

    /// Writes it, for its owner alone.
    pub(super) fn write(&self, file: &Path) -> Result<(), LoadtestError> {
        let text = serde_json::to_vec(self).map_err(|error| LoadtestError::Unexpected(error.to_string()))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(file).map_err(LoadtestError::io("open the file of the crowd"))?;
        file.write_all(&text).map_err(LoadtestError::io("write the file of the crowd"))
    }

    /// The server's keys.
    pub(super) fn server_keys(&self) -> &[ServerKey] {
        &self.server_keys
    }

    /// The phone with this number.
    pub(super) fn phone(&self, number: u32) -> Option<CrowdPhone> {
        let kept = self.phones.get(usize::try_from(number).ok()?)?;
        let key = SigningKey::from_bytes(&URL_SAFE_NO_PAD.decode(&kept.key).ok()?)?;
        Some(CrowdPhone { device_id: kept.device_id.clone(), kid: kept.kid.clone(), key, seal_key: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_addresses_and_numbers_name_their_phone() {
        for number in [0, 1, 4_711, 99_999, 9_999_999] {
            let object: serde_json::Value = serde_json::from_str(&push_object(number)).unwrap();
            let target = object["value"].as_str().unwrap();
            assert_eq!(phone_of_target(target), Some(number));
            assert!(object["kind"] != "apns" || target.len() == 64, "{target}");
            let text = phone_number_of(number);
            assert_eq!((text.len(), phone_of_number(&text)), (12, Some(number)));
        }
        assert_eq!(phone_of_target("short"), None);
    }

    #[test]
    fn a_crowd_is_read_again_only_for_its_own_server_and_size() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("crowd.json");
        let phone = CrowdPhone {
            device_id: "d".into(),
            kid: "k".into(),
            key: SigningKey::generate().unwrap(),
            seal_key: None,
        };
        let held = vec![KeptPhone::of(&phone)];
        KeptCrowd::new("http://a", Vec::new(), held).write(&file).unwrap();
        let kept = KeptCrowd::read(&file, "http://a", 1).unwrap();
        assert_eq!(kept.phone(0).unwrap().key.jwk(), phone.key.jwk());
        assert!(kept.phone(1).is_none());
        assert!(KeptCrowd::read(&file, "http://b", 1).is_none());
        assert!(KeptCrowd::read(&file, "http://a", 2).is_none());
    }
}
