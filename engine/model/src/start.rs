//! What a portal asks for.

use crate::{AppName, ClientId, Content, DeviceId, DurationMs, Idempotency, TypeName, User};

/// A validated request to start a transaction. What only the engine can know (devices, breakers) is not
/// checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartRequest {
    /// The calling client.
    pub client: ClientId,
    /// The authentication type; configured, and permitted to the client.
    pub type_name: TypeName,
    /// Who is asked.
    pub user: User,
    /// What the user is shown; empty title or message stand for the type's default texts.
    pub content: Content,
    /// Only this phone.
    pub device_id: Option<DeviceId>,
    /// Only phones with this app.
    pub app: Option<AppName>,
    /// A shorter life than the type's.
    pub time_to_live: Option<DurationMs>,
    /// The caller's promise that two calls are one.
    pub idempotency: Option<Idempotency>,
}
