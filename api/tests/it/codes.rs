//! Codes at the portal door: handing them out, judging them, and what is refused. The codes here are for custom delivery,
//! so that no gateway takes part.

use serde_json::{Value, json};

use crate::bank::{Bank, with_configured_bank};
use crate::http::Answer;

const RIGHTS: &str = "rights = [\"transactions\", \"enrollments\", \"devices\"]\ndefault_realm = \"retail\"\nrealms = [\"retail\"]";

/// A server with a type that sends codes, whose client `portal` may fetch them.
fn with_codes<F: Future<Output = ()>>(test: impl FnOnce(Bank) -> F) {
    let change = |text: &str| {
        let rights = RIGHTS.replace("[\"transactions\"", "[\"custom_delivery\", \"transactions\"");
        text.replacen(RIGHTS, &rights, 1).replacen("\"payment\"]", "\"payment\", \"code\", \"free\"]", 1)
            + "[types.code]\nmethod = \"sms\"\nattempts_max = 3\nttl_s = 60\n\
               [types.free]\nmethod = \"email\"\nattempts_max = 0\ndigits = 4\nttl_s = 60\n"
    };
    with_configured_bank(change, test);
}

impl Answer {
    /// A problem document with this status and code, whatever field it names.
    fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.expect(status);
        assert_eq!(body["code"], code, "{body}");
        body
    }
}

async fn custom(bank: &Bank, type_name: &str) -> Value {
    let start = json!({"type": type_name, "user": "alice", "delivery": ["custom"]});
    bank.start(&start).await.expect(201)
}

fn path(view: &Value) -> String {
    format!("/v1/transactions/{}/code", view["id"].as_str().expect("an id"))
}

async fn handed_out(bank: &Bank, view: &Value) -> String {
    let body = bank.portal("GET", &path(view)).send().await.expect(200);
    body["code"].as_str().expect("a code").to_owned()
}

fn wrong(code: &str) -> String {
    code.bytes().map(|digit| char::from(b'0' + (digit - b'0' + 1) % 10)).collect()
}

#[test]
fn a_code_is_handed_out_uncached_and_in_no_other_reply() {
    with_codes(|bank| async move {
        let view = custom(&bank, "code").await;
        assert_eq!((view["method"].as_str(), view["state"].as_str()), (Some("sms"), Some("pending")));
        assert_eq!((&view["delivery"], &view["attempts"]), (&json!([]), &json!({"used": 0, "max": 3})));
        let reply = bank.portal("GET", &path(&view)).send().await;
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let code = reply.expect(200)["code"].as_str().expect("a code").to_owned();
        assert!(code.len() == 6 && code.bytes().all(|digit| digit.is_ascii_digit()), "{code}");
        let again = bank.view(view["id"].as_str().expect("an id")).await;
        assert!(!view.to_string().contains(&code) && !again.to_string().contains(&code));
        let accepted =
            bank.portal("POST", &path(&view)).json(&json!({"code": code})).send().await.expect(200);
        assert_eq!((&accepted["state"], &accepted["attempts"]["used"]), (&json!("accepted"), &json!(1)));
        let metrics = bank.ops("/metrics").send().await.text;
        assert!(metrics.contains("tocsin_code_tries_total{method=\"sms\",result=\"right\"} 1"), "{metrics}");
        assert!(!metrics.contains(&code));
    });
}

#[test]
fn a_wrong_code_tells_the_tries_that_are_left_and_the_last_one_ends_it() {
    with_codes(|bank| async move {
        let view = custom(&bank, "code").await;
        let code = handed_out(&bank, &view).await;
        for (typed, left) in [(wrong(&code), 2), (format!(" {code}"), 1), (code[..5].to_owned(), 0)] {
            let tried = bank.portal("POST", &path(&view)).json(&json!({"code": typed})).send().await;
            let problem = tried.problem(422, "wrong_code");
            assert_eq!(problem["attempts_left"], json!(left), "{problem}");
            assert!(!problem.to_string().contains(&code));
        }
        let late = bank.portal("POST", &path(&view)).json(&json!({"code": code})).send().await;
        assert_eq!(late.problem(409, "transaction_final")["state"], "failed");
        let ended = bank.view(view["id"].as_str().expect("an id")).await;
        assert_eq!(ended["reason"], "attempts_exceeded");
        assert!(bank.portal("GET", &path(&view)).send().await.problem(409, "transaction_final").is_object());
    });
}

#[test]
fn where_tries_have_no_end_none_is_told() {
    with_codes(|bank| async move {
        let view = custom(&bank, "free").await;
        let code = handed_out(&bank, &view).await;
        assert_eq!(code.len(), 4);
        let tried = bank.portal("POST", &path(&view)).json(&json!({"code": wrong(&code)})).send().await;
        assert_eq!(tried.problem(422, "wrong_code")["attempts_left"], Value::Null);
        assert_eq!(view["attempts"], json!({"used": 0}));
    });
}

#[test]
fn a_form_brings_a_code_as_well() {
    with_codes(|bank| async move {
        let view = custom(&bank, "code").await;
        let code = handed_out(&bank, &view).await;
        let form = bank
            .portal("POST", &path(&view))
            .text("application/x-www-form-urlencoded", format!("code={code}"));
        assert_eq!(form.send().await.expect(200)["state"], "accepted");
    });
}

#[test]
fn what_is_no_code_at_all_is_refused_and_counts_nothing() {
    with_codes(|bank| async move {
        let view = custom(&bank, "code").await;
        for (body, status, code, field) in [
            (json!({}), 422, "field_required", "code"),
            (json!({"code": 123_456}), 400, "invalid_request", "code"),
            (json!({"code": ""}), 422, "invalid_field", "code"),
            (json!({"code": "1".repeat(65)}), 422, "invalid_field", "code"),
            (json!({"code": "123456", "otp": "1"}), 400, "unknown_field", "otp"),
        ] {
            let refused = bank.portal("POST", &path(&view)).json(&body).send().await;
            assert_eq!(refused.problem(status, code)["field"], field, "{body}");
        }
        let present = bank.view(view["id"].as_str().expect("an id")).await;
        assert_eq!(present["attempts"]["used"], 0);
        let unknown = bank.portal("POST", "/v1/transactions/nobody/code").json(&json!({"code": "1"}));
        unknown.send().await.problem(404, "not_found");
    });
}

#[test]
fn a_code_is_for_the_client_that_started_it_and_handing_out_needs_a_right() {
    with_codes(|bank| async move {
        let view = custom(&bank, "code").await;
        let code = handed_out(&bank, &view).await;
        let tried = bank.portal_as("other", "POST", &path(&view)).json(&json!({"code": code}));
        tried.send().await.problem(404, "not_found");
        bank.portal_as("other", "GET", &path(&view)).send().await.problem(403, "not_permitted");
        let start = json!({"type": "code", "user": "alice", "delivery": ["custom"]});
        let refused = bank.portal_as("other", "POST", "/v1/transactions").json(&start).send().await;
        assert_eq!(refused.problem(403, "not_permitted")["field"], "delivery");
    });
}

#[test]
fn addresses_are_checked_before_anything_is_stored() {
    with_codes(|bank| async move {
        for (field, bad) in [
            ("phone_number", "0505"),
            ("phone_number", "15055551234"),
            ("phone_number", "+1 505 555 1234"),
            ("phone_number", "+15055551234\r\nX: y"),
            ("phone_number", ""),
            ("email", "alice"),
            ("email", "alice@example.com\r\nBcc: eve@example.com"),
            ("email", "Alice <alice@example.com>"),
        ] {
            let mut start = json!({"type": "code", "user": "alice"});
            start[field] = json!(bad);
            let refused = bank.start(&start).await.problem(422, "invalid_field");
            assert_eq!(refused["field"], field, "{bad:?}");
            // The examples in the refusals are not what was sent.
            let told = refused.to_string().replace("+15055551234", "").replace("alice@example.com", "");
            assert!(bad.is_empty() || !told.contains(bad), "{refused}");
        }
        let missing = bank.start(&json!({"type": "code", "user": "alice"})).await;
        missing.expect_problem(422, "field_required", Some("phone_number"));
        let no_gateway = json!({"type": "code", "user": "alice", "phone_number": "+15055551234"});
        bank.start(&no_gateway).await.problem(422, "method_disabled");
        for delivery in [json!(["custom", "push"]), json!(["push"]), json!(["sms"])] {
            let start = json!({"type": "code", "user": "alice", "phone_number": "+15055551234", "delivery": delivery});
            assert_eq!(bank.start(&start).await.problem(422, "invalid_field")["field"], "delivery");
        }
    });
}

#[test]
fn a_start_with_a_key_counts_its_addresses() {
    with_codes(|bank| async move {
        let start = |number: &str| {
            let body =
                json!({"type": "code", "user": "alice", "delivery": ["custom"], "phone_number": number});
            bank.portal("POST", "/v1/transactions").json(&body).header("idempotency-key", "once")
        };
        let first = start("+15055551234").send().await.expect(201);
        assert_eq!(start("+15055551234").send().await.expect(200)["id"], first["id"]);
        start("+15055551235").send().await.problem(422, "idempotency_mismatch");
    });
}

#[test]
fn a_push_has_no_code_to_be_typed() {
    with_codes(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let view = bank.start_login("alice").await;
        let tried = bank.portal("POST", &path(&view)).json(&json!({"code": "123456"})).send().await;
        assert_eq!(tried.problem(422, "invalid_field")["field"], "id");
        assert_eq!(
            bank.portal("GET", &path(&view)).send().await.problem(422, "invalid_field")["field"],
            "id"
        );
    });
}
