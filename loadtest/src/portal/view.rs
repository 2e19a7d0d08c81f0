//! What the portal door replies, as a portal reads it: unknown members are ignored.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use tocsin_model::{DeviceId, EnrollmentId, FailureReason, State, TransactionId, UnixMs};

/// A transaction.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawTransaction")]
pub struct TransactionView {
    /// Its id.
    pub id: TransactionId,
    /// Counts its changes.
    pub revision: u32,
    /// How it stands.
    pub state: State,
    /// How it reaches its user: `push`, `sms`, `email` or `otp`.
    pub method: String,
    /// When the call came.
    pub created_at: UnixMs,
    /// When it ends without an answer.
    pub expires_at: UnixMs,
    /// When it became final.
    pub ended_at: Option<UnixMs>,
    /// One entry for each phone that was pushed to, or one for the code.
    pub delivery: Vec<DeliveryView>,
    /// The phone's decision.
    pub answer: Option<AnswerView>,
    /// What the portal shows for the phone's user to enter.
    pub number: Option<String>,
    /// The id of its user, once there is one.
    pub user: Option<String>,
    /// What the portal shows for a phone to claim it by.
    pub otp: Option<String>,
}

/// How the push to one phone, or the message with the code, stands.
#[derive(Clone, Debug, Deserialize)]
pub struct DeliveryView {
    /// The phone's name; empty for a code.
    #[serde(default)]
    pub device_name: String,
    /// The provider that it goes by.
    pub provider: String,
    /// `queued`, `sent`, `relayed`, `fetched`, `failed` or `unknown`.
    pub status: String,
}

/// A phone's decision.
#[derive(Clone, Debug, Deserialize)]
pub struct AnswerView {
    /// The phone.
    #[serde(deserialize_with = "parsed")]
    pub device_id: DeviceId,
    /// The use of the key that signed.
    pub method: String,
    /// The signed answer.
    pub jws: String,
}

/// An enrolment.
#[derive(Clone, Deserialize)]
pub struct EnrollmentView {
    /// Its id.
    #[serde(deserialize_with = "parsed")]
    pub id: EnrollmentId,
    /// `pending`, `completed`, `expired` or `failed`.
    pub state: String,
    /// For the phone; only in the reply to the call that opened it.
    pub activation_code: Option<String>,
    /// The phone that enrolled.
    #[serde(default, deserialize_with = "parsed_if_any")]
    pub device_id: Option<DeviceId>,
}

impl fmt::Debug for EnrollmentView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EnrollmentView")
            .field("id", &self.id)
            .field("state", &self.state)
            .field("device_id", &self.device_id)
            .finish_non_exhaustive()
    }
}

/// Phones of a user.
#[derive(Clone, Debug, Deserialize)]
pub struct DeviceList {
    /// The phones.
    pub items: Vec<DeviceView>,
}

/// A phone.
#[derive(Clone, Debug, Deserialize)]
pub struct DeviceView {
    /// Its id.
    #[serde(deserialize_with = "parsed")]
    pub device_id: DeviceId,
    /// Its name.
    pub name: String,
    /// `ios`, `android` or `other`.
    pub platform: String,
    /// `active`, `unreachable`, `revoked` and others.
    pub status: String,
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug, Deserialize)]
pub struct ProblemDocument {
    /// The status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// For people.
    pub detail: String,
    /// The state of the transaction, where that is the reason.
    pub state: Option<String>,
    /// Why that state is `failed`.
    pub reason: Option<String>,
}

impl ProblemDocument {
    /// The state that it tells of.
    pub fn state(&self) -> Option<State> {
        state_of(self.state.as_deref()?, self.reason.as_deref())
    }
}

impl fmt::Display for ProblemDocument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.status, self.code, self.detail)?;
        self.state.as_ref().map_or(Ok(()), |state| write!(formatter, " (state {state})"))
    }
}

#[derive(Deserialize)]
struct RawTransaction {
    #[serde(deserialize_with = "parsed")]
    id: TransactionId,
    revision: u32,
    method: String,
    state: String,
    reason: Option<String>,
    #[serde(deserialize_with = "time")]
    created_at: UnixMs,
    #[serde(deserialize_with = "time")]
    expires_at: UnixMs,
    #[serde(default, deserialize_with = "time_if_any")]
    ended_at: Option<UnixMs>,
    delivery: Vec<DeliveryView>,
    answer: Option<AnswerView>,
    number: Option<String>,
    user: Option<RawUser>,
    otp: Option<String>,
}

#[derive(Deserialize)]
struct RawUser {
    id: String,
}

impl TryFrom<RawTransaction> for TransactionView {
    type Error = String;

    fn try_from(raw: RawTransaction) -> Result<Self, Self::Error> {
        let state = state_of(&raw.state, raw.reason.as_deref());
        Ok(Self {
            state: state.ok_or_else(|| format!("{} {:?} is no state", raw.state, raw.reason))?,
            id: raw.id,
            revision: raw.revision,
            method: raw.method,
            created_at: raw.created_at,
            expires_at: raw.expires_at,
            ended_at: raw.ended_at,
            delivery: raw.delivery,
            answer: raw.answer,
            number: raw.number,
            user: raw.user.map(|user| user.id),
            otp: raw.otp,
        })
    }
}

/// The state that these words name.
pub(crate) fn state_of(word: &str, reason: Option<&str>) -> Option<State> {
    let plain =
        [State::Pending, State::Accepted, State::Declined, State::Reported, State::Timeout, State::Cancelled];
    if let Some(state) = plain.into_iter().find(|state| state.as_str() == word) {
        return reason.is_none().then_some(state);
    }
    let reason = FailureReason::ALL.into_iter().find(|known| Some(known.as_str()) == reason)?;
    (State::Failed(reason).as_str() == word).then_some(State::Failed(reason))
}

fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn parsed_if_any<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

/// Exactly RFC 3339, UTC, milliseconds.
fn unix_ms(text: &str) -> Result<UnixMs, String> {
    let wrong = || format!("{text} is not a UTC time with milliseconds");
    let time: Timestamp = text.parse().map_err(|_| wrong())?;
    if format!("{time:.3}") != text {
        return Err(wrong());
    }
    u64::try_from(time.as_millisecond()).map(UnixMs::new).map_err(|_| wrong())
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMs, D::Error> {
    unix_ms(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

fn time_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UnixMs>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| unix_ms(&text).map_err(D::Error::custom)).transpose()
}

pub(super) fn details<S: Serializer>(details: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    let entries = details.iter().map(|(label, value)| serde_json::json!({"label": label, "value": value}));
    serializer.collect_seq(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_with_its_reason_and_only_then() {
        assert_eq!(state_of("accepted", None), Some(State::Accepted));
        let failed = State::Failed(FailureReason::ProviderRejected);
        assert_eq!(state_of("failed", Some("provider_rejected")), Some(failed));
        for (word, reason) in
            [("failed", None), ("accepted", Some("no_device")), ("Accepted", None), ("", None)]
        {
            assert_eq!(state_of(word, reason), None, "{word} {reason:?}");
        }
    }

    #[test]
    fn a_time_is_utc_with_milliseconds() {
        assert_eq!(unix_ms("2026-09-21T14:13:20.250Z"), Ok(UnixMs::new(1_790_000_000_250)));
        for wrong in ["2026-09-21T14:13:20Z", "2026-09-21T14:13:20.250+00:00", "yesterday"] {
            assert!(unix_ms(wrong).is_err(), "{wrong}");
        }
    }
}
