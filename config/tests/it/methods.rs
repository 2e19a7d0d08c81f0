//! What the method of a type lets it say: codes, their gateways, and fallbacks.

use tocsin_model::{DurationMs, Method, TextTag};

use crate::fixture::{assert_only_fault, load, warnings};

const CODE: &str = "[types.code]\nmethod = \"sms\"\nattempts_max = 3\n";

/// Warned of in every configuration here: nothing serves SMS.
fn but_for_gateways(text: &str) -> Vec<String> {
    let found = warnings(load(text));
    let own = |message: &str| message.contains("names no gateway");
    found.into_iter().map(|warning| warning.message).filter(|message| !own(message)).collect()
}

#[test]
fn a_code_has_six_digits_and_its_own_message_unless_the_type_says_otherwise() {
    let config = load(CODE).config;
    let kind = config.types.values().next().expect("a type");
    let code = kind.code.as_ref().expect("a code");
    assert_eq!((kind.method, code.digits.get(), code.attempts_max), (Method::Sms, 6, 3));
    assert!(kind.texts.message.last.has(TextTag::Code) && kind.texts.title.last.text().is_empty());
    assert_eq!((kind.resends_max, kind.resend_gap), (2, DurationMs::from_seconds(10)));
    assert_eq!((code.gateways.len(), &code.autofill_domain), (0, &None));
    let email = load("[types.code]\nmethod = \"email\"\nattempts_max = 0\ndigits = 10\n").config;
    let kind = email.types.values().next().expect("a type");
    let code = kind.code.as_ref().expect("a code");
    assert_eq!((code.digits.get(), code.attempts_max), (10, 0));
    assert_eq!(&**kind.texts.title.last.text(), "Please confirm");
}

#[test]
fn a_type_that_sends_codes_says_how_often_they_may_be_guessed() {
    for method in ["sms", "email"] {
        let text = format!("[types.code]\nmethod = \"{method}\"\n");
        assert_only_fault(&text, 1, "types.code.attempts_max", "is missing");
    }
    for wrong in ["101", "-1", "\"three\""] {
        let text = format!("[types.code]\nmethod = \"sms\"\nattempts_max = {wrong}\n");
        assert_only_fault(&text, 3, "types.code.attempts_max", "0 to 100");
    }
    for digits in [3, 11] {
        assert_only_fault(&format!("{CODE}digits = {digits}\n"), 4, "types.code.digits", "4 to 10");
    }
}

#[test]
fn a_key_is_valid_for_some_methods_only() {
    let push = [
        "realms = []",
        "attempts_max = 3",
        "digits = 6",
        "gateways = []",
        "autofill_domain = \"www.example.com\"",
    ];
    let sms = [
        "realms = []",
        "default_title = \"Hello\"",
        "apps = []",
        "keys = [\"device\"]",
        "push_text = \"message\"",
        "device_choice = \"ask\"",
        "purpose = \"login\"",
        "number_match = \"off\"",
        "keep_for_polling = true",
    ];
    let email = ["realms = []", "autofill_domain = \"www.example.com\"", "number_match = \"type\""];
    let otp = [
        "default_title = \"Hello\"",
        "default_message = \"Hello\"",
        "message_max = 10",
        "push_text = \"message\"",
        "device_choice = \"ask\"",
        "purpose = \"login\"",
        "number_match = \"off\"",
        "keep_for_polling = true",
        "attempts_max = 3",
        "digits = 6",
        "gateways = []",
        "resends_max = 1",
        "resend_gap_s = 1",
        "fallback = \"other\"",
        "fallback_after_s = 5",
    ];
    let cases: [(&str, &str, &[&str]); 4] = [
        ("push", "", &push),
        ("sms", "attempts_max = 3\n", &sms),
        ("email", "attempts_max = 3\n", &email),
        ("otp", "", &otp),
    ];
    for (method, needed, lines) in cases {
        for line in lines {
            let key = line.split(' ').next().expect("a key");
            let text = format!("[types.pay]\nmethod = \"{method}\"\n{line}\n{needed}");
            let why = format!("is not valid for method = \"{method}\"");
            assert_only_fault(&text, 3, &format!("types.pay.{key}"), &why);
        }
    }
    assert_only_fault("[types.pay]\nmethod = \"pusch\"\n", 2, "types.pay.method", "did you mean \"push\"?");
}

#[test]
fn row_061_fallback_not_for_otp() {
    let text = format!("[types.qr]\nmethod = \"otp\"\nfallback = \"code\"\n{CODE}");
    assert_only_fault(&text, 3, "types.qr.fallback", "is not valid for method = \"otp\"");
}

#[test]
fn row_068_otp_type_fields() {
    let whole = "[types.qr]\nmethod = \"otp\"\nttl_s = 90\napps = [\"bank\"]\nrealms = [\"retail\"]\n\
                 keys = [\"device\", \"pin\"]\n[realms.retail]\n[apps.bank]\n";
    let config = load(whole).config;
    let kind = config.types.values().next().expect("a type");
    assert_eq!((kind.method, kind.time_to_live), (Method::Otp, Some(DurationMs::from_seconds(90))));
    assert_eq!((kind.apps.len(), kind.realms.len(), kind.keys.len()), (1, 1, 2));
    let bare = load("[types.qr]\nmethod = \"otp\"\n").config;
    let kind = bare.types.values().next().expect("a type");
    assert!(kind.apps.is_empty() && kind.realms.is_empty() && kind.fallback.is_none());
    let message = kind.texts.message.last.text();
    assert!(message.contains("your own screen"), "{message}");
    let unknown = "[types.qr]\nmethod = \"otp\"\nrealms = [\"retial\"]\n[realms.retail]\n";
    assert_only_fault(unknown, 3, "types.qr.realms", "did you mean \"retail\"?");
    for wrong in
        ["default_message = \"Hello\"", "resends_max = 1", "attempts_max = 3", "number_match = \"type\""]
    {
        let key = wrong.split(' ').next().expect("a key");
        let text = format!("[types.qr]\nmethod = \"otp\"\n{wrong}\n");
        assert_only_fault(&text, 3, &format!("types.qr.{key}"), "is not valid for method = \"otp\"");
    }
}

#[test]
fn what_lets_codes_be_guessed_or_stand_alone_is_warned_about() {
    assert_eq!(but_for_gateways(CODE), Vec::<String>::new());
    let endless = but_for_gateways("[types.code]\nmethod = \"sms\"\nattempts_max = 0\n");
    assert!(endless.iter().any(|warning| warning.contains("guessed")), "{endless:?}");
    let bare = but_for_gateways(&format!("{CODE}default_message = \"hello\"\n"));
    assert!(bare.iter().any(|warning| warning.contains("the code alone")), "{bare:?}");
    let alone = warnings(load(CODE));
    assert!(alone.iter().any(|warning| warning.message.contains("custom delivery only")), "{alone:?}");
}

#[test]
fn a_gateway_must_be_there_and_serve_the_method() {
    let apns = "[providers.apns-main]\nkind = \"apns\"\nteam_id = \"TEAM000001\"\nkey_id = \"KEY0000001\"\n\
                key_file = \"credentials/apns-main.p8\"\n";
    let wrong = format!("{CODE}gateways = [\"apns-main\"]\n{apns}");
    assert_only_fault(&wrong, 4, "types.code.gateways", "does not serve method = \"sms\"");
    let gone = format!("{CODE}gateways = [\"apns-mein\"]\n{apns}");
    assert_only_fault(&gone, 4, "types.code.gateways", "did you mean \"apns-main\"?");
    let domain = format!("{CODE}autofill_domain = \"https://www.example.com\"\n");
    assert_only_fault(&domain, 4, "types.code.autofill_domain", "a DNS name");
}

#[test]
fn a_fallback_sends_a_code_by_another_method_and_never_leads_back() {
    let push = |fallback: &str| format!("[types.login]\nttl_s = 60\nfallback = \"{fallback}\"\n");
    let config = load(&format!("{}fallback_after_s = 20\n{CODE}", push("code"))).config;
    let rule = config.types.values().find_map(|kind| kind.fallback.as_ref()).expect("a fallback");
    assert_eq!((rule.to.as_str(), rule.after), ("code", Some(DurationMs::from_seconds(20))));
    let key = "types.login.fallback";
    assert_only_fault(&push("login"), 3, key, "is the type itself");
    assert_only_fault(&push("nobody"), 3, key, "there is no [types.nobody]");
    assert_only_fault(&format!("{}[types.other]\n", push("other")), 3, key, "must send a code");
    assert_only_fault(&format!("{}[types.qr]\nmethod = \"otp\"\n", push("qr")), 3, key, "must send a code");
    let same = format!("{CODE}fallback = \"second\"\n[types.second]\nmethod = \"sms\"\nattempts_max = 3\n");
    assert_only_fault(&same, 4, "types.code.fallback", "the same method");
}

#[test]
fn fallbacks_that_go_round_are_refused_at_each_of_them() {
    let text = format!(
        "[types.login]\nfallback = \"code\"\n{CODE}fallback = \"mail\"\n[types.mail]\nmethod = \"email\"\n\
         attempts_max = 3\nfallback = \"code\"\n"
    );
    let found = crate::fixture::faults(&text);
    let keys: Vec<_> = found.iter().map(|(_, key, _)| key.as_str()).collect();
    assert_eq!(keys, ["types.code.fallback", "types.mail.fallback"], "{found:?}");
    assert!(found.iter().all(|(_, _, message)| message.contains("leads back to")), "{found:?}");
}

#[test]
fn the_wait_for_a_silent_user_needs_a_fallback_and_fits_into_the_life() {
    assert_only_fault(
        "[types.login]\nfallback_after_s = 5\n",
        2,
        "types.login.fallback_after_s",
        "without a fallback",
    );
    let late = format!("[types.login]\nttl_s = 20\nfallback = \"code\"\nfallback_after_s = 20\n{CODE}");
    assert_only_fault(&late, 4, "types.login.fallback_after_s", "below this type's ttl_s of 20");
    let by_realm = |after_s: u64| {
        let realms = "[realms.retail]\n[realms.hasty]\nttl_s = 30\n";
        format!("[types.login]\nfallback = \"code\"\nfallback_after_s = {after_s}\n{CODE}{realms}")
    };
    load(&by_realm(29));
    assert_only_fault(&by_realm(30), 3, "types.login.fallback_after_s", "below realms.hasty.ttl_s of 30");
}

#[test]
fn the_waits_of_a_chain_of_fallbacks_fit_into_one_life() {
    let chain = |after_s: u64| {
        format!(
            "[types.login]\nttl_s = 60\nfallback = \"code\"\nfallback_after_s = 20\n{CODE}ttl_s = 60\n\
             fallback = \"mail\"\nfallback_after_s = {after_s}\n[types.mail]\nmethod = \"email\"\nattempts_max = 3\n"
        )
    };
    load(&chain(39));
    let why = "comes 60 s after the start of login; that must be below this type's ttl_s of 60";
    assert_only_fault(&chain(40), 10, "types.code.fallback_after_s", why);
}
