//! What a portal asks for.

use crate::{
    AppName, CallContext, CallbackUrl, ClientId, Content, DeviceId, DurationMs, EmailAddress, Idempotency,
    NumberMatchRule, PhoneNumber, TypeName, User,
};

/// How a challenge or a code leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliveryChoice {
    /// As the method of the type does it.
    #[default]
    Usual,
    /// By a push.
    Push,
    /// By the caller, who is told the request message.
    RequestMessage,
    /// Both ways.
    PushAndRequestMessage,
    /// The code is handed to the caller, who delivers it.
    Custom,
}

impl DeliveryChoice {
    /// Whether phones are pushed to.
    pub const fn pushes(self) -> bool {
        matches!(self, Self::Usual | Self::Push | Self::PushAndRequestMessage)
    }

    /// Whether the caller is told the request message.
    pub const fn hands_out(self) -> bool {
        matches!(self, Self::RequestMessage | Self::PushAndRequestMessage)
    }

    /// The words of the interface, in its order.
    pub const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Usual => &[],
            Self::Push => &["push"],
            Self::RequestMessage => &["request_message"],
            Self::PushAndRequestMessage => &["push", "request_message"],
            Self::Custom => &["custom"],
        }
    }
}

/// A validated request to start a transaction. What only the engine can know (devices, breakers) is not
/// checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartRequest {
    /// The calling client.
    pub client: ClientId,
    /// The authentication type; configured, and permitted to the client.
    pub type_name: TypeName,
    /// Who is asked; `None` for an anonymous one, whose user is that of the phone that claims it.
    pub user: Option<User>,
    /// What the user is shown; empty title or message stand for the type's default texts.
    pub content: Content,
    /// Where a code goes by SMS, if not to the number of the user's profile.
    pub phone_number: Option<PhoneNumber>,
    /// Where a code goes by e-mail, if not to the address of the user's profile.
    pub email: Option<EmailAddress>,
    /// Only this phone.
    pub device_id: Option<DeviceId>,
    /// Only phones with this app.
    pub app: Option<AppName>,
    /// A shorter life than the type's.
    pub time_to_live: Option<DurationMs>,
    /// How the challenge leaves.
    pub delivery: DeliveryChoice,
    /// Where its outcome is posted to.
    pub callback_url: Option<CallbackUrl>,
    /// Where the portal's user is calling from.
    pub call_context: Option<Box<CallContext>>,
    /// Whether the caller wants its reply held until the outcome, so that it may ask for nothing that the user must see
    /// first ([`crate::Problem::wait_not_possible`]).
    pub is_held: bool,
    /// A stricter number matching than the type's.
    pub number_match: Option<NumberMatchRule>,
    /// The caller's promise that two calls are one.
    pub idempotency: Option<Idempotency>,
}
