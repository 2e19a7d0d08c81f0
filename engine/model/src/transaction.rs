//! A transaction: one question to one user, from its start to its one final state.

use std::sync::Arc;

use crate::{
    AppName, CallbackUrl, ClientId, CodeState, Content, Decision, DeliveryReason, DeliveryStatus, DeviceId,
    DurationMs, Fallback, FallbackPlan, FallbackReason, Guard, KeyUse, Method, Nonce, NumberMatch,
    OperatorName, Otp, Platform, ProviderName, Sending, State, TransactionId, TypeName, UnixMs, User,
};

/// Tries used and allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// How many were used; never falls.
    pub used: u32,
    /// How many there are. For tries of a PIN zero means without end.
    pub max: u32,
}

impl Counter {
    /// A fresh counter.
    pub const fn new(max: u32) -> Self {
        Self { used: 0, max }
    }

    /// How many are left.
    pub const fn left(self) -> u32 {
        self.max.saturating_sub(self.used)
    }
}

/// A phone that may answer a transaction, and how far the push to it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The phone.
    pub device_id: DeviceId,
    /// Its name when the transaction started.
    pub device_name: Arc<str>,
    /// Its platform.
    pub platform: Platform,
    /// Its app, which the challenge names.
    pub app: AppName,
    /// The nonce of this transaction for this phone.
    pub nonce: Nonce,
    /// The push to it; `None` for a phone without a push address, which asks by itself.
    pub delivery: Option<Delivery>,
}

/// The push to one phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// By which provider.
    pub provider: ProviderName,
    /// How far it came.
    pub status: DeliveryStatus,
    /// Why it failed or is unknown.
    pub reason: Option<DeliveryReason>,
}

/// The answer that decided a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The phone that answered.
    pub device_id: DeviceId,
    /// The key that signed, which names the method of approving.
    pub key_use: KeyUse,
    /// What it said.
    pub decision: Decision,
    /// When we took it up.
    pub decided_at: UnixMs,
    /// The signed answer, compact JWS, so that a portal can check it by itself.
    pub jws: Box<str>,
    /// The request's proof, when the answer was not by the `device` key.
    pub proof_jws: Option<Box<str>>,
}

/// The challenge as a text for the caller's own transport, such as a QR picture on a screen.
///
/// A record holds only whether it was asked for: the text is as long as all the rest, and is read from its own row
/// for those who look at the transaction while it is pending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RequestMessage {
    /// The caller did not ask for it.
    #[default]
    NotAsked,
    /// The caller asked for it; it is not read, or of no use any more.
    AskedFor,
    /// The text.
    Text(Box<str>),
}

impl RequestMessage {
    /// Whether the caller asked for it.
    pub const fn is_asked_for(&self) -> bool {
        !matches!(self, Self::NotAsked)
    }

    /// The text, where it was read.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::NotAsked | Self::AskedFor => None,
        }
    }
}

/// Where the portal's user is calling from, in the portal's words: for texts, the shown origin, views and audit.
/// Nothing is ever looked up by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallContext {
    /// The user's language, a tag of BCP 47.
    pub language: Option<Box<str>>,
    /// The user's address as the portal sees it.
    pub ip_address: Option<Box<str>>,
    /// What the user's browser calls itself.
    pub user_agent: Option<Box<str>>,
    /// The portal's own name of the session.
    pub session_id: Option<Box<str>>,
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its id.
    pub id: TransactionId,
    /// Counts its changes, starting at 1; never falls, and rises by more than one where some may have been lost.
    pub revision: u32,
    /// The client that started it; only that one sees it.
    pub client: ClientId,
    /// Who is asked; `None` while nobody has claimed an anonymous one, which has no recipient then.
    pub user: Option<User>,
    /// Its type.
    pub type_name: TypeName,
    /// How its user is reached.
    pub method: Method,
    /// Where it stands.
    pub state: State,
    /// When the portal called; the time to live counts from here.
    pub created_at: UnixMs,
    /// From this moment on no answer is taken.
    pub expires_at: UnixMs,
    /// When it became final.
    pub ended_at: Option<UnixMs>,
    /// What the user is shown.
    pub content: Content,
    /// The keys whose signature approves it; those of its type, mostly, share them.
    pub accepted_keys: Arc<[KeyUse]>,
    /// The phones that may answer.
    pub recipients: Vec<Recipient>,
    /// Wrong tries of the user.
    pub attempts: Counter,
    /// Repeated pushes that the portal asked for.
    pub resends: Counter,
    /// The deciding answer.
    pub answer: Option<Box<Answer>>,
    /// Stay pending although every push failed, because phones also ask by themselves.
    pub keep_for_polling: bool,
    /// The request message, whose receiver is the only recipient.
    pub request_message: RequestMessage,
    /// Where its outcome is posted to.
    pub callback_url: Option<CallbackUrl>,
    /// Where the portal's user is calling from, when the portal said so.
    pub call_context: Option<Box<CallContext>>,
    /// What few transactions have; `None` where this one has none of it.
    pub seldom: Option<Box<Seldom>>,
}

/// What few transactions have, so that the others do not pay for its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seldom {
    /// The number that an approval must carry.
    pub number: Option<NumberMatch>,
    /// When the portal last had the push repeated.
    pub resent_at: Option<UnixMs>,
    /// The operator who cancelled it; `None` when its client did, and while it is anything but cancelled.
    pub cancelled_by: Option<OperatorName>,
    /// What keeps its user from being worn out.
    pub fatigue: Option<Box<Fatigue>>,
    /// Its code, where it sends one.
    pub code: Option<Box<CodeState>>,
    /// The fallback that it took.
    pub fallback: Option<Fallback>,
    /// The fallback that it may take yet.
    pub plan: Option<Box<FallbackPlan>>,
    /// The one-time password, for its portal and while nobody has claimed it. In no record: it is derived for those
    /// who look.
    pub otp: Option<Otp>,
}

/// What keeps the user of a transaction from being worn out by requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fatigue {
    /// What its end does to its user.
    pub guard: Option<Guard>,
    /// The pending ones that it takes the place of, the newest first; they are cancelled as it is stored.
    pub replaces: Vec<TransactionId>,
}

impl Fatigue {
    /// The form in which a transaction has it: `None` when there is nothing of it.
    pub fn kept(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl Seldom {
    /// The form in which a transaction has it: `None` when there is nothing of it.
    pub fn kept(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// Changes of a transaction that may have been told and then lost, all in all.
const REVISIONS_LOST_MAX: u32 = 1_000;

impl Transaction {
    /// What was sent for it, to phones and to the address of its code, and how far that came.
    pub fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        let pushed = self.recipients.iter().filter_map(|recipient| recipient.delivery.as_ref());
        pushed.chain(self.code().and_then(|code| code.delivery.as_ref()))
    }

    /// The same, of its present method alone.
    pub fn present_deliveries(&self) -> impl Iterator<Item = &Delivery> {
        let by_code = self.method.sends_code();
        let pushed = self.recipients.iter().filter_map(|recipient| recipient.delivery.as_ref());
        let sent = self.code().and_then(|code| code.delivery.as_ref());
        pushed.filter(move |_| !by_code).chain(sent.filter(|_| by_code))
    }

    /// Whether all that its present method sent has failed for good: its fallback is taken then, if it has one. A
    /// challenge that its caller brings to the phone needs none.
    pub fn needs_fallback(&self) -> bool {
        let mut present = self.present_deliveries().peekable();
        self.plan().is_some()
            && !self.request_message.is_asked_for()
            && present.peek().is_some()
            && present.all(|delivery| delivery.status == DeliveryStatus::Failed)
    }

    /// Whether all that was sent has failed for good, and nothing else brings it to its user: it ends then, unless there
    /// is a fallback.
    pub fn has_lost_every_push(&self) -> bool {
        let mut deliveries = self.deliveries().peekable();
        let is_custom = self.code().is_some_and(CodeState::is_custom);
        let is_reached_otherwise = self.keep_for_polling || self.request_message.is_asked_for() || is_custom;
        !is_reached_otherwise
            && deliveries.peek().is_some()
            && deliveries.all(|delivery| delivery.status == DeliveryStatus::Failed)
    }

    /// The revision to go on with from a record that was read anew: above all that anybody can have been told.
    ///
    /// How far a push came is told at once and stored without a sync of its own, so a power cut, a fallen actor or
    /// an old backup may bring back an older record. What a caller has seen (`after`, `Last-Event-ID`) would then
    /// hide what comes, the outcome included. A transaction changes less often than once a millisecond, so its age in
    /// milliseconds is above what any life of it has told, however many came before this one.
    pub fn revision_after_a_gap(&self, now: UnixMs) -> u32 {
        // Half of the range is left to what follows.
        let age_ms = u32::try_from(now.since(self.created_at).get()).unwrap_or(u32::MAX).min(u32::MAX / 2);
        self.revision.max(age_ms).saturating_add(REVISIONS_LOST_MAX)
    }

    /// The number that an approval must carry.
    pub fn number(&self) -> Option<NumberMatch> {
        self.seldom.as_ref().and_then(|seldom| seldom.number)
    }

    /// The operator who cancelled it.
    pub fn cancelled_by(&self) -> Option<&OperatorName> {
        self.seldom.as_ref().and_then(|seldom| seldom.cancelled_by.as_ref())
    }

    /// What its end does to its user.
    pub fn guard(&self) -> Option<Guard> {
        self.fatigue().and_then(|fatigue| fatigue.guard)
    }

    /// The ones that it takes the place of, the newest first.
    pub fn replaces(&self) -> &[TransactionId] {
        self.fatigue().map_or(&[], |fatigue| &fatigue.replaces)
    }

    fn fatigue(&self) -> Option<&Fatigue> {
        self.seldom.as_ref().and_then(|seldom| seldom.fatigue.as_deref())
    }

    /// Its code, where it sends one.
    pub fn code(&self) -> Option<&CodeState> {
        self.seldom.as_ref().and_then(|seldom| seldom.code.as_deref())
    }

    /// Its code, to change.
    pub fn code_mut(&mut self) -> Option<&mut CodeState> {
        self.seldom.as_mut().and_then(|seldom| seldom.code.as_deref_mut())
    }

    /// The last sending of its code; `None` where nobody sends it.
    pub fn sending(&self) -> Option<Sending> {
        let code = self.code()?;
        let present = &code.delivery.as_ref()?.provider;
        let gateway = code.gateways.iter().position(|name| name == present).unwrap_or(code.gateways.len());
        Some(Sending {
            fell_back_at: self.fallback().map(|fallback| fallback.at).unwrap_or_default(),
            resends_used: self.resends.used,
            gateway: u32::try_from(gateway).unwrap_or(u32::MAX),
        })
    }

    /// The fallback that it took.
    pub fn fallback(&self) -> Option<Fallback> {
        self.seldom.as_ref().and_then(|seldom| seldom.fallback)
    }

    /// The fallback that it may take yet.
    pub fn plan(&self) -> Option<&FallbackPlan> {
        self.seldom.as_ref().and_then(|seldom| seldom.plan.as_deref())
    }

    /// Tries of its user by its present method: of the code, or of a PIN.
    pub fn attempts_shown(&self) -> Counter {
        match self.code() {
            Some(code) if self.method.sends_code() => code.attempts,
            Some(_) | None => self.attempts,
        }
    }

    /// Goes on by the fallback, if there is one: its method and its limits count from here. Tries and repetitions that
    /// were used stay used.
    pub fn fall_back(&mut self, reason: FallbackReason, at: UnixMs) {
        let from = self.method;
        let seldom = self.seldom_mut();
        let Some(plan) = seldom.plan.take() else { return };
        let FallbackPlan { method, due_at: _, mut code, resends_max, next } = *plan;
        if let Some(before) = &seldom.code {
            code.attempts.used = before.attempts.used;
        }
        // Two of them never have the same time, which tells their sendings apart.
        let earliest = seldom.fallback.map(|before| before.at.plus(DurationMs::new(1))).unwrap_or_default();
        seldom.fallback = Some(Fallback { from, to: method, reason, at: at.max(earliest) });
        seldom.code = Some(Box::new(code));
        seldom.plan = next;
        self.method = method;
        self.resends.max = self.resends.used.saturating_add(resends_max);
    }

    /// Takes out the fallbacks that allow no further try after those that were made of the code: they could only be told
    /// that it is too late.
    pub fn drop_used_up_fallbacks(&mut self) {
        let Some(seldom) = self.seldom.as_deref_mut() else { return };
        let Some(used) = seldom.code.as_ref().map(|code| code.attempts.used) else { return };
        let mut place = &mut seldom.plan;
        while let Some(plan) = place {
            if plan.code.attempts.max > 0 && plan.code.attempts.max <= used {
                *place = plan.next.take();
            } else if let Some(kept) = place {
                place = &mut kept.next;
            }
        }
    }

    /// When the last push or code was made: at the start, by a fallback, or by a resend.
    pub fn last_push_at(&self) -> UnixMs {
        let resent_at = self.seldom.as_ref().and_then(|seldom| seldom.resent_at);
        let fell_back_at = self.fallback().map(|fallback| fallback.at);
        self.created_at.max(resent_at.unwrap_or_default()).max(fell_back_at.unwrap_or_default())
    }

    /// When a phone was last asked: at the start, or by a resend before it fell back to a code.
    pub fn last_prompt_at(&self) -> UnixMs {
        let resent_at = self.seldom.as_ref().and_then(|seldom| seldom.resent_at);
        let fell_back_at = self.fallback().map(|fallback| fallback.at);
        let asked_again = resent_at.filter(|at| fell_back_at.is_none_or(|fell| *at < fell));
        self.created_at.max(asked_again.unwrap_or_default())
    }

    /// Whether it waits for the phone that claims it.
    pub fn is_unclaimed(&self) -> bool {
        self.method == Method::Otp && self.user.is_none() && !self.state.is_final()
    }

    /// The one-time password, where it was derived.
    pub fn otp(&self) -> Option<&Otp> {
        self.seldom.as_ref().and_then(|seldom| seldom.otp.as_ref())
    }

    /// What few transactions have, to be set.
    pub fn seldom_mut(&mut self) -> &mut Seldom {
        self.seldom.get_or_insert_default()
    }

    /// The whole life.
    pub const fn time_to_live(&self) -> DurationMs {
        self.expires_at.since(self.created_at)
    }

    /// The recipient with this device id.
    pub fn recipient(&self, device_id: &DeviceId) -> Option<&Recipient> {
        self.recipients.iter().find(|recipient| recipient.device_id == *device_id)
    }

    /// The recipient with this device id, to change.
    pub fn recipient_mut(&mut self, device_id: &DeviceId) -> Option<&mut Recipient> {
        self.recipients.iter_mut().find(|recipient| recipient.device_id == *device_id)
    }
}
