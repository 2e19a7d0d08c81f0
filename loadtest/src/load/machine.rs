//! What the machine is and what it allows: read from `/proc` and the process's own limits.

use std::fs;
use std::thread::available_parallelism;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{SysconfVar, sysconf};

use super::report::Machine;
use super::scenario::Portals;

/// File descriptors that are not connections of portals and phones: files, doubles, the server's own files.
const DESCRIPTORS_RESERVED: u64 = 160;

/// Ports that stay for others.
const PORTS_RESERVED: u64 = 1_000;

/// Connections of portals that are held at most; each holds a port of this machine.
const PORTAL_CONNECTIONS_MAX: u64 = 24_000;

/// Connections of phones that are held at most.
const DEVICE_CONNECTIONS_MAX: u64 = 8_000;

/// How many connections a run may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Open files that one process may have.
    pub(super) descriptors: u64,
    /// Ports for connections to one address.
    pub(super) ports: u64,
    /// Of portals.
    pub(super) portal_connections: usize,
    /// Calls of portals that the server may hold at once; the other connections are for starts.
    pub(super) portal_held: usize,
    /// Of phones.
    pub(super) device_connections: usize,
}

impl Room {
    /// Asks for as many file descriptors as this process may have at all, and looks what that allows.
    pub(super) fn make() -> Self {
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, hard)| {
            let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
            if raised { hard } else { soft }
        });
        Self::of(descriptors, ports())
    }

    fn of(descriptors: u64, ports: u64) -> Self {
        let free = descriptors.saturating_sub(DESCRIPTORS_RESERVED).max(8);
        let usable = ports.saturating_sub(PORTS_RESERVED).max(8);
        let portal = (free * 3 / 4).min(usable).min(PORTAL_CONNECTIONS_MAX);
        let device = (free / 4).min(usable).min(DEVICE_CONNECTIONS_MAX);
        Self {
            descriptors,
            ports,
            portal_connections: usize::try_from(portal).unwrap_or(8),
            portal_held: usize::try_from(portal * 3 / 4).unwrap_or(8),
            device_connections: usize::try_from(device).unwrap_or(8),
        }
    }

    /// No more than these portals want.
    pub(super) fn for_portals(mut self, portals: &Portals) -> Self {
        if let Some(bound) = portals.connections_max {
            self.portal_connections = self.portal_connections.min(bound);
            self.portal_held = (self.portal_connections * 3 / 4).max(1);
        }
        self.portal_held = portals.held_max.unwrap_or(self.portal_held).min(self.portal_connections);
        self
    }

    /// What bounds the connections, for people.
    pub(super) fn bound(&self) -> String {
        let Self { descriptors, ports, portal_connections, device_connections, .. } = self;
        let connections =
            format!("{portal_connections} connections of portals and {device_connections} of phones");
        if descriptors.saturating_sub(DESCRIPTORS_RESERVED) * 3 / 4 < PORTAL_CONNECTIONS_MAX.min(*ports) {
            format!("the limit of {descriptors} file descriptors (ulimit -n) allows {connections}")
        } else if ports.saturating_sub(PORTS_RESERVED) < PORTAL_CONNECTIONS_MAX {
            format!("the machine's {ports} local ports (net.ipv4.ip_local_port_range) allow {connections}")
        } else {
            format!("this tool holds at most {connections}")
        }
    }
}

fn ports() -> u64 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut bounds = text.split_whitespace().filter_map(|bound| bound.parse::<u64>().ok());
    match (bounds.next(), bounds.next()) {
        (Some(first), Some(last)) => last.saturating_sub(first) + 1,
        _ => 28_000,
    }
}

/// The machine, for the report.
pub(super) fn describe() -> Machine {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory_kib = memory.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    });
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Machine {
        cpu_model: model.map_or_else(|| "unknown".to_owned(), |(_, model)| model.trim().to_owned()),
        cores: u32::try_from(cores()).unwrap_or(u32::MAX),
        memory_bytes: memory_kib.unwrap_or_default() * 1_024,
        kernel: format!("Linux {}", release.trim()),
    }
}

/// Processors that this process may use.
pub(super) fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// The processor time of a process so far; `self` names this one.
pub(super) fn cpu_time(process: &str) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    ticks(&stat).map(of_ticks)
}

/// User and system time, the 14th and 15th field; the second one may hold anything in its parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// The time that all processors together were idle so far.
pub(super) fn idle_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let fields = stat.lines().next()?.split_whitespace().skip(1);
    // user nice system idle iowait …
    let idle: Vec<u64> = fields.skip(3).take(2).filter_map(|field| field.parse().ok()).collect();
    Some(of_ticks(idle.iter().sum()))
}

/// Memory of a process that is in RAM.
pub(super) fn resident_bytes(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1_024)
}

fn of_ticks(ticks: u64) -> Duration {
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|rate| u32::try_from(rate).ok());
    Duration::from_secs(ticks) / per_second.filter(|rate| *rate > 0).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_follows_the_scarcer_of_descriptors_and_ports() {
        let small = Room::of(260, 28_000);
        assert_eq!((small.portal_connections, small.device_connections), (75, 25));
        assert!(small.bound().contains("260 file descriptors"), "{}", small.bound());
        let few_ports = Room::of(1_000_000, 5_000);
        assert_eq!((few_ports.portal_connections, few_ports.device_connections), (4_000, 4_000));
        assert!(few_ports.bound().contains("5000 local ports"), "{}", few_ports.bound());
        let large = Room::of(1_000_000, 60_000);
        assert_eq!((large.portal_connections, large.device_connections), (24_000, 8_000));
        assert_eq!(Room::of(10, 10).portal_connections, 6);
    }

    #[test]
    fn processor_time_is_read_past_any_name() {
        let stat = "7 (a) b) S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 100 0 0";
        assert_eq!(ticks(stat), Some(300));
        assert!(cpu_time("self").is_some() && resident_bytes("self").is_some_and(|bytes| bytes > 0));
        assert!(idle_time().is_some() && describe().memory_bytes > 0);
        assert_eq!(cpu_time("0"), None);
    }
}
