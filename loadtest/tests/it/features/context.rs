//! Where a call comes from, as the phone shows it: template, user agent, place by a file and by a server.

use std::fs;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};
use tocsin_loadtest::{Handset, PhoneKind};
use tocsin_mock::{CityDatabase, Fault, LocationOptions, LocationRefusal, LocationServer, MockPlace};

use super::Scene;
use super::operations::{self, edit, prepared, refused, reload, tocsin};
use super::scene::{SOON, SceneOptions};

const HOME: [u8; 4] = [192, 0, 2, 7];
const CHROME: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_3) AppleWebKit/537.36 (KHTML, like Gecko) \
                      Chrome/73.0.3683.86 Safari/537.36";
/// The message of the feature list's second vector.
const MESSAGE: &str = "You are logging into the XYZ portal";
/// The vector for the template that is there by default.
const AT_HOME: &str = "You are logging into the XYZ portal Device: Mac 10.14 Chrome 73.0, Location: NL, Provincie Utrecht, Utrecht";

const CATALOGUE: &str = r#"
[texts]
languages = ["en", "nl"]
[realms.retail]
[types.login]
show_origin = true
[types.plain]
[apps.bank.ios]
bundle_id = "com.example.bank"
[apps.bank.android]
package = "com.example.bank"
"#;

/// A server whose places come from a file that knows one network, with alice's phone.
async fn by_file() -> (Scene, Handset) {
    let mut scene = prepared(options()).await;
    write_places(&scene, "Utrecht");
    edit(
        &scene,
        "[realms.retail]",
        "[origin]\nlocation = \"database\"\ndatabase_file = \"city.mmdb\"\n[realms.retail]",
    );
    scene.start().await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    (scene, phone)
}

/// A server that asks a service for places, with alice's phone.
async fn by_service(keys: &str) -> (Scene, LocationServer, Handset) {
    let mut scene = prepared(options()).await;
    let outside = LocationOptions::new(scene.world.authority.issue().expect("a certificate"));
    let outside = LocationServer::start(outside.with(HOME, MockPlace::utrecht())).await.expect("a port");
    let origin = format!(
        "[origin]\nlocation = \"service\"\n[origin.service]\nurl = \"{}/v1/{{ip}}\"\n\
         ca_file = \"credentials/ca.pem\"\n{keys}\n[realms.retail]",
        outside.url()
    );
    edit(&scene, "[realms.retail]", &origin);
    scene.start().await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    (scene, outside, phone)
}

fn options() -> SceneOptions {
    SceneOptions { catalogue: Some(CATALOGUE.to_owned()), ..SceneOptions::default() }
}

fn write_places(scene: &Scene, city: &str) {
    let place = MockPlace { city: Some(city.to_owned()), ..MockPlace::utrecht() };
    let nameless = MockPlace { city: None, ..MockPlace::utrecht() };
    let database = CityDatabase::new().with(HOME, 24, place).with([198, 51, 100, 0], 24, nameless);
    fs::write(scene.folder().join("city.mmdb"), database.to_bytes()).expect("written");
}

/// A start of the type that shows the origin, with these members of `context`.
fn from(context: Value) -> Value {
    json!({"type": "login", "user": "alice", "secure_message": MESSAGE, "context": context})
}

fn at_home() -> Value {
    from(json!({"ip_address": "192.0.2.7", "user_agent": CHROME}))
}

/// What the phone shows as the origin of a transaction that is begun with this body.
async fn shown(scene: &Scene, phone: &Handset, body: Value) -> Option<String> {
    let started = scene.portal("POST", "/v1/transactions", Some(&body)).await.expect(201);
    let id = started["id"].as_str().expect("an id").to_owned();
    let screen = phone.phone.fetch(&id).await.expect("a challenge").screen;
    scene.portal("DELETE", &format!("/v1/transactions/{id}"), None).await.expect(200);
    screen.context
}

/// A counter of places by its source and result.
async fn counted(scene: &Scene, source: &str, result: &str) -> u64 {
    let metrics = scene.ops("GET", "/metrics", None, None).await.reply.body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    let series = format!("tocsin_origin_locations_total{{result=\"{result}\",source=\"{source}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
    line.unwrap_or_else(|| panic!("no {series}")).parse().expect("a number")
}

/// Waits for the row of the audit trail about this kind of failure.
async fn event_of(scene: &Scene, result: &str) {
    let deadline = Instant::now() + SOON;
    let beginning = format!("service {result}, 0 more");
    loop {
        let rows = operations::shown(scene, "/v1/admin/audit?event=place_unknown").await;
        let rows = rows["items"].as_array().expect("rows");
        let is_it = |row: &Value| row["detail"].as_str().is_some_and(|detail| detail.starts_with(&beginning));
        if rows.iter().any(is_it) {
            return;
        }
        assert!(Instant::now() < deadline, "no row about {result}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// All there: the phone shows device and place. Nothing sent, or another type: it shows none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_133_context_feature() {
    let (scene, phone) = by_file().await;
    assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some(AT_HOME));
    assert_eq!(counted(&scene, "database", "found").await, 1);
    let without = json!({"type": "login", "user": "alice", "secure_message": MESSAGE});
    assert_eq!(shown(&scene, &phone, without).await, None);
    assert_eq!(shown(&scene, &phone, from(json!({"session_id": "4711"}))).await, None);
    let mut plain = at_home();
    plain["type"] = json!("plain");
    assert_eq!(shown(&scene, &phone, plain).await, None);
    let mut without_secure_message = at_home();
    without_secure_message.as_object_mut().expect("an object").remove("secure_message");
    without_secure_message["message"] = json!("Log in?");
    let context = shown(&scene, &phone, without_secure_message).await.expect("an origin");
    assert!(context.starts_with("Log in? Device: Mac"), "{context}");
    // The signature covers it, and the portal reads it in what was shown.
    let started = scene.portal("POST", "/v1/transactions", Some(&at_home())).await.expect(201);
    let challenge = phone.phone.fetch(started["id"].as_str().expect("an id")).await.expect("a challenge");
    phone.phone.answer(&challenge, tocsin_model::Decision::Accept).await.expect("taken");
    let path = format!("/v1/transactions/{}", started["id"].as_str().expect("an id"));
    assert_eq!(scene.portal("GET", &path, None).await.expect(200)["shown"]["context"], AT_HOME);
}

/// Another template is another layout from the next start on; a spoiled one is refused with its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_134_template_key() {
    let (scene, phone) = by_file().await;
    edit(&scene, "[origin]\n", "[origin]\ntemplate = \"[city] / [browser]\"\n");
    reload(&scene).await;
    assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some("Utrecht / Chrome 73.0"));
    edit(&scene, "[city] / [browser]", "[town] / [browser]");
    let faults = refused(&scene).await;
    assert!(
        faults.contains("tocsin.toml:") && faults.contains("origin.template: [town] stands for nothing"),
        "{faults}"
    );
    assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some("Utrecht / Chrome 73.0"));
}

/// The default template gives the exact text, by a file and by a server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_135_template_default() {
    let (scene, phone) = by_file().await;
    assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some(AT_HOME));
    let config = tocsin(&scene, &["config"], &[]);
    let template = "[message] Device: [operatingSystem] [browser], Location: [countryCode], [region], [city]";
    assert!(String::from_utf8_lossy(&config.stdout).contains(template));
    let (scene, outside, phone) = by_service("").await;
    assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some(AT_HOME));
    assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some(AT_HOME));
    assert_eq!(outside.calls().len(), 1, "the second answer was remembered");
    assert_eq!(counted(&scene, "service", "cached").await, 1);
}

/// What the portal did not send leaves its places empty; no placeholder is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_136_template_placeholders() {
    let (scene, phone) = by_file().await;
    let without_user_agent = from(json!({"ip_address": "192.0.2.7"}));
    assert_eq!(
        shown(&scene, &phone, without_user_agent).await.as_deref(),
        Some("You are logging into the XYZ portal Device:  , Location: NL, Provincie Utrecht, Utrecht")
    );
    let without_address = from(json!({"user_agent": CHROME}));
    assert_eq!(
        shown(&scene, &phone, without_address).await.as_deref(),
        Some("You are logging into the XYZ portal Device: Mac 10.14 Chrome 73.0, Location: , , ")
    );
    let unknown = from(json!({"ip_address": "192.0.2.7", "user_agent": "nobody knows me"}));
    let context = shown(&scene, &phone, unknown).await.expect("an origin");
    assert!(!context.contains(['[', ']']), "{context}");
}

/// Any order and wording.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_137_template_free_order() {
    let (scene, phone) = by_file().await;
    edit(
        &scene,
        "[origin]\n",
        "[origin]\ntemplate = \"[message] using [browser] from [city], [countryCode]\"\n",
    );
    reload(&scene).await;
    assert_eq!(
        shown(&scene, &phone, at_home()).await.as_deref(),
        Some("You are logging into the XYZ portal using Chrome 73.0 from Utrecht, NL")
    );
}

/// Dutch for who asks for it; English for who asks for what there is not, or for nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_138_template_i18n() {
    let (scene, phone) = by_file().await;
    edit(
        &scene,
        "[origin]\n",
        "[origin.texts.nl]\ntemplate = \"[message] met [browser] vanuit [city]\"\n[origin]\n",
    );
    reload(&scene).await;
    let dutch = "You are logging into the XYZ portal met Chrome 73.0 vanuit Utrecht";
    for (language, expected) in
        [(Some("nl"), dutch), (Some("nl-BE"), dutch), (Some("xx"), AT_HOME), (None, AT_HOME)]
    {
        let mut body = at_home();
        if let Some(language) = language {
            body["language"] = json!(language);
        }
        assert_eq!(shown(&scene, &phone, body).await.as_deref(), Some(expected), "{language:?}");
    }
}

/// The rules on user agents cost memory and a moment: they are read while nobody waits, and only where a text needs them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rules_on_user_agents_are_read_before_any_call_and_only_where_a_text_needs_them() {
    let times_read = |scene: &Scene| {
        let log = fs::read_to_string(scene.installation.log_file()).expect("a log");
        log.matches("the rules on user agents are read").count()
    };
    let mut scene = prepared(options()).await;
    edit(&scene, "[realms.retail]", "[origin]\ntemplate = \"[message] here\"\n[realms.retail]");
    scene.start().await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let here = Some("You are logging into the XYZ portal here");
    assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), here);
    assert_eq!(times_read(&scene), 0, "nobody needs them");

    edit(&scene, "[message] here", "by [browser]");
    reload(&scene).await;
    assert_eq!(times_read(&scene), 1, "before the first call that needs them");
    assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some("by Chrome 73.0"));

    scene.stop().await;
    scene.start().await;
    assert_eq!(times_read(&scene), 2, "at a start, too");
    assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some("by Chrome 73.0"));
    assert_eq!(times_read(&scene), 2);
}

/// Whatever goes wrong with the service: the bare message, a line in the log and a count; and no start waits for longer
/// than the time-out and what a start takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_139_geo_failure() {
    const TIMEOUT: Duration = Duration::from_secs(3);
    let (scene, outside, phone) =
        by_service(&format!("cache_s = 0\ntimeout_ms = {}", TIMEOUT.as_millis())).await;
    let body = |text: &str| Fault::Refuse(LocationRefusal::Body(text.to_owned()));
    for (fault, result) in [
        (Fault::Refuse(LocationRefusal::Status(StatusCode::INTERNAL_SERVER_ERROR)), "status"),
        (body("garbage"), "malformed"),
        (body("{\"country_code\":\"NL\",\"region\":\"Provincie Utrecht\"}"), "incomplete"),
        (Fault::NeverAnswer, "timeout"),
        (Fault::CutAfterReading, "unreachable"),
    ] {
        outside.faults().for_next(1, fault).expect("room");
        let before = counted(&scene, "service", result).await;
        let begun = Instant::now();
        assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some(MESSAGE), "{result}");
        let took = begun.elapsed();
        assert!(took < 2 * TIMEOUT, "{result}: {took:?}");
        assert_eq!(took >= TIMEOUT, result == "timeout", "only silence is waited for: {took:?}");
        assert_eq!(counted(&scene, "service", result).await, before + 1, "{result}");
        let log = fs::read_to_string(scene.installation.log_file()).expect("a log");
        let told = |line: &str| line.contains("a place is not known") && line.contains(result);
        assert!(log.lines().any(told), "{result}: {log}");
        assert!(!log.contains("192.0.2.7"), "no address stands in the log");
        event_of(&scene, result).await;
        // A success between two failures, so that the service is not left alone.
        assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some(AT_HOME));
    }
    outside.stop().await;
    assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some(MESSAGE), "nobody is there");
}

/// Starts that wait for a silent service hold up no other, and wait no longer than the time-out themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_geolocation_service_delays_no_push_of_others() {
    let timeout = Duration::from_secs(5);
    let (scene, outside, _phone) = by_service("timeout_ms = 5000").await;
    let mut other = scene.enrol(PhoneKind::Android, "bob").await;
    outside.faults().for_all(Fault::NeverAnswer).expect("room");
    let begun = Instant::now();
    let waiting = async {
        let body = at_home();
        let started = scene.portal("POST", "/v1/transactions", Some(&body)).await.expect(201);
        (started, begun.elapsed())
    };
    let others = async {
        let deadline = Instant::now() + SOON;
        while outside.calls().is_empty() {
            assert!(Instant::now() < deadline, "the service is asked");
            tokio::task::yield_now().await;
        }
        let asked_at = begun.elapsed();
        let body = json!({"type": "plain", "user": "bob"});
        let started = scene.portal("POST", "/v1/transactions", Some(&body)).await.expect(201);
        let pushed = other.next_push(SOON).await.expect("a push");
        assert_eq!(started["id"], pushed.to_string());
        begun.elapsed() - asked_at
    };
    let ((started, waited), others_took) = tokio::join!(waiting, others);
    assert_eq!(started["state"], "pending");
    assert!(waited >= timeout, "it was the service that was waited for: {waited:?}");
    assert!(waited < 2 * timeout, "the service was waited for beyond its time: {waited:?}");
    assert!(others_took < timeout, "another's push waited for the service: {others_took:?}");
}

/// What a service said is still known after a reload that leaves it alone; where its settings change it is asked anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_forgets_no_place_of_a_service_that_stays() {
    let (scene, outside, phone) = by_service("timeout_ms = 5000").await;
    for _ in 0..2 {
        assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some(AT_HOME));
        reload(&scene).await;
    }
    assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some(AT_HOME));
    assert_eq!((outside.calls().len(), counted(&scene, "service", "cached").await), (1, 2));
    edit(&scene, "timeout_ms = 5000", "timeout_ms = 4999");
    reload(&scene).await;
    assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some(AT_HOME));
    assert_eq!(outside.calls().len(), 2);
}

/// A spoiled file is refused at the reload with its place, the old one stays; a new one is taken. At a start it is a
/// fault of the configuration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_places_is_read_again_at_a_reload_and_refused_when_it_is_spoiled() {
    let (mut scene, phone) = by_file().await;
    write_places(&scene, "Zeist");
    assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some(AT_HOME), "nobody has reloaded");
    reload(&scene).await;
    let moved = AT_HOME.replace("t, Utrecht", "t, Zeist");
    assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some(&*moved));
    let file = scene.folder().join("city.mmdb");
    let good = fs::read(&file).expect("readable");
    fs::write(&file, &good[..good.len() / 2]).expect("written");
    let faults = refused(&scene).await;
    assert!(
        faults.contains("tocsin.toml:") && faults.contains("origin.database_file: cannot use"),
        "{faults}"
    );
    assert_eq!(shown(&scene, &phone, at_home()).await.as_deref(), Some(&*moved), "the running one is kept");
    let checked = tocsin(&scene, &["check"], &[]);
    assert_eq!(checked.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&checked.stderr).contains("origin.database_file"), "{checked:?}");
    assert_eq!(
        shown(&scene, &phone, from(json!({"ip_address": "203.0.113.9"}))).await.as_deref(),
        Some(MESSAGE)
    );
    assert_eq!(counted(&scene, "database", "unlisted").await, 1);
    assert_eq!(
        shown(&scene, &phone, from(json!({"ip_address": "198.51.100.9"}))).await.as_deref(),
        Some(MESSAGE)
    );
    assert_eq!(counted(&scene, "database", "incomplete").await, 1);
    scene.stop().await;
    let started = tocsin(&scene, &["serve"], &[]);
    assert_eq!(started.status.code(), Some(78), "{started:?}");
}

/// An origin that would make the challenge too large is left out and counted; what is too large without it is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_does_not_fit_is_left_out_and_refuses_nothing() {
    let (scene, phone) = by_file().await;
    let left_out = async || {
        let metrics = scene.ops("GET", "/metrics", None, None).await.reply.body;
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        let line = metrics.lines().find_map(|line| line.strip_prefix("tocsin_origins_left_out_total "));
        line.expect("the counter").parse::<u64>().expect("a number")
    };
    for (characters, fits) in [(2_000, true), (4_000, false)] {
        let mut body = at_home();
        body["secure_message"] = json!("x".repeat(characters));
        let context = shown(&scene, &phone, body).await;
        assert_eq!(context.is_some(), fits, "{characters}");
        assert_eq!(left_out().await, u64::from(!fits), "{characters}");
    }
    let mut body = at_home();
    body["secure_message"] = json!("x".repeat(4_000));
    body["details"] =
        json!([{"label": "a", "value": "ä".repeat(512)}, {"label": "b", "value": "ä".repeat(512)}]);
    let refused = scene.portal("POST", "/v1/transactions", Some(&body)).await;
    refused.expect_problem(422, "content_too_large");
}

/// Systems and browsers of ten user agents; hostile ones are refused or say nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_140_ua_parse() {
    let (scene, phone) = by_file().await;
    edit(&scene, "[origin]\n", "[origin]\ntemplate = \"[operatingSystem] | [browser]\"\n");
    reload(&scene).await;
    for (user_agent, expected) in USER_AGENTS {
        let context = shown(&scene, &phone, from(json!({"user_agent": user_agent}))).await;
        assert_eq!(context.as_deref(), Some(expected), "{user_agent}");
    }
    for hostile in ["<script>alert(1)</script>", "[city] {user} \u{200b}", &"(".repeat(1_000)] {
        let context = shown(&scene, &phone, from(json!({"user_agent": hostile}))).await;
        assert_eq!(context.as_deref(), Some(" | "), "{hostile}");
    }
    for (hostile, status) in [
        ("A".repeat(1 << 20), 413),
        ("A".repeat(1_001), 422),
        ("Mozilla/5.0\r\nX-Injected: 1".to_owned(), 422),
        ("Mozilla/5.0 \u{0}\u{1b}[2J".to_owned(), 422),
        ("Mozilla/5.0 \u{202e}".to_owned(), 422),
    ] {
        let body = from(json!({"user_agent": hostile}));
        let refused = scene.portal("POST", "/v1/transactions", Some(&body)).await;
        assert_eq!(refused.status, status, "{}", refused.body);
    }
    assert_eq!(
        shown(&scene, &phone, from(json!({"user_agent": CHROME}))).await.as_deref(),
        Some("Mac 10.14 | Chrome 73.0")
    );
}

const USER_AGENTS: [(&str, &str); 10] = [
    (CHROME, "Mac 10.14 | Chrome 73.0"),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        "Windows 10 | Chrome 131.0",
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 \
         Edg/131.0.2903.51",
        "Windows 10 | Edge 131.0",
    ),
    ("Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko", "Windows 7 | IE 11.0"),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0", "Linux | Firefox 132.0"),
    (
        "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0",
        "Ubuntu | Firefox 115.0",
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4.1 \
         Safari/605.1.15",
        "Mac 10.15 | Safari 17.4",
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 \
         Mobile/15E148 Safari/604.1",
        "iOS 17.5 | Safari 17.5",
    ),
    (
        "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.6367.82 Mobile \
         Safari/537.36",
        "Android 14 | Chrome 124.0",
    ),
    ("Mozilla/5.0 (Android 13; Mobile; rv:120.0) Gecko/120.0 Firefox/120.0", "Android 13 | Firefox 120.0"),
];
