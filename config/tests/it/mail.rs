//! Mail servers.

use tocsin_config::{MailSecurity, PasswordSource, ProviderNetwork, SmtpProvider};

use crate::fixture::{SMALL, assert_only_fault, faults, line_of, load};

fn with(keys: &str) -> String {
    format!("{SMALL}[providers.mail-main]\nkind = \"smtp\"\n{keys}\n")
}

const NEEDED: &str = "host = \"mail.bank.example\"\nsender = \"no-reply@Bank.example\"\n";

fn mail(text: &str) -> SmtpProvider {
    let config = load(text).config;
    let provider = &config.providers[&"mail-main".parse().expect("a name")];
    assert_eq!(provider.proxy, None, "mail goes straight");
    match &provider.network {
        ProviderNetwork::Smtp(mail) => mail.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_mail_server_needs_a_host_and_a_sender() {
    let found = mail(&with(NEEDED));
    assert_eq!(
        (found.security, found.port, found.hello.as_str()),
        (MailSecurity::Implicit, 465, "bank.example")
    );
    assert_eq!(
        (found.sender.expose(), found.login, found.sender_name),
        ("no-reply@Bank.example", None, None)
    );
    let text = with(&format!(
        "{NEEDED}security = \"starttls\"\nusername = \"a:b\"\npassword = \"hunter2\"\nsender_name = \"The Bank\"\n\
         hello = \"tocsin.bank.example\"\n[proxy]\nenabled = true\nhost = \"proxy.example\""
    ));
    let found = mail(&text);
    assert_eq!(
        (found.security, found.port, found.hello.as_str()),
        (MailSecurity::StartTls, 587, "tocsin.bank.example")
    );
    assert_eq!(found.url(), "smtp://mail.bank.example:587");
    let login = found.login.expect("a login");
    assert!(matches!(login.password, PasswordSource::Value(value) if value.expose() == "hunter2"));
    assert_eq!(mail(&with(&format!("{NEEDED}port = 2525"))).port, 2525);
    let loaded = load(&text);
    let shown = loaded.config.effective.to_string();
    assert!(shown.contains("password = \"********\"") && shown.contains("port = 587 # default"), "{shown}");
    assert!(!shown.contains("hunter2") && !format!("{:?}", loaded.config).contains("hunter2"));
}

#[test]
fn what_is_missing_or_unfit_is_refused_at_its_place() {
    for (keys, line, key, part) in [
        ("sender = \"a@b.example\"", "kind", "host", "is missing"),
        ("host = \"mail.example\"", "kind", "sender", "is missing"),
        (&NEEDED.replace("no-reply@", "no-reply@x@"), "sender", "sender", "an e-mail address"),
        (&NEEDED.replace("no-reply@", "no\\nreply@"), "sender", "sender", "an e-mail address"),
        (
            &format!("{NEEDED}security = \"none\""),
            "security",
            "security",
            "one of \"implicit\", \"starttls\"",
        ),
        (&format!("{NEEDED}username = \"u\""), "username", "password", "beside the username"),
        (&format!("{NEEDED}password = \"hunter2\""), "password", "username", "beside the password"),
        (&format!("{NEEDED}endpoint = \"https://a.example\""), "endpoint", "endpoint", "is a key of kind"),
        (
            &format!("{NEEDED}sender_name = \"a\\r\\nBcc: x\""),
            "sender_name",
            "sender_name",
            "control characters",
        ),
    ] {
        let text = with(keys);
        let at = line_of(&text, "[providers.mail-main]");
        let offset = match line {
            "kind" => 0,
            line => keys.lines().position(|one| one.starts_with(line)).expect(line) + 2,
        };
        assert_only_fault(&text, at + offset, &format!("providers.mail-main.{key}"), part);
        assert!(faults(&text).iter().all(|(_, _, message)| !message.contains("hunter2")));
    }
    let text = with(&format!("{NEEDED}[providers.mail-main.proxy]\nenabled = false"));
    assert_only_fault(
        &text,
        line_of(&text, "mail-main.proxy"),
        "providers.mail-main.proxy",
        "never goes through a proxy",
    );
}
