//! The drain: no new work, held calls return, what is under way is answered.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::bank::{id_of, with_bank};

#[test]
fn a_held_call_returns_early_with_the_present_view_and_its_connection_is_closed() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let poll = bank.portal("GET", &format!("/v1/transactions/{id}?wait_s=300"));
        let waiting = actix_rt::spawn(poll.send());
        bank.until_metric("tocsin_waiters 1").await;
        let begun = Instant::now();
        assert_eq!(bank.doors.drain(Duration::from_secs(10)).await, 0);
        assert!(begun.elapsed() < Duration::from_secs(5));
        let reply = waiting.await.expect("a reply");
        assert_eq!(reply.expect(200)["state"], "pending");
        assert_eq!(reply.header("connection"), Some("close"));
        let ready = bank.ops("/readyz").send().await.expect(503);
        assert_eq!((&ready["ready"], &ready["draining"]), (&json!(false), &json!(true)));
        bank.engine.drain().await;
        bank.doors.stop().await;
    });
}

#[test]
fn a_drain_refuses_new_work_on_a_connection_that_is_still_open() {
    with_bank(|bank| async move {
        let mut connection = crate::raw::Connection::open(bank.addresses().portal).await;
        let body = json!({"type": "login", "user": "alice"}).to_string();
        let first = connection.post("/v1/transactions", &body).await;
        assert!(first.starts_with("HTTP/1.1 422"), "{first}");
        bank.doors.drain(Duration::from_secs(5)).await;
        let second = connection.post("/v1/transactions", &body).await;
        assert!(second.starts_with("HTTP/1.1 503"), "{second}");
        assert!(second.contains("\"draining\"") && second.contains("connection: close"), "{second}");
    });
}
