//! Master keys: each comes from one place, and exactly one of them seals. Without any, rows stay readable on the disk.

use super::doors::{DOORS, is_off_loopback};
use crate::findings::Findings;
use crate::path::KeyPath;
use crate::settings::Settings;

/// Where a key can come from.
const SOURCES: [&str; 3] = ["file", "environment", "command"];

pub(super) fn check(settings: &Settings, findings: &mut Findings) {
    let tables: Vec<KeyPath> = settings.named("master_keys").map(|(_, table)| table).collect();
    for table in &tables {
        check_source(settings, table, findings);
    }
    if tables.is_empty() {
        warn_off_loopback(settings, findings);
    }
    let sealing: Vec<&KeyPath> =
        tables.iter().filter(|table| settings.flag(&table.child("old")) == Some(false)).collect();
    match sealing.split_first() {
        Some((_, [])) => {}
        Some((first, others)) => {
            for other in others {
                let message = format!(
                    "only one master key seals, and {first} does too; set old = true for the older one"
                );
                findings.fault(settings.place(other), other, message);
            }
        }
        None => {
            if let Some(table) = tables.first() {
                let message = "no master key seals, since all have old = true";
                findings.absence(settings.place(table), table, message);
            }
        }
    }
}

fn warn_off_loopback(settings: &Settings, findings: &mut Findings) {
    let Some(door) = DOORS.iter().find(|door| is_off_loopback(settings, door)) else { return };
    let address = KeyPath::of(&[door, "address"]);
    let message = "there is no master key, so what is kept of users and phones is readable for whoever gets at the \
                   disk or a backup; name one in [master_keys.NAME]";
    findings.warn(settings.place(&address), &address, message);
}

fn check_source(settings: &Settings, table: &KeyPath, findings: &mut Findings) {
    let set: Vec<&str> = SOURCES.into_iter().filter(|source| settings.is_set(&table.child(source))).collect();
    match set.as_slice() {
        [_] => {}
        [] => {
            let message = "must say where the key comes from: file, environment or command";
            findings.absence(settings.place(table), table, message);
        }
        [_, second, ..] => {
            let path = table.child(second);
            let message = format!("is one too many; the key comes from one of {}", SOURCES.join(", "));
            findings.fault(settings.place(&path), &path, message);
        }
    }
}
