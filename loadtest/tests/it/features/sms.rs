//! Codes by SMS: which gateway sends them, what follows when one does not, and what is never sent.

use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tocsin_loadtest::{Handset, PhoneKind};
use tocsin_mock::{
    Fault, GatewayForm, GatewayOptions, GatewayServer, Repeat, SmsRecord, SmsRefusal, SmtpStage, SmtpTrouble,
    StatusReport, TwilioOptions, TwilioServer,
};

use super::Scene;
use super::codes::wrong;
use super::operations::{TOKEN, edit, operated_of, refused, reload};
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

/// A message that finds each connection taken has not left, so it goes to the next gateway while there is time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_gateway_is_tried_where_one_stalls() {
    let texting = Texting::open("").await;
    let bounds = "status_reports = true\nconnections_max = 1\nrequest_timeout_ms = 4000\n";
    edit(&texting.scene, "status_reports = true\n", bounds);
    reload(&texting.scene).await;
    texting.twilio.faults().for_all(Fault::NeverAnswer).expect("room");
    let begun = join_all((0..5).map(|_| texting.ask("two", NUMBER))).await;
    let (mut relayed, mut unknown) = (0, 0);
    for start in begun {
        let begun = start.expect(201);
        let is_over =
            |view: &Value| matches!(view["delivery"][0]["status"].as_str(), Some("relayed" | "unknown"));
        let view = texting.until(&begun, is_over).await;
        match view["delivery"][0]["provider"].as_str() {
            Some("sms-local") => relayed += 1,
            _ => unknown += 1,
        }
        assert_eq!(view["state"], "pending");
    }
    assert_eq!((relayed, unknown), (4, 1));
    assert_eq!(texting.twilio.messages().records().len(), 1, "nothing is sent twice");
    assert_eq!(texting.local.messages().taken().len(), 4);
}

/// What Twilio says of one destination closes it to nobody else, and is no fault of the credential.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_is_refused_closes_a_gateway_to_nobody() {
    let texting = Texting::open("").await;
    for (code, number) in [(21_408, NUMBER), (21_608, "+15055551235")] {
        let refusal = Fault::Refuse(SmsRefusal::twilio(code));
        texting.twilio.faults().for_target(number, Repeat::Always, refusal).expect("room");
        for _ in 0..6 {
            let begun = texting.ask("code", number).await.expect(201);
            let view = texting.until(&begun, |view| view["state"] == "failed").await;
            assert_eq!(view["delivery"][0]["reason"], "request_refused", "{code}");
        }
    }
    assert_eq!(texting.ask("code", "+15055551236").await.expect(201)["delivery"][0]["status"], "relayed");
    assert!(texting.metric("tocsin_provider_credential_faults_total{provider=\"twilio-main\"} 0").await);
}

/// A success without the word that was asked for may have sent the message: no other gateway sends it as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_that_says_nothing_brings_no_second_message() {
    let texting = Texting::open("").await;
    edit(&texting.scene, "[\"twilio-main\", \"sms-local\"]", "[\"sms-local\", \"twilio-main\"]");
    reload(&texting.scene).await;
    for silent in ["", "<html>", "{\"result\":{}}"] {
        let refusal = SmsRefusal { body: silent.to_owned(), ..SmsRefusal::status(StatusCode::OK) };
        texting.local.faults().for_next(1, Fault::Refuse(refusal)).expect("room");
        let begun = texting.begin("two").await;
        assert_eq!(
            (&begun["delivery"][0]["status"], &begun["state"]),
            (&json!("unknown"), &json!("pending"))
        );
    }
    assert_eq!(texting.twilio.messages().records().len(), 0);
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

/// A message that was under way when the server died may have arrived: it is not sent again, and its code counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_flight_is_not_sent_again_after_a_crash() {
    let mut texting = Texting::open("").await;
    texting.twilio.faults().for_all(Fault::NeverAnswer).expect("room");
    let start = json!({"type": "two", "user": "alice", "phone_number": NUMBER});
    let begun = texting.scene.portal("POST", "/v1/transactions", Some(&start)).await.expect(201);
    texting.twilio.messages().wait_for(1, |_| true, SOON).await.expect("under way");
    texting.scene.kill().await;
    texting.twilio.faults().clear();
    texting.scene.start().await;
    let view = texting.view(&begun).await;
    assert_eq!((&view["delivery"][0]["status"], &view["state"]), (&json!("unknown"), &json!("pending")));
    // What is sent after the restart would have come behind a repetition.
    texting.ask("two", "+15055551235").await.expect(201);
    let sent = texting.twilio.messages().records();
    assert_eq!(sent.iter().map(|record| record.to()).collect::<Vec<_>>(), [NUMBER, "+15055551235"]);
    assert_eq!(texting.local.messages().records().len(), 0);
    assert_eq!(texting.scene.bring(&begun, &code_in(&sent[0])).await.expect(200)["state"], "accepted");
}

/// How long a push takes from its start to the phone: the middle of fifteen.
async fn time_of_a_push(texting: &Texting, phone: &mut Handset) -> Duration {
    let mut times = Vec::new();
    for _ in 0..15 {
        let asked = Instant::now();
        let id = texting.scene.begin("login", phone.user()).await;
        assert_eq!(phone.next_push(SOON).await.expect("a push"), id);
        times.push(asked.elapsed());
        texting.scene.portal("DELETE", &format!("/v1/transactions/{id}"), None).await.expect(200);
    }
    times.sort_unstable();
    times[times.len() / 2]
}

/// Twilio, a gateway of templates and a mail server that all answer nobody delay no push.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_gateways_delay_no_push() {
    let texting = Texting::open("").await;
    let (office, provider) = super::mail::post_office(texting.scene.folder()).await;
    let types = "[types.local]\nmethod = \"sms\"\nattempts_max = 3\ngateways = [\"sms-local\"]\n\
                 [types.mail]\nmethod = \"email\"\nattempts_max = 3\n";
    edit(&texting.scene, "[types.login]", &format!("{provider}{types}[types.login]"));
    reload(&texting.scene).await;
    let mut phone = texting.scene.enrol(PhoneKind::Iphone, "bob").await;
    let quiet = time_of_a_push(&texting, &mut phone).await;

    texting.twilio.faults().for_all(Fault::NeverAnswer).expect("room");
    texting.local.faults().for_all(Fault::NeverAnswer).expect("room");
    office.script(1_000, SmtpStage::Greeting, SmtpTrouble::Silence).expect("room");
    for number in 0..90 {
        let kind = ["code", "local", "mail"][number % 3];
        let start = json!({
            "type": kind, "user": format!("user-{number}"),
            "phone_number": format!("+150555500{number:02}"), "email": format!("user-{number}@example.com"),
        });
        texting.scene.portal("POST", "/v1/transactions", Some(&start)).await.expect(201);
    }
    for messages in [texting.twilio.messages(), texting.local.messages()] {
        messages.wait_for(4, |_| true, SOON).await.expect("all connections are taken");
    }
    let stalled = time_of_a_push(&texting, &mut phone).await;
    assert!(stalled < 2 * quiet + Duration::from_millis(100), "{stalled:?}, and {quiet:?} before");
}

/// What is no report by its form is refused before it is read, and no other door takes reports.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_take_reports_and_nothing_else() {
    let texting = Texting::open("").await;
    texting.begin("two").await;
    let record = texting.twilio.messages().taken()[0].clone();
    let report = texting.twilio.status_report(&record, "undelivered", Some(30_003)).expect("asked for");
    let form = "application/x-www-form-urlencoded";
    let call = |url: &str, kind: &str, signatures: &[&str], body: String| {
        let mut request = Request::post(url).header("content-type", kind);
        for signature in signatures {
            request = request.header("x-twilio-signature", *signature);
        }
        request.body(Bytes::from(body)).expect("a request")
    };
    let signed = [report.signature.as_str()];
    let large = format!("{}&Filler={}", report.body, "x".repeat(64 * 1_024));
    let answer = texting.scene.call(call(&report.url, form, &signed, large)).await;
    answer.expect_problem(413, "body_too_large");
    let answer =
        texting.scene.call(call(&report.url, "application/json", &signed, report.body.clone())).await;
    answer.expect_problem(415, "unsupported_media_type");
    for signatures in [&[][..], &[signed[0], signed[0]]] {
        let answer = texting.scene.call(call(&report.url, form, signatures, report.body.clone())).await;
        answer.expect_problem(401, "bad_signature");
    }

    let text = fs::read_to_string(texting.scene.installation.config_file()).expect("a configuration");
    let main = text.split_once("[providers.twilio-main]").expect("a provider").1;
    let main = main.split_once("[providers.sms-local]").expect("another").0.replace("default = true\n", "");
    edit(&texting.scene, "[providers.sms-local]", &format!("[providers.second]{main}[providers.sms-local]"));
    reload(&texting.scene).await;
    let elsewhere = report.url.replace("twilio-main", "second");
    let answer = texting.scene.call(call(&elsewhere, form, &signed, report.body.clone())).await;
    answer.expect_problem(401, "bad_signature");

    let path = "/hooks/v1/twilio-main";
    texting.scene.portal("POST", path, Some(&json!({}))).await.expect_problem(404, "not_found");
    texting.scene.ops("POST", path, Some(TOKEN), Some(&json!({}))).await.expect_problem(404, "not_found");
    assert_eq!(texting.local.messages().records().len(), 0, "none of them was heard");
    assert_eq!(texting.report(&report).await.status, 204);
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
