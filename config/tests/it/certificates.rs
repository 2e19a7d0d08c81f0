//! Certificates of the doors: what is refused with its place, and what is worth a word.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    generate_simple_self_signed,
};
use tempfile::TempDir;
use tocsin_config::{Config, Faults, Loaded};

use crate::fixture::make_private;

/// The names that the certificates of the tests are for: the hosts in `default.toml`.
const NAMES: [&str; 3] = ["push-portal.example.com", "push.example.com", "push-ops.example.com"];

/// Certificate, key and authority of all tests, made once: keys cost time.
struct Made {
    authority: String,
    chain: String,
    key: String,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().expect("a key"))
            .expect("an authority");
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let names = NAMES.map(str::to_owned).to_vec();
        let mut parameters = CertificateParams::new(names).expect("names");
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "door");
        let certificate = parameters.signed_by(&key, &authority).expect("signed");
        Made {
            authority: authority.pem(),
            chain: format!("{}{}", certificate.pem(), authority.pem()),
            key: key.serialize_pem(),
        }
    })
}

/// The files that `default.toml` names.
pub fn write(folder: &Path) {
    fs::create_dir(folder).expect("a folder");
    for door in ["portal", "device", "ops"] {
        fs::write(folder.join(format!("{door}.pem")), &made().chain).expect("written");
        let key = folder.join(format!("{door}.key"));
        fs::write(&key, &made().key).expect("written");
        make_private(&key);
    }
    fs::write(folder.join("portal-clients-ca.pem"), &made().authority).expect("written");
}

const DEVICE: &str = "[device]\ncertificate_file = \"tls/device.pem\"\nkey_file = \"tls/device.key\"\n";

fn load_in(folder: &TempDir, text: &str) -> Result<Loaded, Faults> {
    Config::load_str(text, folder.path())
}

/// The only fault of `text` after `spoil` was at work in the folder of certificates.
#[track_caller]
fn fault(text: &str, spoil: impl FnOnce(&Path)) -> (Option<usize>, String, String) {
    let folder = crate::fixture::folder();
    spoil(&folder.path().join("tls"));
    let faults = load_in(&folder, text).expect_err("a fault");
    let mut found = faults.iter();
    let first = found.next().expect("a fault");
    assert!(found.next().is_none(), "{faults}");
    (first.place.line, first.key.clone(), first.message.clone())
}

fn warnings(text: &str, spoil: impl FnOnce(&Path)) -> Vec<String> {
    let folder = crate::fixture::folder();
    spoil(&folder.path().join("tls"));
    let loaded = load_in(&folder, text).unwrap_or_else(|faults| panic!("{faults}"));
    loaded.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_door_with_certificate_and_key_needs_no_proxy() {
    let folder = crate::fixture::folder();
    let text = format!("{DEVICE}address = \"0.0.0.0:8441\"\npublic_url = \"https://push.example.com\"\n");
    let loaded = load_in(&folder, &text).unwrap_or_else(|faults| panic!("{faults}"));
    let tls = loaded.config.device.tls.clone().expect("TLS");
    assert_eq!(tls.key_file, folder.path().join("tls/device.key"));
    let told = loaded.warnings.iter().any(|warning| warning.key.contains("certificate"));
    assert!(!told, "{:?}", loaded.warnings);
}

#[test]
fn a_certificate_without_its_key_and_a_key_alone_are_faults() {
    let found = fault("[device]\ncertificate_file = \"tls/device.pem\"\n", |_| {});
    assert_eq!((found.0, found.1.as_str()), (Some(2), "device.key_file"), "{}", found.2);
    let found = fault("[ops]\nkey_file = \"tls/ops.key\"\n", |_| {});
    assert_eq!((found.0, found.1.as_str()), (Some(2), "ops.certificate_file"), "{}", found.2);
}

#[test]
fn files_without_certificate_or_key_are_faults_at_their_line() {
    let found = fault(DEVICE, |tls| fs::write(tls.join("device.pem"), "no PEM").expect("written"));
    assert_eq!((found.0, found.1.as_str()), (Some(2), "device.certificate_file"));
    assert!(found.2.contains("device.pem holds no certificate in PEM"), "{}", found.2);
    let found = fault(DEVICE, |tls| fs::write(tls.join("device.key"), &made().chain).expect("written"));
    assert_eq!((found.0, found.1.as_str()), (Some(3), "device.key_file"));
    assert!(found.2.contains("holds no private key in PEM"), "{}", found.2);
}

#[test]
fn a_key_of_another_certificate_is_a_fault_that_does_not_show_it() {
    let other = KeyPair::generate().expect("a key").serialize_pem();
    let found = fault(DEVICE, |tls| fs::write(tls.join("device.key"), &other).expect("written"));
    assert_eq!((found.0, found.1.as_str()), (Some(3), "device.key_file"));
    assert!(found.2.contains("is not that of the first certificate"), "{}", found.2);
    assert!(!found.2.contains(other.lines().nth(1).expect("a line")), "{}", found.2);
}

#[cfg(unix)]
#[test]
fn a_key_that_everybody_may_read_is_a_fault() {
    use std::os::unix::fs::PermissionsExt;
    let found = fault(DEVICE, |tls| {
        fs::set_permissions(tls.join("device.key"), fs::Permissions::from_mode(0o644)).expect("our file");
    });
    assert_eq!((found.0, found.1.as_str()), (Some(3), "device.key_file"));
    assert!(found.2.contains("chmod o-rwx"), "{}", found.2);
}

#[test]
fn tls_and_a_proxy_that_ends_it_contradict_each_other() {
    let found = fault(&format!("{DEVICE}plaintext = \"behind-proxy\"\n"), |_| {});
    assert_eq!((found.0, found.1.as_str()), (Some(4), "device.plaintext"), "{}", found.2);
}

#[test]
fn a_door_with_tls_has_an_https_url() {
    let found = fault(&format!("{DEVICE}public_url = \"http://localhost:8441\"\n"), |_| {});
    assert_eq!((found.0, found.1.as_str()), (Some(4), "device.public_url"), "{}", found.2);
}

#[test]
fn a_self_signed_certificate_at_the_device_door_is_a_warning() {
    let self_signed = |name: &str| {
        let made = generate_simple_self_signed(vec![name.to_owned()]).expect("made");
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        move |tls: &Path| {
            fs::write(tls.join("device.pem"), certificate).expect("written");
            fs::write(tls.join("device.key"), key).expect("written");
        }
    };
    let found = warnings(DEVICE, self_signed("push.example.com"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("tocsin.toml:2:20: device.certificate_file: is self-signed"), "{found:?}");
    let with_url = format!("{DEVICE}public_url = \"https://push.example.com\"\n");
    let found = warnings(&with_url, self_signed("other.example.com"));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|warning| warning.contains("is not for push.example.com")), "{found:?}");
}

#[test]
fn certificates_of_callers_need_tls_and_authorities() {
    let found = fault("[portal]\nclient_ca_file = \"tls/portal-clients-ca.pem\"\n", |_| {});
    assert_eq!((found.0, found.1.as_str()), (Some(2), "portal.client_ca_file"), "{}", found.2);
    let portal = "[portal]\ncertificate_file = \"tls/portal.pem\"\nkey_file = \"tls/portal.key\"\n\
                  client_ca_file = \"tls/portal-clients-ca.pem\"\n";
    let spoil = |tls: &Path| fs::write(tls.join("portal-clients-ca.pem"), "none").expect("written");
    let found = fault(portal, spoil);
    assert_eq!((found.0, found.1.as_str()), (Some(4), "portal.client_ca_file"), "{}", found.2);
    let client = format!(
        "[realms.retail]\n[clients.shop]\nsecret_sha256 = \"{}\"\nrights = []\ncertificate_names = [\"Shop.Example.com\"]\n",
        "1".repeat(64)
    );
    let found = fault(&client, |_| {});
    assert_eq!((found.0, found.1.as_str()), (Some(5), "clients.shop.certificate_names"), "{}", found.2);
    let folder = crate::fixture::folder();
    let loaded = load_in(&folder, &format!("{portal}{client}")).unwrap_or_else(|faults| panic!("{faults}"));
    let shop = loaded.config.clients.values().next().expect("a client").clone();
    assert_eq!(shop.certificate_names, ["shop.example.com"]);
    let asked = loaded.config.portal.tls.clone().and_then(|tls| tls.client_certificates).expect("asked for");
    assert!(asked.required, "required is the default");
}

#[test]
fn networks_are_read_and_slips_in_them_are_refused() {
    let folder = crate::fixture::folder();
    let proxies = |list: &str| format!("[portal]\ntrusted_proxies = [{list}]\n");
    let loaded = load_in(&folder, &proxies("\"10.0.0.0/8\", \"2001:db8::/32\", \"192.0.2.7\""));
    let proxies_of = loaded.unwrap_or_else(|faults| panic!("{faults}")).config.portal.trusted_proxies.clone();
    assert!(proxies_of.contain("192.0.2.7".parse().expect("an address")));
    for (bad, part) in [
        ("\"10.0.0.1/8\"", "write \"10.0.0.0/8\""),
        ("\"10.0.0.0/33\"", "must be a list of networks"),
        ("\"proxy.example.com\"", "must be a list of networks"),
        ("\"10.0.0.0/8\", \"10.0.0.0/8\"", "is listed twice"),
    ] {
        let found = fault(&proxies(bad), |_| {});
        assert!(found.1 == "portal.trusted_proxies" && found.2.contains(part), "{found:?}");
    }
}

#[test]
fn authorities_of_callbacks_are_read_before_they_are_needed() {
    let text = "[callbacks]\nca_file = \"tls/portal-clients-ca.pem\"\n";
    let folder = crate::fixture::folder();
    load_in(&folder, text).unwrap_or_else(|faults| panic!("{faults}"));
    for spoiled in ["none", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let found =
            fault(text, |tls| fs::write(tls.join("portal-clients-ca.pem"), spoiled).expect("written"));
        assert_eq!((found.0, found.1.as_str()), (Some(2), "callbacks.ca_file"), "{}", found.2);
    }
}
