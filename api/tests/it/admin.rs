//! `/v1/admin`: who may call it, and what it shows.

use serde_json::{Value, json};

use crate::bank::{secret_of, with_bank, with_configured_bank};
use crate::http::Call;

/// Everything that the role `read` may call.
const READ: [(&str, &str); 7] = [
    ("GET", "/v1/admin/config"),
    ("GET", "/v1/admin/providers"),
    ("GET", "/v1/admin/audit"),
    ("GET", "/v1/admin/audit/verify"),
    ("GET", "/v1/admin/callbacks?state=dead"),
    ("GET", "/v1/admin/transactions"),
    ("GET", "/v1/admin/users/alice?realm=retail"),
];

/// Everything that needs the role `operate`.
const OPERATE: [(&str, &str); 6] = [
    ("POST", "/v1/admin/transactions/01913f00-0000-8000-8000-000000000000/cancel"),
    ("POST", "/v1/admin/callbacks/01913f00-0000-8000-8000-000000000000/redeliver"),
    ("POST", "/v1/admin/backup"),
    ("POST", "/v1/admin/reload"),
    ("POST", "/v1/admin/drain"),
    ("PUT", "/v1/admin/log-level"),
];

#[test]
fn every_call_needs_a_token_also_on_loopback() {
    with_bank(|bank| async move {
        let address = bank.addresses().ops;
        for (method, path) in READ.into_iter().chain(OPERATE) {
            let unproven = [
                Call::new(method, address, path),
                Call::new(method, address, path).bearer("wrong"),
                Call::new(method, address, path).bearer(&format!("{} ", secret_of("watcher"))).bearer(""),
                Call::new(method, address, path).basic("watcher", &secret_of("watcher")),
                // A credential of another door.
                Call::new(method, address, path).bearer(&secret_of("portal")),
            ];
            for call in unproven {
                let reply = call.send().await;
                reply.expect_problem(401, "invalid_token", None);
                assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"tocsin\""), "{path}");
            }
        }
    });
}

#[test]
fn what_an_operator_says_beside_the_call_is_refused_and_nothing_is_done() {
    with_bank(|bank| async move {
        for (method, path) in OPERATE {
            let body = json!({"dry_run": true, "filter": "info"});
            let refused = bank.admin("console", method, path).json(&body).send().await;
            refused.expect_problem(400, "unknown_field", Some("dry_run"));
            let malformed = bank.admin("console", method, path).text("application/json", "{").send().await;
            malformed.expect_problem(400, "invalid_request", Some("body"));
        }
        let trail = bank.admin("watcher", "GET", "/v1/admin/audit").send().await.expect(200);
        assert_eq!(trail["items"], json!([]), "nothing was asked of anybody");
        // Left out, empty or an empty object is the same call: this one asks for what is not there.
        let (method, path) = OPERATE[0];
        let empty = bank.admin("console", method, path).text("application/json", "{}").send().await;
        empty.expect_problem(404, "not_found", None);
        bank.admin("console", method, path).send().await.expect_problem(404, "not_found", None);
    });
}

#[test]
fn a_token_is_nothing_at_the_portal_door() {
    with_bank(|bank| async move {
        let path = "/v1/transactions/01913f00-0000-8000-8000-000000000000";
        let as_bearer = Call::new("GET", bank.addresses().portal, path).bearer(&secret_of("console"));
        as_bearer.send().await.expect_problem(401, "invalid_client", None);
        let as_secret =
            Call::new("GET", bank.addresses().portal, path).basic("console", &secret_of("console"));
        as_secret.send().await.expect_problem(401, "invalid_client", None);
    });
}

#[test]
fn who_may_read_and_who_may_operate_both_see() {
    with_bank(|bank| async move {
        for (method, path) in READ {
            for operator in ["watcher", "console"] {
                let reply = bank.admin(operator, method, path).send().await;
                reply.expect(200);
                assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
            }
        }
    });
}

#[test]
fn the_configuration_is_shown_with_the_source_of_each_value_and_without_secrets() {
    with_bank(|bank| async move {
        let reply = bank.admin("watcher", "GET", "/v1/admin/config").send().await;
        let shown = reply.expect(200);
        let find = |key: &str| -> Value {
            let items = shown["items"].as_array().expect("a list");
            items.iter().find(|item| item["key"] == key).unwrap_or_else(|| panic!("no {key}")).clone()
        };
        assert_eq!(find("types.login.ttl_s")["value"], json!(60));
        assert!(
            find("types.login.ttl_s")["source"].as_str().expect("a text").contains("tocsin.toml:"),
            "{shown}"
        );
        assert_eq!(
            find("types.login.message_max"),
            json!({"key": "types.login.message_max", "value": 155, "source": "default"})
        );
        assert_eq!(find("clients.portal.types")["value"], json!(["login", "payment"]));
        assert_eq!(find("types.login.keep_for_polling")["value"], json!(false));
        assert_eq!(find("clients.portal.secret_sha256")["value"], "********");
        assert_eq!(find("ops.tokens.console.sha256")["value"], "********");
        let unknown = bank.admin("watcher", "GET", "/v1/admin/config?secrets=1").send().await;
        unknown.expect_problem(400, "unknown_field", Some("secrets"));
    });
}

#[test]
fn who_may_only_read_changes_nothing() {
    with_bank(|bank| async move {
        for (method, path) in OPERATE {
            let reply = bank.admin("watcher", method, path).send().await;
            reply.expect_problem(403, "not_permitted", None);
        }
    });
}

#[test]
fn providers_are_listed_with_their_kind_and_default() {
    with_bank(|bank| async move {
        let list = bank.admin("watcher", "GET", "/v1/admin/providers").send().await.expect(200);
        let items = list["items"].as_array().expect("a list");
        let told: Vec<_> = items
            .iter()
            .map(|item| (&item["name"], &item["kind"], &item["default"], &item["available"]))
            .collect();
        let yes = json!(true);
        assert_eq!(
            told,
            [
                (&json!("apns-main"), &json!("apns"), &yes, &yes),
                (&json!("fcm-main"), &json!("fcm"), &yes, &yes)
            ]
        );
        assert_eq!(items[0]["environment"], "production");
    });
}

/// The events of the audit trail, oldest first.
async fn events(bank: &crate::bank::Bank, query: &str) -> Vec<Value> {
    let path = format!("/v1/admin/audit{query}");
    let list = bank.admin("watcher", "GET", &path).send().await.expect(200);
    let mut items = list["items"].as_array().expect("a list").clone();
    items.reverse();
    items
}

fn words(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["event"].as_str()).collect()
}

#[test]
fn the_audit_trail_tells_who_did_what_and_never_what_was_said() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let secretive = json!({"type": "login", "user": "alice", "message": "to the secret vault"});
        let id = crate::bank::id_of(&bank.start(&secretive).await.expect(201));
        phone.decide(&id, "accept").await.expect(200);
        let told = events(&bank, "").await;
        let expected = [
            "enrollment_opened",
            "device_enrolled",
            "enrollment_ended",
            "transaction_started",
            "transaction_ended",
        ];
        assert_eq!(words(&told), expected);
        let end = &told[4];
        assert_eq!(end["actor"]["kind"], "device");
        assert_eq!((&end["actor"]["name"], &end["detail"]), (&end["device_id"], &json!("accepted device")));
        assert_eq!(end["user"], json!({"id": "alice", "realm": "retail"}));
        assert_eq!((&end["transaction"], &end["type"]), (&json!(id), &json!("login")));
        assert_eq!(told[3]["actor"], json!({"kind": "client", "name": "portal"}));
        assert!(!json!(told).to_string().contains("vault"));
        let check = bank.admin("watcher", "GET", "/v1/admin/audit/verify").send().await.expect(200);
        assert_eq!(
            (&check["sound"], &check["last"], &check["hash"]),
            (&json!(true), &json!(5), &end["hash"])
        );
    });
}

#[test]
fn the_audit_trail_is_listed_by_user_type_transaction_event_and_time() {
    with_bank(|bank| async move {
        let (_alice, _bob) = (bank.enrol("alice").await, bank.enrol("bob").await);
        let id = crate::bank::id_of(&bank.start_login("alice").await);
        let payment = json!({"type": "payment", "user": "bob"});
        bank.start(&payment).await.expect(201);
        let of_bob = ["enrollment_opened", "device_enrolled", "enrollment_ended", "transaction_started"];
        assert_eq!(words(&events(&bank, "?user=BOB@retail").await), of_bob);
        assert_eq!(words(&events(&bank, "?user=bob&realm=retail").await), of_bob);
        assert_eq!(events(&bank, "?user=bob@staff").await, [Value::Null; 0]);
        assert_eq!(words(&events(&bank, "?type=payment").await), ["transaction_started"]);
        assert_eq!(words(&events(&bank, &format!("?transaction={id}")).await), ["transaction_started"]);
        assert_eq!(words(&events(&bank, "?event=device_enrolled").await), ["device_enrolled"; 2]);
        let all = events(&bank, "").await;
        let at = all[3]["at"].as_str().expect("a time");
        let (before, since) =
            (events(&bank, &format!("?to={at}")).await, events(&bank, &format!("?from={at}")).await);
        assert_eq!(before.len() + since.len(), all.len());
        assert!(since.iter().any(|event| event["number"] == 4));
    });
}

#[test]
fn the_audit_trail_is_read_page_by_page() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let page = async |query: &str| {
            let path = format!("/v1/admin/audit?limit=2{query}");
            bank.admin("watcher", "GET", &path).send().await.expect(200)
        };
        let first = page("").await;
        assert_eq!((&first["items"][0]["number"], &first["items"][1]["number"]), (&json!(3), &json!(2)));
        let cursor = first["next_cursor"].as_str().expect("a cursor");
        let second = page(&format!("&cursor={cursor}")).await;
        assert_eq!(second["items"].as_array().map(Vec::len), Some(1));
        assert_eq!(second.get("next_cursor"), None);
    });
}

#[test]
fn a_wrong_parameter_of_the_audit_list_is_named() {
    with_bank(|bank| async move {
        for (query, status, code, field) in [
            ("?user=alice", 422, "field_required", "realm"),
            ("?realm=retail", 422, "field_required", "user"),
            ("?user=alice&realm=nowhere", 422, "invalid_field", "realm"),
            ("?transaction=7", 422, "invalid_field", "transaction"),
            ("?type=No+Name", 422, "invalid_field", "type"),
            ("?event=started", 422, "invalid_field", "event"),
            ("?from=yesterday", 422, "invalid_field", "from"),
            ("?to=1", 422, "invalid_field", "to"),
            ("?cursor=x", 422, "invalid_field", "cursor"),
            ("?limit=0", 422, "invalid_field", "limit"),
            ("?limit=1001", 422, "invalid_field", "limit"),
            ("?limit=many", 400, "invalid_request", "limit"),
            ("?kind=x", 400, "unknown_field", "kind"),
        ] {
            let reply = bank.admin("watcher", "GET", &format!("/v1/admin/audit{query}")).send().await;
            reply.expect_problem(status, code, Some(field));
        }
    });
}

#[test]
fn an_operator_cancels_a_transaction_of_any_client_and_is_named() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let secretive = json!({"type": "login", "user": "alice", "message": "to the secret vault"});
        let id = crate::bank::id_of(&bank.start(&secretive).await.expect(201));
        let path = format!("/v1/admin/transactions/{id}/cancel");
        let cancelled = bank.admin("console", "POST", &path).send().await.expect(200);
        assert_eq!((&cancelled["id"], &cancelled["client"]), (&json!(id), &json!("portal")));
        assert_eq!(
            (&cancelled["state"], &cancelled["cancelled_by"]),
            (&json!("cancelled"), &json!("console"))
        );
        assert_eq!(cancelled["user"], json!({"id": "alice", "realm": "retail"}));
        assert!(!cancelled.to_string().contains("vault"), "{cancelled}");
        assert_eq!(bank.view(&id).await["state"], "cancelled");

        let told = events(&bank, &format!("?transaction={id}&event=transaction_ended")).await;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0]["actor"], json!({"kind": "operator", "name": "console"}));
        assert_eq!(told[0]["detail"], "cancelled");
        let again = bank.admin("console", "POST", &path).send().await;
        again.expect_problem(409, "transaction_final", None);
    });
}

#[test]
fn what_its_client_cancelled_names_the_client() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let id = crate::bank::id_of(&bank.start_login("alice").await);
        bank.portal("DELETE", &format!("/v1/transactions/{id}")).send().await.expect(200);
        let told = events(&bank, &format!("?transaction={id}&event=transaction_ended")).await;
        assert_eq!(told[0]["actor"], json!({"kind": "client", "name": "portal"}));
    });
}

#[test]
fn what_is_no_transaction_cannot_be_cancelled() {
    with_bank(|bank| async move {
        for id in ["01913f00-0000-8000-8000-000000000000", "x"] {
            let path = format!("/v1/admin/transactions/{id}/cancel");
            bank.admin("console", "POST", &path).send().await.expect_problem(404, "not_found", None);
        }
    });
}

/// A portal that may be called back at a host that is nowhere (RFC 6761, section 6.4).
fn calling_back(text: &str) -> String {
    let client = "[clients.portal]\n";
    assert!(text.contains(client), "{text}");
    text.replace(
        client,
        "[clients.portal]\ncallback_allow_list = false\n\
         webhook_secrets = [\"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]\n",
    )
}

#[test]
fn callbacks_that_are_owed_are_listed_and_brought_forward_by_an_operator_who_is_named() {
    with_configured_bank(calling_back, |bank| async move {
        let _phone = bank.enrol("alice").await;
        let start = json!({
            "type": "login", "user": "alice", "callback_url": "https://portal.invalid/done?token=hunter2",
        });
        let id = crate::bank::id_of(&bank.start(&start).await.expect(201));
        let list =
            |state: &str| bank.admin("watcher", "GET", &format!("/v1/admin/callbacks?state={state}")).send();
        assert_eq!(list("owed").await.expect(200)["items"], json!([]), "nothing is owed before the outcome");
        bank.portal("DELETE", &format!("/v1/transactions/{id}")).send().await.expect(200);

        let listed = list("owed").await.expect(200);
        let item = &listed["items"][0];
        assert_eq!((&item["id"], &item["client"]), (&json!(id), &json!("portal")), "{listed}");
        assert_eq!(item["origin"], "https://portal.invalid");
        assert_eq!((&item["state"], &item["transaction_state"]), (&json!("owed"), &json!("cancelled")));
        assert!(item["next_try_at"].is_string() && !listed.to_string().contains("hunter2"), "{listed}");
        assert_eq!(list("dead").await.expect(200)["items"], json!([]));
        list("").await.expect_problem(422, "invalid_field", Some("state"));
        let unsaid = bank.admin("watcher", "GET", "/v1/admin/callbacks").send().await;
        unsaid.expect_problem(422, "field_required", Some("state"));

        let path = format!("/v1/admin/callbacks/{id}/redeliver");
        let forward = bank.admin("console", "POST", &path).send().await.expect(200);
        assert_eq!((&forward["id"], &forward["state"]), (&json!(id), &json!("owed")));
        let unknown = path.replace(&id, "01913f00-0000-8000-8000-000000000000");
        bank.admin("console", "POST", &unknown).send().await.expect_problem(404, "not_found", None);
        let rows =
            bank.admin("watcher", "GET", "/v1/admin/audit?event=redelivery_asked").send().await.expect(200);
        let rows = rows["items"].as_array().expect("a list").clone();
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!(rows[0]["actor"], json!({"kind": "operator", "name": "console"}));
        assert_eq!(rows[0]["transaction"], json!(id));
    });
}
