//! The one switch between a double that checks and a double that only answers.

/// How much a server looks at what it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// Refuse what the real provider refuses, and keep a record of what came.
    #[default]
    Strict,
    /// Check no token and no JSON and keep no record: for measuring a client's own cost. Faults,
    /// counters and subscriptions still work. No test of correctness may use it.
    Fast,
}
