//! The main job through the doors: start, challenge, answer, outcome.

use std::time::Instant;

use serde_json::json;

use crate::bank::{id_of, with_bank};
use crate::phone::{claims_of, digest_of};

#[test]
fn a_login_is_approved_and_the_waiting_portal_hears_it() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let view = bank.start_login("alice").await;
        let id = id_of(&view);
        assert_eq!(view["state"], "pending");
        let poll = bank.portal("GET", &format!("/v1/transactions/{id}?wait_s=20"));
        let waiting = actix_rt::spawn(poll.send());
        assert_eq!(phone.decide(&id, "accept").await.expect(200), json!({"state": "accepted"}));
        let outcome = waiting.await.expect("a reply").expect(200);
        assert_eq!(outcome["state"], "accepted");
        assert_eq!(outcome["answer"]["device_id"], phone.device_id.as_str());
        assert_eq!(outcome["answer"]["method"], "device");
    });
}

#[test]
fn a_pending_view_holds_what_the_interface_says() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let body = json!({"type": "login", "user": {"id": "ALICE", "realm": "retail"}, "message": "Hello", "ttl_s": 30,
            "details": [{"label": "From", "value": "Berne"}], "hidden_details": {"screen": "7"}});
        let reply = bank.start(&body).await;
        let view = reply.expect(201);
        let id = id_of(&view);
        assert_eq!(reply.header("location"), Some(format!("/v1/transactions/{id}").as_str()));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(view["revision"], 1);
        assert_eq!(view["method"], "push");
        assert_eq!(view["type"], "login");
        assert_eq!(view["user"], json!({"id": "alice", "realm": "retail"}));
        assert_eq!(view["ttl_ms"], 30_000);
        assert_eq!(view["attempts"], json!({"used": 0, "max": 3}));
        assert_eq!(view["resends"], json!({"used": 0, "max": 2}));
        let delivery = &view["delivery"][0];
        assert_eq!(delivery["device_id"], phone.device_id.as_str());
        assert_eq!(delivery["platform"], "ios");
        assert_eq!(delivery["provider"], "apns-main");
        let link = format!("/v1/transactions/{id}");
        assert_eq!(view["links"], json!({"self": link, "events": format!("{link}/events"), "cancel": link}));
        let shown = json!({"type": "login", "user": {"id": "alice", "realm": "retail"}, "app": "bank",
            "title": "Log in", "message": "Hello", "details": [{"label": "From", "value": "Berne"}],
            "hidden_details": {"screen": "7"}});
        assert_eq!(view["shown"], shown);
        for absent in ["reason", "answer", "fallback", "ended_at"] {
            assert!(view.get(absent).is_none(), "{absent}: {view}");
        }
        let time = view["created_at"].as_str().expect("a time");
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    });
}

#[test]
fn the_portal_can_check_the_signed_answer_by_itself() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        phone.decide(&id, "decline").await.expect(200);
        let view = bank.view(&id).await;
        assert_eq!(view["state"], "declined");
        let answer = claims_of(view["answer"]["jws"].as_str().expect("the answer"));
        assert_eq!(answer["dh"], digest_of(&view["shown"]).as_str());
        assert_eq!(answer["decision"], "decline");
        assert!(view["links"].get("cancel").is_none());
        assert!(view["ended_at"].is_string());
    });
}

#[test]
fn a_read_changes_nothing_and_accepted_is_a_word_of_the_state_alone() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let relayed = bank.until(&id, |view| view["delivery"][0]["status"] == "relayed").await;
        for _ in 0..3 {
            assert_eq!(bank.view(&id).await, relayed, "nobody has fetched it");
        }
        let time = |name: &str| {
            let text = relayed[name].as_str().expect("a time");
            let seconds: f64 = text[17..23].parse().expect("seconds");
            let minutes: f64 = text[14..16].parse().expect("minutes");
            minutes * 60.0 + seconds
        };
        let life = (time("expires_at") - time("created_at")).rem_euclid(3_600.0);
        assert!((life - 60.0).abs() < 0.001, "ttl_ms is the whole life: {relayed}");
        let no_word = |view: &serde_json::Value| {
            let mut rest = view.clone();
            rest["state"] = json!(null);
            assert!(!rest.to_string().contains("accepted"), "{view}");
        };
        no_word(&relayed);
        phone.decide(&id, "accept").await.expect(200);
        let view = bank.view(&id).await;
        assert_eq!(view["state"], "accepted");
        no_word(&view);
    });
}

#[test]
fn an_answer_can_report_fraud() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        assert_eq!(phone.decide(&id, "report").await.expect(200), json!({"state": "reported"}));
    });
}

#[test]
fn the_winning_answer_again_gets_its_first_reply_and_another_one_409() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let challenge = phone.challenge(&id).await;
        let sign = |decision| phone.sign_answer(&phone.answer_claims(&challenge, decision));
        for _ in 0..2 {
            assert_eq!(
                phone.send_answer(&id, &sign("accept")).await.expect(200),
                json!({"state": "accepted"})
            );
        }
        let second = phone.send_answer(&id, &sign("decline")).await;
        let problem = second.expect_problem(409, "transaction_final", None);
        assert_eq!(problem["state"], "accepted");
        assert_eq!(bank.view(&id).await["state"], "accepted");
    });
}

#[test]
fn a_phone_lists_what_it_was_not_pushed() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let first = id_of(&bank.start_login("alice").await);
        let second = id_of(&bank.start_login("alice").await);
        let list = phone.get("/device/v1/transactions").await.expect(200);
        let ids: Vec<&str> =
            list["items"].as_array().expect("items").iter().filter_map(|item| item["id"].as_str()).collect();
        assert_eq!(ids, [second.as_str(), first.as_str()]);
        let fetched = bank.until(&first, |view| view["delivery"][0]["status"] == "fetched").await;
        assert_eq!(fetched["state"], "pending");
    });
}

#[test]
fn a_transaction_nobody_answers_times_out() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let view = bank.start(&json!({"type": "login", "user": "alice", "ttl_s": 1})).await.expect(201);
        let id = id_of(&view);
        let begun = Instant::now();
        let outcome =
            bank.portal("GET", &format!("/v1/transactions/{id}?wait_s=20")).send().await.expect(200);
        assert_eq!(outcome["state"], "timeout");
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    });
}

#[test]
fn a_long_poll_with_a_revision_returns_at_any_change_and_without_one_only_at_the_outcome() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let changed =
            bank.portal("GET", &format!("/v1/transactions/{id}?wait_s=20&after=1")).send().await.expect(200);
        assert!(changed["revision"].as_u64() > Some(1), "{changed}");
        assert_eq!(changed["state"], "pending");
        let path = format!("/v1/transactions/{id}?wait_s=1");
        let begun = Instant::now();
        let still = bank.portal("GET", &path).send().await.expect(200);
        assert_eq!(still["state"], "pending");
        assert!(begun.elapsed().as_millis() >= 950, "{:?}", begun.elapsed());
        phone.decide(&id, "accept").await.expect(200);
        let path = format!("/v1/transactions/{id}?wait_s=300&after=4294967295");
        assert_eq!(bank.portal("GET", &path).send().await.expect(200)["state"], "accepted");
    });
}

#[test]
fn a_cancelled_transaction_is_final() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let challenge = phone.challenge(&id).await;
        let path = format!("/v1/transactions/{id}");
        assert_eq!(bank.portal("DELETE", &path).send().await.expect(200)["state"], "cancelled");
        let again = bank.portal("DELETE", &path).send().await;
        assert_eq!(again.expect_problem(409, "transaction_final", None)["state"], "cancelled");
        let late =
            phone.send_answer(&id, &phone.sign_answer(&phone.answer_claims(&challenge, "accept"))).await;
        assert_eq!(late.expect_problem(409, "transaction_final", None)["state"], "cancelled");
    });
}

#[test]
fn the_same_idempotency_key_starts_once_and_pushes_once() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let start = |body: &str| {
            let call = bank.portal("POST", "/v1/transactions").header("idempotency-key", "order-1");
            call.text("application/json", body.to_owned()).send()
        };
        let first = start(r#"{"type":"login","user":"alice","message":"a"}"#).await.expect(201);
        let again =
            start(r#"{ "message":"\u0061", "user":{"realm":"retail","id":"Alice"}, "type":"login" }"#).await;
        assert_eq!(again.expect(200)["id"], first["id"]);
        let other = start(r#"{"type":"login","user":"alice","message":"b"}"#).await;
        other.expect_problem(422, "idempotency_mismatch", None);
        let id = id_of(&first);
        bank.until(&id, |view| view["delivery"][0]["status"] == "relayed").await;
        assert_eq!(bank.network.pushes().len(), 1);
    });
}

#[test]
fn an_enrolment_is_seen_from_its_opening_to_its_device() {
    with_bank(|bank| async move {
        let open = |key: &str| {
            let body = json!({"user": "alice", "app": "bank", "ttl_s": 60});
            bank.portal("POST", "/v1/enrollments").header("idempotency-key", key).json(&body).send()
        };
        let opened = open("e1").await.expect(201);
        let path = format!("/v1/enrollments/{}", id_of(&opened));
        assert_eq!(open("e1").await.expect(200), opened);
        let pending = bank.portal("GET", &path).send().await.expect(200);
        assert_eq!(pending["state"], "pending");
        assert!(pending.get("activation_code").is_none(), "{pending}");
        let code = opened["activation_code"].as_str().expect("a code");
        let phone = crate::phone::Phone::enrol(bank.addresses().device, &bank.issuer, code).await;
        assert_eq!(phone.enrolled["issuer"], bank.issuer.as_str());
        assert!(phone.enrolled["server_keys"][0]["kid"].is_string());
        let completed = bank.portal("GET", &path).send().await.expect(200);
        assert_eq!(completed["state"], "completed");
        assert_eq!(completed["device_id"], phone.device_id.as_str());
        assert_eq!(
            completed["device"],
            json!({"name": "Alice's phone", "platform": "ios", "model": "iPhone17,1"})
        );
        bank.portal("DELETE", &path).send().await.expect_problem(409, "enrollment_final", None);
    });
}

#[test]
fn a_cancelled_enrolment_lets_nobody_in() {
    with_bank(|bank| async move {
        let body = json!({"user": "alice", "app": "bank"});
        let opened = bank.portal("POST", "/v1/enrollments").json(&body).send().await.expect(201);
        let path = format!("/v1/enrollments/{}", id_of(&opened));
        assert_eq!(bank.portal("DELETE", &path).send().await.status, 204);
        assert_eq!(bank.portal("GET", &path).send().await.expect(200)["state"], "failed");
        let key = crate::phone::PhoneKey::generate();
        let body = crate::phone::enrolment_body(opened["activation_code"].as_str().expect("a code"), &key);
        let refused = crate::phone::send_enrolment(bank.addresses().device, &bank.issuer, &key, &body).await;
        refused.expect_problem(401, "bad_activation_code", None);
    });
}

#[test]
fn devices_are_listed_and_removed() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice@example.com").await;
        let list = "/v1/users/alice%40example.com/devices";
        let devices = bank.portal("GET", list).send().await.expect(200);
        let device = &devices["items"][0];
        assert_eq!(device["device_id"], phone.device_id.as_str());
        assert_eq!(device["status"], "active");
        assert_eq!(device["push"], "apns");
        assert_eq!(device["methods"], json!(["device"]));
        assert_eq!(device["keys"][0]["kid"], phone.kid.as_str());
        assert_eq!(device["keys"][0]["jwk"], phone.key.jwk());
        let id = id_of(&bank.start_login("alice@example.com").await);
        let remove = format!("{list}/{}", phone.device_id);
        assert_eq!(bank.portal("DELETE", &remove).send().await.status, 204);
        let ended = bank.until(&id, |view| view["state"] != "pending").await;
        assert_eq!((&ended["state"], &ended["reason"]), (&json!("failed"), &json!("device_revoked")));
        let refused = phone.get("/device/v1/device").await;
        refused.expect_problem(403, "device_revoked", None);
        let devices = bank.portal("GET", list).send().await.expect(200);
        assert_eq!(devices["items"][0]["status"], "revoked");
    });
}

#[test]
fn a_list_comes_in_pages() {
    with_bank(|bank| async move {
        let mut enrolled = Vec::new();
        for _ in 0..3 {
            let phone = bank.enrol("alice").await;
            let path = format!("/v1/users/alice/devices/{}", phone.device_id);
            bank.portal("DELETE", &path).send().await.expect(204);
            enrolled.insert(0, phone.device_id);
        }
        let mut path = "/v1/users/alice/devices?limit=2".to_owned();
        let mut listed = Vec::new();
        loop {
            let page = bank.portal("GET", &path).send().await.expect(200);
            let items = page["items"].as_array().expect("items");
            assert!(items.len() <= 2);
            listed.extend(items.iter().map(|item| item["device_id"].as_str().expect("an id").to_owned()));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/v1/users/alice/devices?limit=2&cursor={cursor}");
        }
        assert_eq!(listed, enrolled);
    });
}

#[test]
fn a_phone_reads_its_own_record() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let record = phone.get("/device/v1/device").await.expect(200);
        let expected = json!({"device_id": phone.device_id, "device_status": "active", "app": "bank",
            "user": {"id": "alice", "realm": "retail"}, "keys": [{"use": "device", "kid": phone.kid}]});
        assert_eq!(record, expected);
    });
}
