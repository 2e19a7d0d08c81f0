//! What a bank does in its daily business: it suspends a phone, and changes its configuration.

use tocsin_mock::{ApnsCredential, Topics};

use super::logins::approve;
use super::{expect_code, expect_problem, expect_refused, started};
use crate::demo::bank::second_provider;
use crate::demo::stage::Stage;
use crate::demo::teller::Teller;
use crate::error::ensure;
use crate::{BUNDLE_ID, Handset, LoadtestError, StartFields, TYPE_LOGIN};

const SECOND_PROVIDER: &str = "apns-second";
const SECOND_KEY_ID: &str = "KEY0000002";

/// A phone that may be in wrong hands gets nothing until it is let in again.
pub(in crate::demo) async fn suspend(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(), LoadtestError> {
    let (user, id) = (phone.user().to_owned(), phone.device_id());
    set_status(stage, teller, phone, "suspended").await?;
    expect_refused(stage, &StartFields::new(TYPE_LOGIN, &user), "no_device").await?;
    teller.say("portal", format_args!("POST /v1/transactions for {user}: 422 no_device"));
    let reply = phone.phone.call("GET", "/device/v1/transactions", Vec::new()).await?;
    expect_problem(&reply, 403, "device_inactive")?;
    teller.say("phone", format_args!("{id} asks for its logins: 403 device_inactive"));
    set_status(stage, teller, phone, "active").await?;
    approve(stage, teller, phone).await
}

async fn set_status(
    stage: &Stage,
    teller: &Teller,
    phone: &Handset,
    status: &str,
) -> Result<(), LoadtestError> {
    let device = stage.portal.set_device_status(phone.user(), phone.device_id(), status).await?;
    ensure(device.status == status, || format!("the phone is {} and not {status}", device.status))?;
    teller.say("portal", format_args!("PATCH …/devices/{} to {status}", device.device_id));
    Ok(())
}

/// A second key of the bank's at Apple is put to use while the server runs.
pub(in crate::demo) async fn reload(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
) -> Result<(), LoadtestError> {
    let before = stage.configuration()?;
    let credential = ApnsCredential::generate(&stage.world.apns_credential.team_id, SECOND_KEY_ID)?;
    stage.world.apns.register_key(credential.key(Topics::Only(vec![BUNDLE_ID.to_owned()])));
    let (table, key_file) = second_provider(SECOND_PROVIDER, &credential, &stage.world.apns.url());
    let section = "[apps.bank.ios]\n";
    let wired = format!("{section}provider = \"{SECOND_PROVIDER}\"\n");
    stage.set_configuration(&format!("{}\n{table}", before.replacen(section, &wired, 1)))?;
    expect_code(stage.reload().await, "invalid_field")?;
    teller.say(
        "operator",
        format_args!("adds {SECOND_PROVIDER} but forgets {key_file}: 422, all stays as it was"),
    );
    expect_provider(stage, teller, phone, "apns-main").await?;
    stage.write_file(&key_file, &credential.private_key_pem)?;
    stage.reload().await?;
    teller.say("operator", "puts the file there, POST /v1/admin/reload: 200");
    expect_provider(stage, teller, phone, SECOND_PROVIDER).await
}

async fn expect_provider(
    stage: &Stage,
    teller: &Teller,
    phone: &mut Handset,
    provider: &str,
) -> Result<(), LoadtestError> {
    let id = started(stage, teller, &StartFields::new(TYPE_LOGIN, phone.user())).await?;
    super::receive(stage, teller, phone, id).await?;
    let view = stage.portal.cancel(id).await?;
    let providers: Vec<&str> = view.delivery.iter().map(|delivery| &*delivery.provider).collect();
    ensure(providers == [provider], || format!("it was pushed by {providers:?} and not by {provider}"))?;
    teller.say("APNs", format_args!("the push came from {provider}"));
    Ok(())
}
