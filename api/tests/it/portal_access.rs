//! Who may do what at the portal door, and what does not exist for whom.

use serde_json::json;

use crate::bank::{id_of, secret_of, with_bank, with_configured_bank};
use crate::http::Call;

#[test]
fn wrong_credentials_are_401_and_all_look_the_same() {
    with_bank(|bank| async move {
        let portal = bank.addresses().portal;
        let call = |path: &str| Call::new("GET", portal, path);
        let path = "/v1/transactions/01913f00-1122-8b7f-bfff-ffffffffffff";
        let secret = secret_of("portal");
        let mut details = Vec::new();
        for attempt in [
            call(path),
            call(path).basic("portal", "wrong"),
            call(path).basic("portal", ""),
            call(path).basic("other", &secret),
            call(path).basic("nobody", &secret),
            call(path).basic("No Name", &secret),
            call(path).header("authorization", &format!("Bearer {secret}")),
            call(path).header("authorization", "Basic !!!"),
        ] {
            let reply = attempt.send().await;
            let body = reply.expect_problem(401, "invalid_client", None);
            assert_eq!(reply.header("www-authenticate"), Some("Basic realm=\"tocsin\""));
            details.push(body["detail"].clone());
        }
        details.dedup();
        assert_eq!(details.len(), 1);
    });
}

#[test]
fn credentials_are_judged_before_the_body() {
    with_bank(|bank| async move {
        let call = Call::new("POST", bank.addresses().portal, "/v1/transactions");
        call.text("text/plain", "x").send().await.expect_problem(401, "invalid_client", None);
    });
}

#[test]
fn a_right_that_a_client_does_not_have_is_403() {
    with_bank(|bank| async move {
        for (method, path) in [
            ("POST", "/v1/enrollments"),
            ("GET", "/v1/enrollments/01913f00-1122-4b7f-bfff-ffffffffffff"),
            ("DELETE", "/v1/enrollments/01913f00-1122-4b7f-bfff-ffffffffffff"),
            ("PUT", "/v1/users/alice"),
            ("GET", "/v1/users/alice"),
            ("DELETE", "/v1/users/alice"),
            ("GET", "/v1/users/alice/locks"),
            ("DELETE", "/v1/users/alice/locks"),
            ("GET", "/v1/users/alice/devices"),
            ("POST", "/v1/enrollments/01913f00-1122-4b7f-bfff-ffffffffffff/confirm"),
            ("DELETE", "/v1/users/alice/devices"),
            ("DELETE", "/v1/users/alice/devices/01913f00-1122-4b7f-bfff-ffffffffffff"),
            ("PATCH", "/v1/users/alice/devices/01913f00-1122-4b7f-bfff-ffffffffffff"),
        ] {
            let reply = bank.portal_as("reader", method, path).send().await;
            reply.expect_problem(403, "not_permitted", None);
        }
        let start =
            bank.portal_as("reader", "POST", "/v1/transactions").json(&json!({"type": "login", "user": "a"}));
        start.send().await.expect_problem(403, "not_permitted", Some("type"));
    });
}

#[test]
fn who_may_only_enrol_neither_starts_nor_reads_transactions() {
    let change =
        |text: &str| text.replacen("[clients.reader]\n", "[clients.reader]\nrights = [\"enrollments\"]\n", 1);
    with_configured_bank(change, |bank| async move {
        let _phone = bank.enrol("alice").await;
        let own = format!("/v1/transactions/{}", id_of(&bank.start_login("alice").await));
        for (method, path) in [
            ("POST", "/v1/transactions".to_owned()),
            ("GET", "/v1/transactions".to_owned()),
            ("GET", own.clone()),
            ("DELETE", own.clone()),
            ("GET", format!("{own}/events")),
            ("GET", format!("{own}/qr.png")),
            ("POST", format!("{own}/resend")),
            ("GET", "/v1/users/alice/methods".to_owned()),
        ] {
            let reply = bank.portal_as("reader", method, &path).send().await;
            reply.expect_problem(403, "not_permitted", None);
        }
        let body = json!({"user": "bob", "app": "bank"});
        let opening = bank.portal_as("reader", "POST", "/v1/enrollments").json(&body);
        // The right is there; no app was granted.
        opening.send().await.expect_problem(403, "not_permitted", Some("app"));
    });
}

#[test]
fn an_unknown_type_is_403_for_a_client_with_a_list_and_422_for_one_with_all() {
    with_bank(|bank| async move {
        for name in ["vault", "nonsense", "No Name"] {
            let reply = bank.start(&json!({"type": name, "user": "alice"})).await;
            reply.expect_problem(403, "not_permitted", Some("type"));
        }
        for name in ["nonsense", "No Name"] {
            let start =
                bank.portal_as("other", "POST", "/v1/transactions").json(&json!({"type": name, "user": "a"}));
            start.send().await.expect_problem(422, "unknown_type", Some("type"));
        }
    });
}

#[test]
fn an_app_outside_the_clients_list_is_refused() {
    with_bank(|bank| async move {
        for name in ["desk", "nonsense"] {
            let body = json!({"user": "alice", "app": name});
            let reply = bank.portal("POST", "/v1/enrollments").json(&body).send().await;
            reply.expect_problem(403, "not_permitted", Some("app"));
            let reply = bank.start(&json!({"type": "login", "user": "alice", "app": name})).await;
            reply.expect_problem(403, "not_permitted", Some("app"));
        }
        let body = json!({"user": "alice", "app": "nonsense"});
        let reply = bank.portal_as("other", "POST", "/v1/enrollments").json(&body).send().await;
        reply.expect_problem(422, "invalid_field", Some("app"));
    });
}

#[test]
fn a_foreign_transaction_is_404_for_every_call() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let unknown = "01913f00-1122-8b7f-bfff-ffffffffffff".to_owned();
        for id in [&id, &unknown, &"nonsense".to_owned(), &id.to_uppercase()] {
            for (method, query) in [
                ("GET", ""),
                ("GET", "?wait_s=5"),
                ("GET", "/events"),
                ("GET", "/qr.png"),
                ("POST", "/resend"),
                ("DELETE", ""),
            ] {
                let path = format!("/v1/transactions/{id}{query}");
                let reply = bank.portal_as("other", method, &path).send().await;
                reply.expect_problem(404, "not_found", None);
            }
        }
        assert_eq!(bank.view(&id).await["state"], "pending");
    });
}

#[test]
fn a_foreign_enrolment_is_404() {
    with_bank(|bank| async move {
        let body = json!({"user": "alice", "app": "bank"});
        let opened = bank.portal("POST", "/v1/enrollments").json(&body).send().await.expect(201);
        let path = format!("/v1/enrollments/{}", id_of(&opened));
        for (method, query) in [("GET", ""), ("GET", "?wait_s=5"), ("DELETE", "")] {
            let path = format!("{path}{query}");
            bank.portal_as("other", method, &path).send().await.expect_problem(404, "not_found", None);
        }
        let confirm = bank.portal_as("other", "POST", &format!("{path}/confirm"));
        let confirm = confirm.json(&json!({"number": "123456"})).send().await;
        confirm.expect_problem(404, "not_found", None);
        assert_eq!(bank.portal("GET", &path).send().await.expect(200)["state"], "pending");
    });
}

#[test]
fn users_of_a_foreign_realm_do_not_exist() {
    with_bank(|bank| async move {
        for realm in ["staff", "nonsense", "No Name"] {
            let user = json!({"id": "alice", "realm": realm});
            let start = bank.start(&json!({"type": "login", "user": user})).await;
            start.expect_problem(404, "not_found", None);
            let enrolment =
                bank.portal("POST", "/v1/enrollments").json(&json!({"user": user, "app": "bank"}));
            enrolment.send().await.expect_problem(404, "not_found", None);
            let path = format!("/v1/users/alice/devices?realm={}", realm.replace(' ', "%20"));
            bank.portal("GET", &path).send().await.expect_problem(404, "not_found", None);
        }
    });
}

#[test]
fn devices_of_a_foreign_app_do_not_exist() {
    with_bank(|bank| async move {
        let body = json!({"user": "alice", "app": "desk"});
        let opened = bank.portal_as("other", "POST", "/v1/enrollments").json(&body).send().await.expect(201);
        let key = crate::phone::PhoneKey::generate();
        let code = opened["activation_code"].as_str().expect("a code");
        let mut body = crate::phone::enrolment_body(code, &key);
        body["app"] = json!("desk");
        let enrolled = crate::phone::send_enrolment(bank.addresses().device, &bank.issuer, &key, &body).await;
        let device_id = enrolled.expect(201)["device_id"].as_str().expect("an id").to_owned();
        let list = "/v1/users/alice/devices";
        assert_eq!(bank.portal("GET", list).send().await.expect(200), json!({"items": []}));
        let remove = format!("{list}/{device_id}");
        bank.portal("DELETE", &remove).send().await.expect_problem(404, "not_found", None);
        let start = json!({"type": "login", "user": "alice", "device_id": device_id});
        bank.start(&start).await.expect_problem(422, "no_device", Some("device_id"));
        let seen = bank.portal_as("other", "GET", list).send().await.expect(200);
        assert_eq!(seen["items"][0]["status"], "active");
    });
}

#[test]
fn a_user_is_found_by_every_spelling_of_the_realms_rule() {
    with_bank(|bank| async move {
        let phone = bank.enrol("Alice@retail").await;
        for path in [
            "/v1/users/alice/devices",
            "/v1/users/ALICE%40retail/devices",
            "/v1/users/%EF%BC%A1lice/devices",
            "/v1/users/alice/devices?realm=retail",
            "/v1/users/alice@retail/devices?realm=retail",
        ] {
            let devices = bank.portal("GET", path).send().await.expect(200);
            assert_eq!(devices["items"][0]["device_id"], phone.device_id.as_str(), "{path}");
        }
        let other = bank.portal("GET", "/v1/users/alice%40example.com/devices").send().await.expect(200);
        assert_eq!(other, json!({"items": []}));
    });
}

#[test]
fn what_follows_the_last_at_is_a_realm_only_where_the_client_sees_it() {
    with_bank(|bank| async move {
        let opened_for = async |client: &str, user: &str| {
            let body = json!({"user": user, "app": "bank"});
            let opened = bank.portal_as(client, "POST", "/v1/enrollments").json(&body).send().await;
            opened.expect(201)["user"].clone()
        };
        for (client, user, id, realm) in [
            ("portal", "alice", "alice", "retail"),
            ("portal", "alice@retail", "alice", "retail"),
            ("portal", "alice@staff", "alice@staff", "retail"),
            ("portal", "a@b@retail", "a@b", "retail"),
            ("portal", "alice@", "alice@", "retail"),
            ("other", "alice@staff", "alice", "staff"),
            ("other", "alice@retail@staff", "alice@retail", "staff"),
            ("other", "Alice@example.com", "alice@example.com", "retail"),
        ] {
            assert_eq!(opened_for(client, user).await, json!({"id": id, "realm": realm}), "{client} {user}");
        }
        // The rule of `staff` is the exact one.
        assert_eq!(opened_for("other", "ALICE@staff").await["id"], "ALICE");
        let longest = "a".repeat(256);
        assert_eq!(opened_for("portal", &longest).await["id"], longest.as_str());
    });
}

#[test]
fn a_realm_that_contradicts_the_path_is_422() {
    with_bank(|bank| async move {
        let path = "/v1/users/alice%40staff/devices?realm=retail";
        let reply = bank.portal_as("other", "GET", path).send().await;
        reply.expect_problem(422, "invalid_field", Some("realm"));
        let path = "/v1/users/a%0Ab/devices";
        bank.portal("GET", path).send().await.expect_problem(422, "invalid_field", Some("user"));
        bank.portal("GET", "/v1/users/%ff/devices").send().await.expect_problem(404, "not_found", None);
    });
}
