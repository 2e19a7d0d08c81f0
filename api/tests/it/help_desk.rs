//! What operators see of all clients' transactions, and of one user.

use serde_json::{Value, json};

use crate::bank::{Bank, id_of, with_bank};

/// A page of the list.
async fn page(bank: &Bank, query: &str) -> Value {
    bank.admin("watcher", "GET", &format!("/v1/admin/transactions{query}")).send().await.expect(200)
}

/// The ids of the list, newest first.
async fn ids(bank: &Bank, query: &str) -> Vec<String> {
    page(bank, query).await["items"].as_array().expect("a list").iter().map(id_of).collect()
}

async fn start(bank: &Bank, client: &str, body: &Value) -> String {
    id_of(&bank.portal_as(client, "POST", "/v1/transactions").json(body).send().await.expect(201))
}

#[test]
fn transactions_of_all_clients_are_listed_by_user_state_client_and_time() {
    with_bank(|bank| async move {
        let (alice, _bob) = (bank.enrol("alice").await, bank.enrol("bob").await);
        let secretive = json!({"type": "login", "user": "alice", "message": "to the secret vault"});
        let first = start(&bank, "portal", &secretive).await;
        let second = start(&bank, "other", &json!({"type": "payment", "user": "bob"})).await;
        let third = start(&bank, "portal", &json!({"type": "login", "user": "alice"})).await;
        alice.decide(&third, "accept").await.expect(200);

        let [first, second, third] = [&*first, &*second, &*third];
        assert_eq!(ids(&bank, "").await, [third, second, first]);
        assert_eq!(ids(&bank, "?user=ALICE@retail").await, [third, first]);
        assert_eq!(ids(&bank, "?user=bob&realm=retail").await, [second]);
        assert!(ids(&bank, "?user=bob@staff").await.is_empty());
        assert_eq!(ids(&bank, "?state=accepted").await, [third]);
        assert_eq!(ids(&bank, "?state=pending&client=portal").await, [first]);
        assert_eq!(ids(&bank, "?client=other").await, [second]);
        assert!(ids(&bank, "?client=nobody").await.is_empty());
        let all = page(&bank, "").await;
        let at = all["items"][1]["created_at"].as_str().expect("a time");
        let (since, before) =
            (ids(&bank, &format!("?from={at}")).await, ids(&bank, &format!("?to={at}")).await);
        assert_eq!(since.len() + before.len(), 3, "every one is on one side of a time");
        let is_second = |id: &String| id == second;
        assert!(since.iter().any(is_second) && !before.iter().any(is_second));
        assert_eq!(all["items"][0]["answer"]["method"], "device");
        assert!(!all.to_string().contains("vault"), "{all}");
    });
}

#[test]
fn transactions_of_all_clients_are_listed_in_pages() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let mut started = Vec::new();
        for _ in 0..5 {
            started.insert(0, id_of(&bank.start_login("alice").await));
        }
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for _ in 0..3 {
            let page = page(&bank, &format!("?limit=2{cursor}")).await;
            seen.extend(page["items"].as_array().expect("a list").iter().map(id_of));
            cursor = page["next_cursor"].as_str().map(|next| format!("&cursor={next}")).unwrap_or_default();
        }
        assert_eq!((seen, cursor.as_str()), (started, ""));
    });
}

#[test]
fn a_wrong_parameter_of_the_list_of_transactions_is_named() {
    with_bank(|bank| async move {
        for (query, status, code, field) in [
            ("?user=alice", 422, "field_required", "realm"),
            ("?realm=retail", 422, "field_required", "user"),
            ("?user=alice@retail&realm=staff", 422, "invalid_field", "realm"),
            ("?state=open", 422, "invalid_field", "state"),
            ("?client=No+Name", 422, "invalid_field", "client"),
            ("?from=yesterday", 422, "invalid_field", "from"),
            ("?to=1", 422, "invalid_field", "to"),
            ("?cursor=x", 422, "invalid_field", "cursor"),
            ("?limit=0", 422, "invalid_field", "limit"),
            ("?limit=1001", 422, "invalid_field", "limit"),
            ("?type=login", 400, "unknown_field", "type"),
        ] {
            let reply = bank.admin("watcher", "GET", &format!("/v1/admin/transactions{query}")).send().await;
            reply.expect_problem(status, code, Some(field));
        }
    });
}

#[test]
fn the_page_of_a_user_shows_devices_and_last_transactions_and_nothing_that_was_said_or_signed() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let secretive = json!({"type": "login", "user": "alice", "message": "to the secret vault"});
        let declined = start(&bank, "portal", &secretive).await;
        phone.decide(&declined, "decline").await.expect(200);
        for _ in 0..19 {
            bank.start_login("alice").await;
            let id = ids(&bank, "?limit=1").await.remove(0);
            phone.decide(&id, "accept").await.expect(200);
        }
        let open = id_of(&bank.start_login("alice").await);
        let of = async |path: &str| {
            bank.admin("watcher", "GET", &format!("/v1/admin/users/{path}")).send().await.expect(200)
        };
        let shown = of("ALICE@retail").await;
        assert_eq!(shown["user"], json!({"id": "alice", "realm": "retail"}));
        assert_eq!(shown["locks"], json!([]));
        let device = &shown["devices"][0];
        assert_eq!((&device["status"], &device["app"]), (&json!("active"), &json!("bank")));
        assert_eq!(device["methods"], json!(["device"]));
        assert!(device["last_used_at"].is_string() && device.get("keys").is_none(), "{device}");
        let last = shown["transactions"].as_array().expect("a list");
        assert_eq!((last.len(), &last[0]["id"]), (20, &json!(open)));
        assert!(!last.iter().any(|one| one["id"] == json!(declined)), "only the last twenty");
        for hidden in ["vault", "jws", "jwk", &"ab".repeat(32)] {
            assert!(!shown.to_string().contains(hidden), "{hidden} in {shown}");
        }

        let device_path = format!("/v1/users/alice/devices/{}", device["device_id"].as_str().expect("an id"));
        bank.portal("DELETE", &device_path).send().await.expect(204);
        let shown = of("alice?realm=retail").await;
        assert_eq!(shown["devices"][0]["status"], "revoked");
        let ended = &shown["transactions"][0];
        assert_eq!((&ended["state"], &ended["reason"]), (&json!("failed"), &json!("device_revoked")));

        let unknown = of("nobody@staff").await;
        assert_eq!((&unknown["devices"], &unknown["transactions"]), (&json!([]), &json!([])));
        for (path, code, field) in [
            ("alice", "field_required", "realm"),
            ("alice?realm=nowhere", "invalid_field", "realm"),
            ("alice@retail?realm=staff", "invalid_field", "realm"),
            ("%07?realm=retail", "invalid_field", "user"),
        ] {
            let refused = bank.admin("watcher", "GET", &format!("/v1/admin/users/{path}")).send().await;
            refused.expect_problem(422, code, Some(field));
        }
    });
}
