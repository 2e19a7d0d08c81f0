//! Codes by SMS: which gateway sends them, what follows when one does not, and what is never sent.

use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tocsin_loadtest::PhoneKind;
use tocsin_mock::{
    Fault, GatewayForm, GatewayOptions, GatewayServer, SmsRecord, SmsRefusal, StatusReport, TwilioOptions,
    TwilioServer,
};

use super::Scene;
use super::codes::wrong;
use super::operations::{edit, operated_of, refused, reload};
use super::scene::{Answer, SOON};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const AUTH_TOKEN: &str = "token-of-the-account";
const NUMBER: &str = "+15055551234";

const TYPES: &str = r#"
[realms.retail]
[types.login]
default_title = "Log in"
[types.code]
method = "sms"
attempts_max = 3
resend_gap_s = 0
[types.two]
method = "sms"
attempts_max = 3
gateways = ["twilio-main", "sms-local"]
[apps.bank.ios]
bundle_id = "com.example.bank"
[apps.bank.android]
package = "com.example.bank"
"#;

/// A server with two gateways, Twilio's the default one.
pub(super) struct Texting {
    pub(super) scene: Scene,
    pub(super) twilio: TwilioServer,
    pub(super) local: GatewayServer,
}

impl Texting {
    pub(super) async fn open(rules: &str) -> Self {
        let types = TYPES.replace("gateways = [\"twilio-main\", \"sms-local\"]\n", "");
        let scene = operated_of(&types).await;
        let authority = &scene.world.authority;
        let options = TwilioOptions::new(authority.issue().expect("issued"), ACCOUNT, AUTH_TOKEN);
        let twilio = TwilioServer::start(options).await.expect("twilio");
        let options = GatewayOptions::new(authority.issue().expect("issued"), GatewayForm::Json);
        let local = GatewayServer::start(options).await.expect("a gateway");
        let ca_file = scene.folder().join("sms-ca.pem");
        authority.write_ca_pem(&ca_file).expect("written");
        let token_file = scene.folder().join("twilio-token");
        fs::write(&token_file, AUTH_TOKEN).expect("written");
        let tables = format!(
            "[sms]\ncountry_prefixes = [\"+1\"]\n{rules}\n\
             [providers.twilio-main]\nkind = \"twilio\"\ndefault = true\naccount_sid = \"{ACCOUNT}\"\n\
             auth_token_file = {token:?}\nfrom = \"+15005550006\"\nendpoint = \"{twilio}\"\nca_file = {ca:?}\n\
             status_reports = true\n\
             [providers.sms-local]\nkind = \"http-sms\"\nurl = \"{local}\"\nca_file = {ca:?}\n\
             body_format = \"json\"\nbody = '{{\"to\":\"{{to}}\",\"text\":\"{{text}}\",\"ref\":\"{{ref}}\"}}'\n\
             answer_pointer = \"/result/status\"\nsuccess_pattern = \"^queued$\"\n",
            token = token_file.display().to_string(),
            twilio = twilio.url(),
            local = local.url(),
            ca = ca_file.display().to_string(),
        );
        edit(
            &scene,
            "[types.two]\nmethod = \"sms\"\n",
            "[types.two]\nmethod = \"sms\"\ngateways = [\"twilio-main\", \"sms-local\"]\n",
        );
        edit(&scene, "[realms.retail]", &format!("{tables}[realms.retail]"));
        reload(&scene).await;
        Self { scene, twilio, local }
    }

    /// Asks for a code to this number.
    async fn ask(&self, type_name: &str, number: &str) -> Answer {
        let start = json!({"type": type_name, "user": "alice", "phone_number": number, "reply": "sent"});
        self.scene.portal("POST", "/v1/transactions", Some(&start)).await
    }

    pub(super) async fn begin(&self, type_name: &str) -> Value {
        self.ask(type_name, NUMBER).await.expect(201)
    }

    async fn view(&self, begun: &Value) -> Value {
        self.scene.portal("GET", &path(begun), None).await.expect(200)
    }

    /// Waits until the view fits.
    pub(super) async fn until(&self, begun: &Value, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let view = self.view(begun).await;
            if fits(&view) {
                return view;
            }
            assert!(Instant::now() < deadline, "{view}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Posts a report to the device door as it is.
    async fn report(&self, report: &StatusReport) -> Answer {
        let request = Request::post(&report.url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-twilio-signature", &report.signature)
            .body(Bytes::from(report.body.clone()));
        self.scene.call(request.expect("a request")).await
    }

    async fn metric(&self, line: &str) -> bool {
        let reply = self.scene.ops("GET", "/metrics", None, None).await.reply.body;
        String::from_utf8_lossy(&reply).lines().any(|known| known == line)
    }
}

fn path(view: &Value) -> String {
    format!("/v1/transactions/{}", view["id"].as_str().expect("an id"))
}

/// The code in a message.
fn code_in(record: &SmsRecord) -> String {
    let words = record.text().split(|character: char| !character.is_ascii_digit());
    words.filter(|word| word.len() == 6).map(str::to_owned).next().expect("six digits")
}

/// By default Twilio is asked in its own form; a type that names another gateway asks that in its form; a kind that there
/// is not is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_110_sms_gateway_plugin() {
    let texting = Texting::open("").await;
    let begun = texting.begin("code").await;
    assert_eq!((&begun["method"], &begun["delivery"][0]["provider"]), (&json!("sms"), &json!("twilio-main")));
    assert_eq!(begun["delivery"][0]["status"], "relayed");
    let taken = texting.twilio.messages().taken();
    let line = format!("POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json");
    assert_eq!((taken.len(), taken[0].request_line()), (1, line));
    assert_eq!((taken[0].to(), taken[0].field("From")), (NUMBER, Some("+15005550006")));
    texting.scene.bring(&begun, &code_in(&taken[0])).await.expect(200);

    edit(
        &texting.scene,
        "attempts_max = 3\nresend_gap_s",
        "attempts_max = 3\ngateways = [\"sms-local\"]\nresend_gap_s",
    );
    reload(&texting.scene).await;
    let begun = texting.begin("code").await;
    assert_eq!(begun["delivery"][0]["provider"], "sms-local");
    let taken = texting.local.messages().taken();
    assert_eq!((taken.len(), taken[0].request_line().as_str()), (1, "POST /send"));
    let body: Value = serde_json::from_str(taken[0].body()).expect("JSON");
    assert_eq!(body["to"], NUMBER);
    texting.scene.bring(&begun, &code_in(&taken[0])).await.expect(200);
    assert_eq!(texting.twilio.messages().records().len(), 1);

    edit(&texting.scene, "kind = \"http-sms\"", "kind = \"smoke-signals\"");
    assert!(refused(&texting.scene).await.contains("providers.sms-local.kind"));
    texting.begin("code").await;
}

/// The six digits of the message are the code, another is not; both the sending and the success are counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_by_sms_is_counted_when_it_is_sent_and_when_it_is_right() {
    let texting = Texting::open("").await;
    let begun = texting.begin("code").await;
    let code = code_in(&texting.twilio.messages().taken()[0]);
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()));
    texting.scene.bring(&begun, &wrong(&code)).await.expect_problem(422, "wrong_code");
    let ended = texting.scene.bring(&begun, &code).await.expect(200);
    assert_eq!(ended["state"], "accepted");
    assert!(!texting.scene.log().contains(&code) && !texting.scene.log().contains("5055551234"));
    assert!(texting.metric("tocsin_sms_sent_total{prefix=\"+1\"} 1").await);
    assert!(texting.metric("tocsin_sms_verified_total{prefix=\"+1\"} 1").await);
}

/// The next gateway is tried only where the one before has surely sent nothing, and never for a number that is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_gateway_is_tried_where_nothing_was_sent() {
    let texting = Texting::open("").await;
    let faults = texting.twilio.faults();
    faults.for_next(1, Fault::Refuse(SmsRefusal::twilio(21_408))).expect("room");
    let begun = texting.begin("two").await;
    let view = texting.until(&begun, |view| view["delivery"][0]["status"] == "relayed").await;
    assert_eq!(view["delivery"][0]["provider"], "sms-local");
    assert_eq!(texting.local.messages().taken().len(), 1);

    faults.for_next(1, Fault::CutAfterProcessing).expect("room");
    let begun = texting.begin("two").await;
    assert_eq!((&begun["delivery"][0]["status"], &begun["state"]), (&json!("unknown"), &json!("pending")));
    let code = code_in(texting.twilio.messages().taken().last().expect("a message"));
    assert_eq!(texting.scene.bring(&begun, &code).await.expect(200)["state"], "accepted");

    faults.for_next(1, Fault::Refuse(SmsRefusal::twilio(21_610))).expect("room");
    let begun = texting.begin("two").await;
    let view = texting.until(&begun, |view| view["state"] == "failed").await;
    assert_eq!(
        (&view["reason"], &view["delivery"][0]["reason"]),
        (&json!("provider_rejected"), &json!("address_refused"))
    );
    assert_eq!(texting.local.messages().records().len(), 1, "neither was sent once more");
}

/// A signed report that a message did not arrive brings the next gateway; what is not signed, or comes too late, nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_of_the_gateway_are_taken_where_they_are_signed() {
    let texting = Texting::open("").await;
    let begun = texting.begin("two").await;
    let record = texting.twilio.messages().taken()[0].clone();
    let report = |status: &str, code| texting.twilio.status_report(&record, status, code).expect("asked for");
    let issuer = texting.scene.installation.device_url();
    assert!(report("sent", None).url.starts_with(&format!("{issuer}/hooks/v1/twilio-main?t=")));

    let mut forged = report("undelivered", Some(30_003));
    forged.body = forged.body.replace("30003", "30004");
    texting.report(&forged).await.expect_problem(401, "bad_signature");
    let mut elsewhere = report("undelivered", Some(30_003));
    elsewhere.url = elsewhere.url.replace("twilio-main", "sms-local");
    texting.report(&elsewhere).await.expect_problem(404, "not_found");
    elsewhere.url = elsewhere.url.replace("sms-local", "nobody");
    texting.report(&elsewhere).await.expect_problem(404, "not_found");
    let read = Request::get(report("sent", None).url).body(Bytes::new()).expect("a request");
    assert_eq!(texting.scene.call(read).await.status, 405);
    assert_eq!(texting.report(&report("delivered", None)).await.status, 204);
    assert_eq!(texting.view(&begun).await["delivery"][0]["status"], "relayed", "never more than that");

    assert_eq!(texting.report(&report("undelivered", Some(30_003))).await.status, 204);
    let view = texting.until(&begun, |view| view["delivery"][0]["provider"] == "sms-local").await;
    assert_eq!(view["state"], "pending");
    texting.until(&begun, |view| view["delivery"][0]["status"] == "relayed").await;
    assert_eq!(texting.report(&report("failed", Some(30_008))).await.status, 204, "once more, too late");
    assert_eq!(texting.view(&begun).await["delivery"][0]["provider"], "sms-local");
    let code = code_in(&texting.local.messages().taken()[0]);
    assert_eq!(code, code_in(&record), "it is the same code");
    assert_eq!(texting.scene.bring(&begun, &code).await.expect(200)["state"], "accepted");
    assert!(
        texting.metric("tocsin_gateway_reports_total{provider=\"twilio-main\",result=\"refused\"} 1").await
    );
}

/// A message that did not arrive may have been paid for, so the one by the next gateway counts, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_brings_no_message_beyond_the_bound() {
    let texting = Texting::open("sends_per_number_per_hour_max = 1").await;
    let begun = texting.begin("two").await;
    let record = texting.twilio.messages().taken()[0].clone();
    let report = texting.twilio.status_report(&record, "undelivered", Some(30_003)).expect("asked for");
    assert_eq!(texting.report(&report).await.status, 204);
    let view = texting.until(&begun, |view| view["state"] == "failed").await;
    let (provider, reason) = (&view["delivery"][0]["provider"], &view["delivery"][0]["reason"]);
    assert_eq!((provider, reason), (&json!("sms-local"), &json!("throttled")), "{view}");
    assert_eq!((texting.twilio.messages().records().len(), texting.local.messages().records().len()), (1, 0));
}

/// Codes go to the countries that are named, and to no number, country or client too often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_and_countries_have_bounds() {
    let texting = Texting::open("sends_per_number_per_hour_max = 2\nsends_per_prefix_per_hour_max = 4").await;
    for wrong in ["0505", "+0505555123", "15055551234", "+1 505 555 1234", "+15055551234\r\nX: y"] {
        let answer = texting.ask("code", wrong).await;
        assert!(matches!(answer.status, 400 | 422), "{wrong:?}: {}", answer.body);
    }
    let abroad = texting.ask("code", "+4915112345678").await.expect_problem(422, "invalid_field");
    assert_eq!(abroad["field"], "phone_number");
    let begun = texting.begin("code").await;
    let again = format!("{}/resend", path(&begun));
    texting.scene.portal("POST", &again, None).await.expect(200);
    let full = texting.ask("code", NUMBER).await;
    let wait: u64 = full.reply.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((3_300..=3_900).contains(&wait), "{wait}");
    full.expect_problem(429, "rate_limited");
    texting.until(&begun, |view| view["delivery"][0]["status"] == "relayed").await;
    texting.scene.portal("POST", &again, None).await.expect_problem(429, "rate_limited");
    for other in ["+15055551235", "+15055551236"] {
        texting.ask("code", other).await.expect(201);
    }
    texting.ask("code", "+15055551237").await.expect_problem(429, "rate_limited");
    assert_eq!(texting.twilio.messages().records().len(), 4);
    assert!(texting.metric("tocsin_sms_refused_total{bound=\"prefix\",prefix=\"+1\"} 1").await);

    edit(&texting.scene, "country_prefixes = [\"+1\"]", "country_prefixes = []");
    let faults = refused(&texting.scene).await;
    assert!(faults.contains("sms.country_prefixes") && faults.contains("tocsin.toml:"), "{faults}");
}

/// A gateway that answers nobody delays no push.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_gateway_delays_no_push() {
    let texting = Texting::open("").await;
    texting.twilio.faults().for_all(Fault::NeverAnswer).expect("room");
    let mut phone = texting.scene.enrol(PhoneKind::Iphone, "bob").await;
    let stalled = (0..40).map(|number| async move {
        let start = json!({
            "type": "code", "user": format!("user-{number}"), "phone_number": format!("+150555500{number:02}"),
        });
        start
    });
    for start in stalled {
        let start = start.await;
        texting.scene.portal("POST", "/v1/transactions", Some(&start)).await.expect(201);
    }
    texting.twilio.messages().wait_for(4, |_| true, SOON).await.expect("all connections are taken");
    for _ in 0..5 {
        let asked = Instant::now();
        let id = texting.scene.begin("login", phone.user()).await;
        assert_eq!(phone.next_push(SOON).await.expect("a push"), id);
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        texting.scene.portal("DELETE", &format!("/v1/transactions/{id}"), None).await.expect(200);
    }
}

/// Whether a phone belongs to our app is known to the project of the credential alone: a token of another project is
/// refused by Google, and the phone is only doubted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_042_fcm_pairing() {
    let scene = Scene::of(TYPES.replace("gateways = [\"twilio-main\", \"sms-local\"]\n", "").as_str()).await;
    let mut phone = scene.enrol(PhoneKind::Android, "alice").await;
    let id = scene.begin("login", phone.user()).await;
    assert_eq!(phone.next_push(SOON).await.expect("a push"), id);
    let sent = scene.world.fcm.pushes().records()[0].clone();
    scene.world.fcm.registrations().give_to_other_project(sent.target()).expect("room");
    let start = json!({"type": "login", "user": "alice", "reply": "sent"});
    let begun = scene.portal("POST", "/v1/transactions", Some(&start)).await.expect(201);
    let delivery = &begun["delivery"][0];
    assert_eq!((&delivery["status"], &delivery["reason"]), (&json!("failed"), &json!("token_suspect")));
    let devices = scene.portal("GET", "/v1/users/alice/devices", None).await.expect(200);
    assert_eq!(devices["items"][0]["status"], "active");
}
