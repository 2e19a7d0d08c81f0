//! Doors that speak TLS: protocols, resumption, renewal, certificates of callers.

use std::fs;

use hyper::Version;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bank::{Bank, basic_of, with_configured_bank};
use crate::http::SOON;
use crate::pki::{Pki, TLS, TlsClient};

/// The device door with TLS.
fn device_with_tls(text: &str) -> String {
    text.replacen("[device]\n", &format!("[device]\n{TLS}"), 1)
}

/// The portal door with TLS that asks for certificates, and the client `portal` with more keys.
fn portal_with_certificates(text: &str, door: &str, client: &str) -> String {
    let door = format!("[portal]\n{TLS}client_ca_file = \"tls/ca.pem\"\n{door}");
    text.replacen("[portal]\n", &door, 1).replacen(
        "[clients.portal]\n",
        &format!("[clients.portal]\n{client}"),
        1,
    )
}

async fn refused_by(bank: &Bank, reason: &str) {
    bank.until_metric(&format!("tocsin_http_connections_refused_total{{{reason}}} 1")).await;
}

#[test]
fn both_versions_of_http_are_spoken_as_the_caller_likes() {
    with_configured_bank(device_with_tls, |bank| async move {
        let client = TlsClient::new(bank.folder.path());
        for (protocols, version) in [
            (&[b"h2".as_slice(), b"http/1.1"][..], Version::HTTP_2),
            (&[b"http/1.1".as_slice()][..], Version::HTTP_11),
            (&[][..], Version::HTTP_11),
        ] {
            let client = client.clone().speaking(protocols);
            let seen = client.get(bank.addresses().device, "/nowhere", "").await.expect("a reply");
            assert_eq!((seen.version, seen.status), (version, 404), "{}", seen.text);
            assert!(seen.text.contains("\"code\":\"not_found\""), "{}", seen.text);
        }
        assert!(bank.issuer.starts_with("https://"), "{}", bank.issuer);
    });
}

#[test]
fn sessions_are_resumed_in_both_versions_of_tls() {
    with_configured_bank(device_with_tls, |bank| async move {
        let folder = bank.folder.path();
        for client in [TlsClient::new(folder), TlsClient::of_tls12(folder)] {
            let first = client.get(bank.addresses().device, "/nowhere", "").await.expect("a reply");
            let second = client.get(bank.addresses().device, "/nowhere", "").await.expect("a reply");
            assert_eq!((first.is_resumed, second.is_resumed), (false, true));
        }
        for kind in ["full", "resumed"] {
            bank.until_metric(&format!("tocsin_tls_handshakes_total{{door=\"device\",kind=\"{kind}\"}} 2"))
                .await;
        }
    });
}

#[test]
fn plain_http_is_not_answered_by_a_door_with_tls() {
    with_configured_bank(device_with_tls, |bank| async move {
        let mut stream = TcpStream::connect(bank.addresses().device).await.expect("connected");
        stream.write_all(b"GET /device/v1/device HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        let mut reply = Vec::new();
        let read = tokio::time::timeout(SOON, stream.read_to_end(&mut reply)).await.expect("an end in time");
        assert!(read.is_err() || !String::from_utf8_lossy(&reply).contains("HTTP"), "{reply:?}");
        refused_by(&bank, "door=\"device\",reason=\"handshake\"").await;
    });
}

#[test]
fn a_handshake_that_does_not_begin_is_cut() {
    let change =
        |text: &str| device_with_tls(text).replacen(TLS, &format!("{TLS}head_timeout_ms = 100\n"), 1);
    with_configured_bank(change, |bank| async move {
        let mut stream = TcpStream::connect(bank.addresses().device).await.expect("connected");
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await.expect("an end in time");
        assert!(ended.is_err() || rest.is_empty());
        refused_by(&bank, "door=\"device\",reason=\"handshake_timeout\"").await;
    });
}

#[test]
fn a_new_certificate_is_shown_and_a_bad_one_refused_while_the_old_one_stays() {
    with_configured_bank(device_with_tls, |bank| async move {
        let (folder, address) = (bank.folder.path(), bank.addresses().device);
        let shown =
            async || TlsClient::new(folder).get(address, "/nowhere", "").await.expect("a reply").certificate;
        let first = shown().await;
        assert!(bank.doors.certificates().reload().is_ok(), "nothing has changed");
        assert_eq!(shown().await, first);
        Pki::new().write(folder);
        bank.doors.certificates().reload().expect("a new pair");
        let second = shown().await;
        assert_ne!(second, first);
        fs::write(folder.join("tls/door.key"), "half of a ke").expect("written");
        let faults = bank.doors.certificates().reload().expect_err("no key");
        let (door, error) = &faults[0];
        assert_eq!(door.as_str(), "device");
        assert!(error.to_string().contains("door.key holds no private key"), "{error}");
        assert_eq!(shown().await, second);
        for result in ["renewed", "refused"] {
            let line = format!("tocsin_certificate_reloads_total{{door=\"device\",result=\"{result}\"}} 1");
            bank.until_metric(&line).await;
        }
        let metrics = bank.ops("/metrics").send().await.text;
        assert!(
            metrics.contains("tocsin_certificate_expiry_timestamp_seconds{door=\"device\"}"),
            "{metrics}"
        );
    });
}

#[test]
fn each_spoiled_file_of_a_door_is_refused_by_its_name_and_the_door_stays_as_it_was() {
    let change = |text: &str| portal_with_certificates(text, "", "");
    with_configured_bank(change, |bank| async move {
        let (folder, address) = (bank.folder.path(), bank.addresses().portal);
        let client = TlsClient::showing(folder, Some("shop"));
        let shown = async || {
            let reply = client.get(address, "/v1/users/alice/devices", &basic_of("portal")).await;
            let reply = reply.expect("the caller's certificate is trusted still");
            assert_eq!(reply.status, 200, "{}", reply.text);
            reply.certificate
        };
        let first = shown().await;
        let key_of_another = fs::read_to_string(folder.join("tls/shop.key")).expect("a key");
        for (file, bad) in [
            ("door.pem", "no certificate"),
            ("door.key", "half of a ke"),
            ("door.key", &key_of_another),
            ("ca.pem", "no authority"),
        ] {
            let path = folder.join("tls").join(file);
            let good = fs::read(&path).expect("a file");
            fs::write(&path, bad).expect("written");
            let faults = bank.doors.certificates().reload().expect_err("spoiled");
            assert_eq!((faults.len(), faults[0].0.as_str()), (1, "portal"));
            let told = faults[0].1.to_string();
            assert!(told.contains(file) && !told.contains("PRIVATE"), "{told}");
            assert_eq!(shown().await, first);
            fs::write(&path, good).expect("written");
            assert!(bank.doors.certificates().reload().is_ok());
        }
    });
}

#[test]
fn a_portal_without_a_certificate_is_not_heard_where_one_is_required() {
    let change = |text: &str| portal_with_certificates(text, "", "");
    with_configured_bank(change, |bank| async move {
        let (folder, address) = (bank.folder.path(), bank.addresses().portal);
        let path = "/v1/users/alice/devices";
        let without = TlsClient::new(folder).get(address, path, &basic_of("portal")).await;
        assert!(without.is_err(), "{without:?}");
        refused_by(&bank, "door=\"portal\",reason=\"handshake\"").await;
        let client = TlsClient::showing(folder, Some("shop"));
        for call in ["first", "second"] {
            let with = client.get(address, path, &basic_of("portal")).await.expect("a reply");
            assert_eq!((with.status, with.is_resumed), (200, false), "{call}: {}", with.text);
        }
    });
}

#[test]
fn a_certificate_of_a_foreign_authority_is_refused() {
    let change = |text: &str| portal_with_certificates(text, "client_certificate = \"optional\"\n", "");
    with_configured_bank(change, |bank| async move {
        let foreign = tempfile::tempdir().expect("a folder");
        Pki::new().write(foreign.path());
        fs::copy(bank.folder.path().join("tls/ca.pem"), foreign.path().join("tls/ca.pem")).expect("copied");
        let client = TlsClient::showing(foreign.path(), Some("shop"));
        let reply = client.get(bank.addresses().portal, "/v1/users/alice/devices", &basic_of("portal")).await;
        assert!(reply.is_err(), "{reply:?}");
    });
}

#[test]
fn a_client_is_bound_to_its_certificate() {
    let client = "certificate_names = [\"shop.example.com\"]\n";
    let change = |text: &str| portal_with_certificates(text, "client_certificate = \"optional\"\n", client);
    with_configured_bank(change, |bank| async move {
        let (folder, address) = (bank.folder.path(), bank.addresses().portal);
        for (shown, who, status) in [
            (Some("shop"), "portal", 200),
            (Some("other"), "portal", 401),
            (None, "portal", 401),
            (None, "other", 200),
        ] {
            let client = TlsClient::showing(folder, shown);
            let reply =
                client.get(address, "/v1/users/alice/devices", &basic_of(who)).await.expect("a reply");
            assert_eq!(reply.status, status, "{who} with {shown:?}: {}", reply.text);
            assert_eq!(reply.text.contains("invalid_client"), status == 401, "{}", reply.text);
        }
        let line = "tocsin_http_requests_refused_total{door=\"portal\",reason=\"certificate\"} 2";
        bank.until_metric(line).await;
    });
}
