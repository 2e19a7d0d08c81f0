//! That no account is locked at the proxy, and that nobody's connection starves for that.

use std::time::Duration;

use futures_util::future::join_all;
use tocsin_engine::transport::ProxyFault;
use tocsin_mock::{Fault, ProxyOptions, ProxyRefusal, ProxyServer, Repeat};

use super::rig::{CREDENTIALS, Ends, Outside, asked, connect, preemptive, refused, settings};

/// As long as the longest first pause, and not as long as any second one, since the tests take their time too.
const FIRST_PAUSE_MAX: Duration = Duration::from_secs(120);
/// Shorter than any second pause, and longer than all first ones but for one in six.
const BEFORE_SECOND_PAUSE_ENDS: Duration = Duration::from_secs(110);

async fn proxy(options: ProxyOptions) -> ProxyServer {
    ProxyServer::start(options).await.expect("a proxy")
}

/// This much later; nobody waits for it.
async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// How many requests with credentials came.
fn sent(proxy: &ProxyServer) -> usize {
    asked(proxy).iter().filter(|(has_credentials, _)| *has_credentials).count()
}

#[tokio::test]
async fn only_a_tunnel_proves_the_password() {
    for status in [302, 403, 429, 502] {
        let (outside, ends) = (Outside::start().await, Ends::default());
        let proxy = proxy(outside.finding().demanding("tocsin", "another")).await;
        let connector = outside.connector(&ends.proxies(), &settings(proxy.addr(), &preemptive()));
        assert!(matches!(refused(&connector).await, ProxyFault::CredentialRefused));
        later(FIRST_PAUSE_MAX).await;
        proxy.faults().for_next(1, Fault::Refuse(ProxyRefusal::Status(status))).expect("room");
        let fault = refused(&connector).await;
        assert!(matches!(fault, ProxyFault::Refused(_) | ProxyFault::Upstream(_)), "{status}: {fault}");
        assert!(matches!(refused(&connector).await, ProxyFault::CredentialRefused), "{status}");
        later(BEFORE_SECOND_PAUSE_ENDS).await;
        let fault = refused(&connector).await;
        assert!(matches!(fault, ProxyFault::CredentialHeld), "{status} shortened the pause: {fault}");
    }
}

#[tokio::test]
async fn a_password_that_is_changed_there_is_refused_a_few_times_and_pauses_once() {
    let (outside, ends) = (Outside::start().await, Ends::default());
    let proxy = proxy(outside.finding().demanding("tocsin", "s3cret:word")).await;
    let connector = outside.connector(&ends.proxies(), &settings(proxy.addr(), &preemptive()));
    connect(&connector).await.expect("a tunnel");
    proxy.demand("tocsin", "another");
    proxy.faults().for_next(12, Fault::Delay(Duration::from_millis(300))).expect("room");
    let faults = join_all((0..12).map(|_| refused(&connector))).await;
    let are_told = faults
        .iter()
        .all(|fault| matches!(fault, ProxyFault::CredentialRefused | ProxyFault::CredentialHeld));
    assert!(are_told, "{faults:?}");
    assert_eq!(sent(&proxy), 1 + 4, "{faults:?}");
    proxy.faults().clear();
    proxy.demand("tocsin", "s3cret:word");
    later(FIRST_PAUSE_MAX).await;
    connect(&connector).await.expect("refusals of one moment make one pause");
}

#[tokio::test]
async fn connections_wait_for_nobody_while_no_password_is_asked_for() {
    let outside = Outside::start().await;
    let proxy = proxy(outside.finding()).await;
    let connector = outside.connector(&Ends::default().proxies(), &settings(proxy.addr(), CREDENTIALS));
    proxy.faults().for_next(6, Fault::NeverAnswer).expect("room");
    let connecting = join_all((0..6).map(|_| connect(&connector)));
    // The first of them would give up after five seconds.
    let all_ask = proxy.log().wait_for(6, |_| true, Duration::from_secs(4));
    tokio::select! {
        asked = all_ask => assert_eq!(asked.expect("all ask at once").len(), 6),
        ended = connecting => panic!("{ended:?}"),
    }
    assert_eq!(sent(&proxy), 0);
}

#[tokio::test]
async fn hosts_that_are_dead_behind_the_proxy_hold_nobody_up() {
    for keys in [preemptive(), CREDENTIALS.to_owned()] {
        let (outside, ends) = (Outside::start().await, Ends::default());
        let proxy = proxy(outside.finding().demanding("tocsin", "s3cret:word")).await;
        let (proxies, settings) = (ends.proxies(), settings(proxy.addr(), &keys));
        let dead: Vec<_> = (0..6)
            .map(|number| {
                let host = format!("dead-{number}.invalid");
                let connector = outside.connector_to(&host, &proxies, &settings);
                let target = format!("{host}:{}", outside.network.addr().port());
                proxy.faults().for_target(&target, Repeat::Always, Fault::NeverAnswer).expect("room");
                tokio::spawn(async move { connect(&connector).await.map_err(|error| error.to_string()) })
            })
            .collect();
        proxy.log().wait_for(1, |_| true, Duration::from_secs(20)).await.expect("one is asked for");
        let connector = outside.connector(&proxies, &settings);
        let connected = tokio::time::timeout(Duration::from_secs(4), connect(&connector)).await;
        connected.expect("it waits for nobody").expect("a tunnel");
        dead.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
