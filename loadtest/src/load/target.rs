//! The server under load: one of its own, started for the run, or another that somebody names and owns.
//!
//! A server of its own is the release binary beside this one, with bounds wide enough that the scenario meets the
//! machine and not a default; durability, audit, metrics and every check are as everywhere. A load is never put on an
//! address off loopback unless somebody says that it is his.

use std::fmt;
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use http::header::HeaderValue;
use tocsin_mock::Authority;
use tokio_rustls::TlsConnector;

use super::machine::Room;
use super::outside::Outside;
use super::scenario::{Doors, Scenario};
use crate::{APP, BUNDLE_ID, Installation, LoadtestError, PortalCredentials, Server, ServerOptions};

/// The type of pushes.
const PUSH_TYPE: &str = "login";
/// The type of codes.
const CODE_TYPE: &str = "code";

/// What shall be loaded.
#[derive(Clone, Debug)]
pub enum TargetChoice {
    /// A server of its own.
    Own {
        /// In place of the binary beside this one.
        binary: Option<PathBuf>,
        /// Where it keeps its data and the crowd for a next run; a folder that is removed afterwards if there is none.
        folder: Option<PathBuf>,
    },
    /// A running one. Its phones get no push that this tool sees: they learn of a transaction when its portal does.
    Foreign(ForeignTarget),
}

/// A running server.
#[derive(Clone, Debug)]
pub struct ForeignTarget {
    /// Its portal door.
    pub portal_url: String,
    /// Its device door.
    pub device_url: String,
    /// A client that may start transactions and enrol phones.
    pub credentials: PortalCredentials,
    /// An authentication type that asks by push.
    pub push_type: String,
    /// The app that phones enrol with.
    pub app: String,
    /// Somebody has said that it is his, which a server off loopback needs.
    pub is_owned: bool,
}

/// A server that is ready.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) reach: Arc<Reach>,
    pub(super) portal_url: String,
    pub(super) push_type: String,
    pub(super) code_type: String,
    pub(super) own: Option<Own>,
}

/// How portals and phones reach it.
#[derive(Debug)]
pub(super) struct Reach {
    pub(super) portal: Place,
    pub(super) device: Place,
    /// Basic, for portals.
    pub(super) authorization: HeaderValue,
    /// What phones know it as.
    pub(super) issuer: Box<str>,
    /// The app that phones enrol with.
    pub(super) app: Box<str>,
}

/// Where a door is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) address: SocketAddr,
    pub(super) host: HeaderValue,
    /// `None`: plain.
    pub(super) tls: Option<Tls>,
}

/// How a door that speaks TLS is believed.
#[derive(Clone)]
pub(super) struct Tls(pub(super) TlsConnector);

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tls(…)")
    }
}

impl Tls {
    /// Believes this authority and nobody else.
    fn of(authority: &Authority) -> Result<Self, LoadtestError> {
        let unusable = |error: rustls::Error| LoadtestError::Unexpected(error.to_string());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.ca_der()).map_err(unusable)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

/// A server of our own.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) server: Server,
    pub(super) installation: Installation,
}

impl Target {
    /// Starts a server in `folder` that pushes into `outside`.
    pub(super) async fn start(
        folder: &Path,
        binary: Option<PathBuf>,
        scenario: &Scenario,
        outside: &Outside,
        workers: usize,
        room: &Room,
    ) -> Result<Self, LoadtestError> {
        let mut options = server_options(scenario, outside, workers, room);
        let mut tls = None;
        if scenario.doors == Doors::Tls {
            options.door_certificate = Some(outside.world.authority.issue()?.write_pem(folder)?);
            tls = Some(Tls::of(&outside.world.authority)?);
        }
        options.binary = binary;
        options.ports = kept_ports(folder);
        let installation = Installation::prepare(folder, &outside.world, &options)?;
        let server = Server::start(&installation).await?;
        keep_ports(folder, &installation)?;
        Ok(Self {
            reach: Arc::new(Reach {
                portal: Place::of(installation.portal_url(), tls.clone())?,
                device: Place::of(installation.device_url(), tls)?,
                authorization: basic(installation.credentials())?,
                issuer: installation.device_url().into(),
                app: APP.into(),
            }),
            portal_url: installation.portal_url().to_owned(),
            push_type: PUSH_TYPE.to_owned(),
            code_type: CODE_TYPE.to_owned(),
            own: Some(Own { server, installation }),
        })
    }

    /// Looks where the running server is, and whether it may be loaded with this scenario.
    pub(super) fn of(foreign: ForeignTarget, scenario: &Scenario) -> Result<Self, LoadtestError> {
        let place = |url: &str| Place::of(url, None);
        let (portal, device) = (place(&foreign.portal_url)?, place(&foreign.device_url)?);
        if !foreign.is_owned {
            portal.must_be_here(&foreign.portal_url)?;
            device.must_be_here(&foreign.device_url)?;
        }
        let mix = scenario.portals.mix;
        let needs_own = mix.sync > 0
            || mix.callback > 0
            || scenario.flows.sms_share.get() > 0.0
            || scenario.flows.sms_fallback_after.is_some()
            || !scenario.provider_phases.is_empty();
        if needs_own {
            return Err(LoadtestError::Unexpected(
                "this scenario needs the doubles of a server of its own (portals that wait or are called back, codes, \
                 trouble at providers); leave out --url, or take a scenario with long polls or event streams alone"
                    .to_owned(),
            ));
        }
        let reach = Reach {
            portal,
            device,
            authorization: basic(&foreign.credentials)?,
            issuer: foreign.device_url.trim_end_matches('/').into(),
            app: foreign.app.into(),
        };
        Ok(Self {
            reach: Arc::new(reach),
            portal_url: foreign.portal_url,
            push_type: foreign.push_type,
            code_type: String::new(),
            own: None,
        })
    }
}

impl Place {
    pub(super) fn of(url: &str, tls: Option<Tls>) -> Result<Self, LoadtestError> {
        let wrong = |what: &str| LoadtestError::Unexpected(format!("{url} {what}"));
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        if uri.scheme_str() != Some(scheme) {
            return Err(wrong(
                "is not http: to a server that runs already this tool speaks plain HTTP, as behind a proxy that ends TLS",
            ));
        }
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(80);
        let mut addresses =
            (host, port).to_socket_addrs().map_err(LoadtestError::io("look up the target"))?;
        let address = addresses.next().ok_or_else(|| wrong("has no address"))?;
        let host = HeaderValue::try_from(authority.as_str()).map_err(|_| wrong("names no host"))?;
        Ok(Self { address, host, tls })
    }

    fn must_be_here(&self, url: &str) -> Result<(), LoadtestError> {
        if self.address.ip().is_loopback() {
            return Ok(());
        }
        Err(LoadtestError::Unexpected(format!(
            "{url} is not on this machine; a load test of a server that is not yours is an attack. Say \
             --i-own-this-target if it is"
        )))
    }
}

fn basic(credentials: &PortalCredentials) -> Result<HeaderValue, LoadtestError> {
    let pair = STANDARD.encode(format!("{}:{}", credentials.client_id, credentials.secret));
    let value = HeaderValue::try_from(format!("Basic {pair}"));
    let mut value = value.map_err(|error| LoadtestError::Unexpected(error.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The configuration of a server of our own: the scenario's types, and bounds beyond what it can reach.
fn server_options(scenario: &Scenario, outside: &Outside, workers: usize, room: &Room) -> ServerOptions {
    let in_flight_max = scenario.flows.in_flight_max.max(100_000);
    let connections = |own: usize| {
        let held = own + 1_000;
        format!("connections_max = {held}\nconnections_per_address_max = {held}\n")
    };
    ServerOptions {
        transactions_per_user_max: 10_000,
        log_filter: "warn",
        catalogue: Some(catalogue(scenario)),
        client: client(),
        more: more(scenario, outside, workers),
        portal_keys: connections(room.portal_connections),
        device_keys: format!(
            "{}calls_per_address_per_minute_max = 10000000\n",
            connections(room.device_connections)
        ),
        engine_keys: format!(
            "transactions_in_flight_max = {in_flight_max}\ntransactions_per_client_max = {in_flight_max}\n\
             waiters_max = {waiters}\nevent_streams_per_client_max = {waiters}\n",
            waiters = room.portal_connections + 1_000
        ),
        provider_keys: format!("queue_max = {in_flight_max}\nsupervised_max = {in_flight_max}\n"),
        ..ServerOptions::default()
    }
}

fn catalogue(scenario: &Scenario) -> String {
    let ttl_s = scenario.flows.ttl.as_secs().max(1);
    let fallback = scenario
        .flows
        .sms_fallback_after
        .map(|after| format!("fallback = \"{CODE_TYPE}\"\nfallback_after_s = {}\n", after.as_secs().max(1)));
    let code = needs_codes(scenario)
        .then(|| format!("[types.{CODE_TYPE}]\nmethod = \"sms\"\nattempts_max = 3\nttl_s = {ttl_s}\n\n"));
    format!(
        "[realms.retail]\nstarts_per_minute_max = 10000000\nstarts_per_user_per_minute_max = 1000000\n\n\
         [types.{PUSH_TYPE}]\ndefault_title = \"Log in\"\n\
         default_message = \"Do you want to log in to your bank?\"\nttl_s = {ttl_s}\npending_push = \"many\"\n{}\n\
         {}[apps.{APP}.ios]\nbundle_id = \"{BUNDLE_ID}\"\n\n[apps.{APP}.android]\npackage = \"{BUNDLE_ID}\"\n\n",
        fallback.unwrap_or_default(),
        code.unwrap_or_default()
    )
}

fn needs_codes(scenario: &Scenario) -> bool {
    scenario.flows.sms_share.get() > 0.0 || scenario.flows.sms_fallback_after.is_some()
}

fn client() -> String {
    // A secret for signatures that nobody here checks; the tests of callbacks do.
    let secret = STANDARD.encode([7; 32]);
    format!(
        "rights = [\"transactions\", \"enrollments\"]\nrealms = [\"retail\"]\napps = [\"{APP}\"]\ntypes = [\"*\"]\n\
         calls_per_minute_max = 10000000\nwebhook_secrets = [\"whsec_{secret}\"]\n\
         callback_networks = [\"127.0.0.0/8\"]\n"
    )
}

fn more(scenario: &Scenario, outside: &Outside, workers: usize) -> String {
    let mut more = "\n[callbacks]\ntries_per_host_max = 256\ntries_in_flight_max = 1024\n\n".to_owned();
    for index in 0..workers {
        let url = outside.receiver.callback_url(index);
        more += &format!("[clients.portal.callbacks.worker-{index}]\nurl = \"{url}\"\nbody = \"state\"\n\n");
    }
    if needs_codes(scenario) {
        more += &format!(
            "[sms]\ncountry_prefixes = [\"+1\"]\nsends_per_number_per_hour_max = 1000\n\
             sends_per_prefix_per_hour_max = 10000000\nsends_per_client_per_hour_max = 10000000\n\n\
             [providers.sms-local]\nkind = \"http-sms\"\ndefault = true\nurl = \"{}\"\nbody_format = \"json\"\n\
             body = '{{\"to\":\"{{to}}\",\"text\":\"{{text}}\"}}'\nconnections_max = 64\n",
            outside.receiver.sms_url()
        );
    }
    more
}

/// Phones that are enrolled trust no other issuer, so a folder that is kept keeps its ports.
fn kept_ports(folder: &Path) -> Option<[u16; 3]> {
    let text = fs::read_to_string(folder.join("ports")).ok()?;
    let ports: Vec<u16> = text.split_whitespace().filter_map(|port| port.parse().ok()).collect();
    ports.try_into().ok()
}

fn keep_ports(folder: &Path, installation: &Installation) -> Result<(), LoadtestError> {
    let urls = [installation.portal_url(), installation.device_url(), installation.ops_url()];
    let ports: Vec<&str> = urls.iter().filter_map(|url| url.rsplit_once(':').map(|(_, port)| port)).collect();
    fs::write(folder.join("ports"), ports.join(" ")).map_err(LoadtestError::io("keep the server's ports"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(portal_url: &str, is_owned: bool) -> ForeignTarget {
        ForeignTarget {
            portal_url: portal_url.to_owned(),
            device_url: "http://127.0.0.1:8441".to_owned(),
            credentials: PortalCredentials { client_id: "portal".to_owned(), secret: "secret".to_owned() },
            push_type: "login".to_owned(),
            app: "bank".to_owned(),
            is_owned,
        }
    }

    fn scenario(more: &str) -> Scenario {
        let text =
            format!("title = \"T\"\n[[phase]]\nshape = \"steady\"\nrate_per_s = 1\nduration_s = 1\n{more}");
        Scenario::parse("t", &text).unwrap()
    }

    #[test]
    fn a_server_off_this_machine_is_loaded_only_by_whoever_says_that_it_is_his() {
        let refused =
            Target::of(foreign("http://192.0.2.1:8440", false), &scenario("")).unwrap_err().to_string();
        assert!(refused.contains("--i-own-this-target"), "{refused}");
        assert!(Target::of(foreign("http://192.0.2.1:8440", true), &scenario("")).is_ok());
        assert!(Target::of(foreign("http://[::1]:8440", false), &scenario("")).is_ok());
        assert!(Target::of(foreign("https://127.0.0.1:8440", false), &scenario("")).is_err());
    }

    #[test]
    fn what_needs_doubles_needs_a_server_of_its_own() {
        for more in ["[portals]\nsync = 1\n", "[portals]\ncallback = 1\n", "[flows]\nsms_share = 0.5\n"] {
            let refused = Target::of(foreign("http://127.0.0.1:8440", false), &scenario(more));
            assert!(refused.unwrap_err().to_string().contains("leave out --url"), "{more}");
        }
    }
}
