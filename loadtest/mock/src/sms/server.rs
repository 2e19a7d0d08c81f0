//! What both gateways do alike: take a message, refuse or record it, and answer as the script says.

use http::StatusCode;
use http::request::Parts;

use super::{SmsLog, SmsRecord, SmsRefusal};
use crate::wire::{Action, Call, Reply, Service};
use crate::{Fault, FaultScript};

/// What a gateway makes of a good message.
pub(super) struct Taken {
    pub(super) sid: String,
    pub(super) reply: Reply,
}

/// What is wrong with a message, and how that is answered.
pub(super) struct Wrong(pub(super) &'static str, pub(super) SmsRefusal);

/// What tells one gateway from another.
pub(super) trait Dialect: Send + Sync + 'static {
    /// The fields of the message, or what is wrong with the request.
    fn fields(&self, call: &Call) -> Result<Vec<(String, String)>, Wrong>;

    /// What is wrong with the message, or how it is taken.
    fn take(&self, record: &SmsRecord) -> Result<Taken, Wrong>;
}

/// A gateway behind its listener. Faults may be scripted for a number.
pub(super) struct Gateway<D> {
    pub(super) dialect: D,
    pub(super) log: SmsLog,
    pub(super) faults: FaultScript<SmsRefusal>,
}

impl<D: Dialect> Service for Gateway<D> {
    type Session = ();

    fn cuts_before_reading(&self, _head: &Parts) -> bool {
        self.faults.take_before_reading(None).is_some()
    }

    async fn answer(&self, _session: &(), call: Call) -> Action {
        let mut record = SmsRecord::of(&call);
        let wrong = match self.dialect.fields(&call) {
            Ok(fields) => {
                record.fields = fields;
                None
            }
            Err(wrong) => Some(wrong),
        };
        let fault = self.faults.take(Some(record.to()).filter(|to| !to.is_empty()));
        if let Some(action) = fault.as_ref().and_then(Fault::before_processing) {
            record.fault = wrong.map(|Wrong(why, _)| why);
            self.log.keep(record);
            return action;
        }
        if !call.begin() {
            return Action::RefuseStream;
        }
        let verdict = match wrong {
            Some(wrong) => Err(wrong),
            None => self.dialect.take(&record),
        };
        let reply = match (verdict, &fault) {
            (Err(Wrong(why, refusal)), _) => {
                record.fault = Some(why);
                refusal.reply()
            }
            (Ok(_), Some(Fault::Refuse(refusal))) => refusal.reply(),
            (Ok(taken), _) => {
                (record.is_taken, record.sid) = (true, Some(taken.sid));
                taken.reply
            }
        };
        let is_answered = !matches!(fault, Some(Fault::CutAfterProcessing));
        record.answered = is_answered.then_some(reply.status.as_u16());
        self.log.keep(record);
        Fault::after_processing(fault, reply).await
    }
}

impl Wrong {
    pub(super) fn status(why: &'static str, status: StatusCode) -> Self {
        Self(why, SmsRefusal::status(status))
    }
}

/// `+` and 7 to 15 digits, the first of them not 0.
pub(super) fn is_e164(number: &str) -> bool {
    number.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}
