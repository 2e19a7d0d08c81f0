//! How an address becomes a place: by a file in memory, by a server that is asked, or not at all.
//!
//! A place is shown whole or not at all: country, region and city must be known. Whoever asks is told so within the
//! time-out of the service, whatever that does; each failure is counted, and each kind of them is
//! told in the log once a second and in the audit trail once a minute.

mod cache;
mod database;
mod reports;
mod service;

use std::net::IpAddr;
use std::sync::Arc;

use tocsin_config::{Config, Localized, LocationSource, TypeTexts};
use tocsin_model::{AuditEvent, OriginTag};

use self::database::Database;
use self::reports::Reports;
use self::service::Service;
use super::user_agent::{NamesSoftware, Software};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::transport::Proxies;

/// Where an address is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) country_code: String,
    pub(crate) region: String,
    pub(crate) city: String,
}

/// What came of a question for a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Located {
    /// It is there.
    At(Place),
    /// Nobody was asked: there was no address, no source, or no use for the answer.
    NotAsked,
    /// Somebody was asked, and does not know.
    Unknown,
}

/// Why a place is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LocationFault {
    /// No answer in time.
    Timeout,
    /// The server cannot be reached, or hung up.
    Unreachable,
    /// It answered with another status than 200.
    Status,
    /// Its answer, or the row of the file, cannot be read.
    Malformed,
    /// Country, region or city is missing.
    Incomplete,
    /// The file has no row for the address.
    Unlisted,
    /// Too many questions are on their way.
    Busy,
    /// It failed too often, and is left alone for a while.
    Paused,
}

impl LocationFault {
    /// Every fault.
    pub(crate) const ALL: [Self; 8] = [
        Self::Timeout,
        Self::Unreachable,
        Self::Status,
        Self::Malformed,
        Self::Incomplete,
        Self::Unlisted,
        Self::Busy,
        Self::Paused,
    ];

    /// The word of log and metric.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Status => "status",
            Self::Malformed => "malformed",
            Self::Incomplete => "incomplete",
            Self::Unlisted => "unlisted",
            Self::Busy => "busy",
            Self::Paused => "paused",
        }
    }

    /// Whether the server itself is in trouble, rather than not knowing this address.
    const fn is_trouble(self) -> bool {
        match self {
            Self::Timeout | Self::Unreachable | Self::Status | Self::Malformed => true,
            Self::Incomplete | Self::Unlisted | Self::Busy | Self::Paused => false,
        }
    }
}

/// What is wrong with the source of places.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct OriginSetupError {
    /// The key of the configuration that it is about.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

/// Tells where calls come from, as the configuration says.
#[derive(Debug)]
pub struct Origins {
    source: Source,
    reports: Reports,
}

#[derive(Debug)]
enum Source {
    Off,
    Database(Database),
    Service(Arc<Service>),
}

impl Origins {
    /// Places are never known.
    pub fn off() -> Self {
        Self { source: Source::Off, reports: Reports::default() }
    }

    /// Reads what the configuration names, and connects to nothing. Blocks for as long as that takes.
    pub fn open(config: &Config, clock: &Clock, proxies: &Proxies) -> Result<Self, OriginSetupError> {
        Self::off().reopened(config, clock, proxies)
    }

    /// The same for another configuration. A service of which nothing has changed goes on with all that it remembers.
    pub fn reopened(
        &self,
        config: &Config,
        clock: &Clock,
        proxies: &Proxies,
    ) -> Result<Self, OriginSetupError> {
        if config.types.values().any(|kind| names_software(&kind.texts, &config.origin.template)) {
            Software::prepare();
        }
        let source = match &config.origin.location {
            LocationSource::Off => Source::Off,
            LocationSource::Database(file) => Source::Database(Database::open(file)?),
            LocationSource::Service(service) => {
                let route = proxies.route(config.proxy.as_ref()).map_err(|error| OriginSetupError {
                    key: format!("proxy.{}", error.key()),
                    reason: error.to_string(),
                })?;
                match &self.source {
                    Source::Service(known) if known.is_of(service, route.as_ref()) => {
                        Source::Service(Arc::clone(known))
                    }
                    _ => Source::Service(Arc::new(Service::new(service, clock, route.as_ref())?)),
                }
            }
        };
        Ok(Self { source, reports: Reports::default() })
    }

    /// Shows what may be counted as zero.
    pub(crate) fn show_zeros(&self, metrics: &Metrics) {
        match self.source {
            Source::Off => {}
            Source::Database(_) => metrics.show_locations("database"),
            Source::Service(_) => metrics.show_locations("service"),
        }
    }

    /// Where this address is, and what the audit trail is to be told. Returns within the time-out of the service.
    pub(crate) async fn locate(
        &self,
        address: IpAddr,
        metrics: &Metrics,
        clock: &Clock,
    ) -> (Located, Option<AuditEvent>) {
        let (source, found) = match &self.source {
            Source::Off => return (Located::NotAsked, None),
            Source::Database(database) => {
                ("database", database.place_of(address).map(|place| (place, "found")))
            }
            Source::Service(service) => ("service", Box::pin(service.place_of(address)).await),
        };
        match found {
            Ok((place, how)) => {
                metrics.located(source, how);
                (Located::At(place), None)
            }
            Err(fault) => {
                metrics.located(source, fault.as_str());
                (Located::Unknown, self.reports.tell(fault, source, clock.instant()))
            }
        }
    }
}

/// Whether a text of this type names system or browser.
fn names_software(texts: &TypeTexts, origin: &Localized<OriginTag>) -> bool {
    fn any<P: NamesSoftware>(text: &Localized<P>) -> bool {
        std::iter::once(&text.last).chain(text.others.values()).any(|text| text.has_any(&P::OF_SOFTWARE))
    }
    (texts.shows_origin && any(origin)) || any(&texts.title) || any(&texts.message)
}

/// A place of these names; each must be there.
fn place(
    country_code: Option<&str>,
    region: Option<&str>,
    city: Option<&str>,
) -> Result<Place, LocationFault> {
    /// Longest name of a region or city, in characters.
    const NAME_CHARACTERS_MAX: usize = 64;
    let is_code = |code: &&str| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    let code = country_code.filter(is_code).ok_or(LocationFault::Incomplete)?;
    let name = |name: Option<&str>| {
        let name = super::value::one_line(name.unwrap_or_default(), NAME_CHARACTERS_MAX);
        if name.is_empty() { Err(LocationFault::Incomplete) } else { Ok(name) }
    };
    Ok(Place { country_code: code.to_ascii_uppercase(), region: name(region)?, city: name(city)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_whole_or_none() {
        let utrecht = place(Some("nl"), Some("Provincie Utrecht"), Some("Utrecht\u{202e}")).expect("whole");
        assert_eq!((&*utrecht.country_code, &*utrecht.city), ("NL", "Utrecht"));
        for (country_code, region, city) in [
            (None, Some("r"), Some("c")),
            (Some(""), Some("r"), Some("c")),
            (Some("NLD"), Some("r"), Some("c")),
            (Some("N1"), Some("r"), Some("c")),
            (Some("NL"), None, Some("c")),
            (Some("NL"), Some(" \n"), Some("c")),
            (Some("NL"), Some("r"), None),
            (Some("NL"), Some("r"), Some("")),
        ] {
            assert_eq!(place(country_code, region, city), Err(LocationFault::Incomplete));
        }
    }
}
