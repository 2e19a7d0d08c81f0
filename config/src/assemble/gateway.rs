//! Makes SMS gateways and the rules for what is sent. Whether each can make a whole request was judged before.

use super::{Table, Unfit};
use crate::callbacks::BasicCredentials;
use crate::shape::{Value, header};
use crate::sms::{
    AnswerPattern, AnswerRules, CountryPrefix, GatewayAccess, HttpSmsProvider, SmsRules, StatusRange,
    TwilioApiKey, TwilioProvider, TwilioSender,
};
use crate::template::Template;
use crate::url;

pub(super) fn sms_rules(table: &Table<'_>) -> Result<SmsRules, Unfit> {
    let prefixes = |key: &str| match table.is_set(key) {
        true => table.list(key, CountryPrefix::parse),
        false => Ok(Vec::new()),
    };
    Ok(SmsRules {
        country_prefixes: prefixes("country_prefixes")?,
        refused_prefixes: prefixes("refused_prefixes")?,
        sends_per_number_per_hour_max: table.small_count("sends_per_number_per_hour_max")?,
        sends_per_prefix_per_hour_max: table.small_count("sends_per_prefix_per_hour_max")?,
        sends_per_client_per_hour_max: table.small_count("sends_per_client_per_hour_max")?,
    })
}

pub(super) fn twilio(table: &Table<'_>) -> Result<TwilioProvider, Unfit> {
    let file = |key: &str| table.optional_file(key).ok_or_else(|| table.unfit(key));
    let api_key = table.optional_text("api_key_sid").map(|sid| -> Result<_, Unfit> {
        Ok(TwilioApiKey { sid, secret_file: file("api_key_secret_file")? })
    });
    let sender = match table.optional_text("messaging_service_sid") {
        Some(service) => TwilioSender::Service(service),
        None => TwilioSender::From(table.text("from")?),
    };
    let has_public_url = table.settings.is_set(&crate::path::KeyPath::of(&["device", "public_url"]));
    Ok(TwilioProvider {
        endpoint: table.text("endpoint")?,
        ca_file: table.optional_file("ca_file"),
        account_sid: table.text("account_sid")?,
        auth_token_file: file("auth_token_file")?,
        api_key: api_key.transpose()?,
        sender,
        status_reports: if table.is_set("status_reports") {
            table.flag("status_reports")?
        } else {
            has_public_url
        },
        resend_unknown: table.flag("resend_unknown")?,
    })
}

pub(super) fn http_sms(table: &Table<'_>) -> Result<HttpSmsProvider, Unfit> {
    let url = table.text("url")?;
    let (base_url, target) = url::gateway(&url).map_err(|_| table.unfit("url"))?;
    let template = |text: String| Template::parse(&text).map_err(|_| table.unfit("body"));
    let header = |text: &str| header(text).map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(HttpSmsProvider {
        base_url: base_url.to_owned(),
        target,
        http_method: table.word("http_method")?,
        body_format: table.word("body_format")?,
        body: table.optional_text("body").map(template).transpose()?,
        headers: table.list("headers", header)?,
        access: access(table)?,
        from: table.optional_text("from").unwrap_or_default(),
        ca_file: table.optional_file("ca_file"),
        rules: answer_rules(table)?,
        resend_unknown: table.flag("resend_unknown")?,
    })
}

fn access(table: &Table<'_>) -> Result<GatewayAccess, Unfit> {
    if let Some(file) = table.optional_file("token_file") {
        return Ok(GatewayAccess::Token { file, header: table.optional_text("token_header") });
    }
    let Some(username) = table.optional_text("username") else { return Ok(GatewayAccess::None) };
    match table.value("password")? {
        Value::Password(password) => {
            Ok(GatewayAccess::Basic(BasicCredentials { username, password: password.clone() }))
        }
        _ => Err(table.unfit("password")),
    }
}

fn answer_rules(table: &Table<'_>) -> Result<AnswerRules, Unfit> {
    let pattern = |key: &str| {
        let text = table.optional_text(key);
        text.map(|text| AnswerPattern::parse(&text).map_err(|_| table.unfit(key))).transpose()
    };
    Ok(AnswerRules {
        pointer: table.optional_text("answer_pointer"),
        success_statuses: table.list("success_statuses", StatusRange::parse)?,
        success_pattern: pattern("success_pattern")?,
        permanent_statuses: table.list("permanent_statuses", StatusRange::parse)?,
        permanent_pattern: pattern("permanent_pattern")?,
        unclear_statuses: table.list("unclear_statuses", StatusRange::parse)?,
    })
}
