//! SMS gateways and the rules for what is sent.

use tocsin_config::{
    BodyFormat, GatewayAccess, GatewayMethod, HttpSmsProvider, ProviderNetwork, TwilioProvider, TwilioSender,
};
use tocsin_model::PhoneNumber;

use crate::fixture::{assert_only_fault, faults, load};

const SMS: &str = "[sms]\ncountry_prefixes = [\"+1\", \"+1505\", \"+49\"]\n";
const TWILIO: &str = "[providers.main]\nkind = \"twilio\"\naccount_sid = \"AC0123456789abcdef0123456789ABCDEF\"\n\
                      auth_token_file = \"credentials/twilio-token\"\n";
const HTTP: &str = "[providers.main]\nkind = \"http-sms\"\nurl = \"https://sms.example.com/send\"\n";

fn twilio(lines: &str) -> TwilioProvider {
    let config = load(&format!("{TWILIO}{lines}{SMS}")).config;
    let network = config.providers.into_values().next().expect("a provider").network;
    let ProviderNetwork::Twilio(twilio) = network else { panic!("another kind") };
    twilio
}

fn http(lines: &str) -> HttpSmsProvider {
    let config = load(&format!("{HTTP}{lines}{SMS}")).config;
    let network = config.providers.into_values().next().expect("a provider").network;
    let ProviderNetwork::HttpSms(gateway) = network else { panic!("another kind") };
    gateway
}

#[track_caller]
fn assert_twilio_fault(lines: &str, line: usize, key: &str, part: &str) {
    assert_only_fault(&format!("{TWILIO}{lines}{SMS}"), line, &format!("providers.main.{key}"), part);
}

#[track_caller]
fn assert_http_fault(lines: &str, line: usize, key: &str, part: &str) {
    assert_only_fault(&format!("{HTTP}{lines}{SMS}"), line, &format!("providers.main.{key}"), part);
}

#[test]
fn twilio_needs_an_account_and_one_sender() {
    let provider = twilio("from = \"+15005550006\"\n");
    assert_eq!(provider.endpoint, "https://api.twilio.com");
    assert_eq!(provider.sender, TwilioSender::From("+15005550006".to_owned()));
    assert_eq!(
        (provider.status_reports, provider.resend_unknown, provider.api_key.is_some()),
        (false, false, false)
    );
    let service = format!("MG{}", "0a".repeat(16));
    let by_service = twilio(&format!("messaging_service_sid = \"{service}\"\n"));
    assert_eq!(by_service.sender, TwilioSender::Service(service.clone()));
    for sender in ["12345", "Bank 24"] {
        assert_eq!(twilio(&format!("from = \"{sender}\"\n")).sender, TwilioSender::From(sender.to_owned()));
    }
    assert_twilio_fault("", 1, "from", "is missing");
    let both = format!("from = \"12345\"\nmessaging_service_sid = \"{service}\"\n");
    assert_twilio_fault(&both, 6, "messaging_service_sid", "stands beside from");
    for wrong in ["12", "123456789", "Bank & Co", "TwelveLetter", "+0505", "0505 12"] {
        assert_twilio_fault(&format!("from = \"{wrong}\"\n"), 5, "from", "must be a number");
    }
}

#[test]
fn reports_are_asked_for_where_twilio_can_deliver_them() {
    let public = "[device]\npublic_url = \"https://push.example.com\"\n";
    let with = |lines: &str| twilio(&format!("from = \"12345\"\n{lines}"));
    assert!(with(public).status_reports);
    assert!(!with(&format!("status_reports = false\n{public}")).status_reports);
    assert!(with("status_reports = true\n").status_reports);
}

#[test]
fn a_key_of_twilio_comes_with_its_secret() {
    let sid = format!("api_key_sid = \"SK{}\"\n", "1b".repeat(16));
    let file = "api_key_secret_file = \"credentials/twilio-key\"\n";
    assert!(twilio(&format!("from = \"12345\"\n{sid}{file}")).api_key.is_some());
    assert_twilio_fault(&format!("from = \"12345\"\n{sid}"), 6, "api_key_sid", "without api_key_secret_file");
    assert_twilio_fault(
        &format!("from = \"12345\"\n{file}"),
        6,
        "api_key_secret_file",
        "without api_key_sid",
    );
    let swapped = TWILIO.replace("\"AC", "\"SK");
    let text = format!("{swapped}from = \"12345\"\n{SMS}");
    assert_only_fault(&text, 3, "providers.main.account_sid", "AC and 32 hex digits");
}

#[test]
fn a_gateway_of_templates_has_a_form_unless_it_says_otherwise() {
    let form = http("body = \"to={to}&text={text}\"\n");
    assert_eq!((form.http_method, form.body_format), (GatewayMethod::Post, BodyFormat::Form));
    assert_eq!((form.base_url.as_str(), form.access), ("https://sms.example.com", GatewayAccess::None));
    let get = HTTP.replace("/send", "/send?to={to}&text={text}");
    let config = load(&format!("{get}http_method = \"GET\"\n{SMS}")).config;
    assert_eq!(config.providers.len(), 1);
    let local = HTTP.replace("https://sms.example.com", "http://127.0.0.1:9000");
    assert!(load(&format!("{local}body = \"{{to}}{{text}}\"\n{SMS}")).config.providers.len() == 1);
}

#[test]
fn a_template_that_makes_no_message_is_refused() {
    let body = "body = \"to={to}&text={text}\"\n";
    assert_http_fault("", 1, "body", "is missing");
    assert_http_fault("body = \"to={to}\"\n", 3, "url", "holds {text} nowhere");
    assert_http_fault("body = \"text={text}\"\n", 3, "url", "holds {to} nowhere");
    assert_http_fault("body = \"to={to}&text={txt}\"\n", 4, "body", "has {txt}");
    assert_http_fault("body = \"{to}{text}{from}\"\n", 3, "from", "{from} stands for it");
    assert_http_fault(&format!("{body}http_method = \"GET\"\n"), 4, "body", "is not sent with");
    let json = "body_format = \"json\"\nbody = '{\"to\":\"{to}\",\"text\":{text}}'\n";
    assert_http_fault(json, 5, "body", "is no JSON");
    let xml = |body: &str| format!("body_format = \"xml\"\nbody = '{body}'\n");
    for right in
        ["<a><to>{to}</to><t>{text}</t></a>", "<?xml version=\"1.0\"?><a to=\"{to}\" t=\"a {text}\"/>"]
    {
        assert_eq!(http(&xml(right)).body_format, BodyFormat::Xml);
    }
    for wrong in [
        "to={to} text={text}",
        "<a><to>{to}</to><t>{text}</a>",
        "<a to={to}>{text}</a>",
        "<a><to>{to}</to><t><![CDATA[{text}]]></t></a>",
        "<a><to>{to}</to><!-- {text} --></a>",
        "<a><to>{to}</to><{text}/></a>",
        "<a>{to}</a><a>{text}</a>",
    ] {
        assert_http_fault(&xml(wrong), 5, "body", "is no XML");
    }
    assert_http_fault("body = \"\"\n", 4, "body", "1 to 4000 characters");
    for wrong in ["\"\\u0007{to}{text}\"", "7"] {
        assert_http_fault(&format!("body = {wrong}\n"), 4, "body", "must be a text");
    }
}

#[test]
fn a_url_leads_where_it_says() {
    let with = |url: &str| {
        format!("{}body = \"{{to}}{{text}}\"\n{SMS}", HTTP.replace("https://sms.example.com/send", url))
    };
    for wrong in [
        "http://sms.example.com/",
        "https://{to}.example.com/",
        "https://user:word@sms.example.com/",
        "https://sms.example.com/#a",
        "https://sms.example.com/a b",
        "https://sms.example.com/{code}",
        "https://sms.example.com/{",
        "sms.example.com",
        "ftp://sms.example.com/",
    ] {
        assert_only_fault(&with(wrong), 3, "providers.main.url", "an https URL");
    }
}

#[test]
fn a_gateway_knows_us_in_one_way() {
    let body = "body = \"{to}{text}\"\n";
    let with = |lines: &str| http(&format!("{body}{lines}")).access;
    assert!(matches!(with("username = \"a\"\npassword = \"b\"\n"), GatewayAccess::Basic(_)));
    let token = "token_file = \"credentials/sms-token\"\n";
    assert!(matches!(with(token), GatewayAccess::Token { header: None, .. }));
    let own = with(&format!("{token}token_header = \"x-api-key\"\n"));
    assert!(matches!(own, GatewayAccess::Token { header: Some(name), .. } if name == "x-api-key"));
    assert_http_fault(&format!("{body}username = \"a\"\n"), 5, "username", "without password");
    assert_http_fault(&format!("{body}token_header = \"x-a\"\n"), 5, "token_header", "without token_file");
    let both = format!("{body}{token}username = \"a\"\npassword = \"b\"\n");
    assert_http_fault(&both, 5, "token_file", "stands beside username");
    for wrong in ["X-Api-Key", "host", "a b", "", "x\\r\\ny"] {
        assert_http_fault(
            &format!("{body}{token}token_header = \"{wrong}\"\n"),
            6,
            "token_header",
            "must be",
        );
    }
    for wrong in ["x-a", "x-a: b\\r\\nx-c: d", "authorization: Bearer x", "host: x", "X-A: b"] {
        assert_http_fault(
            &format!("{body}headers = [\"{wrong}\"]\n"),
            5,
            "headers",
            "must be a list of headers",
        );
    }
    let shown = format!("{:?}", http(&format!("{body}username = \"a\"\npassword = \"geheim\"\n")));
    assert!(!shown.contains("geheim"), "{shown}");
}

#[test]
fn rules_for_answers_are_read_or_refused() {
    let body = "body = \"{to}{text}\"\n";
    let rules =
        http(&format!("{body}success_pattern = \"^ok\"\npermanent_statuses = [\"404\", \"410\"]\n")).rules;
    assert!(rules.success_statuses[0].contains(202) && rules.permanent_statuses[1].contains(410));
    assert!(
        rules.success_pattern.expect("a pattern").is_found_in("ok 1") && rules.unclear_statuses.is_empty()
    );
    let rules = http(&format!("{body}unclear_statuses = [\"503\"]\n")).rules;
    assert!(rules.unclear_statuses[0].contains(503));
    assert_http_fault(
        &format!("{body}success_pattern = \"(\"\n"),
        5,
        "success_pattern",
        "regular expression",
    );
    assert_http_fault(
        &format!("{body}permanent_statuses = [\"abc\"]\n"),
        5,
        "permanent_statuses",
        "2xx\"".replace("2xx", "4xx").as_str(),
    );
    for (lines, key, earlier) in [
        ("permanent_statuses = [\"2xx\"]", "permanent_statuses", "success_statuses"),
        ("permanent_statuses = [\"404\", \"202\"]", "permanent_statuses", "success_statuses"),
        ("unclear_statuses = [\"200\"]", "unclear_statuses", "success_statuses"),
    ] {
        assert_http_fault(
            &format!("{body}{lines}\n"),
            5,
            key,
            &format!("a status that {earlier} names, too"),
        );
    }
    let both = "permanent_statuses = [\"503\"]\nunclear_statuses = [\"5xx\"]\n";
    assert_http_fault(&format!("{body}{both}"), 6, "unclear_statuses", "permanent_statuses names, too");
    assert_http_fault(&format!("{body}answer_pointer = \"a/b\"\n"), 5, "answer_pointer", "JSON pointer");
}

#[test]
fn nothing_is_sent_by_sms_before_its_countries_are_named() {
    let gateway = format!("{TWILIO}from = \"12345\"\n");
    assert_only_fault(&gateway, 1, "sms.country_prefixes", "is missing");
    assert_only_fault(
        &format!("{gateway}[sms]\ncountry_prefixes = []\n"),
        7,
        "sms.country_prefixes",
        "is empty",
    );
    for wrong in ["49", "+", "+0", "+49151123", "*", "+4a"] {
        let text = format!("{gateway}[sms]\ncountry_prefixes = [\"{wrong}\"]\n");
        assert_only_fault(&text, 7, "sms.country_prefixes", "1 to 7 digits");
    }
    let rules = load(&format!("{gateway}{SMS}")).config.sms;
    assert_eq!((rules.sends_per_number_per_hour_max, rules.sends_per_prefix_per_hour_max), (10, 20_000));
    let number = PhoneNumber::parse("+15055551234").expect("a number");
    assert_eq!(rules.prefix_of(&number).expect("allowed").as_str(), "+1505");
    let islands = format!("{gateway}{SMS}refused_prefixes = [\"+1876\"]\n");
    let island = PhoneNumber::parse("+18765551234").expect("a number");
    assert!(rules.prefix_of(&island).is_some() && load(&islands).config.sms.prefix_of(&island).is_none());
    assert_only_fault(&islands.replace("1876", "x"), 8, "sms.refused_prefixes", "1 to 7 digits");
    for (key, wrong) in [("number", 0), ("number", 1_001), ("prefix", 0), ("client", 10_000_001)] {
        let key = format!("sends_per_{key}_per_hour_max");
        assert_only_fault(&format!("[sms]\n{key} = {wrong}\n"), 2, &format!("sms.{key}"), "a whole number");
    }
}

#[test]
fn a_key_of_another_kind_is_out_of_place() {
    assert_twilio_fault("from = \"12345\"\nurl = \"https://x.example\"\n", 6, "url", "kind = \"http-sms\"");
    assert_twilio_fault(
        "from = \"12345\"\nping_timeout_ms = 100\n",
        6,
        "ping_timeout_ms",
        "\"apns\" or \"fcm\"",
    );
    assert_http_fault("body = \"{to}{text}\"\nendpoint = \"https://x.example\"\n", 5, "endpoint", "http-sms");
    let unknown = HTTP.replace("http-sms", "htpp-sms");
    let found = faults(&format!("{unknown}{SMS}"));
    assert!(found.iter().any(|(_, _, message)| message.contains("did you mean \"http-sms\"?")), "{found:?}");
}

#[test]
fn one_gateway_of_each_kind_may_be_the_default() {
    let second = TWILIO.replace("providers.main", "providers.second");
    let text =
        format!("{TWILIO}from = \"12345\"\ndefault = true\n{second}from = \"12345\"\ndefault = true\n{SMS}");
    assert_only_fault(&text, 12, "providers.second.default", "only one provider of kind \"twilio\"");
    let http = HTTP.replace("providers.main", "providers.second");
    let kind = "[types.code]\nmethod = \"sms\"\nattempts_max = 3\n";
    let text = format!(
        "{http}body = \"{{to}}{{text}}\"\ndefault = true\n{TWILIO}from = \"12345\"\ndefault = true\n{SMS}{kind}"
    );
    let config = load(&text).config;
    let code = config.types.values().next().and_then(|kind| kind.code.as_ref()).expect("a code");
    assert_eq!(code.gateways.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["main"]);
}
