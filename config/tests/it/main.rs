//! The configuration as its users meet it: texts and variables in, a configuration or faults out.

mod apps;
mod callbacks;
mod certificates;
mod client;
mod cross_faults;
mod dump;
mod environment;
mod fatigue;
mod fixture;
mod gateways;
mod layers;
mod mail;
mod master_keys;
mod methods;
mod proxies;
mod spoiled;
mod texts;
mod value_faults;
