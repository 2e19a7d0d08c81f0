//! A phone's part of a flow: it gets a push, fetches the challenge or opens the one in the push, and answers by its
//! `device` key when its user has made up his mind. And the user who types a code at the portal.

use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use uuid::Uuid;

use super::crowd::{CrowdPhone, now_s};
use super::doors::{Authorization, Call, Called, Door, Reply};
use super::meter::{Outcome, Stage};
use super::plan::PlannedAnswer;
use super::scenario::Fetch;
use super::signer::{Addressee, Asked, SigningKey, read_challenge};
use super::worker::{Flow, PushMail, Worker};
use crate::PhoneKind;

/// Longest wait for a reply.
const REPLY_DEADLINE: Duration = Duration::from_secs(30);

/// Tries of a call that is refused for now or lost; then the phone gives up.
const TRIES_MAX: u32 = 10;

/// Pause before a call that was lost is sent again.
const LOST_PAUSE: Duration = Duration::from_millis(200);

/// What a push says to the app.
#[derive(Deserialize)]
struct Members<'a> {
    t: Option<&'a str>,
    closed: Option<&'a str>,
    enc: Option<&'a str>,
    ct: Option<&'a str>,
}

#[derive(Deserialize)]
struct FcmPush<'a> {
    #[serde(borrow)]
    message: FcmMessage<'a>,
}

#[derive(Deserialize)]
struct FcmMessage<'a> {
    #[serde(borrow)]
    data: Members<'a>,
}

#[derive(Deserialize)]
struct Fetched<'a> {
    challenge: Option<&'a str>,
    #[serde(borrow)]
    sealed: Option<SealedText<'a>>,
}

#[derive(Deserialize)]
struct SealedText<'a> {
    enc: &'a str,
    ct: &'a str,
}

/// What one try of a call sends.
struct Sending<'s> {
    who: Who,
    path: &'s str,
    body: Option<&'s str>,
}

enum Who {
    Portal,
    /// A phone whose answer proves it by itself.
    Phone,
    /// A phone with a proof of its own for each try.
    PhoneWithProof(String),
}

fn members(kind: PhoneKind, payload: &[u8]) -> Option<Members<'_>> {
    match kind {
        PhoneKind::Iphone => serde_json::from_slice(payload).ok(),
        PhoneKind::Android => {
            serde_json::from_slice::<FcmPush<'_>>(payload).ok().map(|push| push.message.data)
        }
    }
}

/// The transaction that a push asks about; `None` for a push of another kind.
pub(super) fn transaction_of(kind: PhoneKind, payload: &[u8]) -> Option<Uuid> {
    let members = members(kind, payload)?;
    if members.closed.is_some() { None } else { members.t?.parse().ok() }
}

/// The first four or more digits in a text.
pub(super) fn code_in(text: &str) -> Option<&str> {
    text.split(|character: char| !character.is_ascii_digit()).find(|digits| digits.len() >= 4)
}

/// Until its user has noticed, or has made up his mind.
async fn wait(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

impl Worker {
    /// The whole of it, from the push on; without one the phone has heard of the transaction in another way.
    pub(super) async fn be_asked(self: Rc<Self>, flow: Rc<Flow>, push: Option<PushMail>) {
        let id = push.as_ref().map_or_else(|| flow.id.get(), |push| Some(push.id));
        let (Some(id), Some(phone)) = (id, self.phone(flow.plan.phone)) else { return };
        let decision = match flow.plan.answer {
            PlannedAnswer::Accept => "accept",
            PlannedAnswer::Refuse => "decline",
            PlannedAnswer::Ignore => return,
        };
        let is_opened_first = self.briefing.scenario.phones.fetch == Fetch::WhenOpened;
        if is_opened_first {
            wait(flow.plan.delay).await;
        }
        let sealed = push.as_ref().and_then(|push| self.open_push(phone, push, id));
        let asked = match sealed {
            Some(asked) => Some(asked),
            None => self.fetch(phone, id).await,
        };
        let Some(asked) = asked else { return };
        if !is_opened_first {
            wait(flow.plan.delay).await;
        }
        self.answer(&flow, phone, id, &asked, decision).await;
    }

    /// The challenge in a push, where it is there and this phone can open it.
    fn open_push(&self, phone: &CrowdPhone, push: &PushMail, id: Uuid) -> Option<Asked> {
        let key = phone.seal_key.as_ref()?;
        let members = members(push.kind, &push.payload)?;
        let opened = key.open(members.enc?, members.ct?, &id.to_string())?;
        self.read(phone, &opened, id).ok()
    }

    async fn fetch(&self, phone: &CrowdPhone, id: Uuid) -> Option<Asked> {
        let path = format!("/device/v1/transactions/{id}");
        let call =
            || Sending { who: Who::PhoneWithProof(self.proof(phone, "GET", &path)), path: &path, body: None };
        let (sent, reply) = self.repeat(Stage::Challenge, call, |_| {}).await?;
        let count = |outcome| self.record(Stage::Challenge, sent, sent, outcome);
        if reply.status != StatusCode::OK {
            count(Outcome::Failed(reply.code()));
            return None;
        }
        // Before the challenge is looked at: that is the phone's time and not the server's.
        let received = self.now();
        let asked = self.read_fetched(phone, &reply, id);
        match &asked {
            Ok(_) => self.record_at(Stage::Challenge, sent, received, Outcome::Done),
            Err(word) => count(Outcome::Failed(word)),
        }
        asked.ok()
    }

    fn read_fetched(&self, phone: &CrowdPhone, reply: &Reply, id: Uuid) -> Result<Asked, &'static str> {
        let fetched: Fetched<'_> = serde_json::from_slice(&reply.body).map_err(|_| "challenge_unreadable")?;
        match (fetched.challenge, fetched.sealed, &phone.seal_key) {
            (Some(compact), None, None) => self.read(phone, compact, id),
            (None, Some(sealed), Some(key)) => {
                let opened =
                    key.open(sealed.enc, sealed.ct, &id.to_string()).ok_or("challenge_not_our_seal")?;
                self.read(phone, &opened, id)
            }
            _ => Err("challenge_unreadable"),
        }
    }

    fn read(&self, phone: &CrowdPhone, compact: &str, id: Uuid) -> Result<Asked, &'static str> {
        let id = id.to_string();
        let addressee =
            Addressee { issuer: &self.briefing.issuer, device_id: &phone.device_id, transaction_id: &id };
        read_challenge(compact, self.briefing.server_keys.as_ref(), addressee)
            .map_err(|distrust| distrust.word())
    }

    async fn answer(&self, flow: &Flow, phone: &CrowdPhone, id: Uuid, asked: &Asked, decision: &str) {
        let issuer = &self.briefing.issuer;
        let body = answer_body(&phone.key, &phone.kid, issuer, &phone.device_id, id, asked, decision);
        let path = format!("/device/v1/transactions/{id}/answer");
        let call = || Sending { who: Who::Phone, path: &path, body: Some(&body) };
        let told = |sent| flow.answer_sent.set(Some(sent));
        let Some((sent, reply)) = self.repeat(Stage::Answer, call, told).await else { return };
        let outcome =
            if reply.status == StatusCode::OK { Outcome::Done } else { Outcome::Failed(reply.code()) };
        self.record(Stage::Answer, sent, sent, outcome);
    }

    /// The user types a code at the portal.
    pub(super) async fn enter_code(self: Rc<Self>, flow: Rc<Flow>, code: Box<str>) {
        if flow.plan.answer != PlannedAnswer::Accept {
            return;
        }
        tokio::time::sleep(flow.plan.delay).await;
        // Whoever has answered on the phone does not type the code as well.
        let (Some(id), None) = (flow.id.get(), flow.answer_sent.get()) else { return };
        let path = format!("/v1/transactions/{id}/code");
        let body = format!(r#"{{"code":"{code}"}}"#);
        let call = || Sending { who: Who::Portal, path: &path, body: Some(&body) };
        let told = |sent| flow.answer_sent.set(Some(sent));
        let Some((sent, reply)) = self.repeat(Stage::Answer, call, told).await else { return };
        let outcome =
            if reply.status == StatusCode::OK { Outcome::Done } else { Outcome::Failed(reply.code()) };
        self.record(Stage::Answer, sent, sent, outcome);
    }

    fn proof(&self, phone: &CrowdPhone, method: &str, path: &str) -> String {
        let claims = proof_claims(&self.briefing.issuer, &phone.device_id, method, path, &self.next_jti());
        phone.key.sign("tocsin-proof+jwt", Some(&phone.kid), &claims)
    }

    /// Sends a call until it is answered by something else than a refusal for now; what came before is counted.
    async fn repeat<'s>(
        &self,
        stage: Stage,
        make: impl Fn() -> Sending<'s>,
        told: impl Fn(Duration),
    ) -> Option<(Duration, Reply)> {
        for _ in 0..TRIES_MAX {
            told(self.now());
            let sending = make();
            let (door, authorization): (&Door, _) = match &sending.who {
                Who::Portal => (&self.portal, self.portal_authorization()),
                Who::Phone => (&self.device, Authorization::None),
                Who::PhoneWithProof(proof) => (&self.device, Authorization::Proof(proof)),
            };
            let call = match sending.body {
                Some(body) => Call::post(sending.path, authorization, body),
                None => Call::get(sending.path, authorization),
            };
            let Called { sent, result } = door.call(call, REPLY_DEADLINE).await;
            let pause = match result {
                Ok(reply) => match reply.asks_to_wait() {
                    None => return Some((sent, reply)),
                    Some(pause) => {
                        self.record(stage, sent, sent, Outcome::Refused(reply.code()));
                        pause
                    }
                },
                Err(lost) => {
                    self.record(stage, sent, sent, Outcome::Failed(lost.word()));
                    LOST_PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
        None
    }
}

/// What a phone signs to prove a call without a body.
pub(super) fn proof_claims(issuer: &str, device_id: &str, method: &str, path: &str, jti: &str) -> String {
    let iat = now_s();
    format!(
        r#"{{"iss":"{device_id}","aud":"{issuer}","htm":"{method}","htu":"{issuer}{path}","iat":{iat},"jti":"{jti}"}}"#
    )
}

/// The body of an answer.
pub(super) fn answer_body(
    key: &SigningKey,
    kid: &str,
    issuer: &str,
    device_id: &str,
    id: Uuid,
    asked: &Asked,
    decision: &str,
) -> String {
    let (Asked { nonce, dh }, iat) = (asked, now_s());
    let claims = format!(
        concat!(
            r#"{{"iss":"{device_id}","sub":"{id}","aud":"{issuer}","iat":{iat},"nonce":"{nonce}","#,
            r#""dh":"{dh}","decision":"{decision}"}}"#
        ),
        device_id = device_id,
        id = id,
        issuer = issuer,
        iat = iat,
        nonce = nonce,
        dh = dh,
        decision = decision,
    );
    format!(r#"{{"answer":"{}"}}"#, key.sign("tocsin-answer+jwt", Some(kid), &claims))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01913f00-0000-8000-8000-000000000001";

    #[test]
    fn a_push_names_its_transaction_unless_it_closes_one() {
        let apns = format!(r#"{{"aps":{{"alert":{{}}}},"v":"1","t":"{ID}","e":"1"}}"#);
        let fcm = format!(r#"{{"message":{{"token":"x","data":{{"v":"1","t":"{ID}","e":"1"}}}}}}"#);
        let closing = format!(r#"{{"aps":{{}},"v":"1","t":"{ID}","closed":"accepted"}}"#);
        let id: Uuid = ID.parse().unwrap();
        assert_eq!(transaction_of(PhoneKind::Iphone, apns.as_bytes()), Some(id));
        assert_eq!(transaction_of(PhoneKind::Android, fcm.as_bytes()), Some(id));
        assert_eq!(transaction_of(PhoneKind::Iphone, closing.as_bytes()), None);
        assert_eq!(transaction_of(PhoneKind::Android, b"{}"), None);
    }

    #[test]
    fn a_code_is_found_in_its_text() {
        assert_eq!(code_in("Your code is 123456. 7 people need it."), Some("123456"));
        assert_eq!(code_in("none 12"), None);
    }
}
