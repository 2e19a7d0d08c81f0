//! Looks at processors and memory once a second, for the report, and at whether the machine was at its end.

use std::time::Duration;

use super::clock::RunClock;
use super::machine::{cores, cpu_time, idle_time, resident_bytes};
use super::report::ResourceRow;

/// Rows that are kept; with one more, every second one goes.
const ROWS_MAX: usize = 3_600;

/// A machine that is idle for less of a second than this share is at its end.
const IDLE_SHARE_MIN: f64 = 0.05;

/// What it has seen so far.
#[derive(Debug)]
pub(super) struct Watch {
    clock: RunClock,
    /// The server, where its process can be seen.
    server: Option<String>,
    own_before: Duration,
    server_before: Duration,
    rows: Vec<ResourceRow>,
    last: Option<(Duration, Duration)>,
    busy: Duration,
    seen: Duration,
}

impl Watch {
    /// Begins to watch the server with this process id.
    pub(super) fn begin(clock: RunClock, server: Option<i32>) -> Self {
        let server = server.map(|pid| pid.to_string());
        let cpu_of = |process: &str| cpu_time(process).unwrap_or_default();
        let mut watch = Self {
            clock,
            own_before: cpu_of("self"),
            server_before: server.as_deref().map(cpu_of).unwrap_or_default(),
            server,
            rows: Vec::new(),
            last: None,
            busy: Duration::ZERO,
            seen: Duration::ZERO,
        };
        watch.look();
        watch
    }

    /// Looks now.
    pub(super) fn look(&mut self) {
        let now = self.clock.now();
        self.look_at_machine(now);
        let Some(server) = &self.server else { return };
        // A server that has ended is looked at no more.
        let (Some(cpu), Some(resident)) = (cpu_time(server), resident_bytes(server)) else { return };
        let own = cpu_time("self").unwrap_or_default();
        self.rows.push(ResourceRow {
            at_s: now.as_secs_f64(),
            server_cpu_s: cpu.saturating_sub(self.server_before).as_secs_f64(),
            server_resident_bytes: resident,
            generator_cpu_s: own.saturating_sub(self.own_before).as_secs_f64(),
        });
        if self.rows.len() > ROWS_MAX {
            let mut index = 0;
            self.rows.retain(|_| {
                index += 1;
                index % 2 == 1
            });
        }
    }

    /// All that it saw, and whether the processors were at their end, in a sentence.
    pub(super) fn end(mut self) -> (Vec<ResourceRow>, Option<String>) {
        self.look();
        let is_much = self.seen > Duration::ZERO && self.busy * 2 > self.seen;
        let sentence = is_much.then(|| {
            format!(
                "the machine's {} processors were busy for {:.0} of {:.0} s: server, doubles, phones and portals share \
                 them",
                cores(),
                self.busy.as_secs_f64(),
                self.seen.as_secs_f64()
            )
        });
        (self.rows, sentence)
    }

    fn look_at_machine(&mut self, now: Duration) {
        let Some(idle) = idle_time() else { return };
        if let Some((before, idle_before)) = self.last.replace((now, idle)) {
            let span = now.saturating_sub(before);
            let could = span.as_secs_f64() * cores() as f64;
            self.seen += span;
            if idle.saturating_sub(idle_before).as_secs_f64() < could * IDLE_SHARE_MIN {
                self.busy += span;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_look_is_the_begin_and_the_last_the_end() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut watch = Watch::begin(RunClock::start_now(), Some(own));
        watch.look();
        let (rows, _) = watch.end();
        assert_eq!(rows.len(), 3);
        assert!(rows[0].server_cpu_s <= rows[2].server_cpu_s && rows[0].server_resident_bytes > 0);
        assert!(Watch::begin(RunClock::start_now(), None).end().0.is_empty());
    }
}
