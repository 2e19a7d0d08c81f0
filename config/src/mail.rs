//! A mail server that letters with codes are handed to: a provider of kind "smtp". Part of the typed configuration.

use std::path::PathBuf;

use tocsin_model::EmailAddress;

use crate::login::Login;

/// A mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpProvider {
    /// Its host name, or its address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// When TLS begins; nothing is sent in clear.
    pub security: MailSecurity,
    /// What it knows us by; `None` where it takes mail from our address.
    pub login: Option<Login>,
    /// Whom letters come from.
    pub sender: EmailAddress,
    /// The name beside that address.
    pub sender_name: Option<String>,
    /// What we call ourselves to it.
    pub hello: String,
    /// Trust only the certificate authorities of this PEM file instead of the platform's.
    pub ca_file: Option<PathBuf>,
}

impl SmtpProvider {
    /// Where it is, as a URL.
    pub fn url(&self) -> String {
        let scheme = match self.security {
            MailSecurity::Implicit => "smtps",
            MailSecurity::StartTls => "smtp",
        };
        let Self { host, port, .. } = self;
        if host.contains(':') {
            format!("{scheme}://[{host}]:{port}")
        } else {
            format!("{scheme}://{host}:{port}")
        }
    }
}

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// With the first byte (RFC 8314).
    Implicit,
    /// After STARTTLS (RFC 3207), without which nothing is sent.
    StartTls,
}

impl MailSecurity {
    /// The port where nobody says another.
    pub const fn port(self) -> u16 {
        match self {
            Self::Implicit => 465,
            Self::StartTls => 587,
        }
    }
}
