//! What a proxy answers, and what becomes of it: one kind of answer for each test.

use std::time::{Duration, Instant};

use tocsin_engine::transport::{ConnectError, ProxyFault};
use tocsin_mock::{Fault, ProxyOptions, ProxyRefusal, ProxyServer};

use super::rig::{
    CREDENTIALS, Ends, NAME, Outside, asked, connect, preemptive, refused, settings, settings_with_no_proxy,
};

async fn proxy(options: ProxyOptions) -> ProxyServer {
    ProxyServer::start(options).await.expect("a proxy")
}

#[tokio::test]
async fn a_name_goes_to_the_proxy_unresolved_and_http2_comes_back() {
    let (outside, ends) = (Outside::start().await, Ends::default());
    let proxy = proxy(outside.finding()).await;
    let connector = outside.connector(&ends.proxies(), &settings(proxy.addr(), ""));
    connect(&connector).await.expect("a tunnel");
    let records = proxy.log().records();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].target, format!("{NAME}:{}", outside.network.addr().port()));
    assert_eq!((records[0].fault, records[0].has_credentials), (None, false));
    assert_eq!((ends.words(), ends.names()), (vec!["made"], vec![proxy.addr().to_string()]));
}

#[tokio::test]
async fn preemptive_credentials_go_with_the_first_request() {
    let (outside, ends) = (Outside::start().await, Ends::default());
    let proxy = proxy(outside.finding().demanding("tocsin", "s3cret:word")).await;
    let connector = outside.connector(&ends.proxies(), &settings(proxy.addr(), &preemptive()));
    connect(&connector).await.expect("a tunnel");
    assert_eq!(asked(&proxy), [(true, Some(200))]);
}

#[tokio::test]
async fn other_credentials_go_only_after_a_407_on_a_connection_of_their_own() {
    let (outside, ends) = (Outside::start().await, Ends::default());
    let proxy = proxy(outside.finding().demanding("tocsin", "s3cret:word")).await;
    let connector = outside.connector(&ends.proxies(), &settings(proxy.addr(), CREDENTIALS));
    connect(&connector).await.expect("a tunnel");
    connect(&connector).await.expect("another tunnel");
    assert_eq!(asked(&proxy), [(false, Some(407)), (true, Some(200)), (false, Some(407)), (true, Some(200))]);
    assert_eq!(ends.words(), ["made", "made"]);
}

#[tokio::test]
async fn a_proxy_that_asks_for_nothing_is_told_nothing() {
    let outside = Outside::start().await;
    let proxy = proxy(outside.finding()).await;
    let connector = outside.connector(&Ends::default().proxies(), &settings(proxy.addr(), CREDENTIALS));
    connect(&connector).await.expect("a tunnel");
    assert_eq!(asked(&proxy), [(false, Some(200))]);
}

#[tokio::test]
async fn a_wrong_password_is_sent_once_by_all_who_share_it_until_there_is_another() {
    let (outside, ends) = (Outside::start().await, Ends::default());
    let proxy = proxy(outside.finding().demanding("tocsin", "another")).await;
    for keys in [preemptive(), CREDENTIALS.to_owned()] {
        let proxies = ends.proxies();
        let own = settings(proxy.addr(), &keys);
        let connectors: Vec<_> = (0..3).map(|_| outside.connector(&proxies, &own)).collect();
        let before = asked(&proxy).len();
        let attempts = connectors.iter().chain(&connectors).map(refused);
        let faults = futures_util::future::join_all(attempts).await;
        let sent = faults.iter().filter(|fault| matches!(fault, ProxyFault::CredentialRefused)).count();
        let held = faults.iter().filter(|fault| matches!(fault, ProxyFault::CredentialHeld)).count();
        assert_eq!((sent, held), (1, 5), "{faults:?}");
        let with_credentials = asked(&proxy)[before..].iter().filter(|(has, _)| *has).count();
        assert_eq!(with_credentials, 1, "the account must not be locked");
        // Another password is another standing.
        proxy.demand("tocsin", "new word");
        let other = settings(proxy.addr(), &keys.replace("s3cret:word", "new word"));
        connect(&outside.connector(&proxies, &other)).await.expect("a tunnel");
        proxy.demand("tocsin", "another");
    }
    assert_eq!(ends.words().iter().filter(|word| **word == "credential_refused").count(), 2);
}

#[tokio::test]
async fn a_password_that_was_good_is_held_too_once_it_is_refused() {
    let (outside, ends) = (Outside::start().await, Ends::default());
    let proxy = proxy(outside.finding().demanding("tocsin", "s3cret:word")).await;
    let connector = outside.connector(&ends.proxies(), &settings(proxy.addr(), &preemptive()));
    connect(&connector).await.expect("a tunnel");
    proxy.demand("tocsin", "another");
    assert!(matches!(refused(&connector).await, ProxyFault::CredentialRefused));
    assert!(matches!(refused(&connector).await, ProxyFault::CredentialHeld));
    assert_eq!(asked(&proxy).len(), 2);
}

/// tinyproxy says so in place of 407.
#[tokio::test]
async fn a_401_to_credentials_refuses_them_too() {
    let outside = Outside::start().await;
    let proxy = proxy(outside.finding()).await;
    let connector = outside.connector(&Ends::default().proxies(), &settings(proxy.addr(), &preemptive()));
    proxy.faults().for_next(1, Fault::Refuse(ProxyRefusal::Status(401))).expect("room");
    assert!(matches!(refused(&connector).await, ProxyFault::CredentialRefused));
    assert!(matches!(refused(&connector).await, ProxyFault::CredentialHeld));
    assert_eq!(asked(&proxy), [(true, Some(401))]);
}

#[tokio::test]
async fn a_407_without_credentials_of_ours_or_for_another_scheme_sends_none() {
    let (outside, ends) = (Outside::start().await, Ends::default());
    let proxy = proxy(outside.finding().demanding("tocsin", "s3cret:word")).await;
    let none = outside.connector(&ends.proxies(), &settings(proxy.addr(), ""));
    assert!(matches!(refused(&none).await, ProxyFault::CredentialMissing));
    proxy.faults().for_next(1, Fault::Refuse(ProxyRefusal::AskDigest)).expect("room");
    let digest = outside.connector(&ends.proxies(), &settings(proxy.addr(), CREDENTIALS));
    assert!(matches!(refused(&digest).await, ProxyFault::OtherAuthentication));
    assert_eq!(asked(&proxy), [(false, Some(407)), (false, Some(407))]);
}

#[tokio::test]
async fn every_other_status_is_a_failure_of_its_class() {
    let (outside, ends) = (Outside::start().await, Ends::default());
    let proxy = proxy(outside.finding()).await;
    let connector = outside.connector(&ends.proxies(), &settings(proxy.addr(), ""));
    for (status, class) in [(403, "refused"), (302, "refused"), (502, "upstream"), (504, "upstream")] {
        proxy.faults().for_next(1, Fault::Refuse(ProxyRefusal::Status(status))).expect("room");
        let fault = refused(&connector).await;
        let told = match fault {
            ProxyFault::Refused(status) | ProxyFault::Upstream(status) => status,
            other => panic!("{other}"),
        };
        assert_eq!((told, fault.end().as_str()), (status, class));
        assert!(fault.to_string().contains(&status.to_string()));
    }
    connect(&connector).await.expect("the next one is let through");
}

#[tokio::test]
async fn a_slow_proxy_is_waited_for_and_a_silent_one_for_five_seconds() {
    let (outside, ends) = (Outside::start().await, Ends::default());
    let proxy = proxy(outside.finding()).await;
    let connector = outside.connector(&ends.proxies(), &settings(proxy.addr(), ""));
    proxy.faults().for_next(1, Fault::Delay(Duration::from_millis(300))).expect("room");
    connect(&connector).await.expect("a tunnel, late");
    proxy.faults().for_next(1, Fault::NeverAnswer).expect("room");
    let began = Instant::now();
    assert!(matches!(refused(&connector).await, ProxyFault::Late));
    assert!((4..15).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(ends.words(), ["made", "late"]);
}

#[tokio::test]
async fn an_attempt_that_its_caller_gives_up_is_counted_as_late() {
    let (outside, ends) = (Outside::start().await, Ends::default());
    let proxy = proxy(outside.finding()).await;
    let connector = outside.connector(&ends.proxies(), &settings(proxy.addr(), ""));
    proxy.faults().for_next(1, Fault::NeverAnswer).expect("room");
    let given_up = tokio::time::timeout(Duration::from_millis(200), connect(&connector)).await;
    assert!(given_up.is_err());
    assert_eq!(ends.words(), ["late"]);
}

#[tokio::test]
async fn what_is_no_proper_answer_is_no_tunnel() {
    let (outside, ends) = (Outside::start().await, Ends::default());
    let proxy = proxy(outside.finding()).await;
    let connector = outside.connector(&ends.proxies(), &settings(proxy.addr(), ""));
    let after = |refusal| proxy.faults().for_next(1, refusal).expect("room");
    after(Fault::Refuse(ProxyRefusal::Reset));
    assert!(matches!(refused(&connector).await, ProxyFault::Cut));
    after(Fault::CutAfterReading);
    assert!(matches!(refused(&connector).await, ProxyFault::Cut));
    after(Fault::Refuse(ProxyRefusal::Junk));
    assert!(matches!(refused(&connector).await, ProxyFault::Junk));
    after(Fault::Refuse(ProxyRefusal::LongHead));
    assert!(matches!(refused(&connector).await, ProxyFault::TooLong));
    after(Fault::Refuse(ProxyRefusal::NoHttp));
    assert!(matches!(refused(&connector).await, ProxyFault::NotHttp));
    assert_eq!(ends.words(), ["broken"; 5]);
    connect(&connector).await.expect("the next one is let through");
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_unreachable() {
    let (outside, ends) = (Outside::start().await, Ends::default());
    let gone = proxy(ProxyOptions::default()).await;
    let address = gone.addr();
    gone.stop().await;
    let connector = outside.connector(&ends.proxies(), &settings(address, ""));
    assert!(matches!(refused(&connector).await, ProxyFault::Connect(_)));
    let unknown = settings(address, "").host.clone();
    let mut nowhere = settings(address, "");
    nowhere.host = format!("proxy.{unknown}.invalid");
    let connector = outside.connector(&ends.proxies(), &nowhere);
    assert!(matches!(refused(&connector).await, ProxyFault::LookUp(_)));
    assert_eq!(ends.words(), ["unreachable"; 2]);
}

#[tokio::test]
async fn a_middlebox_that_opens_tls_is_told_from_the_network() {
    let (outside, ends) = (Outside::start().await, Ends::default());
    let trusted = outside.authority.issue_for(&[NAME]).expect("issued");
    let options = ProxyOptions { inspects_with: Some(trusted), ..outside.finding() };
    let inspector = proxy(options).await;
    let connector = outside.connector(&ends.proxies(), &settings(inspector.addr(), ""));
    let error = connect(&connector).await.expect_err("no http/2");
    assert!(matches!(error, ConnectError::NoHttp2) && error.to_string().contains("middlebox"), "{error}");
    let stranger = tocsin_mock::Authority::new().expect("an authority");
    let options = ProxyOptions {
        inspects_with: Some(stranger.issue_for(&[NAME]).expect("issued")),
        ..outside.finding()
    };
    let inspector = proxy(options).await;
    let connector = outside.connector(&ends.proxies(), &settings(inspector.addr(), ""));
    assert!(matches!(connect(&connector).await, Err(ConnectError::Tls(_))), "its authority is not trusted");
}

#[tokio::test]
async fn hosts_of_no_proxy_are_reached_straight() {
    let (outside, ends) = (Outside::start().await, Ends::default());
    let proxy = proxy(outside.finding()).await;
    let mut settings = settings(proxy.addr(), "");
    for (host, list) in [("127.0.0.1", "[\"127.0.0.0/8\"]"), ("localhost", "[\"localhost\"]")] {
        settings.no_proxy = settings_with_no_proxy(list).no_proxy;
        let connector = outside.connector_to(host, &ends.proxies(), &settings);
        connect(&connector).await.expect("a connection");
    }
    assert!(asked(&proxy).is_empty() && ends.words().is_empty());
    settings.no_proxy = settings_with_no_proxy("[]").no_proxy;
    connect(&outside.connector_to("127.0.0.1", &ends.proxies(), &settings)).await.expect("a tunnel");
    assert_eq!(asked(&proxy), [(false, Some(200))]);
}

#[tokio::test]
async fn a_proxy_is_spoken_to_over_tls_and_must_prove_itself() {
    let (outside, ends) = (Outside::start().await, Ends::default());
    let identity = outside.authority.issue().expect("issued");
    let options = ProxyOptions { identity: Some(identity), ..outside.finding() };
    let proxy = proxy(options.demanding("tocsin", "s3cret:word")).await;
    let secure = format!("{}\nscheme = \"https\"", preemptive());
    let mut settings = settings(proxy.addr(), &secure);
    settings.ca_file = Some(outside.ca_file.clone());
    connect(&outside.connector(&ends.proxies(), &settings)).await.expect("a tunnel in TLS");
    assert_eq!(asked(&proxy), [(true, Some(200))]);
    let stranger = tocsin_mock::Authority::new().expect("an authority");
    let other = outside.folder.path().join("other.pem");
    stranger.write_ca_pem(&other).expect("written");
    settings.ca_file = Some(other);
    let connector = outside.connector(&ends.proxies(), &settings);
    assert!(matches!(refused(&connector).await, ProxyFault::Tls(_)));
    assert_eq!(asked(&proxy).len(), 1, "no password went to a stranger");
}

#[tokio::test]
async fn the_password_may_come_from_a_file() {
    let outside = Outside::start().await;
    let proxy = proxy(outside.finding().demanding("tocsin", "s3cret:word")).await;
    let file = outside.folder.path().join("password");
    let mut settings = settings(proxy.addr(), &preemptive());
    let credentials = settings.credentials.as_mut().expect("credentials");
    credentials.password = tocsin_config::PasswordSource::File(file.clone());
    let proxies = Ends::default().proxies();
    let fault = |proxies: &tocsin_engine::transport::Proxies| {
        let error = proxies.route(Some(&settings)).err().expect("a fault");
        (error.key(), error.to_string())
    };
    let (key, text) = fault(&proxies);
    assert!(key == "password_file" && text.contains("cannot read"), "{text}");
    std::fs::write(&file, "two\nlines").expect("written");
    let (key, text) = fault(&proxies);
    assert!(key == "password_file" && text.contains("in one line") && !text.contains("two"), "{text}");
    std::fs::write(&file, "s3cret:word\r\n").expect("written");
    connect(&outside.connector(&proxies, &settings)).await.expect("a tunnel");
    assert_eq!(asked(&proxy), [(true, Some(200))]);
}
