//! The double of a mail server that takes submissions: SMTP over TLS from the first byte or after STARTTLS.
//!
//! It is strict: no command before its time, no credentials and no mail in clear, lines that end as they must, and of a
//! letter the header fields that a machine's message needs. What breaks a rule is refused and recorded as such.

mod dialogue;
mod letter;
mod record;
mod server;

pub use record::{MailLog, MailRecord};
pub use server::{SmtpOptions, SmtpSecurity, SmtpServer, SmtpStage, SmtpTrouble};
