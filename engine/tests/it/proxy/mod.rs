//! Connections through proxies: the double, and two of Debian's.

mod debian;
mod double;
mod rig;
