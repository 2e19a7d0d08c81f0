//! Which figures stand beside which, and what was promised of them.

use super::source::Source::{self, Kept, Median};

/// How a figure is shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    /// Nanoseconds, shown as microseconds.
    Time,
    /// Nanoseconds each, shown as how many a second.
    Rate,
    /// Bytes.
    Bytes,
    /// Microseconds.
    Microseconds,
}

/// What was promised of a ratio, and what would be better still.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// Ours costs at most so many times as much.
    AtMost(f64, f64),
    /// Ours does at least this share of the work in the same time.
    AtLeast(f64, f64),
    /// Nothing: for the reader.
    None,
}

/// One line of ratios.
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) bare_name: &'static str,
    pub(super) unit: Unit,
    pub(super) ours: Source,
    pub(super) bare: Source,
    pub(super) target: Target,
}

const fn row(
    what: &'static str,
    unit: Unit,
    ours: Source,
    bare_name: &'static str,
    bare: Source,
    target: Target,
) -> Row {
    Row { what, bare_name, unit, ours, bare, target }
}

const PUSH: Target = Target::AtMost(1.5, 1.2);
const COMMIT: Target = Target::AtLeast(0.5, 0.75);

/// The ratios.
pub(super) const ROWS: &[Row] = &[
    row(
        "Push, 16 in flight: CPU",
        Unit::Time,
        Median("http2_path/tocsin/16"),
        "h2",
        Median("http2_path/h2/16"),
        PUSH,
    ),
    row(
        "Push, 256 in flight: CPU",
        Unit::Time,
        Median("http2_path/tocsin/256"),
        "h2",
        Median("http2_path/h2/256"),
        PUSH,
    ),
    row(
        "The same, 16 in flight",
        Unit::Time,
        Median("http2_path/tocsin/16"),
        "h2 with gathered writes",
        Median("http2_path/h2-gathered/16"),
        Target::None,
    ),
    row(
        "The same, 256 in flight",
        Unit::Time,
        Median("http2_path/tocsin/256"),
        "h2 with gathered writes",
        Median("http2_path/h2-gathered/256"),
        Target::None,
    ),
    row(
        "The same, 16 in flight",
        Unit::Time,
        Median("http2_path/tocsin/16"),
        "h2load",
        Kept("h2load-16-ns"),
        Target::None,
    ),
    row(
        "The same, 256 in flight",
        Unit::Time,
        Median("http2_path/tocsin/256"),
        "h2load",
        Kept("h2load-256-ns"),
        Target::None,
    ),
    row(
        "Push with a sealed challenge, 256 in flight: CPU",
        Unit::Time,
        Median("http2_path/tocsin-sealed/256"),
        "h2",
        Median("http2_path/h2-sealed/256"),
        PUSH,
    ),
    row(
        "Durable creates, 1 waiting",
        Unit::Rate,
        Median("group_commit/tocsin/1"),
        "RocksDB write batches",
        Median("group_commit/rocksdb/1"),
        COMMIT,
    ),
    row(
        "Durable creates, 64 waiting",
        Unit::Rate,
        Median("group_commit/tocsin/64"),
        "RocksDB write batches",
        Median("group_commit/rocksdb/64"),
        COMMIT,
    ),
    row(
        "Durable creates, 1,024 waiting",
        Unit::Rate,
        Median("group_commit/tocsin/1024"),
        "RocksDB write batches",
        Median("group_commit/rocksdb/1024"),
        COMMIT,
    ),
    row(
        "Create call with its push: server CPU",
        Unit::Time,
        Median("portal_door/tocsin/256"),
        "actix-web JSON echo",
        Median("portal_door/actix-web/256"),
        Target::AtMost(3.5, 2.5),
    ),
    row(
        "Create call without a push: server CPU",
        Unit::Time,
        Median("portal_door/tocsin-unpushed/256"),
        "actix-web JSON echo",
        Median("portal_door/actix-web/256"),
        Target::None,
    ),
    row(
        "Create and withdraw through the registry: CPU",
        Unit::Time,
        Median("registry/tocsin/64"),
        "actix actor: spawn, ask, stop",
        Median("registry/actix/64"),
        Target::None,
    ),
    row(
        "Memory of a pending transaction's actor",
        Unit::Bytes,
        Kept("actor-memory-bytes"),
        "actix actor with a timer",
        Kept("bare-actor-memory-bytes"),
        Target::None,
    ),
    row(
        "Provider token (JWT), signed",
        Unit::Time,
        Median("signatures/jwt-sign_tocsin"),
        "aws-lc-rs",
        Median("signatures/jwt-sign_aws-lc"),
        Target::None,
    ),
    row(
        "Challenge (JWS), signed",
        Unit::Time,
        Median("signatures/jws-sign_tocsin"),
        "aws-lc-rs",
        Median("signatures/jws-sign_aws-lc"),
        Target::None,
    ),
    row(
        "Phone's proof (JWS), parsed and checked",
        Unit::Time,
        Median("signatures/jws-verify_tocsin"),
        "aws-lc-rs",
        Median("signatures/jws-verify_aws-lc"),
        Target::None,
    ),
    row(
        "Transaction's record, written",
        Unit::Time,
        Median("record_codec/write_tocsin"),
        "minicbor, plain fields",
        Median("record_codec/write_minicbor"),
        Target::None,
    ),
    row(
        "Transaction's record, read",
        Unit::Time,
        Median("record_codec/read_tocsin"),
        "minicbor, plain fields",
        Median("record_codec/read_minicbor"),
        Target::None,
    ),
    row(
        "Row of 1,024 bytes, sealed",
        Unit::Time,
        Median("sealing/tocsin/1024"),
        "AES-256-GCM of aws-lc-rs",
        Median("sealing/aws-lc/1024"),
        Target::None,
    ),
    row(
        "Row of 1,024 bytes, opened",
        Unit::Time,
        Median("sealing/tocsin-open/1024"),
        "AES-256-GCM of aws-lc-rs",
        Median("sealing/aws-lc-open/1024"),
        Target::None,
    ),
];

/// What stands beside all absolutes: this machine, measured in the same run.
pub(super) const MACHINE: &[(&str, Unit, Source)] = &[
    ("fsync of 4 KiB appended, p50", Unit::Microseconds, Kept("fsync-p50-us")),
    ("fsync of 4 KiB appended, p99", Unit::Microseconds, Kept("fsync-p99-us")),
    ("ECDSA P-256 signatures by aws-lc-rs, one core", Unit::Rate, Median("machine/p256-sign")),
    ("ECDSA P-256 checks by aws-lc-rs, one core", Unit::Rate, Median("machine/p256-verify")),
    ("actix-web JSON echo: server CPU for one call", Unit::Time, Median("portal_door/actix-web/256")),
];
