//! The typed configuration of Tocsin.
//!
//! Layers: the commented `default.toml` (compiled in), then one file, then `TOCSIN_…` environment variables.
//! Everything is validated into the types of [`Config`] before anything else of the process starts; all faults
//! are reported at once, each with its place. A [`Config`] value is therefore valid by construction.

mod types;

pub use types::{
    ApnsProvider, App, AppPlatform, AuthenticationType, Client, Config, Door, Durability, EngineLimits,
    EnrolmentMode, FcmProvider, Grant, Log, LogFormat, Provider, ProviderLimits, ProviderNetwork, PushText,
    Realm, Right, Storage,
};
