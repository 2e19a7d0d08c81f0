//! A real `tocsin serve` as a child process: started, awaited, killed, stopped.
//!
//! Nothing here talks to the server except to ask whether it is ready. A child that is dropped is killed.

mod installation;
mod ports;

use std::fs;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::LoadtestError;
use crate::error::ensure;
use crate::http_client::HttpClient;

pub(crate) use installation::new_secret;
pub use installation::{
    APP, BUNDLE_ID, Installation, OTHER_APP, ServerOptions, TYPE_BRIEF, TYPE_LOGIN, find_server,
};

/// Longest time from the start of the process to its readiness; a debug build on a busy machine fits in.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// How often the ready file is looked for.
const READY_POLL: Duration = Duration::from_millis(5);

/// Longest wait for the reply of the ops door.
const OPS_DEADLINE: Duration = Duration::from_secs(5);

/// Longest time for a killed process to be gone.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// Longest time for a drain; the configured grace is shorter.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pid: Pid,
    started_in: Duration,
}

impl Server {
    /// Starts the server and waits until it says that it is ready.
    pub async fn start(installation: &Installation) -> Result<Self, LoadtestError> {
        let started = Instant::now();
        let mut server = Self::spawn(installation)?;
        server.wait_until_ready(installation).await?;
        server.started_in = started.elapsed();
        Ok(server)
    }

    /// Starts the server and does not wait.
    pub fn spawn(installation: &Installation) -> Result<Self, LoadtestError> {
        match fs::remove_file(installation.ready_file()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(LoadtestError::io("remove the old ready file")(error));
            }
            Ok(()) | Err(_) => {}
        }
        let mut command = Command::new(installation.binary());
        // The server refuses variables of its own prefix that it does not know; ours are not meant for it.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TOCSIN_") {
                command.env_remove(name);
            }
        }
        let child = command
            .arg("--config")
            .arg(installation.config_file())
            .arg("serve")
            .arg("--ready-file")
            .arg(installation.ready_file())
            .current_dir(installation.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(installation.open_log()?)
            // A Ctrl-C at the terminal is for us; we stop the server in our own order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(LoadtestError::io("start the server"))?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let pid = id.ok_or_else(|| LoadtestError::Unexpected("the server has no process id".to_owned()))?;
        Ok(Self { child, pid: Pid::from_raw(pid), started_in: Duration::ZERO })
    }

    async fn wait_until_ready(&mut self, installation: &Installation) -> Result<(), LoadtestError> {
        let begun = Instant::now();
        while !installation.ready_file().exists() {
            self.check_alive(installation, "before it was ready")?;
            ensure_in_time(begun, START_DEADLINE, "the start of the server")?;
            tokio::time::sleep(READY_POLL).await;
        }
        let readyz = format!("{}/readyz", installation.ops_url());
        let request = Request::get(readyz).body(Bytes::new());
        let request = request.map_err(|error| LoadtestError::Unexpected(error.to_string()))?;
        let reply = HttpClient::new().call(request, OPS_DEADLINE).await?;
        ensure(reply.status == StatusCode::OK, || format!("/readyz answered {} at the start", reply.status))
    }

    /// Fails if the process has ended by itself.
    pub fn check_alive(
        &mut self,
        installation: &Installation,
        when: &'static str,
    ) -> Result<(), LoadtestError> {
        let ended = self.child.try_wait().map_err(LoadtestError::io("look after the server"))?;
        match ended {
            None => Ok(()),
            Some(status) => Err(LoadtestError::ServerEnded { when, status, log: installation.end_of_log() }),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// The time from the start of the process to its readiness.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Memory of the process that is in RAM, in bytes (`VmRSS`).
    pub fn resident_bytes(&self) -> Result<u64, LoadtestError> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))
            .map_err(LoadtestError::io("read the memory of the server"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kibibytes
            .map(|kibibytes| kibibytes * 1_024)
            .ok_or_else(|| LoadtestError::Unexpected("the system tells no VmRSS".to_owned()))
    }

    /// Kills it with SIGKILL, as a crash would, and waits until it is gone.
    pub async fn kill(mut self) -> Result<(), LoadtestError> {
        self.signal(Signal::SIGKILL)?;
        self.wait_for_end(KILL_DEADLINE).await.map(drop)
    }

    /// Asks it by SIGTERM to drain and waits for its end.
    pub async fn stop(mut self) -> Result<ExitStatus, LoadtestError> {
        self.signal(Signal::SIGTERM)?;
        self.wait_for_end(STOP_DEADLINE).await
    }

    fn signal(&self, signal: Signal) -> Result<(), LoadtestError> {
        kill(self.pid, signal).map_err(|errno| LoadtestError::io("signal the server")(errno.into()))
    }

    async fn wait_for_end(&mut self, deadline: Duration) -> Result<ExitStatus, LoadtestError> {
        match tokio::time::timeout(deadline, self.child.wait()).await {
            Ok(ended) => ended.map_err(LoadtestError::io("wait for the end of the server")),
            Err(_) => {
                Err(LoadtestError::Deadline { what: "the end of the server".to_owned(), after: deadline })
            }
        }
    }
}

fn ensure_in_time(begun: Instant, deadline: Duration, what: &str) -> Result<(), LoadtestError> {
    if begun.elapsed() < deadline {
        return Ok(());
    }
    Err(LoadtestError::Deadline { what: what.to_owned(), after: deadline })
}
