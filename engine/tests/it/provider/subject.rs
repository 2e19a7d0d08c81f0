//! A rig of any sort, as the suite for all providers holds it.

use std::convert::Infallible;
use std::sync::Arc;

use tocsin_config::ProviderLimits;
use tocsin_engine::clock::Clock;
use tocsin_engine::protocol::Parcel;
use tocsin_engine::provider::{Driver, DriverReport};
use tocsin_mock::{Fault, SmtpStage, SmtpTrouble};
use tocsin_model::{DurationMs, UnixMs};

use super::gateway_rig::{Gateway, GatewayRig, GatewayRigOptions};
use super::ground::{self, Refusal};
use super::rig::{Rig, RigOptions, Which, parcel};
use crate::mail::rig::{Rig as MailRig, RigOptions as MailRigOptions};

/// More than any driver tries.
const MANY: usize = 100;

/// What delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    Push(Which),
    Sms(Gateway),
    Mail,
}

/// A driver of it and the double of what it delivers to.
pub(super) enum Subject {
    Push(Rig),
    Sms(GatewayRig),
    Mail(MailRig),
}

impl Subject {
    pub(super) async fn start(network: Network) -> Self {
        Self::start_with(network, |_| (), false).await
    }

    pub(super) async fn start_with(
        network: Network,
        limits: fn(&mut ProviderLimits),
        trusts_others: bool,
    ) -> Self {
        match network {
            Network::Push(which) => {
                let options = RigOptions { limits, trusts_others, ..RigOptions::default() };
                Self::Push(Rig::start_with(which, options).await)
            }
            Network::Sms(which) => {
                let options = GatewayRigOptions { limits, trusts_others, ..GatewayRigOptions::default() };
                Self::Sms(GatewayRig::start_with(which, options).await)
            }
            Network::Mail => {
                let login = Some(true);
                let options = MailRigOptions { limits, trusts_others, login, ..MailRigOptions::default() };
                Self::Mail(MailRig::start_with(options).await)
            }
        }
    }

    pub(super) fn driver(&self) -> &Arc<dyn Driver> {
        match self {
            Self::Push(rig) => &rig.driver,
            Self::Sms(rig) => &rig.driver,
            Self::Mail(rig) => &rig.driver,
        }
    }

    fn clock(&self) -> &Clock {
        match self {
            Self::Push(rig) => &rig.clock,
            Self::Sms(rig) => &rig.clock,
            Self::Mail(rig) => &rig.clock,
        }
    }

    /// The parcel with this number, good for half a minute.
    pub(super) fn parcel(&self, number: u8) -> Parcel {
        match self {
            Self::Push(rig) => parcel(&rig.push(number)),
            Self::Sms(rig) => Parcel::Code(Box::new(rig.message(number))),
            Self::Mail(rig) => Parcel::Code(Box::new(rig.letter(number))),
        }
    }

    /// The same, good for so long only.
    pub(super) fn brief_parcel(&self, number: u8, milliseconds: u64) -> Parcel {
        let expires_at: UnixMs = self.clock().now().plus(DurationMs::new(milliseconds));
        let mut parcel = self.parcel(number);
        match &mut parcel {
            Parcel::Push(push) => push.expires_at = expires_at,
            Parcel::Code(message) => message.expires_at = expires_at,
        }
        parcel
    }

    pub(super) async fn deliver(&self, parcel: &Parcel) -> DriverReport {
        ground::deliver(&**self.driver(), parcel).await
    }

    /// The next `times` parcels are refused.
    pub(super) fn refuse(&self, times: u32, refusal: Refusal) {
        match self {
            Self::Push(rig) => rig.refuse(times, refusal),
            Self::Sms(rig) => rig.refuse(times, refusal),
            Self::Mail(rig) => {
                let (stage, code) = match refusal {
                    Refusal::Internal => (SmtpStage::Content, 554),
                    Refusal::Unavailable => (SmtpStage::Content, 451),
                    Refusal::Throttled => (SmtpStage::Recipient, 450),
                    Refusal::Unauthenticated => (SmtpStage::Sender, 530),
                };
                rig.server.script(MANY.min(times as usize), stage, SmtpTrouble::Reply(code)).expect("room");
            }
        }
    }

    /// From now on no parcel is answered.
    pub(super) fn fall_silent(&self) {
        let silence = Fault::<Infallible>::NeverAnswer;
        match self {
            Self::Push(rig) => rig.disturb(u32::MAX, silence),
            Self::Sms(rig) => rig.disturb(u32::MAX, silence),
            Self::Mail(rig) => {
                rig.server.script(MANY, SmtpStage::Content, SmtpTrouble::Silence).expect("room");
            }
        }
    }

    /// From now on nothing goes wrong any more.
    pub(super) fn calm(&self) {
        match self {
            Self::Push(rig) => rig.calm(),
            Self::Sms(rig) => rig.faults().clear(),
            Self::Mail(rig) => rig.server.calm(),
        }
    }

    pub(super) fn revoke_credential(&self) {
        match self {
            Self::Push(rig) => rig.revoke_credential(),
            Self::Sms(_) | Self::Mail(_) => self.refuse(u32::MAX, Refusal::Unauthenticated),
        }
    }

    /// Parcels that were taken, and those that were refused.
    pub(super) fn counts(&self) -> (u64, u64) {
        match self {
            Self::Push(rig) => (rig.log().accepted(), rig.log().refused()),
            Self::Sms(rig) => {
                let (all, taken) = (rig.log().records().len(), rig.log().taken().len());
                (taken as u64, (all - taken) as u64)
            }
            Self::Mail(rig) => {
                let records = rig.server.mails().records();
                let taken = records.iter().filter(|mail| mail.is_taken).count();
                (taken as u64, rig.server.scripted_refusals())
            }
        }
    }

    /// What was asked of the network so far, whatever it said.
    pub(super) fn requests(&self) -> u64 {
        match self {
            Self::Push(rig) => rig.traffic().requests,
            Self::Sms(rig) => rig.traffic().requests,
            Self::Mail(rig) => rig.server.mails().records().len() as u64 + rig.server.scripted_refusals(),
        }
    }

    pub(super) async fn stop_server(&self) {
        match self {
            Self::Push(rig) => rig.stop_server().await,
            Self::Sms(rig) => rig.stop_server().await,
            Self::Mail(rig) => rig.server.stop().await,
        }
    }

    pub(super) async fn start_server_again(&self) {
        match self {
            Self::Push(rig) => rig.start_server_again().await,
            Self::Sms(rig) => rig.start_server_again().await,
            Self::Mail(rig) => rig.server.accept_again().await.expect("the port is free"),
        }
    }
}
