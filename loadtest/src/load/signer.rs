//! What a phone of the crowd signs and verifies: the device protocol as in [`phone`](crate::phone), written for speed.
//!
//! Each phone in the world brings its own processor; here all of them share the server's. So bodies are written as text,
//! and the costly half of a signature, which knows neither key nor message, is made once for a few nonces that all
//! phones use again and again. **Whoever sees two signatures over one nonce knows the keys**: they are good for nothing
//! but load. To the server such a signature is as good and as costly as any.
//!
//! A challenge is read in full: signature, addressee, and the digest of every member that is shown.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};

use aws_lc_rs::agreement::{self, ECDH_P256, UnparsedPublicKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, ParsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::elliptic_curve::PrimeField as _;
use p256::elliptic_curve::ops::Reduce;
use p256::elliptic_curve::point::AffineCoordinates as _;
use p256::{ProjectivePoint, Scalar, U256};
use serde::{Deserialize, Serialize};

use crate::LoadtestError;
use crate::phone::{Sealed, open_agreed};

/// Room for a JWS of the usual length.
const JWS_BYTES_USUAL: usize = 640;

/// Nonces that each thread signs with, in turn.
const NONCES: usize = 256;

/// A key pair of a phone.
pub(super) struct SigningKey {
    secret: Scalar,
    point: [u8; 65],
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningKey(…)")
    }
}

/// The half of a signature that can be made before: the inverse of a nonce, and the abscissa of its point.
#[derive(Clone, Copy)]
struct Nonce {
    inverse: Scalar,
    r: Scalar,
}

/// The nonces of a thread.
struct Nonces {
    made: Vec<Nonce>,
    next: usize,
}

thread_local! {
    static OF_THREAD: RefCell<Nonces> = RefCell::new(Nonces::make());
}

impl Nonces {
    fn make() -> Self {
        let mut made = Vec::with_capacity(NONCES);
        while made.len() < NONCES {
            let mut bytes = [0; 32];
            aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random numbers");
            let nonce = <Scalar as Reduce<U256>>::reduce_bytes(&bytes.into());
            let point = (ProjectivePoint::GENERATOR * nonce).to_affine();
            let r = <Scalar as Reduce<U256>>::reduce_bytes(&point.x());
            // None of the two is zero but once in 2^255 times.
            if let (Some(inverse), false) = (Option::from(nonce.invert()), r == Scalar::ZERO) {
                made.push(Nonce { inverse, r });
            }
        }
        Self { made, next: 0 }
    }

    fn next(&mut self) -> Nonce {
        self.next = (self.next + 1) % self.made.len();
        self.made[self.next]
    }
}

impl SigningKey {
    /// A new one.
    pub(super) fn generate() -> Result<Self, LoadtestError> {
        // Its arithmetic is quicker at this than the other's.
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| no_randomness())?;
        let secret = pair.private_key().as_be_bytes().map_err(|_| no_randomness())?;
        let kept = [secret.as_ref(), pair.public_key().as_ref()].concat();
        Self::from_bytes(&kept).ok_or_else(no_randomness)
    }

    /// One that was kept.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (secret, point) = bytes.split_first_chunk::<32>()?;
        let secret = Option::<Scalar>::from(Scalar::from_repr((*secret).into()))?;
        Some(Self { secret, point: point.try_into().ok()? })
    }

    /// To be kept: the secret, then the point.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&self.secret.to_bytes()[..], &self.point].concat()
    }

    /// The public half as a JWK.
    pub(super) fn jwk(&self) -> String {
        jwk(&self.point)
    }

    /// A compact JWS over these claims.
    pub(super) fn sign(&self, typ: &str, kid: Option<&str>, claims: &str) -> String {
        let mut header = format!(r#"{{"alg":"ES256","typ":"{typ}""#);
        if let Some(kid) = kid {
            // A string cannot fail to be written to.
            let _ = write!(header, r#","kid":"{kid}""#);
        }
        header.push('}');
        let mut jws = String::with_capacity(JWS_BYTES_USUAL);
        URL_SAFE_NO_PAD.encode_string(header, &mut jws);
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut jws);
        let signature = self.signature(jws.as_bytes());
        jws.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut jws);
        jws
    }

    /// ECDSA as in SEC 1, 4.1.3, from the step on that needs the message.
    fn signature(&self, message: &[u8]) -> [u8; 64] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, message).as_ref());
        let hash = <Scalar as Reduce<U256>>::reduce_bytes(&hash.into());
        let Nonce { inverse, r } = OF_THREAD.with_borrow_mut(Nonces::next);
        let s = inverse * (hash + r * self.secret);
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r.to_bytes());
        signature[32..].copy_from_slice(&s.to_bytes());
        signature
    }
}

/// A key pair that challenges are sealed to.
#[derive(Debug)]
pub(super) struct SealKey {
    private: agreement::PrivateKey,
    point: Box<[u8]>,
}

impl SealKey {
    /// A new one.
    pub(super) fn generate() -> Result<Self, LoadtestError> {
        Self::of(agreement::PrivateKey::generate(&ECDH_P256).map_err(|_| no_randomness())?)
    }

    fn of(private: agreement::PrivateKey) -> Result<Self, LoadtestError> {
        let point = private.compute_public_key().map_err(|_| no_randomness())?.as_ref().into();
        Ok(Self { private, point })
    }

    /// The public half as a JWK.
    pub(super) fn jwk(&self) -> String {
        jwk(&self.point)
    }

    /// The compact JWS in this seal.
    pub(super) fn open(&self, enc: &str, ct: &str, transaction_id: &str) -> Option<String> {
        let sealed = Sealed { enc: URL_SAFE_NO_PAD.decode(enc).ok()?, ct: URL_SAFE_NO_PAD.decode(ct).ok()? };
        let peer = UnparsedPublicKey::new(&ECDH_P256, &sealed.enc);
        agreement::agree(&self.private, peer, (), |shared| {
            let shared: &[u8; 32] = shared.try_into().map_err(|_| ())?;
            open_agreed(&sealed, shared, &self.point, transaction_id).ok_or(())
        })
        .ok()
    }
}

fn jwk(point: &[u8]) -> String {
    let (x, y) = (&point[1..33], &point[33..65]);
    let [x, y] = [x, y].map(|half| URL_SAFE_NO_PAD.encode(half));
    format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#)
}

/// The server's keys: the only ones that challenges are believed by.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerKeys(HashMap<Box<str>, ParsedPublicKey>);

/// A server key as the enrolment tells it, and as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ServerKey {
    pub(super) kid: String,
    pub(super) x: String,
    pub(super) y: String,
}

impl ServerKeys {
    /// `None` when one of them is no P-256 key.
    pub(super) fn of(keys: &[ServerKey]) -> Option<Self> {
        let parsed = keys.iter().map(|key| {
            let half = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().filter(|half| half.len() == 32);
            let point = [vec![4], half(&key.x)?, half(&key.y)?].concat();
            let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?;
            Some((key.kid.as_str().into(), parsed))
        });
        parsed.collect::<Option<_>>().map(Self)
    }
}

/// What a phone needs of a challenge to answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// To be signed with the answer.
    pub(super) nonce: String,
    /// Digest of what is shown.
    pub(super) dh: String,
}

/// Who a challenge must be from and for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addressee<'a> {
    pub(super) issuer: &'a str,
    pub(super) device_id: &'a str,
    pub(super) transaction_id: &'a str,
}

#[derive(Deserialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

/// The claims. What is written of them is what `dh` is taken of, in the order of RFC 8785.
#[derive(Deserialize, Serialize)]
struct Claims<'a> {
    #[serde(borrow)]
    app: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Vec<Detail>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden_details: Option<BTreeMap<String, String>>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secure_message: Option<String>,
    #[serde(borrow)]
    title: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    type_name: Cow<'a, str>,
    #[serde(borrow)]
    user: User<'a>,
    #[serde(borrow, skip_serializing)]
    iss: Cow<'a, str>,
    #[serde(borrow, skip_serializing)]
    sub: Cow<'a, str>,
    #[serde(borrow, skip_serializing)]
    aud: Cow<'a, str>,
    #[serde(skip_serializing)]
    nonce: String,
}

#[derive(Deserialize, Serialize)]
struct Detail {
    label: String,
    value: String,
}

#[derive(Deserialize, Serialize)]
struct User<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    realm: Cow<'a, str>,
}

/// Why a phone does not answer a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distrust {
    /// It cannot be read.
    Unreadable,
    /// It is not signed by one of the server's keys.
    BadSignature,
    /// It is not for this phone and transaction.
    NotForUs,
}

impl Distrust {
    /// The word under which it is counted.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "challenge_unreadable",
            Self::BadSignature => "challenge_signature",
            Self::NotForUs => "challenge_not_for_us",
        }
    }
}

/// Reads a challenge; its signature is checked under `keys`, and where there are none it is not.
pub(super) fn read_challenge(
    compact: &str,
    keys: Option<&ServerKeys>,
    addressee: Addressee<'_>,
) -> Result<Asked, Distrust> {
    let (message, signature) = compact.rsplit_once('.').ok_or(Distrust::Unreadable)?;
    let (header, payload) = message.split_once('.').ok_or(Distrust::Unreadable)?;
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Distrust::Unreadable);
    if let Some(keys) = keys {
        let header = bytes(header)?;
        let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| Distrust::Unreadable)?;
        let known = keys.0.get(header.kid).filter(|_| is_challenge(&header));
        let verified = known.is_some_and(|key| match bytes(signature) {
            Ok(signature) => key.verify_sig(message.as_bytes(), &signature).is_ok(),
            Err(_) => false,
        });
        if !verified {
            return Err(Distrust::BadSignature);
        }
    }
    let payload = bytes(payload)?;
    let claims: Claims<'_> = serde_json::from_slice(&payload).map_err(|_| Distrust::Unreadable)?;
    let Addressee { issuer, device_id, transaction_id } = addressee;
    if claims.iss != issuer || claims.aud != device_id || claims.sub != transaction_id {
        return Err(Distrust::NotForUs);
    }
    let shown = serde_json::to_vec(&claims).map_err(|_| Distrust::Unreadable)?;
    Ok(Asked { dh: URL_SAFE_NO_PAD.encode(digest(&SHA256, &shown)), nonce: claims.nonce })
}

fn is_challenge(header: &Header<'_>) -> bool {
    header.alg == "ES256" && header.typ == "tocsin-challenge+jwt"
}

/// The digest of a body or a code, as proofs name it.
pub(super) fn hash(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, bytes))
}

fn no_randomness() -> LoadtestError {
    LoadtestError::Unexpected("the system gave no random numbers".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::phone::{Challenge, Expectation, ServerKeySet};

    const ADDRESSEE: Addressee<'static> =
        Addressee { issuer: "http://127.0.0.1:1", device_id: "device", transaction_id: "transaction" };

    fn claims() -> Value {
        json!({"iss": "http://127.0.0.1:1", "sub": "transaction", "aud": "device", "iat": 1, "exp": 4_000_000_000_u64,
            "nonce": "AAAAAAAAAAAAAAAAAAAAAA", "v": 1, "type": "login", "user": {"realm": "retail", "id": "a\"é\n"},
            "app": "bank", "title": "T", "message": "M\nN", "methods": ["device"], "number_match": "off",
            "details": [{"value": "2", "label": "1"}], "hidden_details": {"b": "1", "a": "2"}, "context": "C",
            "secure_message": "S"})
    }

    fn server() -> (SigningKey, Vec<ServerKey>, ServerKeySet) {
        let key = SigningKey::generate().unwrap();
        let mut jwk: Value = serde_json::from_str(&key.jwk()).unwrap();
        let kept = ServerKey {
            kid: "kid".to_owned(),
            x: jwk["x"].as_str().unwrap().to_owned(),
            y: jwk["y"].as_str().unwrap().to_owned(),
        };
        jwk["kid"] = json!("kid");
        (key, vec![kept], ServerKeySet::parse(&json!([jwk])).unwrap())
    }

    #[test]
    fn a_challenge_reads_as_the_strict_phone_reads_it() {
        let (key, kept, strict) = server();
        let jws = key.sign("tocsin-challenge+jwt", Some("kid"), &claims().to_string());
        let keys = ServerKeys::of(&kept).unwrap();
        let asked = read_challenge(&jws, Some(&keys), ADDRESSEE).unwrap();
        let expected = Expectation {
            issuer: ADDRESSEE.issuer,
            device_id: "device",
            transaction_id: Some("transaction"),
            uses: &["device"],
            now_s: 1.0,
        };
        let challenge = Challenge::verify(&jws, &strict, expected).unwrap();
        assert_eq!(asked, Asked { nonce: challenge.nonce.clone(), dh: challenge.screen.digest() });
    }

    #[test]
    fn a_challenge_of_somebody_else_or_for_somebody_else_is_not_answered() {
        let (key, kept, _) = server();
        let keys = ServerKeys::of(&kept).unwrap();
        let forger = SigningKey::generate().unwrap();
        let forged = forger.sign("tocsin-challenge+jwt", Some("kid"), &claims().to_string());
        assert_eq!(read_challenge(&forged, Some(&keys), ADDRESSEE), Err(Distrust::BadSignature));
        assert!(read_challenge(&forged, None, ADDRESSEE).is_ok());
        let answer = key.sign("tocsin-answer+jwt", Some("kid"), &claims().to_string());
        assert_eq!(read_challenge(&answer, Some(&keys), ADDRESSEE), Err(Distrust::BadSignature));
        let good = key.sign("tocsin-challenge+jwt", Some("kid"), &claims().to_string());
        let other = Addressee { device_id: "other", ..ADDRESSEE };
        assert_eq!(read_challenge(&good, Some(&keys), other), Err(Distrust::NotForUs));
        assert_eq!(read_challenge("e30.e30", None, ADDRESSEE), Err(Distrust::Unreadable));
    }

    #[test]
    fn a_kept_key_signs_as_before_and_each_signature_is_good() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_bytes(&key.to_bytes()).unwrap();
        assert_eq!(key.jwk(), again.jwk());
        let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.point).unwrap();
        for number in 0..NONCES + 2 {
            let message = number.to_string();
            public.verify_sig(message.as_bytes(), &again.signature(message.as_bytes())).unwrap();
        }
        assert!(SigningKey::from_bytes(&key.to_bytes()[1..]).is_none());
    }
}
