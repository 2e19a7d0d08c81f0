//! The table of live connections, what may be ordered of them, and what they counted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use super::service::ConnectionNumber;
use super::tap::WireHandle;
use crate::sync::lock;

/// Most connections at a time; more are closed as soon as they are accepted.
pub(super) const CONNECTIONS_MAX: usize = 16_384;
/// Closed connections that are still reported.
const CLOSED_REPORTS_MAX: usize = 1_024;

/// What a connection has been told to do; the newest state counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    pub(super) cut: bool,
    pub(super) go_away: Option<Bytes>,
}

/// One connection, from outside its task.
#[derive(Debug)]
pub(super) struct LiveConnection {
    number: ConnectionNumber,
    orders: watch::Sender<Orders>,
    wire: OnceLock<WireHandle>,
    requests: AtomicU64,
}

/// What is known of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionReport {
    /// Its number.
    pub connection: ConnectionNumber,
    /// Whether it is still open.
    pub is_open: bool,
    /// Requests whose headers came.
    pub requests: u64,
    /// The stream limit announced last; 0 before HTTP/2 or without it.
    pub stream_limit: u32,
    /// Most streams open at once, counted on the wire.
    pub streams_peak: u32,
    /// Streams refused because they were opened over the limit.
    pub streams_refused: u64,
}

/// What a server has seen on the wire since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections with TLS established.
    pub connections: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// TCP connections that did not get through TLS and ALPN.
    pub handshakes_failed: u64,
    /// Requests whose headers came.
    pub requests: u64,
    /// Most streams open at once on any one connection.
    pub streams_peak: u32,
    /// Streams refused because they were opened over a limit.
    pub streams_refused: u64,
}

impl LiveConnection {
    pub(super) fn number(&self) -> ConnectionNumber {
        self.number
    }

    pub(super) fn orders(&self) -> watch::Receiver<Orders> {
        self.orders.subscribe()
    }

    pub(super) fn attach(&self, wire: WireHandle) {
        let _first = self.wire.set(wire);
    }

    pub(super) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn cut(&self) {
        self.orders.send_modify(|orders| orders.cut = true);
    }

    pub(super) fn go_away(&self, debug_data: Bytes) {
        self.orders.send_modify(|orders| orders.go_away = Some(debug_data));
    }

    pub(super) fn announce_stream_limit(&self, limit: u32) {
        if let Some(wire) = self.wire.get() {
            wire.announce_stream_limit(limit);
        }
    }

    fn report(&self, is_open: bool) -> ConnectionReport {
        let (stream_limit, streams_peak, streams_refused) =
            self.wire.get().map_or((0, 0, 0), WireHandle::stream_facts);
        let requests = self.requests.load(Ordering::Acquire);
        ConnectionReport {
            connection: self.number,
            is_open,
            requests,
            stream_limit,
            streams_peak,
            streams_refused,
        }
    }
}

/// All connections of a server.
#[derive(Debug, Default)]
pub(super) struct Connections {
    table: Mutex<Table>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Table {
    live: BTreeMap<ConnectionNumber, Arc<LiveConnection>>,
    closed: VecDeque<ConnectionReport>,
    /// Sums over closed connections, which outlive their reports.
    past: Traffic,
    newest: u64,
}

impl Connections {
    /// Enters a connection that has passed TLS; `None` if there are too many.
    pub(super) fn open(&self) -> Option<Arc<LiveConnection>> {
        let mut table = lock(&self.table);
        if table.live.len() >= CONNECTIONS_MAX {
            return None;
        }
        table.newest += 1;
        let number = ConnectionNumber(table.newest);
        let connection = Arc::new(LiveConnection {
            number,
            orders: watch::Sender::new(Orders::default()),
            wire: OnceLock::new(),
            requests: AtomicU64::new(0),
        });
        table.live.insert(number, Arc::clone(&connection));
        Some(connection)
    }

    /// Takes a connection out of the table and keeps its report.
    pub(super) fn close(&self, connection: &LiveConnection) {
        let mut table = lock(&self.table);
        table.live.remove(&connection.number);
        let report = connection.report(false);
        table.past.add(&report);
        if table.closed.len() >= CLOSED_REPORTS_MAX {
            table.closed.pop_front();
        }
        table.closed.push_back(report);
        if table.live.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    pub(super) fn handshake_failed(&self) {
        lock(&self.table).past.handshakes_failed += 1;
    }

    pub(super) fn for_each(&self, act: impl FnMut(&Arc<LiveConnection>)) {
        let live: Vec<_> = lock(&self.table).live.values().cloned().collect();
        live.iter().for_each(act);
    }

    /// Waits until no connection is left.
    pub(super) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if lock(&self.table).live.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Reports, closed connections first, each group oldest first.
    pub(super) fn reports(&self) -> Vec<ConnectionReport> {
        let table = lock(&self.table);
        let live = table.live.values().map(|connection| connection.report(true));
        table.closed.iter().cloned().chain(live).collect()
    }

    pub(super) fn traffic(&self) -> Traffic {
        let table = lock(&self.table);
        let mut traffic = table.past.clone();
        for connection in table.live.values() {
            traffic.add(&connection.report(true));
        }
        traffic.connections = table.newest;
        traffic.connections_open = table.live.len() as u64;
        traffic
    }
}

impl Traffic {
    fn add(&mut self, report: &ConnectionReport) {
        self.requests += report.requests;
        self.streams_peak = self.streams_peak.max(report.streams_peak);
        self.streams_refused += report.streams_refused;
    }
}
