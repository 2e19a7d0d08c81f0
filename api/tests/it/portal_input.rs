//! Bad input at the portal door: a problem that names the field, and nothing stored or pushed.

use serde_json::{Value, json};

use crate::bank::{Bank, with_bank};
use crate::http::Answer;

/// Holds that nothing was begun.
async fn assert_untouched(bank: &Bank) {
    assert!(bank.network.pushes().is_empty());
    let metrics = bank.ops("/metrics").send().await.text;
    let counted: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("tocsin_transactions_started_total{")).collect();
    assert!(!counted.is_empty() && counted.iter().all(|line| line.ends_with(" 0")), "{counted:?}");
}

async fn post_raw(bank: &Bank, body: &str) -> Answer {
    bank.portal("POST", "/v1/transactions").text("application/json", body.to_owned()).send().await
}

/// A start whose members are good, with some of them replaced.
fn start_with(changes: &Value) -> Value {
    let mut body = json!({"type": "login", "user": "alice"});
    for (name, value) in changes.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

#[test]
fn a_malformed_start_is_400_and_names_where() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        for (body, field) in [
            ("", "body"),
            ("{", "body"),
            ("[]", "body"),
            ("\u{feff}{}", "body"),
            (r#"{"type":"login","user":"alice","details":[{"label":}]}"#, "details[0].label"),
            (r#"{"type":"login","type":"payment","user":"alice"}"#, "type"),
            (r#"{"type":1,"user":"alice"}"#, "type"),
            (r#"{"type":"login","user":["alice"]}"#, "user"),
            (r#"{"type":"login","user":null}"#, "user"),
            (r#"{"type":"login","user":{"id":1,"realm":"retail"}}"#, "user.id"),
            (r#"{"type":"login","user":"alice","title":null}"#, "title"),
            (r#"{"type":"login","user":"alice","message":{}}"#, "message"),
            (r#"{"type":"login","user":"alice","details":{}}"#, "details"),
            (r#"{"type":"login","user":"alice","details":[1]}"#, "details[0]"),
            (r#"{"type":"login","user":"alice","details":[{"label":"a","value":1}]}"#, "details[0].value"),
            (r#"{"type":"login","user":"alice","hidden_details":[]}"#, "hidden_details"),
            (r#"{"type":"login","user":"alice","hidden_details":{"a":1}}"#, "hidden_details.a"),
            (r#"{"type":"login","user":"alice","device_id":1}"#, "device_id"),
            (r#"{"type":"login","user":"alice","app":1}"#, "app"),
            (r#"{"type":"login","user":"alice","ttl_s":"30"}"#, "ttl_s"),
            (r#"{"type":"login","user":"alice","ttl_s":1.5}"#, "ttl_s"),
            (r#"{"type":"login","user":"alice","wait_s":"5"}"#, "wait_s"),
            (r#"{"type":"login","user":"alice","reply":true}"#, "reply"),
            (r#"{"type":"login","user":"alice","language":["de"]}"#, "language"),
            (r#"{"type":"login","user":"alice","context":"x"}"#, "context"),
            (r#"{"type":"login","user":"alice","context":{"ip_address":1}}"#, "context.ip_address"),
        ] {
            println!("{body}");
            post_raw(&bank, body).await.expect_problem(400, "invalid_request", Some(field));
        }
        assert_untouched(&bank).await;
    });
}

#[test]
fn a_body_that_is_not_utf_8_is_400() {
    with_bank(|bank| async move {
        let body = b"{\"type\":\"login\",\"user\":\"\xff\"}".to_vec();
        let call = bank.portal("POST", "/v1/transactions").text("application/json", body);
        call.send().await.expect_problem(400, "invalid_request", Some("user"));
    });
}

#[test]
fn a_field_of_a_later_version_or_of_none_is_refused_by_name() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        for name in ["otp", "Type", "nonsense"] {
            let reply = bank.start(&start_with(&json!({name: "x"}))).await;
            reply.expect_problem(400, "unknown_field", Some(name));
        }
        let reply = bank.start(&start_with(&json!({"user": {"id": "a", "realm": "retail", "x": 1}}))).await;
        reply.expect_problem(400, "unknown_field", Some("user.x"));
        let reply =
            bank.start(&start_with(&json!({"details": [{"label": "a", "value": "b", "x": 1}]}))).await;
        reply.expect_problem(400, "unknown_field", Some("details[0].x"));
        let query = bank.portal("POST", "/v1/transactions?wait_s=5").json(&start_with(&json!({})));
        query.send().await.expect_problem(400, "unknown_field", Some("wait_s"));
        assert_untouched(&bank).await;
    });
}

#[test]
fn a_missing_field_is_422_and_named() {
    with_bank(|bank| async move {
        for (body, field) in [
            (json!({}), "type"),
            (json!({"type": "login"}), "user"),
            (json!({"type": "login", "user": {"realm": "retail"}}), "user.id"),
            (json!({"type": "login", "user": {"id": "alice"}}), "user.realm"),
            (start_with(&json!({"details": [{"label": "a"}]})), "details[0].value"),
        ] {
            bank.start(&body).await.expect_problem(422, "field_required", Some(field));
        }
        for (body, field) in [(json!({"app": "bank"}), "user"), (json!({"user": "alice"}), "app")] {
            let reply = bank.portal("POST", "/v1/enrollments").json(&body).send().await;
            reply.expect_problem(422, "field_required", Some(field));
        }
    });
}

#[test]
fn a_value_that_is_not_allowed_is_422_and_named() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let many: Vec<Value> = (0..21).map(|_| json!({"label": "a", "value": "b"})).collect();
        let many_hidden: Value =
            (0..21).map(|number| (number.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>().into();
        for (changes, field) in [
            (json!({"user": ""}), "user"),
            (json!({"user": "a".repeat(257)}), "user"),
            (json!({"user": {"id": "a\nb", "realm": "retail"}}), "user.id"),
            (json!({"title": ""}), "title"),
            (json!({"wait_s": 301}), "wait_s"),
            (json!({"wait_s": -1}), "wait_s"),
            (json!({"reply": "soon"}), "reply"),
            (json!({"language": "german language"}), "language"),
            (json!({"language": "1a"}), "language"),
            (json!({"language": "de-"}), "language"),
            (json!({"language": "a".repeat(9)}), "language"),
            (json!({"language": "de-aaaaaaaa-bbbbbbbb-cccccccc-dddddddd"}), "language"),
            (json!({"context": {"ip_address": "203.0.113.300"}}), "context.ip_address"),
            (json!({"context": {"user_agent": "a".repeat(1_001)}}), "context.user_agent"),
            (json!({"context": {"user_agent": "a\nb"}}), "context.user_agent"),
            (json!({"context": {"session_id": ""}}), "context.session_id"),
            (json!({"context": {"session_id": "a".repeat(257)}}), "context.session_id"),
            (json!({"title": "a".repeat(101)}), "title"),
            (json!({"title": "two\nlines"}), "title"),
            (json!({"message": "a".repeat(156)}), "message"),
            (json!({"message": "\u{0}"}), "message"),
            (json!({"secure_message": "a".repeat(4_001)}), "secure_message"),
            (json!({"details": many}), "details"),
            (json!({"details": [{"label": "a".repeat(65), "value": "b"}]}), "details[0].label"),
            (json!({"details": [{"label": "a", "value": "b".repeat(513)}]}), "details[0].value"),
            (json!({"hidden_details": many_hidden}), "hidden_details"),
            (json!({"hidden_details": {"a": "b".repeat(513)}}), "hidden_details.a"),
            (json!({"ttl_s": 0}), "ttl_s"),
            (json!({"ttl_s": -1}), "ttl_s"),
            (json!({"ttl_s": 61}), "ttl_s"),
            (json!({"ttl_s": u64::MAX}), "ttl_s"),
            (json!({"callback_url": "http://portal.example/done"}), "callback_url"),
            (json!({"callback_url": "https://portal.example/#done"}), "callback_url"),
            (
                json!({"callback_url": format!("https://portal.example/{}", "a".repeat(1_024))}),
                "callback_url",
            ),
            // Well formed, but this client has no webhook secret.
            (json!({"callback_url": "https://portal.example/done"}), "callback_url"),
        ] {
            println!("{changes}");
            bank.start(&start_with(&changes)).await.expect_problem(422, "invalid_field", Some(field));
        }
        for length in ["0", "301"] {
            let body =
                json!({"user": "alice", "app": "bank", "ttl_s": length.parse::<u32>().expect("a number")});
            let reply = bank.portal("POST", "/v1/enrollments").json(&body).send().await;
            reply.expect_problem(422, "invalid_field", Some("ttl_s"));
        }
        assert_untouched(&bank).await;
    });
}

/// The views of a start with each of these; every one is taken.
async fn started_with(bank: &Bank, changes: &[Value]) -> Vec<Value> {
    let mut views = Vec::new();
    for change in changes {
        let reply = bank.start(&start_with(change)).await;
        assert_eq!(reply.status, 201, "{change:.200}: {}", reply.text);
        views.push(reply.expect(201));
        let path = format!("/v1/transactions/{}", crate::bank::id_of(views.last().expect("a view")));
        bank.portal("DELETE", &path).send().await.expect(200);
    }
    views
}

#[test]
fn what_is_just_within_its_limits_is_taken_as_it_is() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let details: Vec<Value> = (0..20).map(|_| json!({"label": "ü".repeat(64), "value": "b"})).collect();
        let hidden: serde_json::Map<String, Value> =
            (0..20).map(|number| (format!("{number:064}"), json!("x"))).collect();
        let changes = [
            json!({"title": "a"}),
            json!({"title": "ü".repeat(100)}),
            json!({"message": "a"}),
            json!({"message": "ü".repeat(155)}),
            json!({"type": "payment", "message": "a".repeat(400)}),
            json!({"secure_message": "a"}),
            json!({"secure_message": "a".repeat(4_000)}),
            json!({"details": []}),
            json!({"details": details}),
            json!({"details": [{"label": "a", "value": "ü".repeat(512)}]}),
            json!({"hidden_details": {}}),
            json!({"hidden_details": hidden}),
            json!({"hidden_details": {"a": "b".repeat(512)}}),
            json!({"ttl_s": 1}),
            json!({"ttl_s": 60}),
        ];
        let views = started_with(&bank, &changes).await;
        assert_eq!(views[1]["shown"]["title"], "ü".repeat(100));
        assert_eq!(views[8]["shown"]["details"].as_array().map(Vec::len), Some(20));
        let beyond = json!({"type": "payment", "message": "a".repeat(401)});
        bank.start(&start_with(&beyond)).await.expect_problem(422, "invalid_field", Some("message"));
        let hidden = json!({"hidden_details": {"a".repeat(65): "b"}});
        bank.start(&start_with(&hidden)).await.expect_problem(422, "invalid_field", Some("hidden_details"));
    });
}

#[test]
fn a_body_of_64_kib_is_read_and_one_byte_more_is_not() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let start = json!({"type": "login", "user": "alice"}).to_string();
        let padded = |bytes: usize| format!("{start}{}", " ".repeat(bytes - start.len()));
        post_raw(&bank, &padded(65_536)).await.expect(201);
        post_raw(&bank, &padded(65_537)).await.expect_problem(413, "body_too_large", None);
    });
}

#[test]
fn what_the_user_must_see_first_is_not_held_back() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        for changes in [
            json!({"delivery": ["request_message"], "wait_s": 1}),
            json!({"number_match": "choose", "wait_s": 300}),
            json!({"number_match": "type", "wait_s": 1}),
        ] {
            let refused = bank.start(&start_with(&changes)).await;
            refused.expect_problem(422, "wait_not_possible", Some("wait_s"));
        }
        let preferring = bank.portal("POST", "/v1/transactions").header("prefer", "wait=5");
        let refused = preferring.json(&start_with(&json!({"number_match": "type"}))).send().await;
        refused.expect_problem(422, "wait_not_possible", Some("wait_s"));
        assert_untouched(&bank).await;
        // A wait of nothing is none.
        let shown = bank.start(&start_with(&json!({"number_match": "type", "wait_s": 0}))).await.expect(201);
        assert_eq!(shown["number"].as_str().map(str::len), Some(2), "{shown}");
    });
}

#[test]
fn content_that_fits_in_its_parts_but_not_as_a_whole_is_422() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let details: Vec<Value> = (0..12).map(|_| json!({"label": "a", "value": "b".repeat(512)})).collect();
        let reply = bank.start(&start_with(&json!({"details": details}))).await;
        reply.expect_problem(422, "content_too_large", None);
        assert_untouched(&bank).await;
    });
}

#[test]
fn a_user_without_a_fitting_device_is_422() {
    with_bank(|bank| async move {
        bank.start_refused("nobody", &json!({}), None).await;
        let _phone = bank.enrol("alice").await;
        let stranger = bank.enrol("bob").await;
        for id in ["not-an-id", "01913f00-1122-4b7f-bfff-ffffffffffff", &stranger.device_id] {
            bank.start_refused("alice", &json!({"device_id": id}), Some("device_id")).await;
        }
        assert_untouched(&bank).await;
    });
}

impl Bank {
    async fn start_refused(&self, user: &str, changes: &Value, field: Option<&str>) {
        let mut body = start_with(changes);
        body["user"] = json!(user);
        self.start(&body).await.expect_problem(422, "no_device", field);
    }
}

#[test]
fn an_idempotency_key_is_visible_and_stands_once() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        for key in ["", "a b", &"k".repeat(256)] {
            let call = bank.portal("POST", "/v1/transactions").header("idempotency-key", key);
            let reply = call.json(&start_with(&json!({}))).send().await;
            reply.expect_problem(422, "invalid_field", Some("Idempotency-Key"));
        }
        assert_untouched(&bank).await;
    });
}

#[test]
fn a_refused_start_is_not_remembered_by_its_key() {
    with_bank(|bank| async move {
        let start = || {
            let call = bank.portal("POST", "/v1/transactions").header("idempotency-key", "k");
            call.json(&start_with(&json!({}))).send()
        };
        start().await.expect_problem(422, "no_device", None);
        let _phone = bank.enrol("alice").await;
        start().await.expect(201);
    });
}

#[test]
fn an_idempotency_key_stands_for_one_call_of_whatever_sort() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let post = |path: &str, key: &str, body: &Value| {
            bank.portal("POST", path).header("idempotency-key", key).json(body).send()
        };
        let (starts, enrolments) = ("/v1/transactions", "/v1/enrollments");
        let (login, opening) = (start_with(&json!({})), json!({"user": "bob", "app": "bank"}));
        let longest = "k".repeat(255);
        let view = post(starts, "!", &login).await.expect(201);
        post(enrolments, "!", &opening).await.expect_problem(422, "idempotency_mismatch", None);
        let opened = post(enrolments, &longest, &opening).await.expect(201);
        post(starts, &longest, &login).await.expect_problem(422, "idempotency_mismatch", None);
        let resend = format!("{starts}/{}/resend", crate::bank::id_of(&view));
        for key in ["!", &longest] {
            post(&resend, key, &json!({})).await.expect_problem(422, "idempotency_mismatch", None);
        }
        let other = json!({"user": "carol", "app": "bank"});
        post(enrolments, &longest, &other).await.expect_problem(422, "idempotency_mismatch", None);
        let shorter = json!({"user": "bob", "app": "bank", "ttl_s": 60});
        post(enrolments, &longest, &shorter).await.expect_problem(422, "idempotency_mismatch", None);
        assert_eq!(post(enrolments, &longest, &opening).await.expect(200), opened);
        // Another client's keys are another's.
        let foreign = bank.portal_as("other", "POST", starts).header("idempotency-key", "!");
        assert_ne!(foreign.json(&login).send().await.expect(201)["id"], view["id"]);
    });
}

#[test]
fn a_wait_is_a_number_up_to_300_and_a_revision_needs_one() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let id = crate::bank::id_of(&bank.start_login("alice").await);
        for (query, status, code, field) in [
            ("wait_s=301", 422, "invalid_field", "wait_s"),
            ("wait_s=-1", 400, "invalid_request", "wait_s"),
            ("wait_s=soon", 400, "invalid_request", "wait_s"),
            ("wait_s=1&wait_s=2", 400, "invalid_request", "wait_s"),
            ("wait_s=1&after=x", 400, "invalid_request", "after"),
            ("after=1", 422, "field_required", "wait_s"),
            ("later=1", 400, "unknown_field", "later"),
        ] {
            println!("{query}");
            let path = format!("/v1/transactions/{id}?{query}");
            bank.portal("GET", &path).send().await.expect_problem(status, code, Some(field));
        }
    });
}

#[test]
fn a_list_refuses_wrong_pages() {
    with_bank(|bank| async move {
        for (query, field) in [("limit=0", "limit"), ("limit=1001", "limit"), ("cursor=x", "cursor")] {
            let path = format!("/v1/users/alice/devices?{query}");
            bank.portal("GET", &path).send().await.expect_problem(422, "invalid_field", Some(field));
        }
    });
}

#[test]
fn a_second_phone_of_the_app_is_409() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let body = json!({"user": "Alice", "app": "bank"});
        let reply = bank.portal("POST", "/v1/enrollments").json(&body).send().await;
        reply.expect_problem(409, "device_exists", None);
    });
}

#[test]
fn fields_that_an_enrolment_does_not_have_are_refused() {
    with_bank(|bank| async move {
        for name in ["requires", "confirm", "number"] {
            let body = json!({"user": "alice", "app": "bank", name: "x"});
            let reply = bank.portal("POST", "/v1/enrollments").json(&body).send().await;
            reply.expect_problem(400, "unknown_field", Some(name));
        }
    });
}
