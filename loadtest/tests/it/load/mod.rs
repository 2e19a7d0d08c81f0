//! Load runs as their users see them: verdicts, reports, pages and comparisons.

mod comparison;
mod page;
mod report;
mod run;
mod run_command;
mod sample;
mod verdict;
