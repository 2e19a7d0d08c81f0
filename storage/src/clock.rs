//! The clock that expiry is judged by, given by whoever opens a store.

use std::sync::Arc;

use tocsin_model::UnixMs;

/// Says what time it is. Stored deadlines are wall time; only expiry reads it here.
pub type Clock = Arc<dyn Fn() -> UnixMs + Send + Sync>;
