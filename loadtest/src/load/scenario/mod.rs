//! What a load run shall do, as its TOML file says it.
//!
//! [`Scenario::parse`] reads a file and tells all faults at once, each with its line and what to do. The named
//! scenarios come with the tool. Nothing here looks at a clock or at the network.
//!
//! A *flow* is one transaction from the portal's call to the outcome that its waiter is told.

mod document;
mod fault;
mod named;
mod parse;
mod types;

#[cfg(test)]
mod tests;

pub use fault::{ScenarioFault, ScenarioFaults};
pub use types::{
    AnswerDelay, Doors, Fetch, Flows, LatencyFrom, LatencyThreshold, Limit, Pattern, Phase, Phones,
    PortalMix, Portals, ProviderBehaviour, ProviderNetwork, ProviderPhase, Quantile, Retries, Scenario,
    Shape, Share, Thresholds,
};
