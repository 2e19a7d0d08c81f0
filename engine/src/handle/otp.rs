//! Anonymous transactions: begun without a user, shown as a one-time password, claimed by a phone for its user.
//!
//! A claim approves nothing: it gives the transaction a user and the phone its challenge, which is answered as any
//! other. The password is derived for those who may see it and stored nowhere; it works once, for one phone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tocsin_config::{AuthenticationType, Client, Config};
use tocsin_model::{
    Device, DeviceId, ErrorCode, Method, Nonce, Problem, Recipient, StartRequest, Transaction, UnixMs,
};

use super::eligible::has_key_of;
use super::fatigue::Sparing;
use super::number::{draw_number, stricter_number_match};
use super::start::{How, Storing, compose, pin_tries_max};
use super::{Challenge, DeviceCall, Handle, random_bytes};
use crate::device::{otp_hash, parse_otp};
use crate::error::store_problem;
use crate::metrics::OtpClaim;
use crate::transaction::{Claim, Opening, Reply, Request, otp_used};

/// How a transaction stands to a phone that knows its password.
enum Standing {
    /// It may be claimed.
    Free,
    /// This phone has claimed it.
    Ours,
}

impl Handle {
    /// Begins a transaction that nobody has claimed. What names a user or a phone contradicts that.
    pub(super) async fn begin_anonymous(
        &self,
        config: &Config,
        request: StartRequest,
        kind: &AuthenticationType,
        called_at: UnixMs,
    ) -> Result<Storing, Problem> {
        refuse_addressees(&request)?;
        if request.is_held {
            return Err(Problem::wait_not_possible());
        }
        let number = draw_number(stricter_number_match(&request, kind)?)?;
        let content = self.content(config, &request, kind).await?;
        let spared = Sparing::default();
        let how = (How::Shown { number }, &spared);
        let id = self.0.surroundings.new_transaction_id(called_at)?;
        let mut transaction = compose(config, &request, kind, content, how, &[], id)?;
        self.fit_challenge(&mut transaction)?;
        let permit = self.0.registry.admission().admit(transaction.id, &request.client, None)?;
        let otp = Some(otp_hash(&self.0.codes.otp(transaction.id)));
        let opening = Opening { idempotency: request.idempotency, otp, ..Opening::default() };
        let id = transaction.id;
        let replied = self.0.registry.start(transaction, permit, opening);
        Ok(Storing { id, replied, replaces: Vec::new(), turn: None })
    }

    /// The transaction with its one-time password, while that can be used.
    pub(super) fn with_otp(&self, transaction: Arc<Transaction>) -> Arc<Transaction> {
        if !transaction.is_unclaimed() {
            return transaction;
        }
        let mut shown = Transaction::clone(&transaction);
        shown.seldom_mut().otp = Some(self.0.codes.otp(transaction.id));
        Arc::new(shown)
    }

    /// Claims the anonymous transaction whose one-time password is in the body of `call` for the user of the phone that
    /// makes it; answers with its challenge. The same phone is told the same again.
    pub async fn claim_otp(&self, call: DeviceCall<'_>) -> Result<Challenge, Problem> {
        let claimed = self.claim_counted(call).await;
        self.metrics().otp_claimed(claimed.as_ref().map(|(_, claim)| *claim).map_err(|problem| problem.code));
        claimed.map(|(challenge, _)| challenge)
    }

    async fn claim_counted(&self, call: DeviceCall<'_>) -> Result<(Challenge, OtpClaim), Problem> {
        let devices_gone = self.0.surroundings.devices_gone.load(Ordering::SeqCst);
        let device = self.authenticate(call).await?;
        let found = self.store().transaction_by_otp(parse_otp(call.body)?).await;
        let id = found.map_err(|error| store_problem(&error))?.ok_or_else(unknown_otp)?;
        let transaction = self.view(id).await?;
        if let Standing::Ours = standing(&transaction, &device.id, self.clock().now())? {
            return Ok((self.challenge(&device, id).await?, OtpClaim::Repeated));
        }
        // Until it is told nobody erases its user, who might find it before it is his.
        let _turn = self.0.registry.turns().share(&device.user).await?;
        self.standing_unless_locked(&device.user).await?;
        let claim = self.claim_of(&transaction, &device)?;
        self.awaken(&device.user).await?;
        // Entered before it is stored, so that whoever removes the phone from then on finds the transaction.
        let place = self.0.registry.admission().reserve_for_claimer(id, &device.user)?;
        let replied = self.ask(id, Request::Claim(Box::new(claim))).await?;
        if self.0.surroundings.devices_gone.load(Ordering::SeqCst) != devices_gone {
            self.look_again(id, &[device.id]).await;
        }
        drop(place);
        match replied {
            Reply::View(_) => Ok((self.challenge(&device, id).await?, OtpClaim::Claimed)),
            Reply::Refused(problem) if problem.code == ErrorCode::TransactionFinal => {
                // It ended meanwhile, and stands to this phone as if it had asked now.
                standing(&*self.view(id).await?, &device.id, self.clock().now())?;
                Err(problem)
            }
            Reply::Refused(problem) => {
                // Whoever was locked at that moment is told that; of his phone nothing is known then.
                self.standing_unless_locked(&device.user).await?;
                Err(problem)
            }
            Reply::SeenBefore(_) | Reply::Answered(_) | Reply::TriesLeft(_) => Err(Problem::internal()),
        }
    }

    /// What this phone claims, if the type and the client that began it take its app, realm and keys.
    fn claim_of(&self, transaction: &Transaction, device: &Device) -> Result<Claim, Problem> {
        let config = self.config();
        let kind = config.types.get(&transaction.type_name).ok_or_else(unknown_otp)?;
        let client = config.clients.get(&transaction.client).ok_or_else(unknown_otp)?;
        if !takes_claims_of(client, kind, device) {
            return Err(unknown_otp());
        }
        if !has_key_of(&config, device, kind) {
            let detail = "this phone has none of the keys that approve this; add one, or use another phone";
            return Err(Problem::new(ErrorCode::MethodNotAllowed, detail));
        }
        // Open transactions share the configuration's copy of an app's name.
        let (app, _) = config.apps.get_key_value(&device.app).ok_or_else(unknown_otp)?;
        let recipient = Recipient {
            device_id: device.id,
            device_name: (&*device.profile.name).into(),
            platform: device.profile.platform,
            app: app.clone(),
            nonce: Nonce::from_bytes(random_bytes()?),
            delivery: None,
        };
        let attempts_max = pin_tries_max(&config, [app].into_iter());
        // The ladder is that of the claimer's realm; what a report does was fixed at the start.
        let ladder = config.realms.get(&device.user.realm).map(|realm| realm.ladder).unwrap_or_default();
        let guard = ladder.guard(transaction.guard().and_then(|guard| guard.report_lock));
        Ok(Claim { user: device.user.clone(), recipient, attempts_max, guard })
    }
}

/// Whether a phone of this app and realm may claim what a client shows; to all others it does not exist.
pub(super) fn takes_claims_of(client: &Client, kind: &AuthenticationType, device: &Device) -> bool {
    let realm = &device.user.realm;
    kind.method == Method::Otp
        && client.apps.covers(&device.app)
        && client.realms.covers(realm)
        && (kind.apps.is_empty() || kind.apps.contains(&device.app))
        && (kind.realms.is_empty() || kind.realms.contains(realm))
}

/// How it stands to a phone: what is over and was not this phone's does not exist for it any more.
fn standing(transaction: &Transaction, device_id: &DeviceId, now: UnixMs) -> Result<Standing, Problem> {
    if transaction.recipient(device_id).is_some() {
        return Ok(Standing::Ours);
    }
    match (&transaction.user, transaction.state.is_final() || now >= transaction.expires_at) {
        (Some(_), _) if now < transaction.expires_at => Err(otp_used()),
        (_, true) => Err(unknown_otp()),
        (_, false) => Ok(Standing::Free),
    }
}

fn refuse_addressees(request: &StartRequest) -> Result<(), Problem> {
    let named = [
        ("user", request.user.is_some()),
        ("device_id", request.device_id.is_some()),
        ("app", request.app.is_some()),
        ("delivery", request.delivery != tocsin_model::DeliveryChoice::default()),
        ("phone_number", request.phone_number.is_some()),
        ("email", request.email.is_some()),
    ];
    match named.into_iter().find(|(_, is_named)| *is_named) {
        None => Ok(()),
        Some((field, _)) => Err(names_an_addressee(field)),
    }
}

/// `422 invalid_field`: this names whom a transaction is for, and nobody knows that yet.
pub fn names_an_addressee(field: &'static str) -> Problem {
    let detail = "a type with method otp is for whoever claims it; leave this out";
    Problem::new(ErrorCode::InvalidField, detail).with_field(field)
}

fn unknown_otp() -> Problem {
    Problem::new(ErrorCode::NotFound, "there is no such one-time password; have a new one shown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::testing::{NOW, login};

    fn judged(transaction: &Transaction, device_id: &DeviceId, now: UnixMs) -> Result<bool, ErrorCode> {
        let standing = standing(transaction, device_id, now).map_err(|problem| problem.code)?;
        Ok(matches!(standing, Standing::Ours))
    }

    #[test]
    fn a_password_is_free_until_it_is_claimed_over_or_expired() {
        let claimed = Transaction { method: Method::Otp, ..login() };
        let (phone, other) = (claimed.recipients[0].device_id, DeviceId::from_random([9; 16]));
        let unclaimed = Transaction { user: None, recipients: Vec::new(), ..claimed.clone() };
        let cancelled = Transaction { state: tocsin_model::State::Cancelled, ..unclaimed.clone() };
        let last = UnixMs::new(claimed.expires_at.get() - 1);
        for (transaction, device_id, now, expected) in [
            (&unclaimed, &phone, NOW, Ok(false)),
            (&unclaimed, &phone, last, Ok(false)),
            (&unclaimed, &phone, claimed.expires_at, Err(ErrorCode::NotFound)),
            (&cancelled, &phone, NOW, Err(ErrorCode::NotFound)),
            (&claimed, &phone, NOW, Ok(true)),
            (&claimed, &other, last, Err(ErrorCode::OtpUsed)),
            (&claimed, &other, claimed.expires_at, Err(ErrorCode::NotFound)),
        ] {
            assert_eq!(judged(transaction, device_id, now), expected, "{transaction:?} {now:?}");
        }
    }
}
