//! Server-sent events of a transaction.

use std::time::Duration;

use serde_json::Value;

use crate::bank::{Bank, id_of, with_bank, with_configured_bank};
use crate::raw::{Connection, authorization_line};

/// Opens a stream; `more` are further header lines.
async fn listen(bank: &Bank, id: &str, more: &str) -> Connection {
    let mut connection = Connection::open(bank.addresses().portal).await;
    let request =
        format!("GET /v1/transactions/{id}/events HTTP/1.1\r\nhost: x\r\n{}{more}\r\n", authorization_line());
    connection.send(request.as_bytes()).await;
    connection
}

/// The events in what came so far: id and view.
fn events(text: &str) -> Vec<(u64, Value)> {
    let blocks = text.split("event: transaction\n").skip(1);
    blocks
        .filter_map(|block| {
            let (id, rest) = block.strip_prefix("id: ")?.split_once('\n')?;
            let data = rest.strip_prefix("data: ")?.split_once("\n\n")?.0;
            Some((id.parse().ok()?, serde_json::from_str(data).expect("JSON on one line")))
        })
        .collect()
}

/// Whether the last chunk has come.
fn is_over(text: &str) -> bool {
    text.ends_with("0\r\n\r\n")
}

#[test]
fn a_stream_tells_the_present_view_then_changes_then_the_outcome_and_ends() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        bank.until(&id, |view| view["delivery"][0]["status"] == "relayed").await;
        let mut stream = listen(&bank, &id, "").await;
        let begun = stream.until(|text| !events(text).is_empty()).await;
        assert!(begun.starts_with("HTTP/1.1 200"), "{begun}");
        for line in ["content-type: text/event-stream\r\n", "cache-control: no-store\r\n", "x-request-id: "] {
            assert!(begun.contains(line), "{line}: {begun}");
        }
        let (first, view) = events(&begun)[0].clone();
        assert_eq!((view["state"].as_str(), view["revision"].as_u64()), (Some("pending"), Some(first)));
        assert_eq!(view, bank.view(&id).await);
        phone.decide(&id, "accept").await.expect(200);
        let whole = stream.until(is_over).await;
        let told = events(&whole);
        assert!(told.windows(2).all(|pair| pair[0].0 < pair[1].0), "{whole}");
        let (last, view) = told.last().expect("an outcome");
        assert_eq!((view["state"].as_str(), view["revision"].as_u64()), (Some("accepted"), Some(*last)));
        assert_eq!(told.iter().filter(|(_, view)| view["state"] != "pending").count(), 1);
    });
}

#[test]
fn a_stream_of_a_final_transaction_tells_its_outcome_and_ends() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        phone.decide(&id, "decline").await.expect(200);
        let whole = listen(&bank, &id, "").await.until(is_over).await;
        let told = events(&whole);
        assert_eq!(told.len(), 1, "{whole}");
        assert_eq!(told[0].1["state"], "declined");
        for beyond in [told[0].0, told[0].0 + 1, 4_294_967_295] {
            let header = format!("last-event-id: {beyond}\r\n");
            let nothing = listen(&bank, &id, &header).await.until(is_over).await;
            assert!(nothing.starts_with("HTTP/1.1 200") && events(&nothing).is_empty(), "{nothing}");
        }
        for before in ["0", "1", "nonsense", "-1"] {
            let header = format!("last-event-id: {before}\r\n");
            let again = listen(&bank, &id, &header).await.until(is_over).await;
            assert_eq!(events(&again), told, "{before}");
        }
    });
}

#[test]
fn who_comes_again_hears_only_what_is_new() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let view = bank.until(&id, |view| view["delivery"][0]["status"] == "relayed").await;
        let seen = view["revision"].as_u64().expect("a revision");
        let mut stream = listen(&bank, &id, &format!("last-event-id: {seen}\r\n")).await;
        bank.until_metric("tocsin_waiters 1").await;
        phone.decide(&id, "accept").await.expect(200);
        let told = events(&stream.until(is_over).await);
        assert!(told.iter().all(|(revision, _)| *revision > seen), "{told:?}");
        assert_eq!(told.last().expect("the outcome").1["state"], "accepted");
    });
}

#[test]
fn streams_are_bounded_by_client_with_429_and_a_place_comes_back() {
    let narrow = |text: &str| text.replacen("[engine]", "[engine]\nevent_streams_per_client_max = 1", 1);
    with_configured_bank(narrow, |bank| async move {
        let _phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let path = format!("/v1/transactions/{id}/events");
        let mut stream = listen(&bank, &id, "").await;
        stream.until(|text| !events(text).is_empty()).await;
        bank.portal("GET", &path).send().await.expect_problem(429, "rate_limited", None);
        bank.portal_as("other", "GET", &path).send().await.expect_problem(404, "not_found", None);
        drop(stream);
        bank.until_metric("tocsin_waiters 0").await;
        listen(&bank, &id, "").await.until(|text| !events(text).is_empty()).await;
    });
}

#[test]
fn a_drain_ends_streams_and_waits_for_their_end() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let mut stream = listen(&bank, &id, "").await;
        stream.until(|text| !events(text).is_empty()).await;
        assert_eq!(bank.doors.drain(Duration::from_secs(10)).await, 0);
        assert!(is_over(&stream.until(is_over).await));
    });
}

#[test]
fn a_parameter_or_another_method_is_refused() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        let path = format!("/v1/transactions/{id}/events");
        let query = bank.portal("GET", &format!("{path}?wait_s=1")).send().await;
        query.expect_problem(400, "unknown_field", Some("wait_s"));
        let method = bank.portal("POST", &path).send().await;
        method.expect_problem(405, "http_method_not_allowed", None);
    });
}
