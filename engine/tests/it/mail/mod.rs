//! Letters with codes: the double of a mail server, and PyPI's aiosmtpd.

mod aiosmtpd;
mod double;
pub mod rig;
