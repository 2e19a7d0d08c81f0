//! The form for people: one page that needs nothing from anywhere, no script and no font.
//!
//! It is made for the width of a phone first. Wide tables scroll inside their own box, never the page.

mod figures;
mod tables;

use super::types::Report;
use super::units;

/// Everything that the page's looks depend on.
const STYLE: &str = include_str!("style.css");

impl Report {
    /// The page.
    pub fn to_html(&self) -> String {
        let title = escaped(&self.title);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title} · Tocsin load report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
        );
        page.push_str(&self.head(&title));
        page.push_str(&self.tiles());
        page.push_str(&self.verdict_list());
        page.push_str("<section>\n<h2>Over time</h2>\n");
        page.push_str(&tables::marks(self));
        page.push_str("<div class=\"plots\">\n");
        figures::over_time(self).iter().for_each(|figure| page.push_str(figure));
        page.push_str("</div>\n</section>\n<section>\n<h2>Latencies</h2>\n<div class=\"plots\">\n");
        figures::distributions(self).iter().for_each(|figure| page.push_str(figure));
        page.push_str("</div>\n");
        page.push_str(&tables::stages(self));
        page.push_str("</section>\n");
        page.push_str(&tables::outcomes(self));
        page.push_str(&tables::surroundings(self));
        page.push_str(&tables::parameters(self));
        page.push_str("</body>\n</html>\n");
        page
    }

    fn head(&self, title: &str) -> String {
        let commit = if self.build.commit.is_empty() { "unknown commit" } else { &self.build.commit };
        let mut head = format!("<header>\n<h1>{title}</h1>\n<p>{}</p>\n", escaped(&self.about));
        head.push_str(&format!(
            "<p class=\"muted\">{} · {} · Tocsin {}, {}, {}</p>\n</header>\n",
            escaped(&self.scenario),
            escaped(&self.started_at),
            escaped(&self.build.version),
            escaped(commit),
            escaped(&self.build.profile)
        ));
        head
    }

    fn tiles(&self) -> String {
        let counts = &self.counts;
        let flow_p99 = self
            .stage(crate::load::meter::Stage::Flow)
            .filter(|flow| flow.from_intended.count > 0)
            .map_or_else(|| "–".to_owned(), |flow| units::latency(flow.from_intended.p99_us as f64));
        let not_seen = || "not seen".to_owned();
        let server = self.server.as_ref();
        let tiles = [
            ("flows arrived", units::count(counts.arrived)),
            ("flows finished", units::count(counts.finished)),
            ("finished per second", units::number(counts.finished_per_s)),
            ("failed", units::count(counts.failed)),
            ("refused with Retry-After", units::count(counts.refused)),
            ("dropped by the generator", units::count(counts.dropped)),
            ("whole flow p99", flow_p99),
            (
                "server CPU per flow",
                server.map_or_else(not_seen, |server| {
                    format!("{} µs", units::count(server.cpu_us_per_flow.round() as u64))
                }),
            ),
            (
                "server memory, highest",
                server.map_or_else(not_seen, |server| units::bytes(server.resident_max_bytes)),
            ),
        ];
        let tiles = tiles.map(|(name, value)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n"));
        format!("<dl class=\"tiles\">\n{}</dl>\n", tiles.concat())
    }

    fn verdict_list(&self) -> String {
        let judged = &self.verdict.judged;
        let missed = judged.iter().filter(|judged| !judged.is_met).count();
        let (class, heading) = match (judged.len(), missed) {
            (0, _) => ("", "The scenario asks for nothing".to_owned()),
            (all, 0) => ("met", format!("All {all} thresholds met")),
            (all, missed) => ("missed", format!("{missed} of {all} thresholds missed")),
        };
        let mut list = format!("<section class=\"verdict {class}\">\n<h2>{heading}</h2>\n<ul>\n");
        for judged in judged {
            let (class, word) = if judged.is_met { ("met", "met") } else { ("missed", "missed") };
            list.push_str(&format!(
                "<li><span class=\"{class}\">{word}</span> {}</li>\n",
                escaped(&judged.sentence)
            ));
        }
        list.push_str("</ul>\n");
        if !self.machine_limits.is_empty() {
            list.push_str(
                "<p><strong>A limit of the machine came before the product's:</strong></p>\n<ul>\n",
            );
            for limit in &self.machine_limits {
                list.push_str(&format!("<li>{}</li>\n", escaped(limit)));
            }
            list.push_str("</ul>\n");
        }
        list.push_str("</section>\n");
        list
    }
}

/// A text as it may stand in an element or in an attribute with double quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
