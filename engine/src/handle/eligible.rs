//! Which phones can take part in a transaction, and which types would reach a user at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use tocsin_config::{AuthenticationType, Config};
use tocsin_model::{
    AppName, ClientId, Content, DeliveryChoice, Device, DeviceId, ErrorCode, KeyUse, Method, Problem,
    ProviderName, SelectableDevice, StartRequest, TypeName, User,
};

use super::Handle;
use super::fatigue::pushes_go_out;
use super::otp::takes_claims_of;
use crate::error::store_problem;
use crate::transaction::push_by;

/// A phone that can take part, and by which provider it is pushed.
pub(super) struct Eligible {
    pub(super) device: Arc<Device>,
    /// Of the configuration's copy, which open transactions share.
    pub(super) app: AppName,
    pub(super) provider: Option<ProviderName>,
}

impl Handle {
    /// The user's phones that can take part; refused when none of them can be pushed to at the moment.
    pub(super) fn eligible_devices(
        &self,
        config: &Config,
        devices: Vec<Arc<Device>>,
        request: &StartRequest,
        kind: &AuthenticationType,
    ) -> Result<Vec<Eligible>, Problem> {
        let eligible: Vec<Eligible> = devices
            .into_iter()
            .filter(|device| may_take_part(config, device, request, kind))
            .map(|device| Eligible {
                provider: request.delivery.pushes().then(|| provider_of(config, &device)).flatten(),
                app: shared_name(config, &device.app),
                device,
            })
            .collect();
        if eligible.is_empty() && request.device_id.is_some() {
            let problem = Problem::new(ErrorCode::NoDevice, "this device cannot take the transaction");
            return Err(problem.with_field("device_id"));
        }
        if request.delivery.hands_out() {
            // Nothing else is needed: the caller brings the challenge to the phone.
            return exactly_one(eligible);
        }
        let mut providers = eligible.iter().filter_map(|eligible| eligible.provider.as_ref()).peekable();
        if providers.peek().is_none() {
            return Err(Problem::new(ErrorCode::NoDevice, "the user has no device that can be pushed to"));
        }
        let table = self.0.surroundings.providers();
        let now = self.clock().now();
        let available = |name: &ProviderName| {
            table.providers.get(name).is_some_and(|provider| provider.availability.is_available(now))
        };
        if !providers.any(available) {
            return Err(Problem::new(
                ErrorCode::ProviderUnavailable,
                "no push network can be reached at the moment",
            ));
        }
        Ok(eligible)
    }
}

/// A type that would reach a user now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsableType {
    /// The type.
    pub type_name: TypeName,
    /// By which method.
    pub method: Method,
    /// The phones that could answer.
    pub device_ids: Vec<DeviceId>,
}

impl Handle {
    /// Which of the client's types would reach this user now, in the order of their names.
    pub async fn usable_types(&self, client: &ClientId, user: &User) -> Result<Vec<UsableType>, Problem> {
        let config = self.config();
        let granted = config.clients.get(client).ok_or_else(Problem::not_found)?;
        let standing = self.store().standing(user).await.map_err(|error| store_problem(&error))?;
        let now = self.clock().now();
        if standing.lock_at(now).is_some() {
            return Ok(Vec::new());
        }
        let may_push = config.switches.sending && pushes_go_out(&config, user, &standing, now);
        let devices = self.phones(user).await?;
        let covered = config.types.iter().filter(|(name, _)| granted.types.covers(name));
        let usable = covered.filter_map(|(name, kind)| {
            let by_push = || {
                let is_pushed = kind.method == Method::Push && may_push;
                let request = is_pushed.then(|| probe(client, name, user))?;
                let eligible = self.eligible_devices(&config, devices.clone(), &request, kind).ok()?;
                Some((Method::Push, eligible.iter().map(|eligible| eligible.device.id).collect()))
            };
            let by_claim = || {
                let may_claim = |device: &&Arc<Device>| {
                    device.status.may_answer()
                        && takes_claims_of(granted, kind, device)
                        && has_key_of(&config, device, kind)
                };
                let ids: Vec<DeviceId> = devices.iter().filter(may_claim).map(|device| device.id).collect();
                (!ids.is_empty()).then_some((Method::Otp, ids))
            };
            let by_code = || Some((self.code_method(&config, kind)?, Vec::new()));
            let (method, device_ids) = by_push().or_else(by_claim).or_else(by_code)?;
            Some(UsableType { type_name: name.clone(), method, device_ids })
        });
        Ok(usable.collect())
    }

    /// By which method a type would send a code: its own, or its first fallback that can.
    fn code_method(&self, config: &Config, kind: &AuthenticationType) -> Option<Method> {
        let next = |kind: &&AuthenticationType| config.types.get(&kind.fallback.as_ref()?.to);
        // Ends: the configuration has no fallbacks that go round.
        let mut kinds = std::iter::successors(Some(kind), next);
        kinds.find(|kind| self.can_send_code(config, kind)).map(|kind| kind.method)
    }
}

/// A start of this type that says nothing else.
fn probe(client: &ClientId, type_name: &TypeName, user: &User) -> StartRequest {
    StartRequest {
        client: client.clone(),
        type_name: type_name.clone(),
        user: Some(user.clone()),
        content: Content::default(),
        phone_number: None,
        email: None,
        device_id: None,
        app: None,
        time_to_live: None,
        delivery: DeliveryChoice::Usual,
        callback_url: None,
        call_context: None,
        number_match: None,
        is_held: false,
        idempotency: None,
    }
}

pub(super) fn selectable(eligible: &Eligible) -> SelectableDevice {
    let device = &eligible.device;
    SelectableDevice {
        device_id: device.id,
        name: device.profile.name.clone(),
        platform: device.profile.platform,
        app: eligible.app.clone(),
    }
}

fn may_take_part(
    config: &Config,
    device: &Device,
    request: &StartRequest,
    kind: &AuthenticationType,
) -> bool {
    let client_may =
        config.clients.get(&request.client).is_some_and(|client| client.apps.covers(&device.app));
    device.status.may_answer()
        && client_may
        && (kind.apps.is_empty() || kind.apps.contains(&device.app))
        && has_key_of(config, device, kind)
        && request.device_id.is_none_or(|wanted| device.id == wanted)
        && request.app.as_ref().is_none_or(|wanted| device.app == *wanted)
}

/// Whether a phone has a key that approves transactions of this type.
pub(super) fn has_key_of(config: &Config, device: &Device, kind: &AuthenticationType) -> bool {
    let takes = |key_use: &KeyUse| device.key(key_use).is_some() && config.app_takes(&device.app, key_use);
    kind.keys.iter().any(takes)
}

/// A request message is for one phone.
fn exactly_one(eligible: Vec<Eligible>) -> Result<Vec<Eligible>, Problem> {
    match eligible.len() {
        0 => Err(Problem::new(ErrorCode::NoDevice, "the user has no device that can take the transaction")),
        1 => Ok(eligible),
        _ => Err(Problem::device_required(eligible.iter().map(selectable).collect())),
    }
}

fn shared_name(config: &Config, app: &AppName) -> AppName {
    config.apps.get_key_value(app).map_or(app, |(app, _)| app).clone()
}

/// The apps of the phones that are pushed to.
pub(super) fn pushed_apps(eligible: &[Eligible]) -> BTreeSet<AppName> {
    let pushed = eligible.iter().filter(|eligible| eligible.provider.is_some());
    pushed.map(|eligible| eligible.app.clone()).collect()
}

/// By which provider a phone is pushed; `None` when it cannot be.
fn provider_of(config: &Config, device: &Device) -> Option<ProviderName> {
    let by_version = || push_by(config, device).map(|(_, provider)| provider.clone());
    device.can_be_pushed().then(by_version).flatten()
}
