//! Callbacks through the doors: in clear to this machine only, and also after an operator's word.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::bank::{id_of, with_configured_bank};
use crate::http::SOON;

/// The client `portal` may be called back at any URL, at this machine too where `networks` lists it.
fn calling_back(networks: &str) -> impl Fn(&str) -> String {
    let keys = format!(
        "[clients.portal]\ncallback_allow_list = false\ncallback_networks = [{networks}]\n\
         webhook_secrets = [\"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]\n"
    );
    move |text| text.replacen("[clients.portal]\n", &keys, 1)
}

/// A portal that takes one callback by plain HTTP; answers with what was sent.
async fn taken(listener: &TcpListener) -> String {
    let receive = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut sent = Vec::new();
        while !sent.ends_with(b"}") {
            let mut chunk = [0; 1_024];
            let count = stream.read(&mut chunk).await.expect("readable");
            assert!(count > 0, "{}", String::from_utf8_lossy(&sent));
            sent.extend_from_slice(&chunk[..count]);
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.expect("answered");
        String::from_utf8(sent).expect("UTF-8")
    };
    tokio::time::timeout(SOON, receive).await.expect("a callback in time")
}

fn login(callback_url: &str) -> Value {
    json!({"type": "login", "user": "alice", "callback_url": callback_url})
}

#[test]
fn a_callback_in_clear_goes_to_this_machine_only_and_only_where_it_is_listed() {
    with_configured_bank(calling_back("\"127.0.0.0/8\""), |bank| async move {
        let _phone = bank.enrol("alice").await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/done", listener.local_addr().expect("an address"));
        let id = id_of(&bank.start(&login(&url)).await.expect(201));
        bank.portal("DELETE", &format!("/v1/transactions/{id}")).send().await.expect(200);
        let sent = taken(&listener).await;
        assert!(sent.starts_with("POST /done HTTP/1.1\r\n") && sent.contains("webhook-signature"), "{sent}");
        for elsewhere in ["http://portal.example/done", "http://192.0.2.1/done"] {
            let refused = bank.start(&login(elsewhere)).await;
            refused.expect_problem(422, "invalid_field", Some("callback_url"));
        }
    });
    with_configured_bank(calling_back(""), |bank| async move {
        let _phone = bank.enrol("alice").await;
        for here in ["http://127.0.0.1:1/done", "http://localhost:1/done", "http://[::1]:1/done"] {
            bank.start(&login(here)).await.expect_problem(422, "invalid_field", Some("callback_url"));
        }
    });
}

#[test]
fn an_operators_cancel_is_told_to_the_portal() {
    with_configured_bank(calling_back("\"127.0.0.1\""), |bank| async move {
        let _phone = bank.enrol("alice").await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/done", listener.local_addr().expect("an address"));
        let id = id_of(&bank.start(&login(&url)).await.expect(201));
        let path = format!("/v1/admin/transactions/{id}/cancel");
        bank.admin("console", "POST", &path).send().await.expect(200);
        let sent = taken(&listener).await;
        assert!(sent.contains(&format!("webhook-id: {id}\r\n")), "{sent}");
        assert!(sent.ends_with(&format!("{{\"id\":\"{id}\"}}")), "{sent}");
        bank.until_metric("tocsin_callbacks_owed 0").await;
    });
}
