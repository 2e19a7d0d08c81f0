//! Doors that others can reach need a URL and TLS, and no two doors share a port. Also the storage's promise.

use std::net::SocketAddr;

use super::certificates;
use crate::findings::Findings;
use crate::path::KeyPath;
use crate::settings::Settings;
use crate::shape::Value;

/// The doors' sections.
pub(super) const DOORS: [&str; 3] = ["portal", "device", "ops"];

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    for door in DOORS {
        if is_off_loopback(settings, door) {
            check_reachable(settings, door, findings);
        }
        certificates::check_door(settings, door, findings);
    }
    certificates::check_client_authorities(settings, findings);
    for (index, door) in DOORS.iter().enumerate() {
        for other in &DOORS[..index] {
            check_apart(settings, other, door, findings);
        }
    }
    let durability = KeyPath::of(&["storage", "durability"]);
    if settings.text(&durability) == Some("os") {
        let message = "a power failure may lose the last acknowledged transactions and wrong tries; \
                       \"sync\" promises that it does not";
        findings.warn(settings.place(&durability), &durability, message);
    }
}

/// Whether others than this machine can reach the door.
pub(super) fn is_off_loopback(settings: &Settings, door: &str) -> bool {
    address(settings, door).is_some_and(|address| !is_loopback(address))
}

fn check_reachable(settings: &Settings, door: &str, findings: &mut Findings) {
    let address = KeyPath::of(&[door, "address"]);
    let public_url = KeyPath::of(&[door, "public_url"]);
    let plaintext = KeyPath::of(&[door, "plaintext"]);
    let place = settings.place(&address);
    if !settings.is_set(&public_url) {
        let message = "is missing; a door off loopback needs the https URL by which its callers reach it";
        findings.absence(place.clone(), &public_url, message);
    }
    if settings.text(&public_url).is_some_and(|url| !url.starts_with("https://")) {
        let message = "must be an https URL, because the door is not on loopback";
        findings.fault(settings.place(&public_url), &public_url, message);
    }
    let certificate = KeyPath::of(&[door, "certificate_file"]);
    let key = KeyPath::of(&[door, "key_file"]);
    if [&certificate, &key, &plaintext].iter().all(|path| !settings.is_set(path)) {
        let message = "a door off loopback needs TLS: set certificate_file and key_file, or put a proxy that ends \
                       TLS in front and set plaintext = \"behind-proxy\", or listen on loopback";
        findings.absence(place.clone(), &address, message);
    }
    if door == "ops" && settings.operators().next().is_none() {
        let message =
            "off loopback /metrics needs a token, and there is none; make one with `tocsin token new`";
        findings.warn(place, &address, message);
    }
}

fn check_apart(settings: &Settings, first: &str, second: &str, findings: &mut Findings) {
    let (Some(one), Some(other)) = (address(settings, first), address(settings, second)) else {
        return;
    };
    let overlap = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    if one.port() != 0 && one.port() == other.port() && overlap {
        let path = KeyPath::of(&[second, "address"]);
        findings.fault(settings.place(&path), &path, format!("{first} and {second} cannot share {other}"));
    }
}

fn address(settings: &Settings, door: &str) -> Option<SocketAddr> {
    match settings.value(&KeyPath::of(&[door, "address"]))? {
        Value::Address(address) => Some(*address),
        _ => None,
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
