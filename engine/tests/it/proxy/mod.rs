//! Connections through proxies: the double, and two of Debian's.

mod account;
mod debian;
mod double;
mod rig;
