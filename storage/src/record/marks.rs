//! The disk form of how far the pushes of a pending transaction, and its code, came, apart from its record.
//!
//! A record holds every text that the user is shown; a mark changes a few bytes of it. So marks have a small row of
//! their own, which a reader lays on the record while that is pending and older.

use minicbor::{Decode, Encode};
use tocsin_model::{Delivery, DeliveryReason, DeliveryStatus, DeviceId, Recipient, Transaction};

use super::{Malformed, code, name};

/// The marks of a transaction on disk.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct MarksRecord {
    #[n(0)]
    pub(crate) revision: u32,
    #[n(1)]
    marks: Vec<MarkRecord>,
    #[n(2)]
    code: Option<CodeMarkRecord>,
}

/// How far the code came, and by whom: another gateway may have taken over from the one in the record.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct CodeMarkRecord {
    #[n(0)]
    provider: String,
    #[n(1)]
    status: u8,
    #[n(2)]
    reason: Option<u8>,
}

#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct MarkRecord {
    #[cbor(n(0), with = "minicbor::bytes")]
    device_id: [u8; 16],
    #[n(1)]
    status: u8,
    #[n(2)]
    reason: Option<u8>,
}

impl MarksRecord {
    pub(crate) fn new(transaction: &Transaction) -> Self {
        let marks = transaction.recipients.iter().filter_map(MarkRecord::new).collect();
        let code = transaction.code().and_then(|code| code.delivery.as_ref()).map(CodeMarkRecord::new);
        Self { revision: transaction.revision, marks, code }
    }

    /// Lays the marks on `transaction`. A phone that only one of the two knows is left as it is, and so is a
    /// phone that is not pushed to.
    pub(crate) fn lay_on(self, transaction: &mut Transaction) -> Result<(), Malformed> {
        transaction.revision = self.revision;
        for mark in self.marks {
            let (device_id, status, reason) = mark.into_model()?;
            if let Some(Recipient { delivery: Some(delivery), .. }) = transaction.recipient_mut(&device_id) {
                delivery.status = status;
                delivery.reason = reason;
            }
        }
        let sent = transaction.code_mut().and_then(|code| code.delivery.as_mut());
        if let (Some(mark), Some(delivery)) = (self.code, sent) {
            *delivery = mark.into_model()?;
        }
        Ok(())
    }
}

impl MarkRecord {
    fn new(recipient: &Recipient) -> Option<Self> {
        let Delivery { provider: _, status, reason } = recipient.delivery.as_ref()?;
        Some(Self {
            device_id: *recipient.device_id.as_bytes(),
            status: code::from_delivery_status(*status),
            reason: reason.map(code::from_delivery_reason),
        })
    }

    fn into_model(self) -> Result<(DeviceId, DeliveryStatus, Option<DeliveryReason>), Malformed> {
        let status = code::to_delivery_status(self.status)?;
        let reason = self.reason.map(code::to_delivery_reason).transpose()?;
        Ok((DeviceId::from_bytes(self.device_id), status, reason))
    }
}

impl CodeMarkRecord {
    fn new(Delivery { provider, status, reason }: &Delivery) -> Self {
        Self {
            provider: provider.as_str().to_owned(),
            status: code::from_delivery_status(*status),
            reason: reason.map(code::from_delivery_reason),
        }
    }

    fn into_model(self) -> Result<Delivery, Malformed> {
        Ok(Delivery {
            provider: name(&self.provider)?,
            status: code::to_delivery_status(self.status)?,
            reason: self.reason.map(code::to_delivery_reason).transpose()?,
        })
    }
}
