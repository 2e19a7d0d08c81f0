//! What a run leaves: one [`Report`], written as JSON for machines and as a page for people, and a comparison of two.

mod compare;
mod html;
mod json;
mod plot;
mod types;
mod units;

pub use compare::{ComparedRow, Comparison};
pub use json::ReportError;
pub use types::{
    BareRates, Build, Counts, DiskReport, Facts, Machine, Mark, Report, ResourceRow, ServerUse, StageReport,
    Target,
};
