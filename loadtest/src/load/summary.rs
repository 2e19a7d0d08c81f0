//! A report in a screenful, for the terminal: what happened, how quick it was, whether it was enough, and whether the
//! machine rather than the product was the limit.

use std::fmt;

use super::report::Report;

/// Shows a report.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'r>(pub &'r Report);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        let counts = &report.counts;
        writeln!(formatter, "{}: {} flows in {:.1} s", report.title, counts.arrived, report.took_s)?;
        writeln!(
            formatter,
            "  {} started, {} ended well ({:.0}/s), {} refused, {} failed, {} without a known end, {} dropped by the \
             generator",
            counts.created,
            counts.finished,
            counts.finished_per_s,
            counts.refused,
            counts.failed,
            counts.unfinished,
            counts.dropped
        )?;
        let states: Vec<String> =
            report.final_states.iter().map(|(state, count)| format!("{state} {count}")).collect();
        if !states.is_empty() {
            writeln!(formatter, "  ends: {}", states.join(", "))?;
        }
        self.write_stages(formatter)?;
        self.write_server(formatter)?;
        for limit in &report.machine_limits {
            writeln!(formatter, "  limit of the machine: {limit}")?;
        }
        for judged in &report.verdict.judged {
            let word = if judged.is_met { "met" } else { "MISSED" };
            writeln!(formatter, "  {word}: {}", judged.sentence)?;
        }
        Ok(())
    }
}

impl Summary<'_> {
    fn write_stages(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "  {:<14} {:>9} {:>10} {:>10} {:>10}", "ms", "count", "p50", "p99", "max")?;
        for stage in &self.0.stages {
            let latencies = &stage.from_intended;
            if latencies.count > 0 {
                let [p50, p99, max] = [latencies.p50_us, latencies.p99_us, latencies.max_us]
                    .map(|latency_us| format!("{:.2}", latency_us as f64 / 1_000.0));
                let (title, count) = (stage.stage.title(), latencies.count);
                writeln!(formatter, "  {title:<14} {count:>9} {p50:>10} {p99:>10} {max:>10}")?;
            }
            for (word, codes) in [("refused", &stage.refusals), ("failed", &stage.errors)] {
                for (code, count) in codes {
                    writeln!(formatter, "  {:<14} {count:>9} {word}: {code}", stage.stage.title())?;
                }
            }
        }
        Ok(())
    }

    fn write_server(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(server) = &self.0.server {
            writeln!(
                formatter,
                "  server: {:.0} µs of processor time for each flow, {} MiB at its highest; generator and doubles: \
                 {:.1} s of processor time",
                server.cpu_us_per_flow,
                server.resident_max_bytes >> 20,
                self.0.generator_cpu_s
            )?;
        }
        if let Some(disk) = &self.0.disk {
            writeln!(formatter, "  disk: a sync took {:.2} ms (p99)", disk.sync_p99_us() as f64 / 1_000.0)?;
        }
        Ok(())
    }
}
