//! Authentication types: what a portal asks for by name, and what each method lets it say.

use std::sync::Arc;

use crate::texts::TypeTexts;
use tocsin_model::{
    AppName, CodeDigits, DurationMs, KeyUse, Method, NumberMatchRule, ProviderName, RealmName, ReportLock,
    TypeName,
};

use crate::fatigue::PendingPush;

/// An authentication type: what a portal asks for by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticationType {
    /// How it reaches its users.
    pub method: Method,
    /// Longest life of a transaction; `None` takes the realm's.
    pub time_to_live: Option<DurationMs>,
    /// What the user is shown when the portal says nothing.
    pub texts: TypeTexts,
    /// Longest message in characters.
    pub message_characters_max: usize,
    /// Whose phones may answer; empty means every app.
    pub apps: Vec<AppName>,
    /// Whose users may claim it by a one-time password; empty means every realm that the client sees.
    pub realms: Vec<RealmName>,
    /// The keys whose signature approves.
    pub keys: Arc<[KeyUse]>,
    /// What the push shows before the phone has fetched the challenge.
    pub push_text: PushText,
    /// What happens when several phones could answer and the portal names none.
    pub device_choice: DeviceChoice,
    /// How strictly an approval is matched with the portal's screen, unless the portal asks for more.
    pub number_match: NumberMatchRule,
    /// What is said of codes, where the method sends one.
    pub code: Option<CodeRules>,
    /// What is tried when this method cannot be initialized.
    pub fallback: Option<FallbackRule>,
    /// Repeated pushes or codes allowed.
    pub resends_max: u32,
    /// Shortest time between two pushes or codes that the portal asks for.
    pub resend_gap: DurationMs,
    /// Stay pending although every push failed, because phones also ask by themselves.
    pub keep_for_polling: bool,
    /// What happens while another push waits for the same user and app.
    pub pending_push: PendingPush,
    /// Shortest time between two pushes to the same user and app.
    pub push_gap: DurationMs,
    /// For how long a report of fraud locks its user; `None` when it does not.
    pub report_lock: Option<ReportLock>,
}

/// One-time codes of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRules {
    /// How many digits a code has.
    pub digits: CodeDigits,
    /// Wrong tries allowed; zero means without end.
    pub attempts_max: u32,
    /// Who sends it, tried in this order. Without one the type is for custom delivery only.
    pub gateways: Vec<ProviderName>,
    /// The site that the code is bound to, for phones that fill it in by themselves.
    pub autofill_domain: Option<Arc<str>>,
}

/// What follows when a method cannot be initialized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackRule {
    /// The type whose method and limits are taken then.
    pub to: TypeName,
    /// How long the user may be silent before it is taken too; `None` when silence brings nothing.
    pub after: Option<DurationMs>,
}

/// What happens when several phones could answer and the portal names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// All are asked; the first valid answer wins.
    All,
    /// The portal is told to name one.
    Ask,
}

/// What an authentication type is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Letting a user in. Its approvals are matched by a typed number, unless the type says otherwise.
    Login,
}

/// What a push shows before the phone has fetched the challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushText {
    /// Only localisation keys of the app; the network learns nothing.
    LocalizationKeys,
    /// Title and message in clear.
    Message,
}
