//! Letters received by a mail server that is not ours: PyPI's aiosmtpd, over STARTTLS and from the first byte.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use tocsin_config::MailSecurity;
use tocsin_engine::clock::Clock;
use tocsin_engine::protocol::DeliveryOutcome::{Failed, Relayed};
use tocsin_model::DeliveryReason;

use super::rig::{CODE, PASSWORD, deliver, driver, letter, provider, write_certificate};
use crate::provider::ground::{limits, wall_time};

/// A running server that prints its port and then each letter as a line of JSON.
struct Aiosmtpd {
    process: Child,
    lines: BufReader<ChildStdout>,
    port: u16,
}

impl Aiosmtpd {
    fn start(folder: &Path, security: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail/receive_by_aiosmtpd.py");
        let python = std::env::var("PHONE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut process = Command::new(python)
            .arg(script)
            .args([security, "tocsin", PASSWORD])
            .args([folder.join("certificate.pem"), folder.join("key.pem")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python is there: scripts/setup python");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        let port =
            line.trim().parse().unwrap_or_else(|_| panic!("aiosmtpd does not start: scripts/setup python"));
        Self { process, lines, port }
    }

    fn next_letter(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).expect("JSON")
    }
}

impl Drop for Aiosmtpd {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

#[tokio::test]
async fn aiosmtpd_receives_a_letter_over_starttls_and_implicit_tls() {
    for (security, word) in [(MailSecurity::StartTls, "starttls"), (MailSecurity::Implicit, "implicit")] {
        let folder = tempfile::tempdir().expect("a folder");
        let ca_file = write_certificate(folder.path());
        let mut server = Aiosmtpd::start(folder.path(), word);
        let clock = Clock::starting_at(wall_time());
        let right = driver(
            &provider(server.port, security, Some(PASSWORD), Some(ca_file.clone())),
            &limits(),
            &clock,
        );
        for number in [1, 2] {
            let sent = letter(&clock, number);
            assert_eq!(deliver(&*right, sent.clone()).await.outcome, Relayed, "{word}");
            let received = server.next_letter();
            assert_eq!(received["to"], format!("user-{number}@example.com"));
            assert_eq!(received["from"], "no-reply@bank.example");
            assert_eq!(received["subject"], "Your code — Ваш код");
            let text = received["text"].as_str().expect("a text").replace("\r\n", "\n");
            assert_eq!(text.trim_end(), format!("Your code is {CODE}.\n.\nDo not tell it to anybody: ü."));
            let id = format!("<{}.{}@bank.example>", sent.transaction_id, sent.push_id);
            assert_eq!(
                (&received["message-id"], &received["auto-submitted"]),
                (&id.into(), &"auto-generated".into())
            );
            assert_eq!((&received["user"], &received["tls"]), (&"tocsin".into(), &true.into()));
        }
        let snapshot = right.snapshot();
        assert_eq!(snapshot.transport.connects_ok, 1, "both in one session");
        let wrong = driver(&provider(server.port, security, Some("wrong"), Some(ca_file)), &limits(), &clock);
        let report = deliver(&*wrong, letter(&clock, 3)).await;
        assert_eq!(report.outcome, Failed(DeliveryReason::CredentialRefused), "{word}");
    }
}
