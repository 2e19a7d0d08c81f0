//! Criterion benches, each beside the bare library.
