//! x
use tocsin_model::{DurationMs, UnixMs};
/// x
#[derive(Debug)]
pub struct Breaker;
impl Breaker {
    /// x
    pub fn new(_: u32, _: DurationMs) -> Self {
        Self
    }
    /// x
    pub fn allows(&mut self, _: UnixMs) -> bool {
        true
    }
    /// x
    pub fn record(&mut self, _: bool, _: UnixMs) {}
    /// x
    pub fn is_open(&self, _: UnixMs) -> bool {
        false
    }
}
