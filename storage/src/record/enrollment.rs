//! The disk form of an enrolment.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use tocsin_model::{
    ActivationCodeHash, DeviceId, Enrollment, EnrollmentId, EnrollmentState, KeyId, TransactionId, UnixMs,
    User, UserId,
};

use super::{Malformed, ServerKeyRecord, name};

const PENDING: u8 = 0;
const COMPLETED: u8 = 1;
const FAILED: u8 = 2;
const UNCONFIRMED: u8 = 3;

/// An enrolment on disk. Perhaps it holds a private key, so it has no debug print.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct EnrollmentRecord<'a> {
    #[n(0)]
    revision: u32,
    #[b(1)]
    client: &'a str,
    #[b(2)]
    realm: &'a str,
    #[b(3)]
    user_id: &'a str,
    #[b(4)]
    app: &'a str,
    #[cbor(n(5), with = "minicbor::bytes")]
    code_hash: [u8; 32],
    #[n(6)]
    created_at_ms: u64,
    #[n(7)]
    expires_at_ms: u64,
    #[n(8)]
    state: u8,
    #[cbor(n(9), with = "minicbor::bytes")]
    device_id: Option<[u8; 16]>,
    #[n(10)]
    completed_at_ms: Option<u64>,
    #[n(11)]
    tries_used: Option<u32>,
    #[cbor(n(12), with = "minicbor::bytes")]
    authorized_by: Option<[u8; 16]>,
    #[n(20)]
    server_kids: Option<Vec<ByteArray<16>>>,
    #[n(21)]
    server_key: Option<ServerKeyRecord>,
}

impl<'a> EnrollmentRecord<'a> {
    pub(crate) fn new(enrollment: &'a Enrollment) -> Self {
        let (state, completed_at_ms, tries_used) = match &enrollment.state {
            EnrollmentState::Pending => (PENDING, None, None),
            EnrollmentState::Unconfirmed { tries_used, .. } => (UNCONFIRMED, None, Some(*tries_used)),
            EnrollmentState::Completed { completed_at, .. } => (COMPLETED, Some(completed_at.get()), None),
            EnrollmentState::Failed => (FAILED, None, None),
        };
        let kids: Vec<_> =
            enrollment.server_kids.iter().map(|kid| ByteArray::from(*kid.as_bytes())).collect();
        Self {
            revision: enrollment.revision,
            client: enrollment.client.as_str(),
            realm: enrollment.user.realm.as_str(),
            user_id: enrollment.user.id.as_str(),
            app: enrollment.app.as_str(),
            code_hash: *enrollment.code_hash.as_bytes(),
            created_at_ms: enrollment.created_at.get(),
            expires_at_ms: enrollment.expires_at.get(),
            state,
            device_id: enrollment.device_id().map(|id| *id.as_bytes()),
            completed_at_ms,
            tries_used,
            authorized_by: enrollment.authorized_by.map(|id| *id.as_bytes()),
            server_kids: (!kids.is_empty()).then_some(kids),
            server_key: enrollment.server_key.as_deref().map(ServerKeyRecord::new),
        }
    }

    pub(crate) fn into_model(self, id: EnrollmentId) -> Result<Enrollment, Malformed> {
        let state = self.state()?;
        Ok(Enrollment {
            id,
            revision: self.revision,
            client: name(self.client)?,
            user: User { realm: name(self.realm)?, id: UserId::from_stored(self.user_id) },
            app: name(self.app)?,
            code_hash: ActivationCodeHash::from_bytes(self.code_hash),
            created_at: UnixMs::new(self.created_at_ms),
            expires_at: UnixMs::new(self.expires_at_ms),
            authorized_by: self.authorized_by.map(TransactionId::from_bytes),
            state,
            server_kids: self.server_kids.into_iter().flatten().map(|kid| KeyId::from_bytes(*kid)).collect(),
            server_key: self.server_key.map(ServerKeyRecord::into_model),
        })
    }

    fn state(&self) -> Result<EnrollmentState, Malformed> {
        let device_id = self.device_id.map(DeviceId::from_bytes);
        match (self.state, device_id, self.completed_at_ms, self.tries_used) {
            (PENDING, ..) => Ok(EnrollmentState::Pending),
            (UNCONFIRMED, Some(device_id), _, Some(tries_used)) => {
                Ok(EnrollmentState::Unconfirmed { device_id, tries_used })
            }
            (COMPLETED, Some(device_id), Some(completed_at_ms), _) => {
                Ok(EnrollmentState::Completed { device_id, completed_at: UnixMs::new(completed_at_ms) })
            }
            (FAILED, ..) => Ok(EnrollmentState::Failed),
            _ => Err(Malformed("it holds an unknown or incomplete state")),
        }
    }
}
