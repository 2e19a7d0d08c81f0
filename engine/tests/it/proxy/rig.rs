//! A server over TLS behind a name that only the proxy finds, and ways to get there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tocsin_config::{Config, ProxySettings};
use tocsin_engine::clock::Clock;
use tocsin_engine::transport::{
    Application, Connect as _, ConnectError, Connector, Endpoint, Proxies, ProxyFault, TunnelEnd,
};
use tocsin_mock::{ApnsOptions, ApnsServer, Authority, ProxyOptions, ProxyServer};

/// A name that no look-up of ours finds.
pub const NAME: &str = "push.network.invalid";
/// Longer than any test may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An authority with its file, and a network that has a certificate for [`NAME`] and loopback.
pub struct Outside {
    pub authority: Authority,
    pub ca_file: PathBuf,
    pub network: ApnsServer,
    pub folder: TempDir,
}

impl Outside {
    pub async fn start() -> Self {
        let authority = Authority::new().expect("an authority");
        let folder = tempfile::tempdir().expect("a folder");
        let ca_file = folder.path().join("ca.pem");
        authority.write_ca_pem(&ca_file).expect("written");
        let identity = authority.issue_for(&[NAME, "localhost", "127.0.0.1"]).expect("issued");
        let network = ApnsServer::start(ApnsOptions::new(identity)).await.expect("a network");
        Self { authority, ca_file, network, folder }
    }

    /// The options of a proxy that finds [`NAME`].
    pub fn finding(&self) -> ProxyOptions {
        ProxyOptions::default().finding(NAME, self.network.addr())
    }

    /// A connector to [`NAME`] by the proxy of these keys.
    pub fn connector(&self, proxies: &Proxies, settings: &ProxySettings) -> Connector {
        self.connector_to(NAME, proxies, settings)
    }

    pub fn connector_to(&self, host: &str, proxies: &Proxies, settings: &ProxySettings) -> Connector {
        let url = format!("https://{host}:{}", self.network.addr().port());
        let endpoint = Arc::new(Endpoint::parse(&url).expect("a URL"));
        let route = proxies.route(Some(settings)).expect("a route");
        let connector = Connector::new(endpoint, Some(&self.ca_file), Application::Http2).expect("tls");
        connector.by(route.as_ref())
    }
}

/// How attempts ended, as they are counted.
#[derive(Clone, Default)]
pub struct Ends(Arc<Mutex<Vec<(String, TunnelEnd)>>>);

impl Ends {
    pub fn proxies(&self) -> Proxies {
        let kept = Arc::clone(&self.0);
        let keep = move |proxy: &str, end: Option<TunnelEnd>| {
            kept.lock().expect("no panic").extend(end.map(|end| (proxy.to_owned(), end)));
        };
        Proxies::new(Clock::system(), Arc::new(keep))
    }

    pub fn words(&self) -> Vec<&'static str> {
        self.0.lock().expect("no panic").iter().map(|(_, end)| end.as_str()).collect()
    }

    pub fn names(&self) -> Vec<String> {
        self.0.lock().expect("no panic").iter().map(|(name, _)| name.clone()).collect()
    }
}

/// The proxy of a configuration with these keys in `[proxy]`.
pub fn settings(address: SocketAddr, keys: &str) -> ProxySettings {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "[proxy]\nenabled = true\nhost = \"{}\"\nport = {}\nno_proxy = []\n{keys}\n",
        address.ip(),
        address.port()
    );
    let loaded = Config::load_str(&text, folder.path()).unwrap_or_else(|faults| panic!("{faults}"));
    loaded.config.proxy.expect("a proxy")
}

pub const CREDENTIALS: &str = "username = \"tocsin\"\npassword = \"s3cret:word\"";

/// The same with the credentials in the first request.
pub fn preemptive() -> String {
    format!("{CREDENTIALS}\npreemptive = true")
}

/// Connects within the patience of a test.
pub async fn connect(connector: &Connector) -> Result<(), ConnectError> {
    let connected = tokio::time::timeout(PATIENCE, connector.connect(None)).await.expect("an end");
    connected.map(drop)
}

/// Connects and is told by the proxy's answer that there is no tunnel.
pub async fn refused(connector: &Connector) -> ProxyFault {
    match connect(connector).await {
        Err(ConnectError::Proxy(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// Of each request whether it had credentials, and how it was answered.
pub fn asked(proxy: &ProxyServer) -> Vec<(bool, Option<u16>)> {
    let records = proxy.log().records();
    assert!(records.iter().all(|record| record.fault.is_none()), "{records:?}");
    records.iter().map(|record| (record.has_credentials, record.answered)).collect()
}

/// Settings with this list of hosts that are reached straight.
pub fn settings_with_no_proxy(list: &str) -> ProxySettings {
    let text = format!("[proxy]\nenabled = true\nhost = \"127.0.0.1\"\nno_proxy = {list}\n");
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = Config::load_str(&text, folder.path()).unwrap_or_else(|faults| panic!("{faults}"));
    loaded.config.proxy.expect("a proxy")
}
