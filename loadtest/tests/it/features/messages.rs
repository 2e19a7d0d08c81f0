//! Codes by SMS as the double of Twilio gets them, and the fallbacks that bring them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tocsin_loadtest::PhoneKind;
use tocsin_mock::{SmsRecord, TwilioOptions, TwilioServer};

use super::Scene;
use super::codes::wrong;
use super::operations::{edit, prepared, reload, shown};
use super::scene::{Answer, SOON, SceneOptions};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const NUMBER: &str = "+15055551234";

/// Types that push, send codes, and fall back from the one to the other.
const TYPES: &str = r#"
[realms.retail]
[types.push]
[types.code]
method = "sms"
attempts_max = 3
resends_max = 2
resend_gap_s = 0
default_message = "Log in with {code}"
[types.once]
method = "sms"
attempts_max = 3
resends_max = 0
resend_gap_s = 0
[types.safe]
ttl_s = 30
fallback = "code"
[types.brief]
ttl_s = 3
fallback = "code"
[types.patient]
ttl_s = 30
fallback = "code"
fallback_after_s = 1
[apps.bank.ios]
bundle_id = "com.example.bank"
[apps.bank.android]
package = "com.example.bank"
"#;

/// A scene whose codes leave by the double of Twilio.
struct Texting {
    scene: Scene,
    twilio: TwilioServer,
}

impl Texting {
    async fn open() -> Self {
        let options = SceneOptions { catalogue: Some(TYPES.to_owned()), ..SceneOptions::default() };
        let mut scene = prepared(options).await;
        let identity = scene.world.authority.issue().expect("an identity");
        let twilio =
            TwilioServer::start(TwilioOptions::new(identity, ACCOUNT, TOKEN)).await.expect("a double");
        let file = scene.folder().join("credentials/twilio-token");
        fs::write(&file, TOKEN).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("our own file");
        let provider = format!(
            "[sms]\ncountry_prefixes = [\"+1\"]\n[providers.twilio-main]\nkind = \"twilio\"\ndefault = true\n\
             account_sid = \"{ACCOUNT}\"\nauth_token_file = \"credentials/twilio-token\"\nfrom = \"+15005550006\"\n\
             endpoint = \"{}\"\nca_file = \"credentials/ca.pem\"\nstatus_reports = false\n[types.push]",
            twilio.url()
        );
        edit(&scene, "[types.push]", &provider);
        scene.start().await;
        Self { scene, twilio }
    }

    async fn start(&self, changes: &Value) -> Answer {
        let mut body = json!({"user": "alice", "phone_number": NUMBER});
        for (name, value) in changes.as_object().expect("an object") {
            body[name] = value.clone();
        }
        if body["phone_number"].is_null() {
            body.as_object_mut().expect("an object").remove("phone_number");
        }
        self.scene.portal("POST", "/v1/transactions", Some(&body)).await
    }

    /// The message with this number, counted from one.
    async fn message(&self, count: usize) -> Arc<SmsRecord> {
        let come = async {
            loop {
                if let Some(message) = self.twilio.messages().taken().into_iter().nth(count - 1) {
                    return message;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let come = tokio::time::timeout(SOON, come).await;
        come.unwrap_or_else(|_| panic!("no message {count}\n{}", self.scene.log()))
    }

    fn messages(&self) -> usize {
        self.twilio.messages().records().len()
    }

    async fn view(&self, view: &Value) -> Value {
        self.scene.portal("GET", &path(view), None).await.expect(200)
    }

    /// Waits until the gateway has taken the code.
    async fn relayed(&self, view: &Value) {
        let relayed = async {
            while self.view(view).await["delivery"].as_array().and_then(|all| all.last().cloned())
                != Some(json!({"provider": "twilio-main", "status": "relayed"}))
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(SOON, relayed).await.expect("the gateway has taken it");
    }
}

fn path(view: &Value) -> String {
    format!("/v1/transactions/{}", view["id"].as_str().expect("an id"))
}

/// The six digits of a message.
fn code_in(message: &SmsRecord) -> String {
    let digits: String = message.text().chars().filter(char::is_ascii_digit).collect();
    assert_eq!(digits.len(), 6, "{}", message.text());
    digits
}

/// One type for each method: each start names the method that it goes by, and each reaches whom it is for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_001_three_methods() {
    let texting = Texting::open().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (mail, provider) = super::mail::post_office(folder.path()).await;
    let types = "[types.letter]\nmethod = \"email\"\nattempts_max = 3\n[types.scan]\nmethod = \"otp\"\n";
    edit(&texting.scene, "[types.push]", &format!("{provider}{types}[types.push]"));
    reload(&texting.scene).await;
    let mut phone = texting.scene.enrol(PhoneKind::Iphone, "alice").await;

    let pushed = texting.start(&json!({"type": "push", "phone_number": null})).await.expect(201);
    assert_eq!(pushed["method"], "push");
    assert_eq!(phone.next_push(SOON).await.expect("a push").to_string(), pushed["id"]);
    let texted = texting.start(&json!({"type": "code"})).await.expect(201);
    assert_eq!(texted["method"], "sms");
    assert_eq!(texting.message(1).await.to(), NUMBER);
    let address = json!({"type": "letter", "phone_number": null, "email": "alice@example.com"});
    assert_eq!(texting.start(&address).await.expect(201)["method"], "email");
    let letters = mail.mails().wait_for(1, |letter| letter.is_taken, SOON).await.expect("a letter");
    assert_eq!(letters[0].to, "alice@example.com");
    let shown = texting.scene.portal("POST", "/v1/transactions", Some(&json!({"type": "scan"}))).await;
    let shown = shown.expect(201);
    assert_eq!(shown["method"], "otp");
    let claim = phone.phone.claim(shown["otp"].as_str().expect("a password")).await.expect("a claim");
    assert_eq!(claim.transaction_id, shown["id"]);
}

/// Whom nobody enrolled gets no push, and a code by SMS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_004_key_enrol_required() {
    let texting = Texting::open().await;
    texting.start(&json!({"type": "push"})).await.expect_problem(422, "no_device");
    assert_eq!(texting.messages(), 0);
    let view = texting.start(&json!({"type": "code"})).await.expect(201);
    assert_eq!(view["method"], "sms");
    let code = code_in(&*texting.message(1).await);
    assert_eq!(texting.scene.bring(&view, &code).await.expect(200)["state"], "accepted");
}

/// A user without a phone gets a code in its place; view, trail and metric say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_058_type_fallback() {
    let texting = Texting::open().await;
    let view = texting.start(&json!({"type": "safe"})).await.expect(201);
    assert_eq!((&view["type"], &view["method"]), (&json!("safe"), &json!("sms")));
    let taken = &view["fallback"];
    assert_eq!(
        (&taken["from"], &taken["to"], &taken["reason"]),
        (&json!("push"), &json!("sms"), &json!("no_device"))
    );
    assert_eq!(taken["at"], view["created_at"], "it was taken as it began");
    assert_eq!((&view["attempts"]["max"], &view["resends"]["max"]), (&json!(3), &json!(2)));
    let message = texting.message(1).await;
    assert_eq!(message.to(), NUMBER);
    assert!(message.text().starts_with("Log in with "));
    let accepted = texting.scene.bring(&view, &code_in(&message)).await.expect(200);
    assert_eq!(accepted["state"], "accepted");
    let trail = shown(&texting.scene, "/v1/admin/audit?event=fallback_taken").await;
    assert_eq!(trail["items"][0]["detail"], "push sms no_device", "{trail}");
    let (row_at, began_at) = (trail["items"][0]["at"].as_str(), view["created_at"].as_str());
    assert!(row_at.is_some() && row_at >= began_at && row_at < view["expires_at"].as_str(), "{trail}");
    let metrics = texting.scene.ops("GET", "/metrics", None, None).await;
    let text = String::from_utf8_lossy(&metrics.reply.body).into_owned();
    let counted = "tocsin_fallbacks_total{from=\"push\",reason=\"no_device\",to=\"sms\",type=\"safe\"} 1";
    assert!(text.contains(counted), "{text}");

    let _phone = texting.scene.enrol(PhoneKind::Iphone, "bob").await;
    edit(&texting.scene, "[types.push]", "[switches]\nsending = false\n[types.push]");
    reload(&texting.scene).await;
    let switched = texting.start(&json!({"type": "safe", "user": "bob"})).await.expect(201);
    assert_eq!(switched["fallback"]["reason"], "method_disabled");
}

/// A user who does not answer gets no code, unless the type says after how long; then phone and code both count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_059_fallback_not_on_silence() {
    let texting = Texting::open().await;
    let mut phone = texting.scene.enrol(PhoneKind::Iphone, "alice").await;
    let view = texting.start(&json!({"type": "brief"})).await.expect(201);
    phone.next_push(SOON).await.expect("a push");
    let ended = texting.scene.portal("GET", &format!("{}?wait_s=20", path(&view)), None).await.expect(200);
    assert_eq!(
        (&ended["state"], &ended["method"], &ended["fallback"]),
        (&json!("timeout"), &json!("push"), &Value::Null)
    );
    assert_eq!(texting.messages(), 0);

    let view = texting.start(&json!({"type": "patient"})).await.expect(201);
    assert_eq!((&view["method"], &view["fallback"]), (&json!("push"), &Value::Null));
    let code = code_in(&*texting.message(1).await);
    let fallen = texting.view(&view).await;
    assert_eq!((&fallen["method"], &fallen["fallback"]["reason"]), (&json!("sms"), &json!("no_answer")));
    assert_eq!(fallen["expires_at"], view["expires_at"], "its life is not extended");
    let taken_at = fallen["fallback"]["at"].as_str();
    assert!(taken_at > view["created_at"].as_str() && taken_at < view["expires_at"].as_str(), "{fallen}");
    let trail = shown(&texting.scene, "/v1/admin/audit?event=fallback_taken").await;
    assert_eq!(trail["items"][0]["detail"], "push sms no_answer", "{trail}");
    assert!(trail["items"][0]["at"].as_str() >= taken_at, "{trail}");
    assert_eq!(texting.scene.bring(&view, &code).await.expect(200)["state"], "accepted");
}

/// What the fallback needs is needed at once, though the phone could be pushed to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_060_fallback_params() {
    let texting = Texting::open().await;
    let _phone = texting.scene.enrol(PhoneKind::Iphone, "alice").await;
    for user in ["alice", "bob"] {
        let refused = texting.start(&json!({"type": "safe", "user": user, "phone_number": null})).await;
        assert_eq!(refused.expect_problem(422, "field_required")["field"], "phone_number");
    }
    assert_eq!((texting.messages(), texting.scene.world.apns.pushes().records().len()), (0, 0));
}

/// Six digits in the message, other ones each time, zeros in front kept. Their evenness over 100,000 is a test of the
/// engine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_111_six_digit_code() {
    let texting = Texting::open().await;
    let mut codes = Vec::new();
    for count in 1..=8 {
        let user = format!("user-{count}");
        texting
            .start(&json!({"type": "code", "user": user, "phone_number": format!("+1505555{count:04}")}))
            .await
            .expect(201);
        let message = texting.message(count).await;
        let words: Vec<&str> = message.text().split_whitespace().collect();
        let is_code = |word: &&&str| word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_digit());
        assert_eq!(words.iter().filter(is_code).count(), 1, "{}", message.text());
        codes.push(code_in(&message));
    }
    codes.sort_unstable();
    codes.dedup();
    assert!(codes.len() >= 7, "{codes:?}");
}

/// Each place for the code is filled, in the caller's message and in the type's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_112_code_placeholder() {
    let texting = Texting::open().await;
    let message = "A {code} B\n\n@www.example.com #{code}";
    texting.start(&json!({"type": "code", "message": message})).await.expect(201);
    let first = texting.message(1).await;
    let code = &first.text()[2..8];
    assert_eq!(first.text(), format!("A {code} B\n\n@www.example.com #{code}"));
    edit(&texting.scene, "default_message = \"Log in with {code}\"", "autofill_domain = \"www.example.com\"");
    reload(&texting.scene).await;
    texting.start(&json!({"type": "code", "message": "C {code}"})).await.expect(201);
    let second = texting.message(2).await;
    let code = &second.text()[2..8];
    assert_eq!(second.text(), format!("C {code}\n\n@www.example.com #{code}"));
}

/// A message without a place for the code is the code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_113_code_only() {
    let texting = Texting::open().await;
    let view = texting.start(&json!({"type": "code", "message": "hello"})).await.expect(201);
    let message = texting.message(1).await;
    assert!(message.text().len() == 6 && message.text().bytes().all(|byte| byte.is_ascii_digit()));
    assert_eq!(texting.scene.bring(&view, message.text()).await.expect(200)["state"], "accepted");
}

/// The same code again, as often as the type allows; where it allows none the first is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_115_resend() {
    let mut texting = Texting::open().await;
    let view = texting.start(&json!({"type": "code"})).await.expect(201);
    let resend = format!("{}/resend", path(&view));
    let first = texting.message(1).await;
    for count in 2..=3 {
        texting.relayed(&view).await;
        if count == 3 {
            texting.scene.kill().await;
            texting.scene.start().await;
        }
        let resent = texting.scene.portal("POST", &resend, None).await.expect(200);
        assert_eq!(
            (&resent["resends"]["used"], &resent["expires_at"]),
            (&json!(count - 1), &view["expires_at"])
        );
        assert_eq!(texting.message(count).await.text(), first.text(), "the same code");
    }
    texting.relayed(&view).await;
    texting.scene.portal("POST", &resend, None).await.expect_problem(403, "resend_limit");
    assert_eq!(texting.messages(), 3);
    texting.scene.bring(&view, &wrong(&code_in(&first))).await.expect_problem(422, "wrong_code");
    assert_eq!(texting.scene.bring(&view, &code_in(&first)).await.expect(200)["state"], "accepted");
    let once = texting.start(&json!({"type": "once"})).await.expect(201);
    texting.relayed(&once).await;
    let refused = texting.scene.portal("POST", &format!("{}/resend", path(&once)), None).await;
    refused.expect_problem(403, "resend_limit");
}

/// A number is international; another is refused before anything is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_117_phone_per_request() {
    let texting = Texting::open().await;
    let missing = texting.start(&json!({"type": "code", "phone_number": null})).await;
    assert_eq!(missing.expect_problem(422, "field_required")["field"], "phone_number");
    for bad in ["0505", "15055551234", "+1 505 555 1234", "+0505555123"] {
        let refused = texting.start(&json!({"type": "code", "phone_number": bad})).await;
        assert_eq!(refused.expect_problem(422, "invalid_field")["field"], "phone_number", "{bad}");
    }
    assert_eq!(texting.messages(), 0);
    let view = texting.start(&json!({"type": "code"})).await.expect(201);
    assert_eq!(texting.message(1).await.to(), NUMBER);
    assert!(!view.to_string().contains("5055551234"), "{view}");
}

/// The log at its loudest, metrics, trail and lists tell neither a code that was sent nor where it went; a request as the
/// gateway got it would tell both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_is_sent_is_told_by_nothing_else() {
    let texting = Texting::open().await;
    let scene = &texting.scene;
    super::codes::raise_log(scene).await;
    let mut codes = Vec::new();
    let mut told = String::new();
    for count in 1..=4 {
        let view = texting.start(&json!({"type": "code", "user": format!("user-{count}")})).await.expect(201);
        let message = texting.message(count).await;
        let code = code_in(&message);
        let sent = super::codes::readable(message.body());
        assert!(super::codes::tells_code(&sent, &code) && sent.contains(&NUMBER[2..]), "{sent}");
        told.push_str(&scene.bring(&view, &wrong(&code)).await.body.to_string());
        told.push_str(&scene.bring(&view, &code).await.expect(200).to_string());
        codes.extend([wrong(&code), code]);
    }
    told.push_str(&super::codes::everything_told(scene).await);
    for code in &codes {
        assert!(!super::codes::tells_code(&told, code), "{code} was told");
    }
    assert!(!told.contains(&NUMBER[2..]), "the number was told");
}
