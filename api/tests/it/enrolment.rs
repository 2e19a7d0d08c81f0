//! Enrolments and devices through the doors: confirmed, waited for, managed, moved, left.

use serde_json::{Value, json};

use crate::bank::{Bank, id_of, with_bank, with_configured_bank};
use crate::http::{Answer, Call};
use crate::phone::{Phone, PhoneKey, enrolment_body, send_enrolment};

fn with_app_keys(keys: &'static str, test: impl AsyncFnOnce(Bank)) {
    let change = |text: &str| text.replace("[apps.bank]\n", &format!("[apps.bank]\n{keys}\n"));
    with_configured_bank(change, |bank| async move { test(bank).await });
}

impl Bank {
    async fn opened(&self, user: &str) -> Value {
        let body = json!({"user": user, "app": "bank"});
        self.portal("POST", "/v1/enrollments").json(&body).send().await.expect(201)
    }

    async fn follow(&self, opened: &Value) -> Phone {
        let code = opened["activation_code"].as_str().expect("a code");
        Phone::enrol(self.addresses().device, &self.issuer, code).await
    }

    async fn confirm(&self, opened: &Value, number: &str) -> Answer {
        let path = format!("/v1/enrollments/{}/confirm", id_of(opened));
        self.portal("POST", &path).json(&json!({"number": number})).send().await
    }

    async fn enrolment(&self, opened: &Value) -> Value {
        self.portal("GET", &format!("/v1/enrollments/{}", id_of(opened))).send().await.expect(200)
    }

    async fn status_of(&self, user: &str, phone: &Phone) -> Value {
        let listed = self.portal("GET", &format!("/v1/users/{user}/devices")).send().await.expect(200);
        let items = listed["items"].as_array().expect("items").clone();
        let found = items.into_iter().find(|item| item["device_id"] == phone.device_id.as_str());
        found.map_or(Value::Null, |item| item["status"].clone())
    }
}

impl Phone {
    /// Sends a change with this `iat`.
    async fn change_at(
        &self,
        bank: &Bank,
        method: &str,
        path: &str,
        body: Option<&Value>,
        iat: f64,
    ) -> Answer {
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut proof = self.proof(method, path, text.as_bytes());
        proof.claims["iat"] = json!(iat);
        let call = Call::new(method, bank.addresses().device, path);
        let call = call.header("authorization", &self.key.authorization(&proof));
        match body {
            Some(_) => call.text("application/json", text).send().await,
            None => call.send().await,
        }
    }
}

fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

#[test]
fn an_opened_enrolment_has_a_link_and_its_picture() {
    with_bank(|bank| async move {
        let opened = bank.opened("alice").await;
        let url = opened["activation_url"].as_str().expect("a link");
        let host = bank.issuer.trim_start_matches("http://");
        let code = opened["activation_code"].as_str().expect("a code");
        let issuer = bank.issuer.replace(':', "%3A").replace('/', "%2F");
        assert!(url.starts_with(&format!("https://{host}/e#c={code}&i={issuer}&k=")), "{url}");
        assert_eq!(url.rsplit('=').next().map(str::len), Some(43), "{url}");
        assert!(opened["qr_png_base64"].as_str().is_some_and(|picture| picture.starts_with("iVBOR")));
        assert!(bank.enrolment(&opened).await.get("activation_url").is_none());
    });
}

#[test]
fn a_number_confirms_and_until_then_the_phone_gets_nothing() {
    with_app_keys("mode = \"override\"\nconfirm = \"number\"", async |bank| {
        let first = bank.opened("alice").await;
        let old = bank.follow(&first).await;
        let number = old.enrolled["confirmation_number"].as_str().expect("a number").to_owned();
        assert_eq!(bank.confirm(&first, &number).await.expect(200)["state"], "completed");
        assert_eq!(bank.confirm(&first, &number).await.expect(200)["state"], "completed", "again");

        let second = bank.opened("alice").await;
        assert_eq!(
            bank.confirm(&second, "000000").await.expect_problem(422, "wrong_number", None)["attempts_left"],
            3
        );
        let new = bank.follow(&second).await;
        let view = bank.enrolment(&second).await;
        assert_eq!((&view["state"], &view["device_id"]), (&json!("unconfirmed"), &json!(new.device_id)));
        assert_eq!(bank.status_of("alice", &old).await, "active", "the true phone is not put out");
        assert_eq!(new.get("/device/v1/device").await.expect(200)["device_status"], "unconfirmed");
        let idle = new.get("/device/v1/transactions").await.expect_problem(403, "device_inactive", None);
        assert_eq!(idle["device_status"], "unconfirmed");
        let id = id_of(&bank.start_login("alice").await);
        let number = new.enrolled["confirmation_number"].as_str().expect("a number").to_owned();
        assert_eq!(bank.confirm(&second, &number).await.expect(200)["state"], "completed");
        let ended = bank.until(&id, |view| view["state"] != "pending").await;
        assert_eq!(ended["reason"], "device_revoked");
        assert_eq!(bank.status_of("alice", &old).await, "revoked");
        assert_eq!(bank.status_of("alice", &new).await, "active");
    });
}

#[test]
fn three_wrong_numbers_fail_the_enrolment() {
    with_app_keys("confirm = \"number\"", async |bank| {
        let opened = bank.opened("alice").await;
        let phone = bank.follow(&opened).await;
        let right = phone.enrolled["confirmation_number"].as_str().expect("a number").to_owned();
        let wrong = if right == "123456" { "654321" } else { "123456" };
        bank.confirm(&opened, "12345").await.expect_problem(422, "invalid_field", Some("number"));
        for left in [2, 1, 0] {
            let refused = bank.confirm(&opened, wrong).await.expect_problem(422, "wrong_number", None);
            assert_eq!(refused["attempts_left"], left);
        }
        assert_eq!(bank.enrolment(&opened).await["state"], "failed");
        bank.confirm(&opened, &right).await.expect_problem(409, "enrollment_final", None);
        phone.get("/device/v1/device").await.expect_problem(401, "bad_proof", None);
    });
}

#[test]
fn an_app_that_requires_an_accepted_transaction_takes_each_once() {
    with_app_keys("mode = \"multiple\"\nrequires = \"accepted_transaction\"", async |bank| {
        let body = |id: &str| json!({"user": "alice", "app": "bank", "authorized_by": id});
        let open = |body: Value| bank.portal("POST", "/v1/enrollments").json(&body).send();
        let missing = open(json!({"user": "alice", "app": "bank"})).await;
        missing.expect_problem(403, "authorization_required", Some("authorized_by"));
        open(body("nonsense")).await.expect_problem(422, "invalid_field", Some("authorized_by"));
        let unknown = "01913f00-1122-8b7f-bfff-ffffffffffff";
        open(body(unknown)).await.expect_problem(403, "authorization_required", Some("authorized_by"));
    });
}

#[test]
fn a_held_read_returns_when_the_phone_has_followed() {
    with_bank(|bank| async move {
        let opened = bank.opened("alice").await;
        let path = format!("/v1/enrollments/{}?wait_s=20", id_of(&opened));
        let waiting = actix_rt::spawn(bank.portal("GET", &path).send());
        bank.follow(&opened).await;
        assert_eq!(waiting.await.expect("a reply").expect(200)["state"], "completed");
        bank.portal("GET", &path.replace("wait_s=20", "wait_s=301")).send().await.expect_problem(
            422,
            "invalid_field",
            Some("wait_s"),
        );
    });
}

#[test]
fn a_portal_renames_suspends_resumes_and_removes_all() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let path = format!("/v1/users/alice/devices/{}", phone.device_id);
        let patch = |body: Value| bank.portal("PATCH", &path).json(&body).send();
        let id = id_of(&bank.start_login("alice").await);
        let changed = patch(json!({"name": "Work", "status": "suspended"})).await.expect(200);
        assert_eq!((&changed["name"], &changed["status"]), (&json!("Work"), &json!("suspended")));
        let ended = bank.until(&id, |view| view["state"] != "pending").await;
        assert_eq!(ended["reason"], "no_device");
        let idle = phone.get("/device/v1/transactions").await.expect_problem(403, "device_inactive", None);
        assert_eq!(idle["device_status"], "suspended");
        assert_eq!(patch(json!({"status": "active"})).await.expect(200)["status"], "active");
        for (body, code, field) in [
            (json!({"status": "revoked"}), "invalid_field", "status"),
            (json!({"name": ""}), "invalid_field", "name"),
            (json!({"name": "x".repeat(65)}), "invalid_field", "name"),
        ] {
            patch(body).await.expect_problem(422, code, Some(field));
        }
        patch(json!({"push": "none"})).await.expect_problem(400, "unknown_field", Some("push"));
        bank.portal("DELETE", "/v1/users/alice/devices").send().await.expect(204);
        patch(json!({"name": "late"})).await.expect_problem(403, "device_revoked", None);
        assert_eq!(bank.status_of("alice", &phone).await, "revoked");
    });
}

#[test]
fn a_phone_moves_changes_and_leaves_with_ever_later_proofs() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let push = json!({"kind": "apns", "value": "ab".repeat(32), "environment": "production"});
        let (path, own) = ("/device/v1/push", "/device/v1/device");
        let begun = now();
        phone.change_at(&bank, "PUT", path, Some(&push), begun).await.expect(200);
        let again = phone.change_at(&bank, "PUT", path, Some(&push), begun).await;
        assert!(again.expect_problem(401, "clock_skew", None)["server_time"].is_string());
        bank.start_login("alice").await;
        let pushed = bank.network.pushes();
        assert!(
            pushed.iter().all(|push| push
                .target
                .token
                .as_ref()
                .is_some_and(|to| to.expose() == "ab".repeat(32)))
        );
        let change = json!({"name": "Mine", "app_version": "2.0"});
        phone.change_at(&bank, "PATCH", own, Some(&change), begun + 0.002).await.expect(200);
        let listed = bank.portal("GET", "/v1/users/alice/devices").send().await.expect(200);
        assert_eq!(
            (&listed["items"][0]["name"], &listed["items"][0]["app_version"]),
            (&json!("Mine"), &json!("2.0"))
        );
        let bad = json!({"kind": "apns", "value": "zz"});
        phone.change_at(&bank, "PUT", path, Some(&bad), begun + 0.003).await.expect_problem(
            422,
            "invalid_field",
            Some("value"),
        );
        phone.change_at(&bank, "DELETE", own, None, begun + 0.004).await.expect(204);
        phone.change_at(&bank, "DELETE", own, None, begun + 0.005).await.expect_problem(
            403,
            "device_revoked",
            None,
        );
    });
}

#[test]
fn a_version_that_is_switched_off_is_told_to_upgrade_until_it_says_that_it_has() {
    let change = |text: &str| {
        text.replace(
            "[apps.bank.android]",
            "[apps.bank.ios.versions.old]\nfrom = \"1.0\"\nenabled = false\n\
            [apps.bank.ios.versions.v2]\nfrom = \"2.0\"\n[apps.bank.android]",
        )
    };
    with_configured_bank(change, |bank| async move {
        let phone = bank.enrol("alice").await;
        bank.start(&json!({"type": "login", "user": "alice"})).await.expect_problem(422, "no_device", None);
        phone.get("/device/v1/transactions").await.expect_problem(426, "upgrade_required", None);
        phone.get("/device/v1/device").await.expect(200);
        phone.get("/device/v1/server-keys").await.expect(200);
        let upgraded = json!({"app_version": "2.0"});
        phone.change_at(&bank, "PATCH", "/device/v1/device", Some(&upgraded), now()).await.expect(200);
        phone.get("/device/v1/transactions").await.expect(200);
        bank.start_login("alice").await;
    });
}

#[test]
fn wrong_codes_are_limited_by_address() {
    let change = |text: &str| text.replacen("[device]", "[device]\nwrong_codes_max = 2", 1);
    with_configured_bank(change, |bank| async move {
        let opened = bank.opened("alice").await;
        let key = PhoneKey::generate();
        let send = |code: String| {
            let body = enrolment_body(&code, &key);
            let (address, issuer, key) = (bank.addresses().device, bank.issuer.clone(), &key);
            async move { send_enrolment(address, &issuer, key, &body).await }
        };
        for _ in 0..2 {
            send("0".repeat(48)).await.expect_problem(401, "bad_activation_code", None);
        }
        let right = opened["activation_code"].as_str().expect("a code").to_owned();
        let refused = send(right).await;
        assert!(refused.header("retry-after").is_some());
        refused.expect_problem(429, "rate_limited", None);
    });
}

#[test]
fn a_phone_joins_by_an_accepted_transaction_and_its_number() {
    let keys = "mode = \"multiple\"\nrequires = \"accepted_transaction\"\nconfirm = \"number\"";
    with_app_keys(keys, async |bank| {
        let post = |path: &str, body: Value| bank.portal_as("other", "POST", path).json(&body).send();
        // An app that asks for nothing lets the user in, whose phone then vouches for the other app.
        let opened = post("/v1/enrollments", json!({"user": "alice", "app": "desk"})).await.expect(201);
        let (key, address) = (PhoneKey::generate(), bank.addresses().device);
        let code = opened["activation_code"].as_str().expect("a code");
        let body = json_with(enrolment_body(code, &key), "app", json!("desk"));
        let enrolled = send_enrolment(address, &bank.issuer, &key, &body).await.expect(201);
        let desk = Phone::of(address, &bank.issuer, key, enrolled);
        let start = json!({"type": "login", "user": "alice"});
        let id = id_of(&post("/v1/transactions", start).await.expect(201));
        let open = || {
            let body = json!({"user": "alice", "app": "bank", "authorized_by": id});
            post("/v1/enrollments", body)
        };
        open().await.expect_problem(403, "authorization_required", Some("authorized_by"));
        desk.decide(&id, "accept").await.expect(200);

        let opened = open().await.expect(201);
        open().await.expect_problem(403, "authorization_required", Some("authorized_by"));
        let phone = bank.follow(&opened).await;
        let number = phone.enrolled["confirmation_number"].as_str().expect("a number");
        let path = format!("/v1/enrollments/{}", id_of(&opened));
        let confirmed = post(&format!("{path}/confirm"), json!({"number": number})).await.expect(200);
        assert_eq!(
            (&confirmed["state"], &confirmed["device_id"]),
            (&json!("completed"), &json!(phone.device_id))
        );
        let view = bank.portal_as("other", "GET", &path).send().await.expect(200);
        assert_eq!(view["state"], "completed");
        assert_eq!(phone.get("/device/v1/device").await.expect(200)["device_status"], "active");
    });
}

fn json_with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

#[test]
fn switches_close_what_they_name_and_nothing_else() {
    let off = |name: &'static str| move |text: &str| format!("{text}\n[switches]\n{name} = false\n");
    with_configured_bank(off("enrollment"), |bank| async move {
        let body = json!({"user": "alice", "app": "bank"});
        let refused = bank.portal("POST", "/v1/enrollments").json(&body).send().await;
        refused.expect_problem(422, "method_disabled", None);
    });
    with_configured_bank(off("sending"), |bank| async move {
        bank.enrol("alice").await;
        let refused = bank.start(&json!({"type": "login", "user": "alice"})).await;
        refused.expect_problem(422, "method_disabled", None);
    });
}

#[test]
fn a_phone_that_comes_while_enrolling_is_switched_off_may_come_again() {
    with_bank(|bank| async move {
        let code = bank.activation_code("alice").await;
        bank.reload_with("[switches]\nenrollment = false\n").await;
        let key = PhoneKey::generate();
        let body = enrolment_body(&code, &key);
        let come = || send_enrolment(bank.addresses().device, &bank.issuer, &key, &body);
        come().await.expect_problem(422, "method_disabled", None);
        bank.reload_with("").await;
        come().await.expect(201);
    });
}

#[test]
fn a_service_that_is_switched_off_refuses_portals_and_phones_and_loses_nothing() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let challenge = phone.challenge(&id).await;
        let answer = phone.sign_answer(&phone.answer_claims(&challenge, "accept"));
        bank.reload_with("[switches]\nservice = false\n").await;
        for (method, path) in [
            ("GET", format!("/v1/transactions/{id}")),
            ("DELETE", format!("/v1/transactions/{id}")),
            ("GET", "/v1/users/alice/devices".to_owned()),
        ] {
            let refused = bank.portal(method, &path).send().await;
            refused.expect_problem(422, "method_disabled", None);
        }
        bank.start(&json!({"type": "login", "user": "alice"})).await.expect_problem(
            422,
            "method_disabled",
            None,
        );
        let stranger = Call::new("GET", bank.addresses().portal, "/v1/users/alice/devices");
        stranger.basic("portal", "wrong").send().await.expect_problem(401, "invalid_client", None);
        phone.get("/device/v1/transactions").await.expect_problem(422, "method_disabled", None);
        phone.send_answer(&id, &answer).await.expect_problem(422, "method_disabled", None);
        bank.ops("/readyz").send().await.expect(200);
        bank.admin("watcher", "GET", "/v1/admin/providers").send().await.expect(200);
        bank.reload_with("").await;
        phone.send_answer(&id, &answer).await.expect(200);
        assert_eq!(bank.view(&id).await["state"], "accepted");
    });
}

#[test]
fn another_phone_is_told_to_the_ones_before_it() {
    with_app_keys("mode = \"multiple\"", async |bank| {
        let first = bank.enrol("alice").await;
        assert!(bank.network.pushes().is_empty());
        bank.enrol("alice").await;
        let deadline = std::time::Instant::now() + crate::http::SOON;
        while bank.network.pushes().is_empty() {
            assert!(std::time::Instant::now() < deadline, "nobody was told");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let pushes = bank.network.pushes();
        assert_eq!(pushes[0].device_id.to_string(), first.device_id);
        assert_eq!(pushes[0].content, tocsin_engine::protocol::PushContent::DeviceAdded);
        bank.until_metric("tocsin_app_takeover_risk{app=\"bank\"} 1").await;
    });
}
