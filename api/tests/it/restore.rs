//! Backups and restores by the commands: where they may be put, and what breaks off.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::phone::Phone;
use crate::process::{Server, run, text, tocsin};
use crate::serve::{Portal, command, configured, write_master_key};

/// Adds to the configuration of `folder`.
fn configure(folder: &Path, more: &str) {
    let path = folder.join("tocsin.toml");
    let before = fs::read_to_string(&path).expect("read");
    fs::write(&path, format!("{before}{more}")).expect("written");
}

/// Stops the server, makes a backup, and moves the data away.
fn backed_up(folder: &Path, mut server: Server) -> String {
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().code(), Some(0), "{}", server.log());
    let backup = folder.join("backup").to_str().expect("UTF-8").to_owned();
    let (code, said) = command(folder, &["backup", &backup]);
    assert_eq!(code, Some(0), "{said}");
    fs::rename(folder.join("data"), folder.join("old")).expect("moved away");
    backup
}

fn mark(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("data/restored.json")).expect("a mark")).expect("JSON")
}

/// A restored backup with one live phone, whose id is the second value.
async fn restored() -> (TempDir, String) {
    let (folder, secret) = configured(None);
    let server = Server::start(folder.path());
    let phone = Portal { server: &server, secret: &secret }.enrol("alice").await;
    let backup = backed_up(folder.path(), server);
    let (code, said) = command(folder.path(), &["restore", &backup]);
    assert_eq!(code, Some(0), "{said}");
    (folder, phone.device_id)
}

#[test]
fn a_restore_that_broke_off_is_neither_confirmed_nor_served() {
    actix_rt::System::new().block_on(async {
        let (folder, secret) = configured(None);
        let folder = folder.path();
        write_master_key(folder, '1');
        configure(folder, "[master_keys.main]\nfile = \"master.key\"\n");
        let server = Server::start(folder);
        let _phone = Portal { server: &server, secret: &secret }.enrol("alice").await;
        let backup = backed_up(folder, server);
        // With the wrong key the database is copied, and cannot be opened.
        write_master_key(folder, '2');
        assert_eq!(command(folder, &["restore", &backup]).0, Some(78));
        write_master_key(folder, '1');
        assert!(folder.join("data/db/CURRENT").exists());
        assert_eq!(mark(folder)["devices"], Value::Null);

        let (code, said) = command(folder, &["restore", "--confirm"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("the restore broke off; empty"), "{said}");
        assert_eq!(mark(folder)["devices"], Value::Null, "the mark stays");
        let (code, said) = command(folder, &["serve"]);
        assert_eq!(code, Some(74), "{said}");
        assert!(said.contains("the restore broke off; empty"), "{said}");

        fs::remove_dir_all(folder.join("data")).expect("emptied");
        let (code, said) = command(folder, &["restore", &backup]);
        assert_eq!((code, said.contains("1 phones are live")), (Some(0), true), "{said}");
        assert_eq!(command(folder, &["restore", "--confirm"]).0, Some(0));
    });
}

#[test]
fn a_backup_that_was_copied_into_place_is_not_served() {
    actix_rt::System::new().block_on(async {
        let (folder, secret) = configured(None);
        let folder = folder.path();
        let server = Server::start(folder);
        let _phone = Portal { server: &server, secret: &secret }.enrol("alice").await;
        let backup = backed_up(folder, server);
        fs::rename(&backup, folder.join("data")).expect("copied");
        for arguments in [&["serve"][..], &["restore", "--confirm"]] {
            let (code, said) = command(folder, arguments);
            assert_ne!(code, Some(0), "{said}");
        }
        let (code, said) = command(folder, &["serve"]);
        assert_eq!((code, said.contains("bring it back by `tocsin restore`")), (Some(74), true), "{said}");

        // The same is restored as it should be.
        fs::rename(folder.join("data"), &backup).expect("back");
        assert_eq!(command(folder, &["restore", &backup]).0, Some(0));
        assert_eq!(command(folder, &["restore", "--confirm"]).0, Some(0));
        let server = Server::start(folder);
        let portal = Portal { server: &server, secret: &secret };
        let devices = portal.send("GET", "/v1/users/alice/devices", None).await.expect(200);
        assert_eq!(devices["items"][0]["status"], "active");
    });
}

#[test]
fn an_id_of_no_phone_in_the_backup_is_refused_and_nothing_is_changed() {
    actix_rt::System::new().block_on(async {
        let (folder, device_id) = restored().await;
        let folder = folder.path();
        let revoke = folder.join("revoke.txt");
        let other = "00000000-0000-8000-8000-000000000000";
        let arguments = ["restore", "--confirm", "--revoke", revoke.to_str().expect("UTF-8")];
        for (ids, fault) in [
            (format!("{device_id}\n{other}\n"), "no phone of the backup"),
            (format!("{device_id}\nalice\n"), "is no device id"),
        ] {
            fs::write(&revoke, ids).expect("written");
            let (code, said) = command(folder, &arguments);
            assert_eq!((code, said.contains(fault)), (Some(1), true), "{said}");
            assert_eq!(mark(folder)["devices"].as_array().map(Vec::len), Some(1), "the mark stays");
        }
        // A phone that is named twice is removed once.
        fs::write(&revoke, format!("{device_id}\n\n {device_id}\n")).expect("written");
        let (code, said) = command(folder, &arguments);
        assert_eq!((code, said.contains("1 phones were removed, 0 are live")), (Some(0), true), "{said}");
    });
}

#[test]
fn a_phone_that_waited_for_its_number_is_not_there_after_a_restore() {
    actix_rt::System::new().block_on(async {
        let (folder, secret) = configured(None);
        let folder = folder.path();
        let path = folder.join("tocsin.toml");
        let by_number = "[apps.bank]\nconfirm = \"number\"\n";
        let configuration = fs::read_to_string(&path).expect("read").replace("[apps.bank]\n", by_number);
        fs::write(&path, configuration).expect("written");
        let server = Server::start(folder);
        let portal = Portal { server: &server, secret: &secret };
        let opening = json!({"user": "alice", "app": "bank"});
        let opened = portal.send("POST", "/v1/enrollments", Some(&opening)).await.expect(201);
        let code = opened["activation_code"].as_str().expect("a code");
        let phone = Phone::enrol(server.device, &server.issuer, code).await;
        let backup = backed_up(folder, server);
        let (code, said) = command(folder, &["restore", &backup]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("1 enrolments. 0 phones are live"), "{said}");
        assert_eq!(command(folder, &["restore", "--confirm"]).0, Some(0));

        let server = Server::start(folder);
        let portal = Portal { server: &server, secret: &secret };
        let path = format!("/v1/enrollments/{}", opened["id"].as_str().expect("an id"));
        assert_eq!(portal.send("GET", &path, None).await.expect(200)["state"], "failed");
        let number = json!({"number": phone.enrolled["confirmation_number"]});
        let late = portal.send("POST", &format!("{path}/confirm"), Some(&number)).await;
        late.expect_problem(409, "enrollment_final", None);
        let devices = portal.send("GET", "/v1/users/alice/devices", None).await.expect(200);
        assert_eq!(devices["items"], json!([]));
    });
}

#[test]
fn a_backup_may_be_named_without_its_folder() {
    let (folder, _secret) = configured(None);
    let folder = folder.path();
    let mut server = Server::start(folder);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().code(), Some(0), "{}", server.log());
    let made = run(tocsin(&["--config", "tocsin.toml", "backup", "nightly"]).current_dir(folder));
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    assert!(text(&made.stdout).starts_with("nightly: "), "{}", text(&made.stdout));
    assert_eq!(command(folder, &["verify", folder.join("nightly").to_str().expect("UTF-8")]).0, Some(0));
}

#[test]
fn a_backup_neither_takes_nor_removes_what_stands_where_it_is_made() {
    let (folder, _secret) = configured(None);
    let folder = folder.path();
    let mut server = Server::start(folder);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.end().code(), Some(0), "{}", server.log());
    let mine = folder.join("nightly.part/db/mine");
    fs::create_dir_all(mine.parent().expect("a folder")).expect("made");
    fs::write(&mine, "mine").expect("written");
    let backup = folder.join("nightly");
    let (code, said) = command(folder, &["backup", backup.to_str().expect("UTF-8")]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nightly.part"), "{said}");
    assert_eq!(fs::read(&mine).expect("still there"), b"mine");
    assert!(!backup.exists());
}

#[test]
fn phones_to_be_removed_are_named_at_the_confirmation_and_nowhere_else() {
    let (folder, _phone) = actix_rt::System::new().block_on(restored());
    let folder = folder.path();
    fs::remove_dir_all(folder.join("data")).expect("moved away");
    let (backup, list) = (folder.join("backup"), folder.join("list"));
    let (backup, list) = (backup.to_str().expect("UTF-8"), list.to_str().expect("UTF-8"));
    let (code, said) = command(folder, &["restore", backup, "--revoke", list]);
    assert_eq!(code, Some(2), "{said}");
    assert!(!folder.join("data").exists(), "nothing was restored without the list");
}

#[test]
fn a_folder_without_a_database_is_neither_backed_up_nor_checked_nor_confirmed() {
    let (folder, _secret) = configured(None);
    let folder = folder.path();
    let backup = folder.join("nightly");
    let backup = backup.to_str().expect("UTF-8");
    for arguments in [&["backup", backup][..], &["audit", "verify"]] {
        let (code, said) = command(folder, arguments);
        assert_eq!(code, Some(78), "{arguments:?}: {said}");
        assert!(said.contains("there is no database in"), "{said}");
    }
    let (code, said) = command(folder, &["restore", "--confirm"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing waits for a confirmation"), "{said}");
    assert!(!folder.join("data").exists() && !folder.join("nightly").exists());
}
