//! Rows of the audit trail: what happened, and the hash that chains it to the rows before it.
//!
//! The hash of a row is SHA-256 over `tocsin/v1/audit`, the hash of the row before it (32 zero bytes before the
//! first), the row's number as eight bytes and its body, which is stored as it was hashed.

use minicbor::{Decode, Encode};
use tocsin_model::{
    AuditActor, AuditEvent, AuditHash, AuditKind, AuditRow, DeviceId, EnrollmentId, Pseudonym, TransactionId,
    UnixMs, User, UserId,
};

use super::{Malformed, encoded, from_payload, name};
use crate::hash::sha256;

/// What a hash of this trail begins with, so that it is the hash of nothing else.
const HASH_PREFIX: &[u8] = b"tocsin/v1/audit";

/// Room that most bodies fit into without growing.
const BODY_BYTES_HINT: usize = 192;

/// A row: the canonical body and its hash.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct AuditRecord {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub(crate) body: Vec<u8>,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) hash: [u8; 32],
}

/// A place in the trail: the last row, or the last row that was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct AuditPlaceRecord {
    #[n(0)]
    pub(crate) number: u64,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) hash: [u8; 32],
    #[n(2)]
    pub(crate) at_ms: u64,
}

/// What happened, as it is hashed.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Body<'b> {
    #[n(0)]
    at_ms: u64,
    #[n(1)]
    kind: u16,
    #[n(2)]
    actor: u8,
    #[b(3)]
    actor_name: Option<&'b str>,
    #[cbor(n(4), with = "minicbor::bytes")]
    actor_device: Option<[u8; 16]>,
    #[b(5)]
    realm: Option<&'b str>,
    #[b(6)]
    user: Option<&'b str>,
    #[cbor(n(7), with = "minicbor::bytes")]
    transaction: Option<[u8; 16]>,
    #[b(8)]
    type_name: Option<&'b str>,
    #[cbor(n(9), with = "minicbor::bytes")]
    device: Option<[u8; 16]>,
    #[cbor(n(10), with = "minicbor::bytes")]
    enrollment: Option<[u8; 16]>,
    #[b(11)]
    detail: Option<&'b str>,
    #[b(12)]
    session: Option<&'b str>,
    /// In place of the user, whom older versions named.
    #[cbor(n(13), with = "minicbor::bytes")]
    pseudonym: Option<[u8; 16]>,
}

impl Default for AuditPlaceRecord {
    fn default() -> Self {
        Self::START
    }
}

impl AuditPlaceRecord {
    /// Before the first row.
    pub(crate) const START: Self = Self { number: 0, hash: [0; 32], at_ms: 0 };
}

impl AuditRecord {
    /// The row behind `previous`.
    pub(crate) fn chained(
        previous: &AuditPlaceRecord,
        number: u64,
        at: UnixMs,
        event: &AuditEvent,
        pseudonym: Option<Pseudonym>,
    ) -> Self {
        let body = encoded(Vec::with_capacity(BODY_BYTES_HINT), &Body::of(at, event, pseudonym));
        let hash = hash(&previous.hash, number, &body);
        Self { body, hash }
    }

    /// Whether the hash is that of this row behind a row with the hash `previous`.
    pub(crate) fn is_chained(&self, previous: &[u8; 32], number: u64) -> bool {
        hash(previous, number, &self.body) == self.hash
    }

    /// The place of this row.
    pub(crate) fn place(&self, number: u64) -> Result<AuditPlaceRecord, Malformed> {
        let at_ms = from_payload::<Body<'_>>(&self.body)?.at_ms;
        Ok(AuditPlaceRecord { number, hash: self.hash, at_ms })
    }

    /// The row as the product sees it.
    pub(crate) fn into_model(self, number: u64) -> Result<AuditRow, Malformed> {
        let body: Body<'_> = from_payload(&self.body)?;
        let (at, pseudonym) = (UnixMs::new(body.at_ms), body.pseudonym.map(Pseudonym::from_bytes));
        let event = body.into_event()?;
        Ok(AuditRow { number, at, event, pseudonym, hash: AuditHash::from_bytes(self.hash) })
    }
}

fn hash(previous: &[u8; 32], number: u64, body: &[u8]) -> [u8; 32] {
    sha256(&[HASH_PREFIX, previous, &number.to_be_bytes(), body])
}

/// Numbers of actors on disk.
const SERVER: u8 = 1;
const CLIENT: u8 = 2;
const DEVICE: u8 = 3;
const OPERATOR: u8 = 4;
const CONSOLE: u8 = 5;

impl<'b> Body<'b> {
    fn of(at: UnixMs, event: &'b AuditEvent, pseudonym: Option<Pseudonym>) -> Self {
        let (actor, actor_name, actor_device) = match &event.actor {
            AuditActor::Server => (SERVER, None, None),
            AuditActor::Client(id) => (CLIENT, Some(id.as_str()), None),
            AuditActor::Device(id) => (DEVICE, None, Some(*id.as_bytes())),
            AuditActor::Operator(name) => (OPERATOR, Some(name.as_str()), None),
            AuditActor::Console => (CONSOLE, None, None),
        };
        Self {
            at_ms: at.get(),
            kind: event.kind.number(),
            actor,
            actor_name,
            actor_device,
            realm: event.user.as_ref().map(|user| user.realm.as_str()),
            user: event.user.as_ref().filter(|_| pseudonym.is_none()).map(|user| user.id.as_str()),
            transaction: event.transaction.map(|id| *id.as_bytes()),
            type_name: event.type_name.as_ref().map(|name| name.as_str()),
            device: event.device.map(|id| *id.as_bytes()),
            enrollment: event.enrollment.map(|id| *id.as_bytes()),
            detail: event.detail.as_deref(),
            session: event.session.as_deref(),
            pseudonym: pseudonym.map(|pseudonym| *pseudonym.as_bytes()),
        }
    }

    fn into_event(self) -> Result<AuditEvent, Malformed> {
        let kind = AuditKind::from_number(self.kind).ok_or(Malformed("it is of an unknown kind"))?;
        let user = match (self.realm, self.user) {
            (Some(realm), Some(id)) => Some(User { realm: name(realm)?, id: UserId::from_stored(id) }),
            (_, None) if self.pseudonym.is_some() => None,
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(Malformed("it holds half a user")),
        };
        Ok(AuditEvent {
            kind,
            actor: self.actor()?,
            user,
            transaction: self.transaction.map(TransactionId::from_bytes),
            type_name: self.type_name.map(name).transpose()?,
            device: self.device.map(DeviceId::from_bytes),
            enrollment: self.enrollment.map(EnrollmentId::from_bytes),
            detail: self.detail.map(Into::into),
            session: self.session.map(Into::into),
        })
    }

    fn actor(&self) -> Result<AuditActor, Malformed> {
        match (self.actor, self.actor_name, self.actor_device) {
            (SERVER, None, None) => Ok(AuditActor::Server),
            (CLIENT, Some(id), None) => name(id).map(AuditActor::Client),
            (DEVICE, None, Some(id)) => Ok(AuditActor::Device(DeviceId::from_bytes(id))),
            (OPERATOR, Some(operator), None) => name(operator).map(AuditActor::Operator),
            (CONSOLE, None, None) => Ok(AuditActor::Console),
            _ => Err(Malformed("it names nobody who could have done it")),
        }
    }
}
