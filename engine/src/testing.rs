//! Values that unit tests start from.

use tocsin_config::EngineLimits;
use tocsin_model::DurationMs;

/// Bounds that no test meets unless it lowers them.
pub(crate) fn engine_limits() -> EngineLimits {
    EngineLimits {
        arbiters: 1,
        transactions_in_flight_max: 1_000,
        transactions_per_client_max: 1_000,
        transactions_per_user_max: 1_000,
        waiters_max: 1_000,
        waiters_per_transaction_max: 100,
        event_streams_per_client_max: 100,
        signature_threads: 1,
        signature_queue_max: 1_000,
        linger: DurationMs::from_seconds(5),
        drain_grace: DurationMs::from_seconds(5),
    }
}
