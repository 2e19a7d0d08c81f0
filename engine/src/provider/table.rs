//! The drivers of the configured providers.

use std::collections::HashMap;
use std::sync::Arc;

use tocsin_config::{Config, Provider, ProviderNetwork};
use tocsin_model::ProviderName;

use super::{ApnsDriver, Driver, FcmDriver, ProviderSetupError};
use crate::clock::Clock;

/// The driver of each configured provider.
pub type Drivers = HashMap<ProviderName, Arc<dyn Driver>>;

/// Reads every provider's credential and sets its driver up; connects to nothing yet. Answers with all faults
/// at once.
pub fn build_drivers(config: &Config, clock: &Clock) -> Result<Drivers, Vec<ProviderSetupError>> {
    let mut drivers = Drivers::new();
    let mut faults = Vec::new();
    for (name, provider) in &config.providers {
        match build_driver(name, provider, clock) {
            Ok(driver) => {
                drivers.insert(name.clone(), driver);
            }
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(drivers) } else { Err(faults) }
}

fn build_driver(
    name: &ProviderName,
    provider: &Provider,
    clock: &Clock,
) -> Result<Arc<dyn Driver>, ProviderSetupError> {
    let (limits, clock) = (&provider.limits, clock.clone());
    Ok(match &provider.network {
        ProviderNetwork::Apns(apns) => Arc::new(ApnsDriver::new(name, apns, limits, clock)?),
        ProviderNetwork::Fcm(fcm) => Arc::new(FcmDriver::new(name, fcm, limits, clock)?),
    })
}
