//! What keeps users from being worn out by requests: how many may wait, how fast they may follow each other, and what
//! happens when they are ignored or refused again and again.

use std::num::NonZeroU32;

use tocsin_model::{BlockRule, DurationMs, Guard, ReportLock};

use crate::authentication_type::Purpose;

/// What happens to a push while another one waits for the same user and app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PendingPush {
    /// Both wait, up to the limit of open transactions of a user.
    Many,
    /// The new one is refused.
    Reject,
    /// The new one takes the place of those that wait and whose types say the same.
    Supersede,
}

impl PendingPush {
    /// What a type has that says nothing: whoever starts a login need not be its user, and must not keep him out.
    pub(crate) const fn of_purpose(purpose: Option<Purpose>) -> Self {
        match purpose {
            Some(Purpose::Login) => Self::Supersede,
            None => Self::Many,
        }
    }
}

/// What follows on pushes that were ignored or refused in a row within 24 hours. Each step begins with the push behind
/// so many of them; `None` leaves it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ladder {
    /// Pushes go out only with a number that is typed.
    pub number_match_after: Option<NonZeroU32>,
    /// No pushes go out.
    pub other_method_after: Option<NonZeroU32>,
    /// The user is locked.
    pub block_after: Option<NonZeroU32>,
    /// For how long.
    pub block: DurationMs,
}

impl Ladder {
    /// What the end of a transaction does to its user, where its type has this lock for reports.
    pub fn guard(&self, report_lock: Option<ReportLock>) -> Option<Guard> {
        let counts = [self.number_match_after, self.other_method_after, self.block_after];
        let block = self.block_after.map(|after| BlockRule { after: after.get(), length: self.block });
        Guard { counts: counts.iter().any(Option::is_some), block, report_lock }.kept()
    }
}
