//! h2load of Debian's nghttp2-client: another client altogether, with the same heads and body.
//!
//! It sends the same ids each time. Its cost is the processor time of its process for many pushes less that for few, so
//! that its start and its handshake are left out.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use tempfile::NamedTempFile;

use crate::{Outside, SeenPush};

/// The pushes that are taken off, with all that comes before the first.
const PUSHES_TO_WARM_UP: u64 = 1_000;

/// h2load against one double.
pub struct H2load {
    url: String,
    headers: Vec<String>,
    body: NamedTempFile,
}

impl H2load {
    /// `None` where it is not installed.
    pub fn find(outside: &Outside, seen: &SeenPush) -> Option<Self> {
        let found = Command::new("h2load").arg("--version").stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            return None;
        }
        let mut body = NamedTempFile::new().expect("a file can be made");
        body.write_all(&seen.body).expect("it can be written");
        let url = format!("https://localhost:{}/3/device/{}", outside.port(), seen.device_token);
        let headers = seen.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        Some(Self { url, headers, body })
    }

    /// Its processor time for one push of many, `in_flight` at a time.
    pub fn time_a_push(&self, pushes: u64, in_flight: u64) -> Duration {
        let [few, many] = [PUSHES_TO_WARM_UP, PUSHES_TO_WARM_UP + pushes]
            .map(|pushes| self.run(pushes, in_flight).as_secs_f64());
        Duration::from_secs_f64((many - few).max(0.0) / pushes as f64)
    }

    fn run(&self, pushes: u64, in_flight: u64) -> Duration {
        let before = children_used();
        let mut command = Command::new("h2load");
        command.args(["-c", "1", "-n", &pushes.to_string(), "-m", &in_flight.to_string(), "-d"]);
        command.arg(self.body.path());
        for header in &self.headers {
            command.args(["-H", header]);
        }
        let told = command.arg(&self.url).output().expect("it was found before");
        let told = String::from_utf8_lossy(&told.stdout);
        // Those that it sends before it hears of the double's limit, one stream at first, are refused.
        assert!(accepted(&told).is_some_and(|taken| taken + in_flight > pushes), "h2load: {told}");
        children_used().saturating_sub(before)
    }
}

/// What `status codes: 31000 2xx, …` says.
fn accepted(told: &str) -> Option<u64> {
    told.lines().find_map(|line| line.strip_prefix("status codes: ")?.split(' ').next()?.parse().ok())
}

fn children_used() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("Linux counts it");
    let time = |value: TimeVal| {
        Duration::from_secs(value.tv_sec().unsigned_abs())
            + Duration::from_micros(value.tv_usec().unsigned_abs())
    };
    time(usage.user_time()) + time(usage.system_time())
}
