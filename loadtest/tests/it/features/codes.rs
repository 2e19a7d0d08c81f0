//! One-time codes: what a type says of them, how they are tried, and what never tells them.

use std::fs;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::Scene;
use super::operations::{edit, operated_of, refused, reload, shown, tocsin};

/// A type for each method that sends a code, and one that pushes.
pub const TYPES: &str = r#"
[realms.retail]
[types.push]
[types.code]
method = "sms"
attempts_max = 3
resend_gap_s = 0
[types.free]
method = "sms"
attempts_max = 0
[types.quick]
method = "sms"
attempts_max = 3
ttl_s = 2
[types.mail]
method = "email"
attempts_max = 3
digits = 8
[apps.bank.ios]
bundle_id = "com.example.bank"
[apps.bank.android]
package = "com.example.bank"
"#;

fn path(view: &Value) -> String {
    format!("/v1/transactions/{}", view["id"].as_str().expect("an id"))
}

impl Scene {
    /// Starts a transaction whose code the portal delivers by itself.
    async fn custom(&self, type_name: &str) -> Value {
        let start = json!({"type": type_name, "user": "alice", "delivery": ["custom"]});
        self.portal("POST", "/v1/transactions", Some(&start)).await.expect(201)
    }

    /// The code that is handed out.
    async fn handed_out(&self, view: &Value) -> String {
        let body = self.portal("GET", &format!("{}/code", path(view)), None).await.expect(200);
        body["code"].as_str().expect("a code").to_owned()
    }

    /// Brings a code.
    pub async fn bring(&self, view: &Value, code: &str) -> super::scene::Answer {
        self.portal("POST", &format!("{}/code", path(view)), Some(&json!({"code": code}))).await
    }
}

/// Another code of as many digits.
pub fn wrong(code: &str) -> String {
    code.bytes().map(|digit| char::from(b'0' + (digit - b'0' + 1) % 10)).collect()
}

/// Codes by SMS and by e-mail have a switch each; what is off is refused and keeps its configuration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_010_sms_switch() {
    let scene = operated_of(TYPES).await;
    let start = |name: &str| json!({"type": name, "user": "alice", "delivery": ["custom"]});
    let begin = async |name: &str| scene.portal("POST", "/v1/transactions", Some(&start(name))).await;
    begin("code").await.expect(201);
    edit(&scene, "[types.push]", "[switches]\nsms = false\n[types.push]");
    reload(&scene).await;
    begin("code").await.expect_problem(422, "method_disabled");
    begin("mail").await.expect(201);
    edit(&scene, "sms = false", "sms = true\nemail = false");
    reload(&scene).await;
    begin("mail").await.expect_problem(422, "method_disabled");
    begin("code").await.expect(201);
}

/// Each key of a type is for certain methods only; another is refused with its place, and what runs goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_055_type_methods() {
    let scene = operated_of(TYPES).await;
    for (part, added, key) in [
        ("[types.push]", "attempts_max = 3", "types.push.attempts_max"),
        ("[types.push]", "digits = 6", "types.push.digits"),
        ("[types.mail]", "number_match = \"type\"", "types.mail.number_match"),
        ("[types.mail]", "keys = [\"pin\"]", "types.mail.keys"),
        ("[types.code]", "default_title = \"Log in\"", "types.code.default_title"),
        ("[types.code]", "push_text = \"message\"", "types.code.push_text"),
    ] {
        edit(&scene, part, &format!("{part}\n{added}"));
        let faults = refused(&scene).await;
        assert!(faults.contains(key) && faults.contains("is not valid for method"), "{faults}");
        assert!(faults.contains("tocsin.toml:"), "{faults}");
        edit(&scene, &format!("{part}\n{added}"), part);
    }
    assert_eq!(scene.custom("code").await["method"], "sms");
    assert_eq!(scene.custom("mail").await["method"], "email");
}

/// A wrong code gives no time: the right one after the end of the life is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_057_ttl_covers_attempts() {
    let scene = Scene::of(TYPES).await;
    let view = scene.custom("quick").await;
    let code = scene.handed_out(&view).await;
    let tried = scene.bring(&view, &wrong(&code)).await.expect_problem(422, "wrong_code");
    assert_eq!(tried["attempts_left"], 2);
    let present = scene.portal("GET", &path(&view), None).await.expect(200);
    assert_eq!(present["expires_at"], view["expires_at"], "a try extends nothing");
    let ended = scene.portal("GET", &format!("{}?wait_s=20", path(&view)), None).await.expect(200);
    assert_eq!(ended["state"], "timeout");
    let late = scene.bring(&view, &code).await.expect_problem(409, "transaction_final");
    assert_eq!(late["state"], "timeout");
}

/// A fallback is another type of another method; itself, a circle and nothing at all are refused at load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_062_fallback_different() {
    let scene = operated_of(TYPES).await;
    for (part, added, why) in [
        ("[types.push]", "fallback = \"push\"", "is the type itself"),
        ("[types.push]", "fallback = \"nobody\"", "there is no [types.nobody]"),
        ("[types.code]", "fallback = \"free\"", "the same method"),
        ("[types.code]", "fallback = \"push\"", "must send a code"),
    ] {
        edit(&scene, part, &format!("{part}\n{added}"));
        let faults = refused(&scene).await;
        assert!(faults.contains(why), "{faults}");
        edit(&scene, &format!("{part}\n{added}"), part);
    }
    edit(&scene, "[types.code]", "[types.code]\nfallback = \"mail\"");
    reload(&scene).await;
    edit(&scene, "[types.mail]", "[types.mail]\nfallback = \"code\"");
    let faults = refused(&scene).await;
    assert_eq!(faults.matches("leads back to").count(), 2, "{faults}");
}

/// Three wrong codes end it and the right one comes too late; without a limit fifty do not; the limit must be said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_114_max_attempts() {
    let mut scene = operated_of(TYPES).await;
    let limited = scene.custom("code").await;
    let code = scene.handed_out(&limited).await;
    assert_eq!(
        scene.bring(&limited, &wrong(&code)).await.expect_problem(422, "wrong_code")["attempts_left"],
        2
    );
    scene.kill().await;
    scene.start().await;
    for left in [1, 0] {
        let tried = scene.bring(&limited, &wrong(&code)).await.expect_problem(422, "wrong_code");
        assert_eq!(tried["attempts_left"], left, "a restart gives no try back");
    }
    let late = scene.bring(&limited, &code).await.expect_problem(409, "transaction_final");
    assert_eq!(late["state"], "failed");
    let ended = scene.portal("GET", &path(&limited), None).await.expect(200);
    assert_eq!(
        (&ended["reason"], &ended["attempts"]),
        (&json!("attempts_exceeded"), &json!({"used": 3, "max": 3}))
    );

    let free = scene.custom("free").await;
    let code = scene.handed_out(&free).await;
    for _ in 0..50 {
        let tried = scene.bring(&free, &wrong(&code)).await.expect_problem(422, "wrong_code");
        assert_eq!(tried["attempts_left"], Value::Null);
    }
    assert_eq!(scene.bring(&free, &code).await.expect(200)["state"], "accepted");
    let checked = tocsin(&scene, &["check"], &[]);
    let warned = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(warned.contains("types.free.attempts_max") && warned.contains("guessed"), "{warned}");

    edit(&scene, "[types.mail]\nmethod = \"email\"\nattempts_max = 3", "[types.mail]\nmethod = \"email\"");
    let faults = refused(&scene).await;
    assert!(faults.contains("types.mail.attempts_max") && faults.contains("is missing"), "{faults}");
}

/// Right and wrong are told at once; the right one again is told the same; a foreign client sees nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_116_verify_call() {
    let scene = Scene::of(TYPES).await;
    let view = scene.custom("mail").await;
    let code = scene.handed_out(&view).await;
    assert_eq!(code.len(), 8);
    scene.bring(&view, &wrong(&code)).await.expect_problem(422, "wrong_code");
    let accepted = scene.bring(&view, &code).await.expect(200);
    assert_eq!((&accepted["id"], &accepted["state"]), (&view["id"], &json!("accepted")));
    let again = scene.bring(&view, &code).await.expect(200);
    assert_eq!(again, accepted);
    scene.bring(&view, &wrong(&code)).await.expect_problem(409, "transaction_final");
    let nobody = json!({"id": "01913f00-1122-8b7f-bfff-ffffffffffff"});
    scene.bring(&nobody, &code).await.expect_problem(404, "not_found");
}

/// With custom delivery the code is in no reply but the one that hands it out, and it works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_120_votp_custom() {
    let scene = operated_of(TYPES).await;
    let view = scene.custom("code").await;
    let code = scene.handed_out(&view).await;
    assert!(code.len() == 6 && code.bytes().all(|digit| digit.is_ascii_digit()), "{code}");
    let list = scene.portal("GET", "/v1/transactions", None).await.expect(200);
    for reply in [&view, &list, &scene.portal("GET", &path(&view), None).await.expect(200)] {
        assert!(!reply.to_string().contains(&code), "{reply}");
    }
    assert_eq!(view["delivery"], json!([]));
    let resend = scene.portal("POST", &format!("{}/resend", path(&view)), None).await;
    resend.expect_problem(422, "invalid_field");
    assert_eq!(scene.bring(&view, &code).await.expect(200)["state"], "accepted");
    let trail = shown(&scene, "/v1/admin/audit?event=code_handed_out").await;
    assert_eq!(trail["items"].as_array().map(Vec::len), Some(1), "{trail}");
}

/// Handing out is a right of its own, off by default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_123_votp_optin() {
    let scene = operated_of(TYPES).await;
    let view = scene.custom("code").await;
    edit(&scene, ", \"custom_delivery\"", "");
    reload(&scene).await;
    let start = json!({"type": "code", "user": "alice", "delivery": ["custom"]});
    let refused = scene.portal("POST", "/v1/transactions", Some(&start)).await;
    assert_eq!(refused.expect_problem(403, "not_permitted")["field"], "delivery");
    let code = scene.portal("GET", &format!("{}/code", path(&view)), None).await;
    code.expect_problem(403, "not_permitted");
}

/// Nothing but the reply that hands a code out tells it: no log, metric, trail, error or file of the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_124_votp_sensitive() {
    let scene = operated_of(TYPES).await;
    raise_log(&scene).await;
    let mut codes = Vec::new();
    let mut told = String::new();
    for _ in 0..5 {
        let view = scene.custom("code").await;
        let reply = scene.portal("GET", &format!("{}/code", path(&view)), None).await;
        let cached = reply.reply.headers.get("cache-control").and_then(|value| value.to_str().ok());
        assert_eq!(cached, Some("no-store"));
        let code = reply.expect(200)["code"].as_str().expect("a code").to_owned();
        let tried = scene.bring(&view, &wrong(&code)).await;
        told.push_str(&tried.body.to_string());
        told.push_str(&scene.bring(&view, &code).await.expect(200).to_string());
        codes.extend([wrong(&code), code]);
    }
    told.push_str(&everything_told(&scene).await);
    for code in &codes {
        assert!(!tells_code(&told, code), "{code} was told");
    }
}

/// What the searches of these tests must find: each way in which a code has stood in somebody's log.
#[test]
fn a_code_is_found_whatever_stands_around_it() {
    for told in [
        "123456",
        "Your code is 123456.",
        "body=To=%2B15055551234&Body=Log%20in%20with%20123456",
        "Body=Log+in+with+123456&From=1",
        r#"{"text":"Code:\n123456"}"#,
        r#"b"Code:\r\n123456\r\n""#,
        "@www.example.com%20%23123456",
        "[32, 49, 50, 51, 52, 53, 54, 46]",
        "20 31 32 33 34 35 36",
        "20313233343536",
    ] {
        assert!(tells_code(&readable(told), "123456"), "{told}");
    }
    for other in ["", "1123456", "1234567", "0.123456", "123456.5", "2026-11-22T15:00:00.123456Z", "a123456"]
    {
        assert!(!tells_code(&readable(other), "123456"), "{other}");
    }
}

/// The log at its loudest.
pub async fn raise_log(scene: &Scene) {
    let filter = json!({"filter": "trace"});
    let raised = scene.ops("PUT", "/v1/admin/log-level", Some(super::operations::TOKEN), Some(&filter)).await;
    assert!((200..300).contains(&raised.status), "{}", raised.body);
}

/// Trail, metrics, lists and the log.
pub async fn everything_told(scene: &Scene) -> String {
    let mut told = shown(scene, "/v1/admin/audit?limit=1000").await.to_string();
    let metrics = scene.ops("GET", "/metrics", None, None).await;
    told.push_str(&String::from_utf8_lossy(&metrics.reply.body));
    told.push_str(&shown(scene, "/v1/admin/transactions").await.to_string());
    told.push_str(&scene.portal("GET", "/v1/transactions", None).await.expect(200).to_string());
    let log = fs::read_to_string(scene.installation.log_file()).expect("a log");
    assert!(told.contains("log_level_set"), "the log was raised");
    told.push_str(&log);
    readable(&told)
}

/// The same without the escapes of URLs, forms, JSON and Rust, behind which digits would not look like a number.
pub fn readable(text: &str) -> String {
    let text = percent_decode_str(text).decode_utf8_lossy();
    ["\\n", "\\r", "\\t"].iter().fold(text.into_owned(), |text, escape| text.replace(escape, " "))
}

/// Whether a readable text tells this code: as a number of its own, for parts of times, ports and ids do not count, or
/// byte by byte.
pub fn tells_code(told: &str, code: &str) -> bool {
    let bytes =
        |written: fn(u8) -> String, between| code.bytes().map(written).collect::<Vec<_>>().join(between);
    let hex = |byte: u8| format!("{byte:02x}");
    let forms = [bytes(|byte| byte.to_string(), ", "), bytes(hex, ""), bytes(hex, " ")];
    stands_alone(told, code) || forms.iter().any(|form| told.contains(form))
}

fn stands_alone(text: &str, digits: &str) -> bool {
    text.match_indices(digits).any(|(place, _)| {
        let (before, behind) = (&text[..place], &text[place + digits.len()..]);
        let is_letter_or_digit = |character: char| character.is_ascii_alphanumeric();
        let is_fraction =
            before.strip_suffix('.').is_some_and(|whole| whole.ends_with(|c: char| c.is_ascii_digit()));
        let has_fraction =
            behind.strip_prefix('.').is_some_and(|part| part.starts_with(|c: char| c.is_ascii_digit()));
        !before.ends_with(is_letter_or_digit)
            && !behind.starts_with(is_letter_or_digit)
            && !is_fraction
            && !has_fraction
    })
}
