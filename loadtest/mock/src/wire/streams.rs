//! Which streams of a connection are open, counted on the wire.
//!
//! ```text
//!   HEADERS in ──► open ──END_STREAM in──► request read ──END_STREAM out──► closed
//!      │             └────END_STREAM out──► answered ────END_STREAM in────────┘
//!      └ over the limit ──► to be refused          RST_STREAM either way ──► closed
//! ```
//! Pure: frames in, facts out. A raised limit counts from its announcement; a lowered one from the
//! client's acknowledgement, because the client could not know it before. The first limit counts at once:
//! APNs refuses a burst that does not wait for it.

use std::collections::{BTreeSet, HashMap, VecDeque};

/// Refused streams that are remembered until their request is seen; older ones are forgotten.
const REFUSALS_REMEMBERED_MAX: usize = 4_096;

/// The open streams of one connection and the limit on them.
#[derive(Debug)]
pub(super) struct StreamLedger {
    open: HashMap<u32, Halves>,
    refused: BTreeSet<u32>,
    refused_count: u64,
    acknowledged_limit: u32,
    announced_limits: VecDeque<u32>,
    highest: u32,
    peak: u32,
}

#[derive(Debug, Default)]
struct Halves {
    request_ended: bool,
    response_ended: bool,
}

impl StreamLedger {
    pub(super) fn new(first_limit: u32) -> Self {
        Self {
            open: HashMap::new(),
            refused: BTreeSet::new(),
            refused_count: 0,
            acknowledged_limit: first_limit,
            announced_limits: VecDeque::new(),
            highest: 0,
            peak: 0,
        }
    }

    /// The limit that requests are held against now.
    pub(super) fn limit(&self) -> u32 {
        self.announced_limits.iter().copied().fold(self.acknowledged_limit, u32::max)
    }

    /// The limit announced last.
    pub(super) fn newest_limit(&self) -> u32 {
        self.announced_limits.back().copied().unwrap_or(self.acknowledged_limit)
    }

    pub(super) fn announce(&mut self, limit: u32) {
        self.announced_limits.push_back(limit);
    }

    pub(super) fn acknowledge(&mut self) {
        if let Some(limit) = self.announced_limits.pop_front() {
            self.acknowledged_limit = limit;
        }
    }

    /// HEADERS from the client: a new stream, or trailers of an old one.
    pub(super) fn on_request_headers(&mut self, stream: u32) {
        if stream <= self.highest {
            return;
        }
        self.highest = stream;
        if self.open.len() >= self.limit() as usize {
            self.refused_count += 1;
            self.refused.insert(stream);
            if self.refused.len() > REFUSALS_REMEMBERED_MAX {
                self.refused.pop_first();
            }
            return;
        }
        self.open.insert(stream, Halves::default());
        self.peak = self.peak.max(u32::try_from(self.open.len()).unwrap_or(u32::MAX));
    }

    pub(super) fn on_request_end(&mut self, stream: u32) {
        self.end_half(stream, |halves| halves.request_ended = true);
    }

    pub(super) fn on_response_end(&mut self, stream: u32) {
        self.end_half(stream, |halves| halves.response_ended = true);
    }

    pub(super) fn on_reset(&mut self, stream: u32) {
        self.open.remove(&stream);
    }

    /// Whether `stream` came over the limit; asked once, when its request is taken up.
    pub(super) fn take_refused(&mut self, stream: u32) -> bool {
        self.refused.remove(&stream)
    }

    pub(super) fn refused_count(&self) -> u64 {
        self.refused_count
    }

    pub(super) fn peak(&self) -> u32 {
        self.peak
    }

    fn end_half(&mut self, stream: u32, end: impl FnOnce(&mut Halves)) {
        if let Some(halves) = self.open.get_mut(&stream) {
            end(halves);
            if halves.request_ended && halves.response_ended {
                self.open.remove(&stream);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_over_the_first_limit_is_refused_until_the_other_is_closed() {
        let mut ledger = StreamLedger::new(1);
        ledger.on_request_headers(1);
        ledger.on_request_headers(3);
        assert!(!ledger.take_refused(1) && ledger.take_refused(3));
        ledger.on_request_end(1);
        ledger.on_response_end(1);
        ledger.on_request_headers(5);
        assert!(!ledger.take_refused(5));
        assert_eq!((ledger.peak(), ledger.refused_count()), (1, 1));
    }

    #[test]
    fn a_raised_limit_counts_at_once_and_a_lowered_one_when_acknowledged() {
        let mut ledger = StreamLedger::new(1);
        ledger.announce(10);
        assert_eq!(ledger.limit(), 10);
        ledger.acknowledge();
        ledger.announce(1);
        assert_eq!((ledger.limit(), ledger.newest_limit()), (10, 1));
        ledger.acknowledge();
        assert_eq!(ledger.limit(), 1);
    }

    #[test]
    fn a_reset_closes_a_stream_and_trailers_open_none() {
        let mut ledger = StreamLedger::new(1);
        ledger.on_request_headers(1);
        ledger.on_request_headers(1);
        ledger.on_reset(1);
        ledger.on_request_headers(3);
        assert!(!ledger.take_refused(3));
    }
}
