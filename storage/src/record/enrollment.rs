//! The disk form of an enrolment.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use tocsin_model::{
    ActivationCodeHash, DeviceId, Enrollment, EnrollmentId, EnrollmentState, KeyId, UnixMs, User, UserId,
};

use super::{Malformed, ServerKeyRecord, name};

const PENDING: u8 = 0;
const COMPLETED: u8 = 1;
const FAILED: u8 = 2;

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
    #[n(20)]
    server_kids: Option<Vec<ByteArray<16>>>,
    #[n(21)]
    server_key: Option<ServerKeyRecord>,
}

impl<'a> EnrollmentRecord<'a> {
    pub(crate) fn new(enrollment: &'a Enrollment) -> Self {
        let (state, device_id, completed_at_ms) = match &enrollment.state {
            EnrollmentState::Pending => (PENDING, None, None),
            EnrollmentState::Completed { device_id, completed_at } => {
                (COMPLETED, Some(*device_id.as_bytes()), Some(completed_at.get()))
            }
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
            device_id,
            completed_at_ms,
            server_kids: (!kids.is_empty()).then_some(kids),
            server_key: enrollment.server_key.as_deref().map(ServerKeyRecord::new),
        }
    }

    pub(crate) fn into_model(self, id: EnrollmentId) -> Result<Enrollment, Malformed> {
        let state = match (self.state, self.device_id, self.completed_at_ms) {
            (PENDING, ..) => EnrollmentState::Pending,
            (COMPLETED, Some(device_id), Some(completed_at_ms)) => EnrollmentState::Completed {
                device_id: DeviceId::from_bytes(device_id),
                completed_at: UnixMs::new(completed_at_ms),
            },
            (FAILED, ..) => EnrollmentState::Failed,
            _ => return Err(Malformed("it holds an unknown or incomplete state")),
        };
        Ok(Enrollment {
            id,
            revision: self.revision,
            client: name(self.client)?,
            user: User { realm: name(self.realm)?, id: UserId::from_stored(self.user_id) },
            app: name(self.app)?,
            code_hash: ActivationCodeHash::from_bytes(self.code_hash),
            created_at: UnixMs::new(self.created_at_ms),
            expires_at: UnixMs::new(self.expires_at_ms),
            state,
            server_kids: self.server_kids.into_iter().flatten().map(|kid| KeyId::from_bytes(*kid)).collect(),
            server_key: self.server_key.map(ServerKeyRecord::into_model),
        })
    }
}
