//! The scenarios that come with the tool.

use super::{Scenario, ScenarioFaults};

/// Name and text of each, in the order in which help lists them.
const NAMED: [(&str, &str); 12] = [
    ("steady", include_str!("../../../scenarios/steady.toml")),
    ("full-flow", include_str!("../../../scenarios/full-flow.toml")),
    ("login-burst", include_str!("../../../scenarios/login-burst.toml")),
    ("pay-day-morning", include_str!("../../../scenarios/pay-day-morning.toml")),
    ("soak", include_str!("../../../scenarios/soak.toml")),
    ("provider-outage", include_str!("../../../scenarios/provider-outage.toml")),
    ("retry-storm", include_str!("../../../scenarios/retry-storm.toml")),
    ("sms-fallback-wave", include_str!("../../../scenarios/sms-fallback-wave.toml")),
    ("burst-acceptance", include_str!("../../../scenarios/burst-acceptance.toml")),
    ("pending", include_str!("../../../scenarios/pending.toml")),
    ("refusals", include_str!("../../../scenarios/refusals.toml")),
    ("burst-100k", include_str!("../../../scenarios/burst-100k.toml")),
];

impl Scenario {
    /// The names of those that come with the tool.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, _)| *name)
    }

    /// The one of this name, if it comes with the tool.
    ///
    /// # Errors
    ///
    /// Never, as its test shows; the caller need not know.
    pub fn named(name: &str) -> Option<Result<Self, ScenarioFaults>> {
        NAMED.iter().find(|(known, _)| *known == name).map(|(name, text)| Self::parse(name, text))
    }
}
