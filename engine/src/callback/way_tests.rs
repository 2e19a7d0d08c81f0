//! Which way a callback takes, and what the proxy is told of it.

use std::net::SocketAddr;

use ipnet::IpNet;
use tocsin_config::{NoProxy, ProxyScheme, ProxySettings};
use tocsin_mock::{Fault, ProxyOptions, ProxyRefusal, ProxyServer};
use tocsin_model::{CallbackFault, CallbackUrl};
use tokio::net::TcpListener;

use super::way::{Destination, Way};
use crate::clock::Clock;
use crate::transport::Proxies;

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
const PUBLIC: [u8; 4] = [8, 8, 8, 8];

/// A portal's socket, a proxy that finds `portal.example` there, and a way through it.
struct Rig {
    portal: TcpListener,
    port: u16,
    proxy: ProxyServer,
    way: Way,
}

impl Rig {
    /// A way whose look-ups find these addresses; with none it fails when it looks anything up.
    async fn start(found: &[[u8; 4]]) -> Self {
        let portal = TcpListener::bind(SocketAddr::from((LOOPBACK, 0))).await.expect("a port");
        let at = portal.local_addr().expect("an address");
        let proxy = ProxyServer::start(ProxyOptions::default().finding("portal.example", at)).await;
        let proxy = proxy.expect("a proxy");
        let settings = ProxySettings {
            scheme: ProxyScheme::Http,
            host: "127.0.0.1".to_owned(),
            port: proxy.addr().port(),
            credentials: None,
            is_preemptive: false,
            no_proxy: NoProxy::default(),
            ca_file: None,
        };
        let mut way = Way::new();
        let found = found.to_vec();
        way.look_up = Box::new(move |_, port| {
            assert!(!found.is_empty(), "nothing is looked up here");
            let found = found.iter().map(|address| SocketAddr::from((*address, port))).collect();
            Box::pin(async move { Ok(found) })
        });
        way.go_by(Proxies::uncounted(Clock::system()).route(Some(&settings)).expect("a route"));
        Self { portal, port: at.port(), proxy, way }
    }

    async fn go(&self, host: &str, is_listed: bool, networks: &[&str]) -> Result<(), CallbackFault> {
        self.go_to(&format!("https://{host}:{}/", self.port), is_listed, networks).await
    }

    async fn go_to(&self, url: &str, is_listed: bool, networks: &[&str]) -> Result<(), CallbackFault> {
        let url = CallbackUrl::parse(url).expect("valid");
        let networks: Vec<IpNet> = networks.iter().map(|text| text.parse().expect("a network")).collect();
        self.way.wire(Destination { url: &url, networks: &networks, is_listed }).await.map(drop)
    }

    /// What the proxy was asked for, as `host`.
    fn asked(&self) -> Vec<String> {
        let host = |target: &str| target.rsplit_once(':').map_or(String::new(), |(host, _)| host.to_owned());
        self.proxy.log().records().iter().map(|record| host(&record.target)).collect()
    }
}

#[tokio::test]
async fn a_listed_name_goes_to_the_proxy_unresolved() {
    let rig = Rig::start(&[]).await;
    rig.go("portal.example", true, &[]).await.expect("a tunnel");
    assert_eq!(rig.asked(), ["portal.example"]);
    assert!(rig.portal.accept().await.is_ok());
}

#[tokio::test]
async fn any_other_name_is_looked_up_and_judged_here_and_the_proxy_gets_the_address() {
    let rig = Rig::start(&[LOOPBACK]).await;
    assert_eq!(rig.go("portal.example", false, &[]).await, Err(CallbackFault::AddressRefused));
    assert!(rig.asked().is_empty(), "the proxy was not asked");
    rig.go("portal.example", false, &["127.0.0.0/8"]).await.expect("a tunnel");
    assert_eq!(rig.asked(), ["127.0.0.1"]);
}

#[tokio::test]
async fn a_name_with_public_and_private_addresses_is_refused_whole_before_the_proxy_is_asked() {
    let rig = Rig::start(&[PUBLIC, LOOPBACK]).await;
    assert_eq!(rig.go("portal.example", false, &[]).await, Err(CallbackFault::AddressRefused));
    assert!(rig.asked().is_empty());
}

#[tokio::test]
async fn a_literal_address_is_judged_even_where_it_is_listed() {
    let rig = Rig::start(&[]).await;
    assert_eq!(rig.go("127.0.0.1", true, &[]).await, Err(CallbackFault::AddressRefused));
    assert_eq!(rig.go("localhost", true, &[]).await, Err(CallbackFault::AddressRefused));
    assert!(rig.asked().is_empty());
    rig.go("localhost", true, &["127.0.0.0/8"]).await.expect("a tunnel");
    assert_eq!(rig.asked(), ["127.0.0.1"], "what was judged, not what was written");
}

#[tokio::test]
async fn the_next_address_is_tried_where_the_proxy_does_not_get_to_the_one_before() {
    let rig = Rig::start(&[PUBLIC, LOOPBACK]).await;
    for status in [403, 502] {
        rig.proxy.faults().for_next(1, Fault::Refuse(ProxyRefusal::Status(status))).expect("room");
        rig.go("portal.example", false, &["127.0.0.0/8"]).await.expect("a tunnel");
    }
    assert_eq!(rig.asked(), ["8.8.8.8", "127.0.0.1", "8.8.8.8", "127.0.0.1"]);
    rig.proxy.faults().for_next(1, Fault::Refuse(ProxyRefusal::Reset)).expect("room");
    assert_eq!(rig.go("portal.example", false, &["127.0.0.0/8"]).await, Err(CallbackFault::Proxy));
    assert_eq!(rig.asked().len(), 5, "a proxy in trouble is not asked for the next one");
}

#[tokio::test]
async fn in_clear_only_loopback_is_reached_and_never_through_a_proxy() {
    let rig = Rig::start(&[]).await;
    let url = format!("http://127.0.0.1:{}/", rig.port);
    rig.go_to(&url, true, &["127.0.0.0/8"]).await.expect("a connection");
    assert!(rig.asked().is_empty());
}

#[tokio::test]
async fn without_a_route_every_way_is_straight_and_judged() {
    let rig = Rig::start(&[LOOPBACK]).await;
    rig.way.go_by(None);
    assert_eq!(rig.go("portal.example", true, &[]).await, Err(CallbackFault::AddressRefused));
    rig.go("portal.example", true, &["127.0.0.0/8"]).await.expect("a connection");
    assert!(rig.asked().is_empty());
}
