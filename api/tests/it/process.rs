//! The binary as a process of its own.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::http::SOON;

/// A command line of the binary, with nothing of this process's environment that it could mean.
pub fn tocsin(arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
    forget_own_variables(&mut command);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The tests' own variables begin as the binary's do, and it refuses those that it does not know.
pub fn forget_own_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOCSIN_") {
            command.env_remove(name);
        }
    }
}

/// The arguments of a server; `--config` and `--ready-file` follow.
const SERVE: [&str; 1] = ["serve"];

/// Runs a command that ends by itself.
pub fn run(command: &mut Command) -> Output {
    command.output().expect("the binary runs")
}

/// What a process wrote.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A running server; killed when it is dropped.
pub struct Server {
    child: Child,
    pub portal: SocketAddr,
    pub device: SocketAddr,
    pub ops: SocketAddr,
    pub issuer: String,
    log: PathBuf,
}

impl Server {
    /// Starts a server over the configuration `folder/tocsin.toml` and waits until its doors are open.
    pub fn start(folder: &Path) -> Self {
        Self::start_by(folder, tocsin(&SERVE))
    }

    /// As [`Server::start`], on a system that lets no file grow beyond `kib_max`, as a failing disk would.
    pub fn start_with_files_up_to(folder: &Path, kib_max: u64) -> Self {
        let mut command = Command::new("bash");
        forget_own_variables(&mut command);
        // A write beyond the limit fails, in place of ending the process by a signal.
        command.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {kib_max}; exec \"$@\"")).arg("bash");
        command.arg(env!("CARGO_BIN_EXE_tocsin")).args(SERVE);
        Self::start_by(folder, command)
    }

    fn start_by(folder: &Path, command: Command) -> Self {
        Self::start_with(folder, folder, command)
    }

    /// As [`Server::start`], by this command, which the arguments about files are added to; what it writes goes
    /// into `folder`.
    pub fn start_with(configuration: &Path, folder: &Path, mut command: Command) -> Self {
        let (ready, log) = (folder.join("ready.json"), folder.join("log"));
        let _ = fs::remove_file(&ready);
        command.arg("--config").arg(configuration.join("tocsin.toml")).arg("--ready-file").arg(&ready);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child =
            command.stderr(fs::File::create(&log).expect("a log")).spawn().expect("the binary runs");
        let deadline = Instant::now() + SOON;
        while !ready.exists() {
            let ended = child.try_wait().expect("a child");
            let failed = ended.is_some() || Instant::now() > deadline;
            assert!(!failed, "not ready: {ended:?}\n{}", fs::read_to_string(&log).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(10));
        }
        let told: Value = serde_json::from_slice(&fs::read(&ready).expect("read")).expect("JSON");
        let told_text = |name: &str| told[name].as_str().expect("a text").to_owned();
        let address = |name: &str| told_text(name).parse().expect("an address");
        Self {
            child,
            portal: address("portal"),
            device: address("device"),
            ops: address("ops"),
            issuer: told_text("issuer"),
            log,
        }
    }

    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(id), signal).expect("our own child");
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < deadline, "it did not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
