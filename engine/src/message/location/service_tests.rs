//! Questions over HTTP: what is asked, what is made of the answers, and what happens when there is none.

use std::path::PathBuf;
use std::time::Instant as WallInstant;

use http::StatusCode as Status;
use tempfile::TempDir;
use tocsin_mock::{
    Authority, Fault, LocationOptions, LocationRefusal, LocationServer, MockPlace, ProxyOptions, ProxyServer,
};
use tocsin_model::Secret;

use super::*;
use crate::transport::Proxies;

const HOME: [u8; 4] = [192, 0, 2, 7];

/// A server that knows one place, and the settings that lead there.
struct Outside {
    server: LocationServer,
    settings: LocationService,
    _folder: TempDir,
}

impl Outside {
    async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let ca_file: PathBuf = folder.path().join("ca.pem");
        let authority = Authority::new().expect("keys");
        authority.write_ca_pem(&ca_file).expect("written");
        let options = LocationOptions::new(authority.issue().expect("a certificate"));
        let server = LocationServer::start(options.with(HOME, MockPlace::utrecht())).await.expect("a port");
        let settings = format!(
            "[origin]\nlocation = \"service\"\n[origin.service]\nurl = \"{}/v1/{{ip}}\"\nca_file = \"ca.pem\"\n\
             timeout_ms = 5000\n",
            server.url()
        );
        let config = tocsin_config::Config::load_str(&settings, folder.path()).expect("no fault").config;
        let tocsin_config::LocationSource::Service(settings) = config.origin.location else {
            panic!("a service");
        };
        Self { server, settings, _folder: folder }
    }

    fn service(&self) -> Service {
        Service::new(&self.settings, &Clock::system(), None).expect("set up")
    }

    fn script(&self, fault: Fault<LocationRefusal>) {
        self.server.faults().clear();
        self.server.faults().for_all(fault).expect("room");
    }
}

fn home() -> IpAddr {
    IpAddr::from(HOME)
}

#[tokio::test]
async fn a_place_is_asked_for_once_and_then_remembered() {
    let outside = Outside::start().await;
    let service = outside.service();
    let (place, how) = service.place_of(home()).await.expect("known");
    assert_eq!((&*place.region, &*place.city, how), ("Provincie Utrecht", "Utrecht", "found"));
    assert_eq!(service.place_of(home()).await.expect("known").1, "cached");
    let calls = outside.server.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!((&*calls[0].path, calls[0].authorization.as_deref()), ("/v1/192.0.2.7", None));
}

#[tokio::test]
async fn the_key_travels_in_the_url_or_as_a_bearer_token() {
    let mut outside = Outside::start().await;
    outside.settings.key = Some(Secret::new("k/e y".to_owned()));
    outside.service().place_of(home()).await.expect("known");
    outside.settings.url = format!("{}/api/{{key}}/json/{{ip}}?strict={{key}}", outside.server.url());
    outside.service().place_of(home()).await.expect("known");
    let calls = outside.server.calls();
    assert_eq!(calls[0].authorization.as_deref(), Some("Bearer k/e y"));
    assert_eq!(calls[1].path, "/api/k%2Fe%20y/json/192.0.2.7?strict=k%2Fe%20y");
    assert_eq!(calls[1].authorization, None);
    assert!(!format!("{:?}", outside.service()).contains("k/e"));
}

#[tokio::test]
async fn every_failure_has_its_name_and_none_is_remembered() {
    let outside = Outside::start().await;
    let body = |text: &str| Fault::Refuse(LocationRefusal::Body(text.to_owned()));
    let no_city = "{\"country_code\":\"NL\",\"region\":\"Utrecht\"}";
    let endless = format!("{{\"city\":\"{}\"}}", "x".repeat(2 * ANSWER_BYTES_MAX));
    for (fault, expected) in [
        (Fault::Refuse(LocationRefusal::Status(Status::INTERNAL_SERVER_ERROR)), LocationFault::Status),
        (Fault::Refuse(LocationRefusal::Status(Status::NO_CONTENT)), LocationFault::Status),
        (Fault::Refuse(LocationRefusal::Redirect(outside.server.url())), LocationFault::Status),
        (body("not json"), LocationFault::Malformed),
        (body("[\"NL\"]"), LocationFault::Malformed),
        (body(""), LocationFault::Malformed),
        (body(&endless), LocationFault::Malformed),
        (body(no_city), LocationFault::Incomplete),
        (body("{\"country_code\":\"NL\",\"region\":1,\"city\":\"a\"}"), LocationFault::Incomplete),
        (Fault::CutAfterReading, LocationFault::Unreachable),
    ] {
        let service = outside.service();
        outside.script(fault);
        assert_eq!(service.place_of(home()).await.expect_err("scripted"), expected);
        outside.server.faults().clear();
        assert_eq!(service.place_of(home()).await.expect("known").1, "found");
    }
    let unknown = outside.service().place_of(IpAddr::from([198, 51, 100, 1])).await;
    assert_eq!(unknown.expect_err("unknown there"), LocationFault::Incomplete);
    outside.server.stop().await;
    assert_eq!(outside.service().place_of(home()).await.expect_err("gone"), LocationFault::Unreachable);
}

#[tokio::test]
async fn a_service_is_the_same_until_its_settings_its_authorities_or_its_way_change() {
    let outside = Outside::start().await;
    let service = outside.service();
    assert!(service.is_of(&outside.settings, None));
    let changed = [
        LocationService { timeout: DurationMs::new(4_999), ..outside.settings.clone() },
        LocationService { key: Some(Secret::new("key".to_owned())), ..outside.settings.clone() },
        LocationService { url: format!("{}?", outside.settings.url), ..outside.settings.clone() },
    ];
    assert!(changed.iter().all(|settings| !service.is_of(settings, None)));
    let text = "[proxy]\nenabled = true\nhost = \"127.0.0.1\"\n";
    let config = tocsin_config::Config::load_str(text, std::path::Path::new("")).expect("no fault").config;
    let route = Proxies::uncounted(Clock::system()).route(config.proxy.as_ref()).expect("set up");
    assert!(!service.is_of(&outside.settings, route.as_ref()));
    let other = Authority::new().expect("keys");
    other.write_ca_pem(outside.settings.ca_file.as_ref().expect("a file")).expect("written");
    assert!(!service.is_of(&outside.settings, None));
}

#[tokio::test]
async fn names_are_found_where_the_answer_has_them() {
    let mut outside = Outside::start().await;
    let path = |text: &str| {
        let settings = format!(
            "[origin]\nlocation = \"service\"\n[origin.service]\nurl = \"https://geo.example/{{ip}}\"\ncity = \"{text}\"\n"
        );
        let config =
            tocsin_config::Config::load_str(&settings, std::path::Path::new("")).expect("no fault").config;
        match config.origin.location {
            tocsin_config::LocationSource::Service(service) => service.city,
            other => panic!("{other:?}"),
        }
    };
    outside.settings.city = path("location.names.city");
    let nested = "{\"country_code\":\"NL\",\"region\":\"U\",\"location\":{\"names\":{\"city\":\"Utrecht\"}}}";
    outside.script(Fault::Refuse(LocationRefusal::Body(nested.to_owned())));
    assert_eq!(outside.service().place_of(home()).await.expect("known").0.city, "Utrecht");
    outside.settings.city = path("location.names");
    assert_eq!(outside.service().place_of(home()).await.expect_err("no text"), LocationFault::Incomplete);
}

#[tokio::test]
async fn a_silent_server_costs_the_time_limit_and_is_then_left_alone() {
    let mut outside = Outside::start().await;
    outside.settings.timeout = DurationMs::new(150);
    let service = outside.service();
    outside.script(Fault::NeverAnswer);
    for _ in 0..FAILURES_MAX {
        let begun = WallInstant::now();
        assert_eq!(service.place_of(home()).await.expect_err("silent"), LocationFault::Timeout);
        assert!(begun.elapsed() >= Duration::from_millis(150));
    }
    let calls = outside.server.calls().len();
    assert_eq!(service.place_of(home()).await.expect_err("left alone"), LocationFault::Paused);
    assert_eq!(outside.server.calls().len(), calls, "nobody was asked");
}

#[tokio::test]
async fn more_questions_than_allowed_are_not_asked() {
    let mut outside = Outside::start().await;
    outside.settings.calls_in_flight_max = 2;
    let service = Arc::new(outside.service());
    outside.script(Fault::NeverAnswer);
    let asking: Vec<_> = (0..2)
        .map(|_| {
            let service = Arc::clone(&service);
            tokio::spawn(async move { service.place_of(home()).await.map(drop) })
        })
        .collect();
    let deadline = WallInstant::now() + Duration::from_secs(20);
    while outside.server.calls().len() < 2 {
        assert!(WallInstant::now() < deadline, "both questions come");
        tokio::task::yield_now().await;
    }
    assert_eq!(service.place_of(home()).await.expect_err("too many"), LocationFault::Busy);
    asking.iter().for_each(tokio::task::JoinHandle::abort);
}

#[test]
fn what_cannot_be_set_up_names_its_key() {
    let settings = |more: &str| {
        let text = format!(
            "[origin]\nlocation = \"service\"\n[origin.service]\nurl = \"https://geo.example/{{ip}}\"\n{more}"
        );
        let config =
            tocsin_config::Config::load_str(&text, std::path::Path::new("")).expect("no fault").config;
        match config.origin.location {
            tocsin_config::LocationSource::Service(service) => service,
            other => panic!("{other:?}"),
        }
    };
    let refused = Service::new(&settings("key = \"ä\"\n"), &Clock::system(), None);
    // A header may carry bytes above ASCII as they are; a line break it may not.
    assert!(refused.is_ok());
    let mut missing = settings("");
    missing.ca_file = Some(PathBuf::from("nowhere.pem"));
    let refused = Service::new(&missing, &Clock::system(), None).expect_err("no such file");
    assert_eq!(refused.key, "origin.service.ca_file");
}

#[tokio::test]
async fn a_proxy_leads_there() {
    let outside = Outside::start().await;
    let proxy = ProxyServer::start(ProxyOptions::default()).await.expect("a port");
    let text = format!(
        "[proxy]\nenabled = true\nhost = \"127.0.0.1\"\nport = {}\nno_proxy = []\n",
        proxy.addr().port()
    );
    let config = tocsin_config::Config::load_str(&text, std::path::Path::new("")).expect("no fault").config;
    let route = Proxies::uncounted(Clock::system()).route(config.proxy.as_ref()).expect("set up");
    let service = Service::new(&outside.settings, &Clock::system(), route.as_ref()).expect("set up");
    assert_eq!(service.place_of(home()).await.expect("known").1, "found");
    assert_eq!(proxy.log().records().len(), 1);
}
