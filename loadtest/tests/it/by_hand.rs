//! What people try by hand: the lines that a demo prints when it stays up, and the trial of `make run`.

use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use super::ALONE;

/// Longest wait for what a debug build on a busy machine prints.
const SOON: Duration = Duration::from_secs(60);

/// A command in a process group of its own, with what it has printed; gone when it is dropped.
struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.process_group(0).spawn().expect("it starts");
        let mut output = child.stdout.take().expect("its output");
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                heard.lock().expect("not poisoned").push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        Self { child, said }
    }

    fn said(&self) -> String {
        self.said.lock().expect("not poisoned").clone()
    }

    /// Waits until it has printed this.
    fn until_said(&mut self, words: &str) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            let said = self.said();
            if said.contains(words) {
                return said;
            }
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}\n{said}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ctrl-C, as a terminal sends it to all of them; answers with the exit code.
    fn interrupt(&mut self) -> Option<i32> {
        self.signal(Signal::SIGINT);
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it did not end\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        let _ = killpg(Pid::from_raw(id), signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn bash(script: &str) -> String {
    let output = Command::new("bash").arg("-c").arg(script).output().expect("bash runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_demo_that_is_kept_up_prints_lines_that_work() {
    let _alone = ALONE.blocking_lock();
    let mut demo =
        Running::start(Command::new(env!("CARGO_BIN_EXE_tocsin-loadtest")).arg("demo").env("KEEP", "1"));
    let said = demo.until_said("# Look inside");
    let (_, lines) = said.split_once("In another terminal:").expect("lines to try");
    let (lines, _) = lines.split_once("# Withdraw one").expect("a login to push");
    let printed = bash(&format!("set -e\n{lines}"));
    // The id, the view that the wait returned, and the event stream, which ends at once.
    let mut printed_lines = printed.trim().splitn(3, '\n');
    let mut next = || printed_lines.next().unwrap_or_else(|| panic!("{printed}\n{lines}"));
    let (id, waited, stream) = (next(), next(), next());
    let view: Value = serde_json::from_str(waited).unwrap_or_else(|error| panic!("{error}: {printed}"));
    assert_eq!((view["id"].as_str(), view["state"].as_str()), (Some(id), Some("accepted")), "{view}");
    assert!(stream.starts_with("event: transaction\n") && stream.contains(waited), "{stream}");
    assert_eq!(demo.interrupt(), Some(0));
}

/// A port that nothing listens on at the moment.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").to_string()
}

fn binaries() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_tocsin-loadtest")).parent().expect("a folder").to_owned()
}

#[test]
fn the_trial_serves_until_ctrl_c_and_takes_the_secret_that_it_prints() {
    let _alone = ALONE.blocking_lock();
    let folder = tempfile::tempdir().expect("a folder");
    let [portal, device, ops] = [free_address(), free_address(), free_address()];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/run");
    let mut command = Command::new("bash");
    command.arg(script).arg(binaries());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOCSIN_") {
            command.env_remove(name);
        }
    }
    command.env("DATA", folder.path()).env("TOCSIN_PORTAL__ADDRESS", &portal);
    command.env("TOCSIN_DEVICE__ADDRESS", &device).env("TOCSIN_OPS__ADDRESS", &ops).env_remove("CONFIG");
    let mut trial = Running::start(&mut command);
    let said = trial.until_said("The README goes on from here.");
    let (_, secret) = said.split_once("export PORTAL=").expect("a secret");
    let secret = secret.lines().next().expect("a line");
    let call = format!(
        "curl -sf --retry 60 --retry-connrefused --retry-delay 1 -u '{secret}' http://{portal}/v1/enrollments \
         -H 'content-type: application/json' -d '{{\"user\":\"alice\",\"app\":\"bank\"}}'"
    );
    let opened = bash(&call);
    let opened: Value = serde_json::from_str(&opened).unwrap_or_else(|error| panic!("{error}: {opened}"));
    assert_eq!(opened["state"], "pending", "{opened}");
    let ready = bash(&format!("curl -sf http://{ops}/readyz"));
    assert!(ready.contains("apns-main") && ready.contains("fcm-main"), "{ready}");
    assert_eq!(trial.interrupt(), Some(0));
}
