//! What a gateway reports later of a message that it took: how that reaches its driver and what comes of it.

use tocsin_model::{DeliveryReason, PushId, TransactionId};

/// A report as it came to the device door, `POST /hooks/v1/{provider}`.
pub struct ReportCall<'a> {
    /// The URL as the gateway called it: issuer, path and query.
    pub url: &'a str,
    /// Its query.
    pub query: &'a str,
    /// A header by its name in small letters; nothing when it stands more than once.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// What a good report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayReport {
    /// Of which transaction.
    pub transaction_id: TransactionId,
    /// Of which sending; one that was replaced by a resend concerns nobody any more.
    pub push_id: PushId,
    /// What became of it.
    pub fate: MessageFate,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFate {
    /// It is on its way.
    Underway,
    /// The phone has it, says the carrier.
    Delivered,
    /// It will not arrive.
    Failed(DeliveryReason),
}

/// Why a report is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportFault {
    /// This provider takes none.
    #[error("this provider takes no reports")]
    NotHere,
    /// It is not signed by whom it should be.
    #[error("the signature does not fit")]
    BadSignature,
    /// It is signed and says nothing that can be understood.
    #[error("not a report")]
    Malformed,
}
