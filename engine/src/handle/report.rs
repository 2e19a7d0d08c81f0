//! What gateways report of messages that they took.

use tocsin_model::{ErrorCode, Problem, ProviderName, Sending, TransactionId};

use super::Handle;
use crate::provider::{MessageFate, ReportCall, ReportFault};
use crate::transaction::Request;

impl Handle {
    /// Takes a report of this provider. One that is signed is taken even where it concerns nobody any more: the gateway
    /// has done its part.
    pub async fn gateway_report(&self, provider: &str, call: &ReportCall<'_>) -> Result<(), Problem> {
        let name: ProviderName = provider.parse().map_err(|_| Problem::not_found())?;
        let driver = self.drivers().get(&name).cloned().ok_or_else(Problem::not_found)?;
        let report = match driver.read_report(call) {
            Ok(report) => report,
            Err(fault) => return Err(self.report_refused(&name, fault)),
        };
        let result = match report.fate {
            MessageFate::Underway => "underway",
            MessageFate::Delivered => "delivered",
            MessageFate::Failed(_) => "failed",
        };
        self.metrics().gateway_reported(&name, result);
        let MessageFate::Failed(reason) = report.fate else { return Ok(()) };
        let id: TransactionId = report.transaction_id;
        let Ok(present) = self.view(id).await else { return Ok(()) };
        let push_ids = &self.0.surroundings.push_ids;
        let is_meant = |sending: &Sending| push_ids.derive_for_code(id, *sending) == report.push_id;
        let Some(sending) = present.sending().filter(is_meant) else { return Ok(()) };
        tracing::info!(transaction = %id, provider = %name, reason = reason.as_str(), "a gateway reports that a message did not arrive");
        match self.ask(id, Request::Undelivered { sending, reason }).await {
            Err(problem) if problem.code != ErrorCode::NotFound => Err(problem),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn report_refused(&self, name: &ProviderName, fault: ReportFault) -> Problem {
        match fault {
            ReportFault::NotHere => Problem::not_found(),
            ReportFault::BadSignature => {
                self.metrics().gateway_reported(name, "refused");
                tracing::warn!(provider = %name, "a report without the gateway's signature");
                Problem::new(ErrorCode::BadSignature, "the report is not signed by the gateway")
            }
            ReportFault::Malformed => {
                self.metrics().gateway_reported(name, "refused");
                Problem::new(ErrorCode::InvalidRequest, "this is no report of a message")
            }
        }
    }
}
