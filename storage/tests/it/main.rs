//! Tests of the storage from outside: one conformance suite for every back end, a shadow model, and for RocksDB
//! opening, failing, crashing and syncing.

mod conformance;
mod controls;
#[cfg(all(feature = "rocks", target_os = "linux"))]
mod crash;
mod fixture;
mod forgetting;
#[cfg(feature = "rocks")]
mod rocks;
mod shadow;
