//! Makes an [`AuthenticationType`]. Keys that are not valid for its method were refused before.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_model::{CodeDigits, KeyUse, Method, NumberMatchRule, ReportLock, Template};

use super::{Table, Unfit};
use crate::authentication_type::DeviceChoice;
use crate::authentication_type::{AuthenticationType, CodeRules, FallbackRule, Purpose, PushText};
use crate::check::default_gateway;
use crate::fatigue::PendingPush;
use crate::texts::{Localized, TypeTexts};

/// What is claimed by a one-time password says this when the portal says nothing. A password that somebody else had
/// passed on would let him in.
const OTP_TITLE: &str = "Please confirm";
const OTP_MESSAGE: &str = "Approve only if the code was on your own screen.";

/// Its longest message in characters; the type says nothing of that either.
const OTP_MESSAGE_CHARACTERS_MAX: usize = 155;

pub(super) fn authentication_type(table: &Table<'_>) -> Result<AuthenticationType, Unfit> {
    let method: Method = table.word("method")?;
    Ok(AuthenticationType {
        method,
        time_to_live: table.is_set("ttl_s").then(|| table.seconds("ttl_s")).transpose()?,
        texts: texts(table, method)?,
        message_characters_max: match method {
            Method::Otp => OTP_MESSAGE_CHARACTERS_MAX,
            Method::Push | Method::Sms | Method::Email => table.count("message_max")?,
        },
        apps: if_set(table, "apps", |key| table.list(key, |text| text.parse().ok()))?,
        realms: if_set(table, "realms", |key| table.list(key, |text| text.parse().ok()))?,
        keys: if_set(table, "keys", |key| table.list(key, KeyUse::parse))?.into(),
        push_text: word_or(table, "push_text", PushText::LocalizationKeys)?,
        device_choice: word_or(table, "device_choice", DeviceChoice::All)?,
        number_match: number_match(table)?,
        code: method.sends_code().then(|| code_rules(table, method)).transpose()?,
        fallback: fallback(table)?,
        resends_max: if_set(table, "resends_max", |key| table.small_count(key))?,
        resend_gap: if_set(table, "resend_gap_s", |key| table.seconds(key))?,
        keep_for_polling: if_set(table, "keep_for_polling", |key| table.flag(key))?,
        pending_push: pending_push(table)?,
        push_gap: if_set(table, "push_gap_s", |key| table.seconds(key))?,
        report_lock: report_lock(table)?,
    })
}

/// The texts that the type says; one that cannot say any has its own.
fn texts(table: &Table<'_>, method: Method) -> Result<TypeTexts, Unfit> {
    let said = super::texts::of_type(table)?;
    let own = |text| {
        let last = Template::parse(text).map_err(|_| table.unfit("method"))?;
        Ok(Localized { last, others: BTreeMap::new() })
    };
    match method {
        Method::Otp => Ok(TypeTexts { title: own(OTP_TITLE)?, message: own(OTP_MESSAGE)?, ..said }),
        Method::Push | Method::Sms | Method::Email => Ok(said),
    }
}

/// The value of a key that types of some methods do not have.
pub(super) fn if_set<T: Default>(
    table: &Table<'_>,
    key: &str,
    read: impl FnOnce(&str) -> Result<T, Unfit>,
) -> Result<T, Unfit> {
    if table.is_set(key) { read(key) } else { Ok(T::default()) }
}

fn word_or<W: crate::word::Word>(table: &Table<'_>, key: &str, otherwise: W) -> Result<W, Unfit> {
    if table.is_set(key) { table.word(key) } else { Ok(otherwise) }
}

fn code_rules(table: &Table<'_>, method: Method) -> Result<CodeRules, Unfit> {
    let digits = u8::try_from(table.integer("digits")?).ok().and_then(CodeDigits::new);
    let named = table.list("gateways", |text| text.parse().ok())?;
    let by_default = || default_gateway(table.settings, method).and_then(|name| name.parse().ok());
    Ok(CodeRules {
        digits: digits.ok_or_else(|| table.unfit("digits"))?,
        attempts_max: table.small_count("attempts_max")?,
        gateways: if named.is_empty() { by_default().into_iter().collect() } else { named },
        autofill_domain: table.optional_text("autofill_domain").map(Arc::from),
    })
}

fn fallback(table: &Table<'_>) -> Result<Option<FallbackRule>, Unfit> {
    let Some(to) = table.optional_text("fallback") else { return Ok(None) };
    let after = table.is_set("fallback_after_s").then(|| table.seconds("fallback_after_s")).transpose()?;
    Ok(Some(FallbackRule { to: to.parse().map_err(|_| table.unfit("fallback"))?, after }))
}

/// What lets users in is matched by a typed number unless its type says otherwise.
fn number_match(table: &Table<'_>) -> Result<NumberMatchRule, Unfit> {
    if table.is_set("number_match") {
        return table.word("number_match");
    }
    Ok(match purpose(table)? {
        Some(Purpose::Login) => NumberMatchRule::Type,
        None => NumberMatchRule::Off,
    })
}

fn purpose(table: &Table<'_>) -> Result<Option<Purpose>, Unfit> {
    table.is_set("purpose").then(|| table.word("purpose")).transpose()
}

fn pending_push(table: &Table<'_>) -> Result<PendingPush, Unfit> {
    match table.is_set("pending_push") {
        true => table.word("pending_push"),
        false => Ok(PendingPush::of_purpose(purpose(table)?)),
    }
}

/// No time at all stands for a lock without an end.
fn report_lock(table: &Table<'_>) -> Result<Option<ReportLock>, Unfit> {
    if !table.is_set("report_lock_s") {
        return Ok(None);
    }
    let length = table.seconds("report_lock_s")?;
    Ok(Some(if length.get() == 0 { ReportLock::UntilRemoved } else { ReportLock::For(length) }))
}
