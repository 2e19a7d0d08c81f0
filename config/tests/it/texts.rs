//! Texts and languages, and what is shown of an origin.

use tocsin_config::{LocationSource, Realm};
use tocsin_model::{Language, OriginTag, TextTag};

use crate::fixture::{assert_only_fault, faults, line_of, load, small_with, warnings};

fn language(tag: &str) -> Language {
    tag.parse().expect("a language")
}

/// A type of which `keys` are set, with Dutch and Swiss German supported.
fn with_type(keys: &str) -> String {
    let types = format!("[texts]\nlanguages = [\"nl\", \"de-CH\"]\n[types.login]\n{keys}");
    small_with("[types.login]", &types)
}

#[test]
fn a_text_is_read_in_the_first_language_that_it_was_written_in() {
    let text = with_type(
        "default_title = \"Log in\"\n[types.login.texts.nl]\ntitle = \"Inloggen\"\n\
         [types.login.texts.de-ch]\nmessage = \"Grüezi {user}\"\n",
    );
    let config = load(&text).config;
    let texts = &config.types.values().next().expect("a type").texts;
    let title = |tags: &[&str]| {
        let languages: Vec<Language> = tags.iter().map(|tag| language(tag)).collect();
        texts.title.in_first_of(languages.iter()).text().to_string()
    };
    assert_eq!(title(&["fr", "nl"]), "Inloggen");
    assert_eq!(title(&["de-ch"]), "Log in", "only the message was written in it");
    assert_eq!(title(&[]), "Log in");
    assert!(texts.message.in_first_of([language("de-ch")].iter()).has(TextTag::User));
}

#[test]
fn a_text_in_a_language_that_is_not_supported_is_refused_until_it_is() {
    let french = with_type("[types.login.texts.fr]\ntitle = \"Connexion\"\n");
    let line = line_of(&french, "texts.fr");
    assert_only_fault(&french, line, "types.login.texts.fr", "not in texts.languages");
    load(&french.replace("\"nl\", ", "\"nl\", \"FR\", "));
    let origin = format!("{}\n[origin.texts.fr]\ntemplate = \"[message]\"\n", with_type(""));
    assert_only_fault(&origin, line_of(&origin, "texts.fr"), "origin.texts.fr", "not in texts.languages");
    let realm = small_with("[realms.retail]", "[realms.retail]\nlanguages = [\"en\", \"fr\"]");
    assert_only_fault(&realm, 2, "realms.retail.languages", "fr is not in texts.languages");
}

#[test]
fn what_is_no_language_is_refused() {
    for bad in ["\"d e\"", "\"\"", "\"de_CH\"", "1"] {
        let text = small_with("[realms.retail]", &format!("[texts]\nlanguages = [{bad}]\n[realms.retail]"));
        assert_only_fault(&text, 2, "texts.languages", "a list of languages");
    }
    let twice = small_with("[realms.retail]", "[texts]\nlanguages = [\"nl\", \"NL\"]\n[realms.retail]");
    assert_only_fault(&twice, 2, "texts.languages", "listed twice");
    let english = with_type("[types.login.texts.en]\ntitle = \"Log in\"\n");
    assert_only_fault(&english, line_of(&english, "texts.en"), "types.login.texts.en", "already");
    let odd = with_type("[types.login.texts.a_b]\ntitle = \"Log in\"\n");
    assert_only_fault(&odd, line_of(&odd, "texts.a_b"), "types.login.texts.a_b", "is no language");
}

#[test]
fn a_place_that_nothing_can_fill_is_refused_where_it_stands() {
    for (keys, key, part) in [
        (
            "default_title = \"Hello {givenname}\"",
            "types.login.default_title",
            "{givenname} stands for nothing",
        ),
        ("default_message = \"{User}\"", "types.login.default_message", "there are {user}, {realm}"),
    ] {
        let text = with_type(keys);
        assert_only_fault(&text, line_of(&text, keys), key, part);
    }
    let dutch = with_type("[types.login.texts.nl]\nmessage = \"{stad}\"\n");
    assert_only_fault(
        &dutch,
        line_of(&dutch, "stad"),
        "types.login.texts.nl.message",
        "{stad} stands for nothing",
    );
    let origin = format!("{}\n[origin]\ntemplate = \"[message] from [town]\"\n", with_type(""));
    assert_only_fault(&origin, line_of(&origin, "town"), "origin.template", "[town] stands for nothing");
    load(&with_type("default_title = \"{ 1 } [sic]\"\n"));
}

#[test]
fn a_text_in_any_language_keeps_to_the_limit_of_its_type() {
    for (characters, fits) in [(155, true), (156, false)] {
        let message = "ä".repeat(characters);
        let text = with_type(&format!("[types.login.texts.nl]\nmessage = \"{message}\"\n"));
        if fits {
            load(&text);
        } else {
            let line = line_of(&text, &message);
            assert_only_fault(&text, line, "types.login.texts.nl.message", "message_max of 155 characters");
        }
    }
}

#[test]
fn a_realm_says_which_languages_its_users_speak() {
    let text = with_type("").replace("[realms.retail]", "[realms.retail]\nlanguages = [\"nl\", \"en\"]");
    let config = load(&text).config;
    let Realm { languages, .. } = config.realms.values().next().expect("a realm");
    assert_eq!(*languages, [language("nl"), language("en")]);
}

#[test]
fn the_template_of_an_origin_may_be_replaced_in_every_language() {
    let config = load(&with_type("")).config;
    let template = &config.origin.template.last;
    assert!([OriginTag::Message, OriginTag::City].iter().all(|tag| template.has(*tag)));
    assert!(matches!(config.origin.location, LocationSource::Off));
    let text = format!(
        "{}\n[origin]\ntemplate = \"[message] using [browser]\"\n[origin.texts.nl]\ntemplate = \"[message] met [browser]\"\n",
        with_type("")
    );
    let template = load(&text).config.origin.template;
    assert_eq!(&**template.in_first_of([language("nl")].iter()).text(), "[message] met [browser]");
    assert!(!template.last.has(OriginTag::City));
}

#[test]
fn a_source_of_places_needs_what_it_is_made_of() {
    for (location, key) in [("database", "origin.database_file"), ("service", "origin.service.url")] {
        let text = format!("{}\n[origin]\nlocation = \"{location}\"\n", with_type(""));
        assert_only_fault(&text, line_of(&text, "location ="), key, "is missing");
    }
    let missing = format!("{}\n[origin]\ndatabase_file = \"nowhere.mmdb\"\n", with_type(""));
    assert_only_fault(&missing, line_of(&missing, "nowhere"), "origin.database_file", "cannot read");
    let without_key =
        format!("{}\n[origin.service]\nurl = \"https://geo.example/{{key}}/{{ip}}\"\n", with_type(""));
    let line = line_of(&without_key, "geo.example");
    assert_only_fault(&without_key, line, "origin.service.key", "the url has {key} in it");
    let no_address = format!("{}\n[origin.service]\nurl = \"https://geo.example/\"\n", with_type(""));
    assert_only_fault(
        &no_address,
        line_of(&no_address, "geo.example"),
        "origin.service.url",
        "with {ip} once",
    );
    let path = format!("{}\n[origin.service]\ncity = \"a..b\"\n", with_type(""));
    assert_only_fault(&path, line_of(&path, "a..b"), "origin.service.city", "member of a JSON object");
}

#[test]
fn the_key_of_a_service_is_shown_nowhere() {
    let text = format!(
        "{}\n[origin]\nlocation = \"service\"\n[origin.service]\nurl = \"https://geo.example/{{ip}}\"\nkey = \"s3cret-key\"\n",
        with_type("")
    );
    let config = load(&text).config;
    assert!(!config.effective.to_string().contains("s3cret"));
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn what_stays_empty_or_unused_is_worth_a_word() {
    let warned = |keys: &str| -> Vec<String> {
        warnings(load(&with_type(keys))).iter().map(|warning| warning.key.clone()).collect()
    };
    assert_eq!(warned("show_origin = true"), ["types.login.show_origin"]);
    assert_eq!(warned("message_required = true\ndefault_message = \"x\""), ["types.login.default_message"]);
    assert_eq!(warned("[types.login.texts.nl]"), ["types.login.texts.nl"]);
    assert!(warned("message_required = true").is_empty());
    assert!(faults(&with_type("show_origin = 1")).len() == 1);
}

#[test]
fn a_text_fits_the_method_of_its_type() {
    let code = "[texts]\nlanguages = [\"nl\"]\n[types.code]\nmethod = \"sms\"\nattempts_max = 3\n";
    load(&format!(
        "{code}default_message = \"{{code}} for {{user}}\"\n[types.code.texts.nl]\nmessage = \"{{code}}\"\n"
    ));
    let titled = format!("{code}[types.code.texts.nl]\ntitle = \"Code\"\n");
    let (line, key) = (line_of(&titled, "title ="), "types.code.texts.nl.title");
    assert_only_fault(&titled, line, key, "is not valid for method = \"sms\"");
    let anonymous =
        "[texts]\nlanguages = [\"nl\"]\n[types.qr]\nmethod = \"otp\"\n[types.qr.texts.nl]\nmessage = \"x\"\n";
    assert_only_fault(anonymous, 6, "types.qr.texts.nl.message", "is not valid for method = \"otp\"");
    for keys in ["default_message = \"Your code is {code}\"", "default_title = \"{code}\""] {
        let text = with_type(keys);
        let key = format!("types.login.{}", keys.split(' ').next().expect("a key"));
        assert_only_fault(&text, line_of(&text, keys), &key, "messages of sms and email only");
    }
}
