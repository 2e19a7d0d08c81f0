//! Load runs as their users see them: verdicts, reports, pages and comparisons.

mod comparison;
mod page;
mod report;
mod sample;
mod verdict;
