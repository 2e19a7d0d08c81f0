//! What a pool is doing, in plain atomics that the metrics read when they are scraped.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Counters and gauges of one pool.
        #[derive(Debug, Default)]
        pub struct TransportStats {
            $(pub(super) $name: Number,)+
        }

        /// The numbers of one pool at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct TransportSnapshot {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl TransportStats {
            /// The numbers now.
            pub fn snapshot(&self) -> TransportSnapshot {
                TransportSnapshot { $($name: self.$name.get(),)+ }
            }
        }
    };
}

stats! {
    /// Gauge: connections that are up, those that only finish their last streams included.
    connections_open,
    /// Gauge: requests that hold a stream.
    streams_in_flight,
    /// Gauge: streams that the peers allow at present, all connections that take new ones together.
    stream_limit,
    /// Gauge: requests waiting for a stream.
    queue_length,
    /// Counter: connections made.
    connects_ok,
    /// Counter: connections that could not be made.
    connects_failed,
    /// Counter: connections given up because a PING had no answer.
    pings_lost,
    /// Counter: connections whose peer said GOAWAY.
    goaways,
    /// Counter: requests sent again because the peer certainly had not processed them.
    resent_unprocessed,
    /// Counter: requests refused because the queue was full.
    refused_busy,
}

/// One number; relaxed, because no decision hangs on it.
#[derive(Debug, Default)]
pub(super) struct Number(AtomicU64);

impl Number {
    pub(super) fn increase(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn decrease(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn set(&self, value: usize) {
        self.0.store(u64::try_from(value).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
