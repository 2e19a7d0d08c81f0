//! Slow callers, floods, addresses and rates: each is answered or cut, counted, and disturbs nobody else.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bank::{Bank, secret_of, with_configured_bank};
use crate::http::{Call, SOON};
use crate::pki::{TLS, TlsClient};
use crate::raw::{Connection, authorization_line};

/// A configuration with more keys at the head of a table.
fn with_keys<'a>(table: &'a str, keys: &'a str) -> impl Fn(&str) -> String + 'a {
    move |text| {
        assert!(text.contains(&format!("{table}\n")), "no {table}");
        text.replacen(&format!("{table}\n"), &format!("{table}\n{keys}"), 1)
    }
}

async fn until_refused(bank: &Bank, kind: &str, door: &str, reason: &str, count: u32) {
    let name = format!("tocsin_http_{kind}_refused_total");
    bank.until_metric(&format!("{name}{{door=\"{door}\",reason=\"{reason}\"}} {count}")).await;
}

#[test]
fn a_head_that_drips_is_cut_and_others_are_served() {
    with_configured_bank(with_keys("[portal]", "head_timeout_ms = 300\n"), |bank| async move {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(bank.addresses().portal).await.expect("connected");
        stream.write_all(b"GET /v1/transactions HTTP/1.1\r\nhost: x\r\n").await.expect("sent");
        let (mut reader, mut writer) = stream.into_split();
        let drip = async {
            while writer.write_all(b"x-drip: 1\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let cut = async {
            let mut rest = Vec::new();
            let _ = reader.read_to_end(&mut rest).await;
            rest
        };
        let (_, rest) = tokio::time::timeout(SOON, async { tokio::join!(drip, cut) }).await.expect("cut");
        assert!(rest.is_empty() && begun.elapsed() >= Duration::from_millis(300));
        until_refused(&bank, "connections", "portal", "slow_head", 1).await;
        bank.portal("GET", "/v1/users/alice/devices").send().await.expect(200);
    });
}

#[test]
fn the_second_head_of_a_connection_has_its_time_too() {
    with_configured_bank(with_keys("[ops]", "head_timeout_ms = 300\n"), |bank| async move {
        let mut connection = Connection::open(bank.addresses().ops).await;
        connection.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let reply = connection.reply().await;
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        connection.send(b"GET /hea").await;
        assert_eq!(connection.reply().await, "", "closed without a word");
        until_refused(&bank, "connections", "ops", "slow_head", 1).await;
    });
}

#[test]
fn a_body_that_does_not_come_is_a_problem() {
    with_configured_bank(with_keys("[device]", "body_timeout_ms = 200\n"), |bank| async move {
        let mut connection = Connection::open(bank.addresses().device).await;
        let head = "POST /device/v1/enrollments HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                    content-length: 100\r\n\r\n{\"activation_code\":";
        connection.send(head.as_bytes()).await;
        let reply = connection.reply().await;
        assert!(reply.starts_with("HTTP/1.1 400") && reply.contains("did not come in time"), "{reply}");
        assert!(reply.contains("connection: close"), "{reply}");
    });
}

#[test]
fn a_head_beyond_its_bounds_is_431() {
    let keys = "headers_max = 16\nhead_bytes_max = 2048\n";
    with_configured_bank(with_keys("[ops]", keys), |bank| async move {
        let send = async |fields: String| {
            let mut connection = Connection::open(bank.addresses().ops).await;
            connection.send(format!("GET /healthz HTTP/1.1\r\n{fields}\r\n").as_bytes()).await;
            connection.reply().await
        };
        let fields = |count: usize| (0..count).map(|index| format!("x-{index}: 1\r\n")).collect::<String>();
        let reply = send(fields(16)).await;
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        for fields in [fields(17), format!("x-long: {}\r\n", "a".repeat(2_048))] {
            let reply = send(fields).await;
            assert!(reply.starts_with("HTTP/1.1 431") && reply.contains("headers_too_large"), "{reply}");
            assert!(reply.contains("x-request-id"), "{reply}");
        }
        until_refused(&bank, "requests", "ops", "headers_too_large", 2).await;
        let reply = send(fields(200)).await;
        assert!(reply.starts_with("HTTP/1.1 431"), "{reply}");
    });
}

/// A connection that has been answered once, so that it surely is counted.
async fn held(address: SocketAddr) -> Connection {
    let mut connection = Connection::open(address).await;
    connection.send(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let reply = connection.reply().await;
    assert!(reply.starts_with("HTTP/1.1 404"), "{reply}");
    connection
}

#[test]
fn a_connection_beyond_the_bound_of_its_address_is_429_and_one_that_ends_makes_room() {
    with_configured_bank(with_keys("[device]", "connections_per_address_max = 2\n"), |bank| async move {
        let address = bank.addresses().device;
        let (first, _second) = (held(address).await, held(address).await);
        Call::new("GET", address, "/nowhere").send().await.expect_problem(429, "rate_limited", None);
        until_refused(&bank, "connections", "device", "address_full", 1).await;
        drop(first);
        bank.until_metric("tocsin_http_connections{door=\"device\"} 1").await;
        Call::new("GET", address, "/nowhere").send().await.expect_problem(404, "not_found", None);
    });
}

#[test]
fn a_connection_beyond_the_bound_of_the_door_is_503() {
    with_configured_bank(with_keys("[device]", "connections_max = 1\n"), |bank| async move {
        let _first = held(bank.addresses().device).await;
        Call::new("GET", bank.addresses().device, "/nowhere").send().await.expect_problem(503, "busy", None);
        until_refused(&bank, "connections", "device", "full", 1).await;
    });
}

#[test]
fn a_client_calls_from_its_networks_only() {
    let networks = with_keys("[clients.portal]", "networks = [\"127.0.0.2\"]\n");
    with_configured_bank(networks, |bank| async move {
        let call = || bank.portal("GET", "/v1/users/alice/devices");
        call().send().await.expect_problem(403, "address_not_allowed", None);
        // Nobody's word counts who is not a trusted proxy.
        let pretending = call().header("x-forwarded-for", "127.0.0.2").send().await;
        pretending.expect_problem(403, "address_not_allowed", None);
        let wrong = Call::new("GET", bank.addresses().portal, "/v1/users/alice/devices").basic("portal", "x");
        wrong.send().await.expect_problem(401, "invalid_client", None);
        until_refused(&bank, "requests", "portal", "address_not_allowed", 2).await;
    });
}

#[test]
fn a_trusted_proxy_tells_from_where_a_call_comes() {
    let change = |text: &str| {
        let text = with_keys("[clients.portal]", "networks = [\"192.0.2.0/24\"]\n")(text);
        with_keys("[portal]", "trusted_proxies = [\"127.0.0.0/8\"]\n")(&text)
    };
    with_configured_bank(change, |bank| async move {
        let call = || bank.portal("GET", "/v1/users/alice/devices");
        for (name, value, is_allowed) in [
            ("x-forwarded-for", "192.0.2.9", true),
            ("x-forwarded-for", "192.0.2.9, 203.0.113.1", false),
            ("forwarded", "for=203.0.113.1, for=\"192.0.2.9:4711\";proto=https", true),
            ("forwarded", "for=unknown", false),
        ] {
            let reply = call().header(name, value).send().await;
            if is_allowed {
                reply.expect(200);
            } else {
                reply.expect_problem(403, "address_not_allowed", None);
            }
        }
        call().send().await.expect_problem(403, "address_not_allowed", None);
    });
}

#[test]
fn no_header_of_the_caller_passes_it_off_as_the_proxy_where_that_is_allowed() {
    let change = |text: &str| {
        let networks = "networks = [\"127.0.0.0/8\"]\n";
        let text = with_keys("[clients.portal]", networks)(text);
        let text = with_keys("[ops.tokens.watcher]", networks)(&text);
        let proxies = "trusted_proxies = [\"127.0.0.1/32\"]\n";
        with_keys("[ops]", proxies)(&with_keys("[portal]", proxies)(&text))
    };
    with_configured_bank(change, |bank| async move {
        let authorization = authorization_line();
        let bearer = format!("authorization: Bearer {}\r\n", secret_of("watcher"));
        let doors = [
            (bank.addresses().portal, "/v1/users/alice/devices", authorization),
            (bank.addresses().ops, "/v1/admin/config", bearer),
        ];
        for (address, path, authorization) in doors {
            for (fields, is_allowed) in [
                // The proxy's own call, and one of a machine beside it.
                ("", true),
                ("X-Forwarded-For: 127.0.0.9\r\n", true),
                // What the proxy says of a stranger, alone and beside what the stranger has written.
                ("X-Forwarded-For: 203.0.113.9\r\n", false),
                ("Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 203.0.113.9\r\n", false),
                ("Forwarded: for=\"\r\nForwarded: for=203.0.113.9\r\n", false),
                ("Forwarded: for=_hidden\r\nX-Forwarded-For: 203.0.113.9\r\n", false),
            ] {
                let mut connection = Connection::open(address).await;
                let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{authorization}{fields}\r\n");
                connection.send(head.as_bytes()).await;
                let reply = connection.reply().await;
                let status = if is_allowed { "HTTP/1.1 200" } else { "HTTP/1.1 403" };
                assert!(reply.starts_with(status), "{fields}{reply}");
                assert_eq!(reply.contains("address_not_allowed"), !is_allowed, "{reply}");
            }
        }
    });
}

#[test]
fn an_operator_calls_from_its_networks_only() {
    with_configured_bank(
        with_keys("[ops.tokens.watcher]", "networks = [\"127.0.0.2\"]\n"),
        |bank| async move {
            let call = bank.ops("/v1/admin/config").bearer(&secret_of("watcher"));
            call.send().await.expect_problem(403, "address_not_allowed", None);
            until_refused(&bank, "requests", "ops", "address_not_allowed", 1).await;
        },
    );
}

#[test]
fn a_client_makes_no_more_calls_than_it_may_and_others_do() {
    with_configured_bank(with_keys("[clients.portal]", "calls_per_minute_max = 2\n"), |bank| async move {
        let path = "/v1/users/alice/devices";
        for _ in 0..2 {
            bank.portal("GET", path).send().await.expect(200);
        }
        let refused = bank.portal("GET", path).send().await;
        let wait_ms = refused.expect_problem(429, "rate_limited", None)["retry_after_ms"].as_u64();
        assert!(wait_ms.is_some_and(|wait_ms| (1..=30_000).contains(&wait_ms)), "{wait_ms:?}");
        bank.portal_as("other", "GET", path).send().await.expect(200);
        until_refused(&bank, "requests", "portal", "client_rate", 1).await;
    });
}

#[test]
fn a_user_and_a_realm_are_not_asked_more_often_than_they_may() {
    let keys = "starts_per_user_per_minute_max = 2\nstarts_per_minute_max = 3\n";
    with_configured_bank(with_keys("[realms.retail]", keys), |bank| async move {
        let start = async |user: &str| bank.start(&json!({"type": "login", "user": user})).await;
        for _ in 0..2 {
            start("alice").await.expect_problem(422, "no_device", None);
        }
        start("ALICE").await.expect_problem(429, "rate_limited", None);
        until_refused(&bank, "requests", "portal", "user_rate", 1).await;
        start("bob").await.expect_problem(422, "no_device", None);
        start("carol").await.expect_problem(429, "rate_limited", None);
        until_refused(&bank, "requests", "portal", "realm_rate", 1).await;
        let body = json!({"user": "dave", "app": "bank"});
        let enrolment = bank.portal("POST", "/v1/enrollments").json(&body).send().await;
        enrolment.expect_problem(429, "rate_limited", None);
    });
}

#[test]
fn a_repeat_under_its_idempotency_key_is_no_start() {
    let keys = "starts_per_user_per_minute_max = 3\n";
    with_configured_bank(with_keys("[realms.retail]", keys), |bank| async move {
        let body = json!({"user": "bob", "app": "bank"});
        let enrol = async |key: &str| {
            let key = format!("enrol-{key}");
            bank.portal("POST", "/v1/enrollments").header("idempotency-key", &key).json(&body).send().await
        };
        let phone = bank.enrol("alice").await;
        let start = json!({"type": "login", "user": "alice"});
        let begin = async |key: &str| {
            let call = bank.portal("POST", "/v1/transactions").header("idempotency-key", key);
            call.json(&start).send().await
        };
        let (first, enrolment) = (begin("a").await.expect(201), enrol("a").await.expect(201));
        for _ in 0..4 {
            assert_eq!(begin("a").await.expect(200)["id"], first["id"]);
            assert_eq!(enrol("a").await.expect(200)["id"], enrolment["id"]);
        }
        begin("b").await.expect(201);
        begin("c").await.expect_problem(429, "rate_limited", None);
        for key in ["b", "c"] {
            enrol(key).await.expect(201);
        }
        enrol("d").await.expect_problem(429, "rate_limited", None);
        until_refused(&bank, "requests", "portal", "user_rate", 2).await;
        drop(phone);
    });
}

#[test]
fn an_address_at_the_device_door_has_its_rate_and_the_ops_door_has_none() {
    with_configured_bank(
        with_keys("[device]", "calls_per_address_per_minute_max = 3\n"),
        |bank| async move {
            for _ in 0..3 {
                bank.device("GET", "/device/v1/device").send().await.expect_problem(401, "bad_proof", None);
            }
            bank.device("GET", "/device/v1/device").send().await.expect_problem(429, "rate_limited", None);
            until_refused(&bank, "requests", "device", "address_rate", 1).await;
            for _ in 0..10 {
                bank.ops("/healthz").send().await.expect(200);
            }
        },
    );
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Kind and payload of each whole frame.
fn frames(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while let Some(head) = bytes.get(..9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some(payload) = bytes.get(9..9 + length) else { break };
        frames.push((head[3], payload));
        bytes = &bytes[9 + length..];
    }
    frames
}

#[test]
fn streams_are_bounded_and_a_flood_of_resets_ends_the_connection() {
    const SETTINGS: u8 = 4;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const GOAWAY: u8 = 7;
    with_configured_bank(with_keys("[device]", TLS), |bank| async move {
        let client = TlsClient::new(bank.folder.path());
        let mut stream =
            client.clone().speaking(&[b"h2"]).connect(bank.addresses().device).await.expect("connected");
        let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        flood.extend(frame(SETTINGS, 0, 0, &[]));
        for index in 0..200 {
            let id = 2 * index + 1;
            // :method POST, :scheme https, :path / of the static table; END_HEADERS; then CANCEL.
            flood.extend(frame(HEADERS, 4, id, &[0x83, 0x87, 0x84]));
            flood.extend(frame(RST_STREAM, 0, id, &[0, 0, 0, 8]));
        }
        stream.write_all(&flood).await.expect("sent");
        let mut said = Vec::new();
        // How the server closes is no matter; that it does is.
        let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut said)).await.expect("an end in time");
        let frames = frames(&said);
        let settings = frames.iter().find(|(kind, _)| *kind == SETTINGS).expect("settings").1;
        let streams_max = settings.chunks_exact(6).find(|setting| setting[..2] == [0, 3]).expect("a bound");
        assert_eq!(streams_max[2..], [0, 0, 0, 16]);
        let farewell = frames.iter().find(|(kind, _)| *kind == GOAWAY).expect("a farewell").1;
        assert_eq!(farewell[4..8], [0, 0, 0, 11], "ENHANCE_YOUR_CALM");
        until_refused(&bank, "connections", "device", "protocol", 1).await;
        let other = client.get(bank.addresses().device, "/nowhere", "").await.expect("a reply");
        assert_eq!(other.status, 404);
    });
}
