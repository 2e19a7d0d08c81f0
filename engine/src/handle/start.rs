//! Starting a transaction: what is known at once is decided before anything is stored.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tocsin_config::{AuthenticationType, Config, DeviceChoice, PendingPush, Realm};
use tocsin_model::{
    AppName, Content, Counter, Delivery, DeliveryChoice, DeliveryStatus, DeviceId, DurationMs, ErrorCode,
    FallbackPlan, KeptChallenge, Method, Nonce, NumberMatch, NumberMatchRule, Problem, ProviderName,
    Recipient, RequestMessage, Seldom, StartRequest, State, Transaction, TransactionId, User, UserStanding,
};
use tocsin_storage::Created;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::challenge::ChallengedPhone;
use super::eligible::{Eligible, pushed_apps, selectable};
use super::enrolment::refuse_unless;
use super::fatigue::{Sparing, fatigue};
use super::method::CodeBeginning;
use super::number::{draw_number, stricter_number_match};
use super::user::{add_addresses, names_language, speak_language, takes_address};
use super::{Handle, random_bytes};
use crate::callback::judge_start;
use crate::error::store_problem;
use crate::metrics::Stage;
use crate::registry::{AskError, Permit, Turn};
use crate::transaction::{Opening, Reply, Request, Target, unanswered};

/// A transaction that was started, now or by an earlier call with the same idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// As it stands.
    pub transaction: Arc<Transaction>,
    /// Whether an earlier call made it.
    pub seen_before: bool,
}

/// What a start has come to before anything is on disk.
pub(super) enum Begun {
    /// An earlier call with the same idempotency key had made it.
    Before(Started),
    /// It is being stored.
    Now(Storing),
}

/// A transaction that is being stored: all that a start keeps while it waits for the disk, where most of a burst waits.
pub(super) struct Storing {
    pub(super) id: TransactionId,
    pub(super) replied: oneshot::Receiver<Reply>,
    /// What it takes the place of.
    pub(super) replaces: Vec<TransactionId>,
    /// Until it is stored nothing else is started for its user that would have to know of it.
    pub(super) turn: Option<Turn>,
}

impl Handle {
    /// Starts a transaction. It is on disk when this returns; its pushes are on their way.
    pub async fn start(&self, request: StartRequest) -> Result<Started, Problem> {
        self.start_within(request, |_| Ok(())).await
    }

    /// The same within `bounds` of the caller, which only a new transaction counts against: a repeat begins nothing.
    pub fn start_within(
        &self,
        request: StartRequest,
        bounds: impl FnOnce(Option<&User>) -> Result<(), Problem>,
    ) -> impl Future<Output = Result<Started, Problem>> {
        let called = self.clock().instant();
        // In a box, whose memory is given back before the disk is waited for.
        let begun = Box::pin(self.begin(request, bounds));
        async move {
            let begun = begun.await;
            let started = match begun {
                Ok(Begun::Before(started)) => Ok(started),
                Ok(Begun::Now(storing)) => self.stored(storing, called).await,
                Err(problem) => Err(problem),
            };
            if let Err(problem) = &started {
                self.metrics().start_refused(problem.code);
            }
            started
        }
    }

    async fn begin(
        &self,
        mut request: StartRequest,
        bounds: impl FnOnce(Option<&User>) -> Result<(), Problem>,
    ) -> Result<Begun, Problem> {
        self.refuse_while_draining()?;
        let called_at = self.clock().now();
        if let Some(earlier) = self.seen_before(&request).await? {
            return Ok(Begun::Before(earlier));
        }
        bounds(request.user.as_ref())?;
        if request.is_held && request.delivery.hands_out() {
            return Err(Problem::wait_not_possible());
        }
        let config = self.config();
        let devices_gone = self.0.surroundings.devices_gone.load(Ordering::SeqCst);
        let (type_name, kind) = config.types.get_key_value(&request.type_name).ok_or_else(unknown_type)?;
        // Open transactions share the configuration's copy of the name.
        request.type_name = type_name.clone();
        check_callback(&config, &request)?;
        if kind.method == Method::Otp {
            // In a box: a start that pushes does not pay for its place.
            return Box::pin(self.begin_anonymous(&config, request, kind, called_at)).await.map(Begun::Now);
        }
        let number_match = stricter_number_match(&request, kind)?;
        if request.is_held && number_match != NumberMatchRule::Off {
            return Err(Problem::wait_not_possible());
        }
        let user = request.user.clone().ok_or_else(user_missing)?;
        // Before it is read how he stands: what he ignored counts.
        self.awaken(&user).await?;
        let known = if names_language(&request) { None } else { Some(self.known_user(&user).await?) };
        speak_language(&mut request, known.as_ref().and_then(|known| known.profile.as_ref()));
        let content = self.content(&config, &request, kind).await?;
        let turn = self.turn(&user, kind).await?;
        // One that had the user before may have been the same call; without a turn alone the create finds that out.
        if turn.is_alone()
            && let Some(earlier) = self.seen_before(&request).await?
        {
            return Ok(Begun::Before(earlier));
        }
        let known = match known {
            Some(known) if !turn.is_alone() && !takes_address(&request, kind, known.profile.as_ref()) => {
                known
            }
            Some(_) | None => self.known_user(&user).await?,
        };
        let standing = self.unless_locked(known.standing)?;
        add_addresses(&mut request, kind, known.profile);
        let fallbacks = self.fallbacks(&config, &request, kind, called_at)?;
        let (eligible, sparing, how) = match kind.method {
            Method::Push => match self.phones_to_ask(&config, &request, kind, &user, &standing).await {
                Ok((eligible, sparing)) => {
                    let number = draw_number(number_match.max(sparing.number_match))?;
                    (eligible, sparing, How::Pushed { number, plan: fallbacks.plan() })
                }
                Err(problem) => {
                    let code = self.begin_fallback(&config, &request, kind, fallbacks, problem, called_at)?;
                    (Vec::new(), Sparing::default(), How::Code(code))
                }
            },
            Method::Sms | Method::Email | Method::Otp => {
                let code = self.begin_code(&config, (&request, &content), kind, fallbacks, called_at)?;
                (Vec::new(), Sparing::default(), How::Code(code))
            }
        };
        let id = self.0.surroundings.new_transaction_id(called_at)?;
        let mut transaction = compose(&config, &request, kind, content, (how, &sparing), &eligible, id)?;
        self.fit_challenge(&mut transaction)?;
        let permit = match self.admit(&config, &transaction, kind) {
            Ok(permit) => permit,
            // What took the last room may have been the same call.
            Err(problem) => return self.seen_before(&request).await?.map(Begun::Before).ok_or(problem),
        };
        let phones: Vec<_> = eligible.iter().map(|eligible| ChallengedPhone::of(&eligible.device)).collect();
        let challenges = self.challenges_to_keep(&transaction, &phones).await?;
        let targets = targets(eligible, &config, &challenges);
        let id = transaction.id;
        let asked: Vec<DeviceId> =
            transaction.recipients.iter().map(|recipient| recipient.device_id).collect();
        let opening = Opening { idempotency: request.idempotency, challenges, targets, ..Opening::default() };
        let replied = self.0.registry.start(transaction, permit, opening);
        if self.0.surroundings.devices_gone.load(Ordering::SeqCst) != devices_gone {
            self.look_again(id, &asked).await;
        }
        Ok(Begun::Now(Storing { id, replied, replaces: sparing.replaces, turn: Some(turn) }))
    }

    fn admit(
        &self,
        config: &Config,
        transaction: &Transaction,
        kind: &AuthenticationType,
    ) -> Result<Permit, Problem> {
        let admission = self.0.registry.admission();
        let is_pushed = transaction.recipients.iter().any(|recipient| recipient.delivery.is_some());
        let (id, client, user) = (transaction.id, &transaction.client, transaction.user.as_ref());
        let permit = if is_pushed && kind.pending_push == PendingPush::Supersede {
            admission.admit_superseding(id, client, user)
        } else {
            admission.admit(id, client, user)
        }?;
        if let Some(code) = transaction.code() {
            self.admit_code(config, client, code)?;
        }
        Ok(permit)
    }

    /// What a start that was stored, or not, is answered with.
    async fn stored(&self, storing: Storing, called: Instant) -> Result<Started, Problem> {
        // What comes behind is in boxes: a start that waits for the disk keeps no room for it.
        let Storing { id, replied, replaces, turn: _turn } = storing;
        let replied = replied.await;
        if !replaces.is_empty() {
            Box::pin(self.tell_replaced(&replaces)).await;
        }
        if matches!(replied, Ok(Reply::View(_))) {
            self.metrics().observe(Stage::Create, called.elapsed());
        }
        match replied {
            Ok(reply) => Box::pin(self.started(reply)).await,
            Err(_) => Box::pin(self.started_despite_a_fault(id)).await,
        }
    }

    async fn seen_before(&self, request: &StartRequest) -> Result<Option<Started>, Problem> {
        let Some(idempotency) = &request.idempotency else { return Ok(None) };
        let seen = self.store().by_idempotency_key(&request.client, idempotency).await;
        match seen.map_err(|error| store_problem(&error))? {
            None | Some(Created::New | Created::UserLocked(_)) => Ok(None),
            Some(Created::Existing(id)) => self.started(Reply::SeenBefore(id)).await.map(Some),
            Some(Created::Mismatch) => Err(idempotency_mismatch()),
        }
    }

    async fn started(&self, reply: Reply) -> Result<Started, Problem> {
        match reply {
            Reply::View(transaction) => {
                let transaction = self.with_request_message(transaction).await?;
                Ok(Started { transaction, seen_before: false })
            }
            Reply::SeenBefore(id) => {
                let transaction = self.with_request_message(self.view(id).await?).await?;
                Ok(Started { transaction, seen_before: true })
            }
            Reply::Refused(problem) => Err(problem),
            Reply::Answered(_) | Reply::TriesLeft(_) => Err(Problem::internal()),
        }
    }

    /// The actor fell before it could tell whether the transaction is stored; the storage knows.
    async fn started_despite_a_fault(&self, id: TransactionId) -> Result<Started, Problem> {
        match self.0.registry.ask(id, Request::View).await {
            Ok(reply) => self.started(reply).await,
            Err(AskError::Absent) => Err(unanswered()),
            Err(AskError::Failed(problem)) => Err(problem),
        }
    }

    /// The phones to push to and what the push must keep to, or why there is none.
    async fn phones_to_ask(
        &self,
        config: &Config,
        request: &StartRequest,
        kind: &AuthenticationType,
        user: &User,
        standing: &UserStanding,
    ) -> Result<(Vec<Eligible>, Sparing), Problem> {
        if request.delivery == DeliveryChoice::Custom {
            let detail = "only a type that sends a code takes custom delivery";
            return Err(Problem::new(ErrorCode::InvalidField, detail).with_field("delivery"));
        }
        refuse_unless(config.switches.sending, "sending is switched off")?;
        let devices = self.phones(user).await?;
        let eligible = self.eligible_devices(config, devices, request, kind)?;
        if kind.device_choice == DeviceChoice::Ask && request.device_id.is_none() && eligible.len() > 1 {
            return Err(Problem::device_required(eligible.iter().map(selectable).collect()));
        }
        let sparing = self.spare(config, user, kind, standing, &pushed_apps(&eligible)).await?;
        Ok((eligible, sparing))
    }
}

/// By which method it begins, and what is special to that.
pub(super) enum How {
    Pushed {
        number: Option<NumberMatch>,
        plan: Option<Box<FallbackPlan>>,
    },
    Code(CodeBeginning),
    /// By whoever claims it.
    Shown {
        number: Option<NumberMatch>,
    },
}

pub(super) fn compose(
    config: &Config,
    request: &StartRequest,
    kind: &AuthenticationType,
    content: Content,
    (how, sparing): (How, &Sparing),
    eligible: &[Eligible],
    id: TransactionId,
) -> Result<Transaction, Problem> {
    let called_at = id.created_at();
    let recipients = eligible.iter().map(recipient).collect::<Result<Vec<_>, Problem>>()?;
    let (method, resends_max, seldom) = match how {
        How::Pushed { number, plan } => {
            (Method::Push, kind.resends_max, Seldom { number, plan, ..Seldom::default() })
        }
        How::Code(CodeBeginning { method, code, resends_max, fallback, plan }) => {
            let code = Some(Box::new(code));
            (method, resends_max, Seldom { code, fallback, plan, ..Seldom::default() })
        }
        How::Shown { number } => (Method::Otp, kind.resends_max, Seldom { number, ..Seldom::default() }),
    };
    Ok(Transaction {
        id,
        revision: 1,
        client: request.client.clone(),
        user: request.user.clone(),
        type_name: request.type_name.clone(),
        method,
        state: State::Pending,
        created_at: called_at,
        expires_at: called_at.plus(time_to_live(config, request, kind)?),
        ended_at: None,
        content,
        accepted_keys: Arc::clone(&kind.keys),
        recipients,
        attempts: Counter::new(pin_tries_max(config, eligible.iter().map(|eligible| &eligible.app))),
        resends: Counter::new(resends_max),
        answer: None,
        keep_for_polling: kind.keep_for_polling,
        request_message: match request.delivery.hands_out() {
            true => RequestMessage::AskedFor,
            false => RequestMessage::NotAsked,
        },
        callback_url: request.callback_url.clone(),
        call_context: request.call_context.clone(),
        seldom: Seldom { fatigue: fatigue(config, request.user.as_ref(), kind, sparing), ..seldom }.kept(),
    })
}

/// Where the phones are pushed to. The list has a place of its own: collected out of the phones it would stay in theirs,
/// and what is left of that when it goes is of a size that nothing fits.
fn targets(
    eligible: Vec<Eligible>,
    config: &Config,
    challenges: &[(DeviceId, KeptChallenge)],
) -> Vec<(DeviceId, Target)> {
    let mut targets = Vec::with_capacity(eligible.len());
    for Eligible { device, provider, app: _ } in eligible {
        if provider.is_some() {
            targets.push((device.id, Target::new(&device, config, challenges)));
        }
    }
    targets
}

/// The strictest limit among the phones' apps; zero where none has one.
pub(super) fn pin_tries_max<'a>(config: &Config, apps: impl Iterator<Item = &'a AppName>) -> u32 {
    let limits = apps.filter_map(|app| config.apps.get(app)?.pin_tries_max);
    limits.min().map_or(0, NonZeroU32::get)
}

/// The type's life, else the realm's; the caller may shorten it, never lengthen it.
fn time_to_live(
    config: &Config,
    request: &StartRequest,
    kind: &AuthenticationType,
) -> Result<DurationMs, Problem> {
    let realm = realm_of(config, request).map(|realm| realm.time_to_live);
    let longest = kind.time_to_live.or(realm).ok_or_else(realm_gone)?;
    match request.time_to_live {
        None => Ok(longest),
        Some(shorter) if shorter.get() > 0 && shorter <= longest => Ok(shorter),
        Some(_) => {
            let detail = format!("this must be 1 to {} seconds", longest.get() / 1_000);
            Err(Problem::new(ErrorCode::InvalidField, detail).with_field("ttl_s"))
        }
    }
}

/// The realm that sets the limits: the user's, and where there is no user yet the client's default one.
fn realm_of<'c>(config: &'c Config, request: &StartRequest) -> Option<&'c Realm> {
    let default = config.clients.get(&request.client).map(|client| &client.default_realm);
    config.realms.get(request.user.as_ref().map(|user| &user.realm).or(default)?)
}

fn recipient(eligible: &Eligible) -> Result<Recipient, Problem> {
    let Eligible { device, provider, app } = eligible;
    let queued = |provider: &ProviderName| Delivery {
        provider: provider.clone(),
        status: DeliveryStatus::Queued,
        reason: None,
    };
    Ok(Recipient {
        device_id: device.id,
        device_name: (&*device.profile.name).into(),
        platform: device.profile.platform,
        app: app.clone(),
        nonce: Nonce::from_bytes(random_bytes()?),
        delivery: provider.as_ref().map(queued),
    })
}

/// What the client may be called back at, by the configuration of this moment.
fn check_callback(config: &Config, request: &StartRequest) -> Result<(), Problem> {
    let Some(url) = &request.callback_url else { return Ok(()) };
    let client = config.clients.get(&request.client).ok_or_else(client_gone)?;
    Ok(judge_start(url, &client.callbacks)?)
}

fn user_missing() -> Problem {
    Problem::new(ErrorCode::FieldRequired, "this field is needed").with_field("user")
}

/// The realm went by a reload after the door had found it.
fn realm_gone() -> Problem {
    Problem::new(ErrorCode::InvalidField, "the user's realm is not configured any more").with_field("user")
}

/// The client went by a reload after the door had let it in.
fn client_gone() -> Problem {
    Problem::new(ErrorCode::InvalidClient, "this client is not configured any more")
}

fn unknown_type() -> Problem {
    Problem::new(ErrorCode::UnknownType, "no such type is configured").with_field("type")
}

pub(super) fn idempotency_mismatch() -> Problem {
    Problem::new(
        ErrorCode::IdempotencyMismatch,
        "the idempotency key was used for another request; take a new key for a new request",
    )
}
