//! The ops door.

use serde_json::json;

use crate::bank::{secret_of, with_bank, with_configured_bank};
use crate::http::Call;

#[test]
fn a_fresh_server_is_healthy_and_ready() {
    with_bank(|bank| async move {
        let health = bank.ops("/healthz").send().await.expect(200);
        assert_eq!(health, json!({"healthy": true, "writer": true, "arbiters": true}));
        let ready = bank.ops("/readyz").send().await.expect(200);
        assert_eq!(
            (&ready["ready"], &ready["storage"], &ready["draining"]),
            (&json!(true), &json!(true), &json!(false))
        );
        let names: Vec<&str> = ready["providers"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|one| one["name"].as_str())
            .collect();
        assert_eq!(names, ["apns-main", "fcm-main"]);
        assert_eq!(ready["providers"][0]["required"], false);
        let head = Call::new("HEAD", bank.addresses().ops, "/readyz").send().await;
        assert_eq!((head.status, head.text.as_str()), (200, ""));
    });
}

#[test]
fn a_writer_that_gives_no_sign_of_life_is_not_healthy() {
    with_bank(|bank| async move {
        bank.store.set_writer_idle(std::time::Duration::from_secs(5));
        let health = bank.ops("/healthz").send().await.expect(503);
        assert_eq!(health, json!({"healthy": false, "writer": false, "arbiters": true}));
        bank.store.set_writer_idle(std::time::Duration::from_millis(4_999));
        bank.ops("/healthz").send().await.expect(200);
    });
}

#[test]
fn a_stopped_storage_makes_it_unready_and_refuses_starts() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        bank.store.stop();
        let ready = bank.ops("/readyz").send().await.expect(503);
        assert_eq!((&ready["ready"], &ready["storage"]), (&json!(false), &json!(false)));
        let start = bank.start(&json!({"type": "login", "user": "alice"})).await;
        start.expect_problem(503, "storage_unavailable", None);
    });
}

#[test]
fn off_loopback_the_metrics_need_a_token_and_nothing_else_does() {
    let everywhere = |text: &str| {
        text.replace(
            "[ops]\naddress = \"127.0.0.1:0\"",
            "[ops]\naddress = \"0.0.0.0:0\"\npublic_url = \"https://ops.example.com\"\nplaintext = \"behind-proxy\"",
        )
    };
    with_configured_bank(everywhere, |bank| async move {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], bank.addresses().ops.port()));
        let reply = Call::new("GET", address, "/metrics").send().await;
        reply.expect_problem(401, "invalid_token", None);
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"tocsin\""));
        let scraped = Call::new("GET", address, "/metrics").bearer(&secret_of("watcher")).send().await;
        assert!(scraped.text.contains("tocsin_http_requests_total"), "{}", scraped.text);
        Call::new("GET", address, "/healthz").send().await.expect(200);
        Call::new("GET", address, "/readyz").send().await.expect(200);
    });
}

#[test]
fn calls_are_counted_by_door_route_and_class() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let _view = bank.start_login("alice").await;
        bank.portal("GET", "/nowhere").send().await.expect(404);
        let metrics = bank.ops("/metrics").send().await;
        assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        for line in [
            r#"tocsin_http_requests_total{door="portal",route="/v1/transactions",status="2xx"} 1"#,
            r#"tocsin_http_requests_total{door="portal",route="none",status="4xx"} 1"#,
            r#"tocsin_http_requests_total{door="device",route="/device/v1/enrollments",status="2xx"} 1"#,
            r#"tocsin_http_requests_in_flight{door="ops"} 1"#,
            r#"tocsin_http_request_seconds_count{door="portal",route="/v1/transactions"} 1"#,
            r#"tocsin_transactions_started_total{method="push",type="login"} 1"#,
        ] {
            assert!(metrics.text.lines().any(|found| found == line), "{line}\n{}", metrics.text);
        }
    });
}
