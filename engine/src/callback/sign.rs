//! The signature of a callback (Standard Webhooks, symmetric scheme `v1`). Pure.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tocsin_config::WebhookSecret;

/// The value of `webhook-signature`: one signature by each secret, over id, timestamp and body.
pub fn signatures(secrets: &[WebhookSecret], id: &str, timestamp_s: u64, body: &[u8]) -> String {
    let signature = |secret: &WebhookSecret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.key());
        let mut context = hmac::Context::with_key(&key);
        context.update(format!("{id}.{timestamp_s}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign().as_ref()))
    };
    secrets.iter().map(signature).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> WebhookSecret {
        WebhookSecret::parse(text).expect("valid")
    }

    /// The vector of the Standard Webhooks reference libraries.
    #[test]
    fn the_public_vector_comes_out() {
        let secrets = [secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
        let header =
            signatures(&secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    /// The vector of `docs/callbacks.md`.
    #[test]
    fn the_vector_of_the_documents_comes_out() {
        let page = include_str!("../../../docs/callbacks.md");
        let line = |name: &str| {
            let found = page.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            found.unwrap_or_else(|| panic!("no {name} in docs/callbacks.md"))
        };
        let timestamp_s = line("webhook-timestamp").parse().expect("a number");
        let header =
            signatures(&[secret(line("secret"))], line("webhook-id"), timestamp_s, line("body").as_bytes());
        assert_eq!(header, line("webhook-signature"));
    }

    #[test]
    fn each_secret_signs_and_every_part_counts() {
        let (one, other) = (
            secret("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            secret("whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"),
        );
        let both = signatures(&[one.clone(), other.clone()], "id", 1, b"{}");
        let alone: Vec<String> =
            [&one, &other].map(|secret| signatures(std::slice::from_ref(secret), "id", 1, b"{}")).into();
        assert_eq!(both, alone.join(" "));
        assert_ne!(alone[0], alone[1]);
        let by_one = |id, timestamp_s, body| signatures(std::slice::from_ref(&one), id, timestamp_s, body);
        for changed in [by_one("ie", 1, b"{}"), by_one("id", 2, b"{}"), by_one("id", 1, b"[]")] {
            assert_ne!(changed, alone[0]);
        }
    }
}
