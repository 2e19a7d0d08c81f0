//! What was asked of the proxy.

use crate::log::Log;

/// One CONNECT, or what came in place of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRecord {
    /// `host:port` as asked; empty where the request is none.
    pub target: String,
    /// Whether it came with user name and password, right or wrong.
    pub has_credentials: bool,
    /// The rule that the request breaks; `None` for a good one.
    pub fault: Option<&'static str>,
    /// The status that it was answered with; `None` when it was not answered.
    pub answered: Option<u16>,
}

impl ProxyRecord {
    /// Whether the proxy let it through.
    pub fn is_let_through(&self) -> bool {
        self.answered == Some(200)
    }
}

/// What was asked of one proxy.
pub type ProxyLog = Log<ProxyRecord>;
