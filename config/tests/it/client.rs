//! New clients and tokens.

use aws_lc_rs::digest::{SHA256, digest};
use proptest::prelude::*;
use tocsin_config::{Config, Grant, NewClient, NewToken, Right, Role, WebhookSecret};
use tocsin_model::{ClientId, OperatorName};

use crate::fixture::{SMALL, folder, load, warnings};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_block_loads_and_fits_its_secret(name in "[a-z0-9][a-z0-9._-]{0,63}") {
        prop_assume!(name != "portal");
        let id: ClientId = name.parse().expect("a name");
        let new = NewClient::generate(&id).expect("random numbers");
        let folder = folder();
        let text = format!("{SMALL}\n{}", new.block);
        let config = Config::load_str(&text, folder.path()).expect("a block that loads").config;
        let client = &config.clients[&id];
        let hash = digest(&SHA256, new.secret.expose().as_bytes());
        prop_assert_eq!(&client.secret_sha256[..], hash.as_ref());
        prop_assert_eq!(&client.rights, &[Right::Transactions]);
        prop_assert_eq!(&client.types, &Grant::Only(Vec::new()));
        let webhook_secret = WebhookSecret::parse(new.webhook_secret.expose()).expect("a secret");
        prop_assert_eq!(&client.callbacks.webhook_secrets, &[webhook_secret]);
    }
}

#[test]
fn a_token_block_loads_and_fits_its_token() {
    for (name, role) in [("console", Role::Operate), ("scraper.eu-1", Role::Read)] {
        let name: OperatorName = name.parse().expect("a name");
        let new = NewToken::generate(&name, role).expect("random numbers");
        let loaded = load(&format!("{SMALL}\n{}", new.block));
        let operator = &loaded.config.operators[&name];
        assert_eq!(operator.role, role);
        assert_eq!(&operator.token_sha256[..], digest(&SHA256, new.token.expose().as_bytes()).as_ref());
        assert_eq!(warnings(loaded), []);
        assert!(!new.block.contains(new.token.expose()));
        assert!(!format!("{new:?}").contains(new.token.expose()));
    }
}

#[test]
fn a_secret_is_256_bits_in_base64url_and_never_the_same() {
    let id: ClientId = "shop".parse().expect("a name");
    let (one, other) = (NewClient::generate(&id).expect("random"), NewClient::generate(&id).expect("random"));
    assert_eq!(one.secret.expose().len(), 43);
    assert!(
        one.secret.expose().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    );
    assert_ne!(one.secret.expose(), other.secret.expose());
}

#[test]
fn the_secret_is_neither_in_the_block_nor_in_a_debug_print() {
    let id: ClientId = "shop".parse().expect("a name");
    let new = NewClient::generate(&id).expect("random");
    assert!(!new.block.contains(new.secret.expose()));
    assert!(!format!("{new:?}").contains(new.secret.expose()));
    assert!(!format!("{new:?}").contains(new.webhook_secret.expose()));
}

#[test]
fn a_pasted_block_warns_that_it_may_start_nothing() {
    let id: ClientId = "shop".parse().expect("a name");
    let new = NewClient::generate(&id).expect("random");
    let warnings = warnings(load(&format!("{SMALL}{}", new.block)));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].message.contains("realms, apps and types are empty"), "{warnings:?}");
}
