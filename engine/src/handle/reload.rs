//! Another configuration in place of the present one, while everything goes on.

use std::collections::HashMap;
use std::sync::Arc;

use tocsin_config::Config;
use tocsin_model::ProviderName;

use super::Handle;
use crate::message::Origins;
use crate::protocol::{Install, ProviderAddress, ProviderTable, Retire};
use crate::provider::{Driver, Drivers};
use crate::transport::ProxyRoute;

impl Handle {
    /// The driver of each configured provider. A reload hands back those that need not change.
    pub fn drivers(&self) -> Arc<Drivers> {
        self.0.drivers.load_full()
    }

    /// Who tells where calls come from.
    pub fn origins(&self) -> Arc<Origins> {
        self.0.surroundings.origins()
    }

    /// Puts `config` in place of the present configuration. `drivers` has one for each of its providers: the present
    /// one where nothing changed, else a new one. `origins` is what the configuration says of places, opened.
    ///
    /// A call, and a transaction, that began with the old configuration ends with it. A provider whose driver changes
    /// ends by the old one what it has begun and begins by the new one what comes; one that is gone takes no new
    /// transaction and stops once the last that began with it has ended.
    pub async fn reload(
        &self,
        config: Arc<Config>,
        drivers: Drivers,
        origins: Origins,
        callback_route: Option<ProxyRoute>,
    ) {
        let _turn = self.0.reloading.lock().await;
        let before = self.0.surroundings.providers().clone();
        let providers = self.providers_after(&config, &drivers, &before).await;
        let mut retiring: HashMap<ProviderName, ProviderAddress> = before.retiring.clone();
        retiring.retain(|_, address| address.deliver.connected());
        let gone = before.providers.iter().filter(|(name, _)| !providers.contains_key(*name));
        let gone: Vec<(ProviderName, ProviderAddress)> =
            gone.map(|(name, address)| (name.clone(), address.clone())).collect();
        retiring.extend(gone.iter().cloned());
        // Each step leaves every name that anybody can hold served: first the providers, then what names them.
        let everything = before.providers.clone().into_iter().chain(providers.clone()).collect();
        let local = before.local.clone();
        let between =
            ProviderTable { providers: everything, retiring: retiring.clone(), local: local.clone() };
        self.0.surroundings.set_providers(between);
        self.0.surroundings.set_origins(origins);
        self.0.callbacks.go_by(callback_route);
        self.0.surroundings.set_config(config);
        self.0.surroundings.set_providers(ProviderTable { providers, retiring, local });
        self.0.drivers.store(Arc::new(drivers));
        for (name, address) in gone {
            if address.retire.send(Retire).await.is_err() {
                tracing::warn!(provider = %name, "a provider that is configured no more was gone already");
            }
        }
    }

    async fn providers_after(
        &self,
        config: &Config,
        drivers: &Drivers,
        before: &ProviderTable,
    ) -> HashMap<ProviderName, ProviderAddress> {
        let (present, present_drivers) = (self.config(), self.drivers());
        let mut providers = HashMap::new();
        for (name, driver) in drivers {
            let Some(configured) = config.providers.get(name) else { continue };
            let limits = configured.limits.clone();
            let address = match before.providers.get(name) {
                None => self.0.starter.start(name, Arc::clone(driver), limits),
                Some(address) => {
                    let same_driver =
                        present_drivers.get(name).is_some_and(|present| is_same(present, driver));
                    let same_limits =
                        present.providers.get(name).is_some_and(|present| present.limits == limits);
                    let install = Install { driver: Arc::clone(driver), limits };
                    if !(same_driver && same_limits) && address.install.send(install).await.is_err() {
                        tracing::error!(provider = %name, "a provider did not take its new driver");
                    }
                    address.clone()
                }
            };
            providers.insert(name.clone(), address);
        }
        providers
    }
}

/// Two pointers to one value; their tables of methods may differ.
fn is_same(one: &Arc<dyn Driver>, other: &Arc<dyn Driver>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}
