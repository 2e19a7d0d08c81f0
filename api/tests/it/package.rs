//! The Debian package: unpacked, its binary run with its configuration, its unit checked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::http::SOON;
use crate::process::{Server, forget_own_variables, run, text};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Runs a program that must succeed; answers with what it printed.
#[track_caller]
fn must(command: &mut Command) -> String {
    let output = run(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The package of this build's binary; its parts are the shipped ones, only packed quickly.
fn package(folder: &Path) -> PathBuf {
    let mut command = Command::new(format!("{ROOT}/scripts/package-deb"));
    command.arg(env!("CARGO_BIN_EXE_tocsin")).arg(folder).env("DEB_COMPRESSION", "none");
    PathBuf::from(must(&mut command).trim())
}

fn unpacked() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let package = package(folder.path());
    let root = folder.path().join("root");
    must(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&root));
    (folder, package, root)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode()
        & 0o777
}

/// The next message of the server to its service manager.
fn heard(manager: &UnixDatagram) -> String {
    let mut buffer = [0; 256];
    let length = manager.recv(&mut buffer).expect("a message in time");
    String::from_utf8(buffer[..length].to_vec()).expect("a text")
}

/// The next one that says this; what only keeps the watchdog quiet may come in between.
fn wait_for(manager: &UnixDatagram, line: &str) {
    loop {
        let message = heard(manager);
        if message.lines().any(|said| said == line) {
            return;
        }
        assert_eq!(message, "WATCHDOG=1\n", "in place of {line}");
    }
}

#[test]
fn the_packaged_server_runs_with_the_packaged_configuration_and_tells_its_service_manager() {
    let (folder, package, root) = unpacked();
    let conffiles = must(Command::new("dpkg-deb").arg("--info").arg(&package).arg("conffiles"));
    assert_eq!(conffiles, "/etc/tocsin/tocsin.toml\n");
    assert_eq!(mode(&root.join("etc/tocsin/tocsin.toml")), 0o640);
    for file in [
        "README.md",
        "operations.md",
        "backup.md",
        "callbacks.md",
        "codes.md",
        "default.toml",
        "copyright",
        "changelog.gz",
        "errors/busy.md",
        "openapi/portal-v1.json",
        "monitoring/alerts.yml",
        "examples/trial.toml",
        "examples/bank.toml",
    ] {
        assert!(root.join("usr/share/doc/tocsin").join(file).is_file(), "{file}");
    }
    let manager = UnixDatagram::bind(folder.path().join("notify")).expect("bound");
    manager.set_read_timeout(Some(SOON)).expect("a time-out");
    let mut command = Command::new(root.join("usr/bin/tocsin"));
    forget_own_variables(&mut command);
    command.arg("serve").env("NOTIFY_SOCKET", folder.path().join("notify")).env("WATCHDOG_USEC", "200000");
    // The machine's own state and ports are not for tests.
    command.env("TOCSIN_STORAGE__PATH", folder.path().join("state"));
    for door in ["PORTAL", "DEVICE", "OPS"] {
        command.env(format!("TOCSIN_{door}__ADDRESS"), "127.0.0.1:0");
    }
    let mut server = Server::start_with(&root.join("etc/tocsin"), folder.path(), command);
    wait_for(&manager, "READY=1");
    wait_for(&manager, "WATCHDOG=1");
    server.signal(Signal::SIGHUP);
    wait_for(&manager, "RELOADING=1");
    wait_for(&manager, "READY=1");
    server.signal(Signal::SIGTERM);
    wait_for(&manager, "STOPPING=1");
    assert!(server.end().success(), "{}", server.log());
}

#[test]
fn the_unit_is_sound() {
    let (folder, _package, root) = unpacked();
    let unit = fs::read_to_string(root.join("lib/systemd/system/tocsin.service")).expect("the unit");
    for option in
        ["Type=notify", "User=tocsin", "ProtectSystem=strict", "NoNewPrivileges=true", "WatchdogSec="]
    {
        assert!(unit.contains(option), "{option}");
    }
    assert!(unit.contains("\nRestartPreventExitStatus=78\n"), "a faulty configuration is not tried again");
    assert!(!unit.contains("\nExecStartPre="), "that status counts for the main process alone");
    // The check looks for the programs where the unit says that they are.
    let here = unit.replace("/usr/bin/tocsin", &root.join("usr/bin/tocsin").display().to_string());
    let path = folder.path().join("tocsin.service");
    fs::write(&path, here).expect("written");
    let output = run(Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped()));
    let said = text(&output.stderr);
    assert!(output.status.success() && !said.contains("tocsin.service:"), "{said}");
}
