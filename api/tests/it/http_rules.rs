//! What holds at every door: request ids, limits, methods, media types, and that one door's credentials are nothing
//! at another.

use serde_json::json;

use crate::bank::{id_of, secret_of, with_bank};
use crate::http::Call;
use crate::raw::{Connection, authorization_line};

#[test]
fn every_reply_carries_a_request_id() {
    with_bank(|bank| async move {
        let good = bank.ops("/healthz").send().await;
        assert!(good.header("x-request-id").is_some_and(|id| id.len() == 36));
        let sent = bank.ops("/nowhere").header("x-request-id", "trace-7").send().await;
        assert_eq!(sent.expect_problem(404, "not_found", None)["request_id"], "trace-7");
        let insane = bank.ops("/healthz").header("x-request-id", "a b").send().await;
        assert_ne!(insane.header("x-request-id"), Some("a b"));
    });
}

#[test]
fn an_unknown_path_is_404_and_a_wrong_method_405_with_allow() {
    with_bank(|bank| async move {
        let addresses = bank.addresses();
        for address in [addresses.portal, addresses.device, addresses.ops] {
            Call::new("GET", address, "/nowhere").send().await.expect_problem(404, "not_found", None);
        }
        for (address, method, path, allow) in [
            (addresses.portal, "PUT", "/v1/transactions", "GET, POST"),
            (addresses.portal, "PUT", "/v1/transactions/x", "GET, DELETE"),
            (addresses.portal, "POST", "/v1/users/alice/devices", "GET, DELETE"),
            (addresses.portal, "PUT", "/v1/users/alice/devices/x", "PATCH, DELETE"),
            (addresses.device, "PUT", "/device/v1/device", "GET, PATCH, DELETE"),
            (addresses.device, "GET", "/device/v1/enrollments", "POST"),
            (addresses.ops, "POST", "/metrics", "GET, HEAD"),
        ] {
            let reply = Call::new(method, address, path).send().await;
            reply.expect_problem(405, "http_method_not_allowed", None);
            assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
        }
    });
}

#[test]
fn an_oversized_body_is_413_whether_it_says_its_size_or_not() {
    with_bank(|bank| async move {
        let large = json!({"type": "login", "user": "alice", "message": "a".repeat(70_000)});
        let reply = bank.start(&large).await;
        reply.expect_problem(413, "body_too_large", None);
        let reply = bank.device("POST", "/device/v1/enrollments").json(&large).send().await;
        reply.expect_problem(413, "body_too_large", None);
        let mut request = format!(
            "POST /v1/transactions HTTP/1.1\r\nhost: x\r\n{}content-type: application/json\r\n\
             transfer-encoding: chunked\r\n\r\n",
            authorization_line()
        );
        for _ in 0..5 {
            request.push_str(&format!("4000\r\n{}\r\n", "a".repeat(0x4000)));
        }
        let mut connection = Connection::open(bank.addresses().portal).await;
        connection.send(request.as_bytes()).await;
        let reply = connection.reply().await;
        assert!(reply.starts_with("HTTP/1.1 413"), "{reply}");
        assert!(reply.contains("body_too_large"), "{reply}");
    });
}

#[test]
fn a_body_of_another_media_type_is_415() {
    with_bank(|bank| async move {
        let body = json!({"type": "login", "user": "alice"}).to_string();
        for media_type in ["text/plain", "multipart/form-data", "application/json; charset=utf-16"] {
            let call = bank.portal("POST", "/v1/transactions").text(media_type, body.clone());
            call.send().await.expect_problem(415, "unsupported_media_type", None);
        }
        let coded = bank.portal("POST", "/v1/transactions").header("content-encoding", "gzip");
        let coded = coded.text("application/json", body.clone()).send().await;
        coded.expect_problem(415, "unsupported_media_type", None);
        let device = bank.device("POST", "/device/v1/enrollments").text("text/plain", body);
        device.send().await.expect_problem(415, "unsupported_media_type", None);
    });
}

#[test]
fn a_credential_of_one_door_is_nothing_at_another() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let at_device = bank.device("GET", "/device/v1/transactions").basic("portal", &secret_of("portal"));
        at_device.send().await.expect_problem(401, "bad_proof", None);
        let path = format!("/v1/transactions/{id}");
        let proof = phone.key.authorization(&phone.proof("GET", &path, b""));
        let at_portal = Call::new("GET", bank.addresses().portal, &path).header("authorization", &proof);
        at_portal.send().await.expect_problem(401, "invalid_client", None);
        for (address, path) in [
            (bank.addresses().device, "/v1/transactions"),
            (bank.addresses().ops, "/v1/transactions"),
            (bank.addresses().portal, "/device/v1/device"),
            (bank.addresses().portal, "/metrics"),
        ] {
            let call = Call::new("GET", address, path).basic("portal", &secret_of("portal"));
            let reply = call.elsewhere().send().await;
            reply.expect_problem(404, "not_found", None);
        }
    });
}

#[test]
fn two_authorization_headers_are_none() {
    with_bank(|bank| async move {
        let line = authorization_line();
        let request = |lines: &str| {
            format!("GET /v1/users/alice/devices HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n")
        };
        let portal = bank.addresses().portal;
        let send = |lines: String| async move {
            let mut connection = Connection::open(portal).await;
            connection.send(request(&lines).as_bytes()).await;
            connection.reply().await
        };
        let one = send(line.clone()).await;
        assert!(one.starts_with("HTTP/1.1 200"), "{one}");
        let two = send(format!("{line}{line}")).await;
        assert!(two.starts_with("HTTP/1.1 401"), "{two}");
    });
}

#[test]
fn a_caller_that_hangs_up_gives_its_place_among_the_waiters_back() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let mut connection = Connection::open(bank.addresses().portal).await;
        let line = authorization_line();
        let request = format!("GET /v1/transactions/{id}?wait_s=300 HTTP/1.1\r\nhost: x\r\n{line}\r\n");
        connection.send(request.as_bytes()).await;
        bank.until_metric("tocsin_waiters 1").await;
        drop(connection);
        bank.until_metric("tocsin_waiters 0").await;
    });
}
