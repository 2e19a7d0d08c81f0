//! Held replies: `wait_s` and `Prefer: wait` at the start, `reply = "sent"`, long polls of enrolments.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bank::{Bank, id_of, with_bank, with_configured_bank};
use crate::http::{Answer, Call};
use crate::phone::Phone;

fn login_with(more: &Value) -> Value {
    let mut body = json!({"type": "login", "user": "alice"});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

fn start(bank: &Bank, more: &Value) -> Call {
    bank.portal("POST", "/v1/transactions").json(&login_with(more))
}

/// Answers the one open challenge of this phone, as soon as there is one.
async fn decide_next(phone: &Phone, decision: &str) {
    loop {
        let list = phone.get("/device/v1/transactions").await.expect(200);
        if let Some(id) = list["items"][0]["id"].as_str() {
            phone.decide(id, decision).await.expect(200);
            return;
        }
    }
}

#[test]
fn a_start_with_a_wait_answers_with_the_outcome_and_200() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        for (decision, state) in [("accept", "accepted"), ("decline", "declined")] {
            let held = actix_rt::spawn(start(&bank, &json!({"wait_s": 20})).send());
            decide_next(&phone, decision).await;
            let reply = held.await.expect("a reply");
            assert_eq!(reply.expect(200)["state"], state);
            assert_eq!((reply.header("location"), reply.header("preference-applied")), (None, None));
        }
    });
}

#[test]
fn a_wait_that_ends_first_answers_201_with_the_pending_view() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let begun = Instant::now();
        let reply = start(&bank, &json!({"wait_s": 1})).send().await;
        let view = reply.expect(201);
        assert!(begun.elapsed() >= Duration::from_millis(950), "{:?}", begun.elapsed());
        assert_eq!(view["state"], "pending");
        assert_eq!(reply.header("location"), Some(format!("/v1/transactions/{}", id_of(&view)).as_str()));
    });
}

#[test]
fn a_wait_beyond_the_end_of_the_transaction_answers_with_its_timeout() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let view = start(&bank, &json!({"wait_s": 300, "ttl_s": 1})).send().await.expect(200);
        assert_eq!(view["state"], "timeout");
    });
}

#[test]
fn prefer_means_the_same_and_is_told_when_it_was_followed() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let preferring = |body: Value, prefer: &str| start(&bank, &body).header("prefer", prefer).send();
        let held = actix_rt::spawn(preferring(json!({}), "respond-async, wait=20"));
        decide_next(&phone, "accept").await;
        let reply = held.await.expect("a reply");
        assert_eq!(reply.expect(200)["state"], "accepted");
        assert_eq!(reply.header("preference-applied"), Some("wait=20"));
        let sooner = preferring(json!({"wait_s": 300}), "wait=0").await;
        assert_eq!(sooner.expect(201)["state"], "pending");
        assert_eq!(sooner.header("preference-applied"), Some("wait=0"));
        let at_once = preferring(json!({"wait_s": 0}), "wait=300").await;
        at_once.expect(201);
        assert_eq!(at_once.header("preference-applied"), None);
        preferring(json!({}), "wait=301").await.expect_problem(422, "invalid_field", Some("Prefer"));
        preferring(json!({"wait_s": 301}), "wait=1").await.expect_problem(
            422,
            "invalid_field",
            Some("wait_s"),
        );
    });
}

#[test]
fn a_preference_never_makes_a_read_wait() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let begun = Instant::now();
        let read = bank.portal("GET", &format!("/v1/transactions/{id}")).header("prefer", "wait=10");
        assert_eq!(read.send().await.expect(200)["state"], "pending");
        assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    });
}

#[test]
fn the_reply_when_sent_knows_the_first_word_of_a_provider() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let view = start(&bank, &json!({"reply": "sent"})).send().await.expect(201);
        assert_eq!((&view["state"], &view["delivery"][0]["status"]), (&json!("pending"), &json!("relayed")));
        start(&bank, &json!({"reply": "stored"})).send().await.expect(201);
    });
}

#[test]
fn a_network_that_is_silent_holds_the_reply_for_three_seconds_and_no_longer() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        bank.network.be_silent();
        let begun = Instant::now();
        let view = start(&bank, &json!({"reply": "sent"})).send().await.expect(201);
        assert!(begun.elapsed() >= Duration::from_millis(2_950), "{:?}", begun.elapsed());
        assert!(["queued", "sent"].map(Value::from).contains(&view["delivery"][0]["status"]), "{view}");
    });
}

#[test]
fn wait_reply_and_preference_are_no_part_of_the_fingerprint() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let keyed = |body: Value| start(&bank, &body).header("idempotency-key", "order-1");
        let first = id_of(&keyed(json!({})).send().await.expect(201));
        for call in [
            keyed(json!({"wait_s": 0})),
            keyed(json!({"reply": "sent"})),
            keyed(json!({"reply": "stored", "wait_s": 1})),
            keyed(json!({})).header("prefer", "wait=0"),
        ] {
            assert_eq!(id_of(&call.send().await.expect(200)), first);
        }
        for other in [json!({"language": "de"}), json!({"context": {"session_id": "s"}}), json!({"ttl_s": 5})]
        {
            keyed(other).send().await.expect_problem(422, "idempotency_mismatch", None);
        }
    });
}

#[test]
fn a_seen_key_can_be_waited_for() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let keyed = |body: Value| start(&bank, &body).header("idempotency-key", "order-1").send();
        let id = id_of(&keyed(json!({})).await.expect(201));
        let held = actix_rt::spawn(keyed(json!({"wait_s": 20})));
        bank.until_metric("tocsin_waiters 1").await;
        phone.decide(&id, "accept").await.expect(200);
        assert_eq!(held.await.expect("a reply").expect(200)["state"], "accepted");
        assert_eq!(keyed(json!({"wait_s": 20})).await.expect(200)["state"], "accepted");
    });
}

#[test]
fn a_caller_that_hangs_up_cancels_nothing_and_gives_its_place_back() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let mut connection = crate::raw::Connection::open(bank.addresses().portal).await;
        let body = login_with(&json!({"wait_s": 300})).to_string();
        let request = format!(
            "POST /v1/transactions HTTP/1.1\r\nhost: x\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            crate::raw::authorization_line(),
            body.len()
        );
        connection.send(request.as_bytes()).await;
        bank.until_metric("tocsin_waiters 1").await;
        drop(connection);
        bank.until_metric("tocsin_waiters 0").await;
        decide_next(&phone, "accept").await;
        bank.until_metric(
            r#"tocsin_transactions_ended_total{method="push",state="accepted",type="login"} 1"#,
        )
        .await;
    });
}

/// A bank where one call may wait.
fn narrow(text: &str) -> String {
    text.replacen("[engine]", "[engine]\nwaiters_max = 1", 1)
}

#[test]
fn who_cannot_be_held_begins_nothing() {
    with_configured_bank(narrow, |bank| async move {
        let _phone = bank.enrol("alice").await;
        let held = actix_rt::spawn(start(&bank, &json!({"wait_s": 20, "ttl_s": 20})).send());
        bank.until_metric("tocsin_waiters 1").await;
        for body in [json!({"wait_s": 1}), json!({"reply": "sent"})] {
            start(&bank, &body).send().await.expect_problem(503, "busy", None);
        }
        start(&bank, &json!({"wait_s": 0})).send().await.expect(201);
        let list = bank.portal("GET", "/v1/transactions?user=alice").send().await.expect(200);
        assert_eq!(list["items"].as_array().map(Vec::len), Some(2));
        held.abort();
    });
}

#[test]
fn a_held_start_returns_early_at_a_drain() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let held = actix_rt::spawn(start(&bank, &json!({"wait_s": 300})).send());
        bank.until_metric("tocsin_waiters 1").await;
        assert_eq!(bank.doors.drain(Duration::from_secs(10)).await, 0);
        let reply: Answer = held.await.expect("a reply");
        assert_eq!(reply.expect(201)["state"], "pending");
        assert_eq!(reply.header("connection"), Some("close"));
    });
}

#[test]
fn an_enrolment_is_waited_for_until_it_changes_or_ends() {
    with_bank(|bank| async move {
        let open = |ttl_s: u32| {
            let body = json!({"user": "alice", "app": "bank", "ttl_s": ttl_s});
            bank.portal("POST", "/v1/enrollments").json(&body).send()
        };
        let wait = |id: &str, seconds: u32| {
            let path = format!("/v1/enrollments/{id}?wait_s={seconds}");
            actix_rt::spawn(bank.portal("GET", &path).send())
        };
        let expiring = id_of(&open(1).await.expect(201));
        assert_eq!(wait(&expiring, 300).await.expect("a reply").expect(200)["state"], "expired");
        let cancelled = id_of(&open(60).await.expect(201));
        let waiting = wait(&cancelled, 300);
        bank.until_metric("tocsin_waiters 1").await;
        bank.portal("DELETE", &format!("/v1/enrollments/{cancelled}")).send().await.expect(204);
        assert_eq!(waiting.await.expect("a reply").expect(200)["state"], "failed");
        let opened = open(60).await.expect(201);
        let short = Instant::now();
        assert_eq!(wait(&id_of(&opened), 1).await.expect("a reply").expect(200)["state"], "pending");
        assert!(short.elapsed() >= Duration::from_millis(950));
        let waiting = wait(&id_of(&opened), 300);
        bank.until_metric("tocsin_waiters 1").await;
        let code = opened["activation_code"].as_str().expect("a code");
        let phone = Phone::enrol(bank.addresses().device, &bank.issuer, code).await;
        let completed = waiting.await.expect("a reply").expect(200);
        assert_eq!(
            (&completed["state"], &completed["device_id"]),
            (&json!("completed"), &json!(phone.device_id))
        );
        assert_eq!(wait(&id_of(&opened), 300).await.expect("a reply").expect(200)["state"], "completed");
        let refused = wait(&id_of(&opened), 301).await.expect("a reply");
        refused.expect_problem(422, "invalid_field", Some("wait_s"));
    });
}
