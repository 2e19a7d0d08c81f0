//! Why a proxy made no tunnel, and the classes that are counted.

use std::io;

use crate::transport::dialler::DialError;

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum ProxyFault {
    /// Its name has no address.
    #[error("its look-up failed: {0}")]
    LookUp(io::Error),
    /// No address of it took the connection.
    #[error("cannot connect to it: {0}")]
    Connect(io::Error),
    /// It is to be spoken to over TLS, and that failed; a certificate that does not verify included.
    #[error("tls to it failed: {0}")]
    Tls(io::Error),
    /// It refuses our user name and password.
    #[error("it refuses our user name and password")]
    CredentialRefused,
    /// It refused them a short time ago and was not asked again.
    #[error("it has refused our user name and password and is not asked again yet")]
    CredentialHeld,
    /// It asks for user name and password, and there are none.
    #[error("it asks for a user name and password (407), and none are configured")]
    CredentialMissing,
    /// It asks for another kind of authentication than Basic.
    #[error("it asks for another authentication than Basic (407)")]
    OtherAuthentication,
    /// It does not let us to this host, or refuses in another way.
    #[error("it refuses the host with status {0}")]
    Refused(u16),
    /// It cannot reach the host, or is in trouble itself.
    #[error("it cannot reach the host, status {0}")]
    Upstream(u16),
    /// It closed or reset the connection in place of an answer.
    #[error("it cut the connection before it answered")]
    Cut,
    /// What it answered is no HTTP.
    #[error("what it answered is no http/1.1")]
    NotHttp,
    /// Its answer is longer than anybody should read.
    #[error("the head of its answer is longer than 16 KiB")]
    TooLong,
    /// It sent bytes of its own where the peer's would stand.
    #[error("it sent bytes of its own behind its answer")]
    Junk,
    /// It did not answer in time.
    #[error("it did not answer in time")]
    Late,
}

impl ProxyFault {
    /// The class that it is counted in.
    pub const fn end(&self) -> TunnelEnd {
        match self {
            Self::LookUp(_) | Self::Connect(_) | Self::Tls(_) => TunnelEnd::Unreachable,
            Self::CredentialRefused | Self::CredentialMissing | Self::OtherAuthentication => {
                TunnelEnd::CredentialRefused
            }
            Self::CredentialHeld => TunnelEnd::Held,
            Self::Refused(_) => TunnelEnd::Refused,
            Self::Upstream(_) => TunnelEnd::Upstream,
            Self::Cut | Self::NotHttp | Self::TooLong | Self::Junk => TunnelEnd::Broken,
            Self::Late => TunnelEnd::Late,
        }
    }
}

impl From<DialError> for ProxyFault {
    fn from(error: DialError) -> Self {
        match error {
            DialError::LookUp(error) => Self::LookUp(error),
            DialError::Tcp(error) => Self::Connect(error),
        }
    }
}

/// How an attempt at a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelEnd {
    /// There is one.
    Made,
    /// The proxy cannot be reached.
    Unreachable,
    /// It refuses the credentials, or asks for others.
    CredentialRefused,
    /// It was not asked, because it refused them a short time ago.
    Held,
    /// It refuses the host.
    Refused,
    /// It cannot reach the host.
    Upstream,
    /// It answered wrongly or not at all.
    Broken,
    /// It did not answer in time.
    Late,
}

impl TunnelEnd {
    /// Every end.
    pub const ALL: [Self; 8] = [
        Self::Made,
        Self::Unreachable,
        Self::CredentialRefused,
        Self::Held,
        Self::Refused,
        Self::Upstream,
        Self::Broken,
        Self::Late,
    ];

    /// The word of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Unreachable => "unreachable",
            Self::CredentialRefused => "credential_refused",
            Self::Held => "held",
            Self::Refused => "refused",
            Self::Upstream => "upstream",
            Self::Broken => "broken",
            Self::Late => "late",
        }
    }
}
