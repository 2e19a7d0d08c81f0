//! The drivers of the configured providers.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use tocsin_config::{Config, GatewayAccess, Provider, ProviderNetwork, ProxySettings};
use tocsin_model::ProviderName;

use super::{
    Driver, ProviderSetupError, SmtpDriver, TokenShelf, apns_driver, fcm_driver, http_sms_driver,
    twilio_driver,
};
use crate::clock::Clock;
use crate::transport::{Proxies, ProxyRoute};

/// The driver of each configured provider.
pub type Drivers = HashMap<ProviderName, Arc<dyn Driver>>;

/// Reads every provider's credential and sets its driver up; connects to nothing yet. Gateways report below `issuer`,
/// the device door's URL, where it is known. Answers with all faults at once.
pub fn build_drivers(
    config: &Config,
    clock: &Clock,
    shelf: &TokenShelf,
    proxies: &Proxies,
    issuer: Option<&str>,
) -> Result<Drivers, Vec<ProviderSetupError>> {
    let mut sources = DriverSources::default();
    rebuild_drivers(&Drivers::new(), &mut sources, config, clock, shelf, proxies, issuer)
}

/// The route of callbacks: by the proxy of all, where they use one.
pub fn callback_route(config: &Config, proxies: &Proxies) -> Result<Option<ProxyRoute>, ProviderSetupError> {
    let settings = config.proxy.as_ref().filter(|_| config.callbacks.use_proxy);
    proxies
        .route(settings)
        .map_err(|error| ProviderSetupError::of_proxy(None, error).placed(&config.effective))
}

/// The drivers of another configuration: the present one of each provider that did not change, neither in what the
/// configuration says nor in the files that it names; new ones for the others. `sources` is brought up to date with
/// what the drivers are made of. Answers with all faults at once, and then nothing has changed.
pub fn rebuild_drivers(
    present: &Drivers,
    sources: &mut DriverSources,
    config: &Config,
    clock: &Clock,
    shelf: &TokenShelf,
    proxies: &Proxies,
    issuer: Option<&str>,
) -> Result<Drivers, Vec<ProviderSetupError>> {
    let mut drivers = Drivers::new();
    let mut faults: Vec<ProviderSetupError> = callback_route(config, proxies).err().into_iter().collect();
    let fresh = DriverSources::of(config);
    for (name, provider) in &config.providers {
        let kept = present.get(name).filter(|_| fresh.agrees(sources, name));
        let built = match kept {
            Some(driver) => Ok(Arc::clone(driver)),
            None => route(name, provider, config, proxies)
                .and_then(|route| build_driver(name, provider, clock, shelf, route.as_ref(), issuer)),
        };
        match built {
            Ok(driver) => {
                drivers.insert(name.clone(), driver);
            }
            Err(fault) => {
                let fault = fault.placed(&config.effective);
                // Many may go by one proxy, which is told once.
                if faults.iter().all(|known| known.key != fault.key) {
                    faults.push(fault);
                }
            }
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    *sources = fresh;
    Ok(drivers)
}

/// What each driver was made of: the provider's configuration and a hash of the files that it names.
#[derive(Clone, Debug, Default)]
pub struct DriverSources(HashMap<ProviderName, (Provider, Option<[u8; 32]>)>);

impl DriverSources {
    /// What the drivers of this configuration are made of now. Taken before they are built, so that a file that
    /// changes meanwhile counts as changed later.
    pub fn of(config: &Config) -> Self {
        let source = |(name, provider): (&ProviderName, &Provider)| {
            (name.clone(), (provider.clone(), hash_of_files(provider)))
        };
        Self(config.providers.iter().map(source).collect())
    }

    fn agrees(&self, other: &Self, name: &ProviderName) -> bool {
        match (self.0.get(name), other.0.get(name)) {
            (Some((one, Some(hash))), Some((other, Some(other_hash)))) => one == other && hash == other_hash,
            _ => false,
        }
    }
}

/// `None` when a file cannot be read; whoever needs it says so.
fn hash_of_files(provider: &Provider) -> Option<[u8; 32]> {
    let files = match &provider.network {
        ProviderNetwork::Apns(apns) => [Some(&apns.key_file), None, apns.ca_file.as_ref()],
        ProviderNetwork::Fcm(fcm) => [Some(&fcm.service_account_file), None, fcm.ca_file.as_ref()],
        ProviderNetwork::Twilio(twilio) => {
            let secret_file = twilio.api_key.as_ref().map(|key| &key.secret_file);
            [Some(&twilio.auth_token_file), secret_file, twilio.ca_file.as_ref()]
        }
        ProviderNetwork::HttpSms(gateway) => {
            let token_file = match &gateway.access {
                GatewayAccess::Token { file, .. } => Some(file),
                GatewayAccess::None | GatewayAccess::Basic(_) => None,
            };
            [token_file, None, gateway.ca_file.as_ref()]
        }
        ProviderNetwork::Smtp(mail) => {
            let password = mail.login.as_ref().and_then(|login| login.password.file());
            [password, None, mail.ca_file.as_ref()]
        }
    };
    let files = files.into_iter().chain(provider.proxy.iter().flat_map(ProxySettings::files));
    let mut context = Context::new(&SHA256);
    for file in files.flatten() {
        let bytes = zeroize::Zeroizing::new(std::fs::read(file).ok()?);
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(&bytes);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Some(hash)
}

fn route(
    name: &ProviderName,
    provider: &Provider,
    config: &Config,
    proxies: &Proxies,
) -> Result<Option<ProxyRoute>, ProviderSetupError> {
    let own_table = Some(name).filter(|_| provider.proxy != config.proxy);
    proxies.route(provider.proxy.as_ref()).map_err(|error| ProviderSetupError::of_proxy(own_table, error))
}

fn build_driver(
    name: &ProviderName,
    provider: &Provider,
    clock: &Clock,
    shelf: &TokenShelf,
    route: Option<&ProxyRoute>,
    issuer: Option<&str>,
) -> Result<Arc<dyn Driver>, ProviderSetupError> {
    let (limits, clock) = (&provider.limits, clock.clone());
    let built = match &provider.network {
        ProviderNetwork::Apns(apns) => apns_driver(name, apns, limits, clock, shelf, route),
        ProviderNetwork::Fcm(fcm) => fcm_driver(name, fcm, limits, clock, route),
        ProviderNetwork::Twilio(twilio) => twilio_driver(name, twilio, limits, clock, issuer, route),
        ProviderNetwork::HttpSms(gateway) => http_sms_driver(name, gateway, limits, clock, route),
        ProviderNetwork::Smtp(mail) => return Ok(Arc::new(SmtpDriver::new(name, mail, limits, clock)?)),
    };
    built.map_err(|fault| ProviderSetupError::new(name, fault))
}
