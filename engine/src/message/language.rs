//! In which languages a text is looked for.

use tocsin_model::Language;

/// The languages to try, best first; after them comes the text that is there in every case.
///
/// What was asked for counts from special to general, as far as the realm's users speak it; then the realm's languages
/// in their order. English ends the list, because that is the text that is there in every case.
pub(crate) fn languages(asked: Option<&str>, of_realm: &[Language]) -> Vec<Language> {
    let asked: Option<Language> = asked.and_then(|tag| tag.parse().ok());
    let mut chosen: Vec<Language> = Vec::new();
    if let Some(asked) = &asked {
        let parts = asked.from_special_to_general().filter_map(|tag| tag.parse().ok());
        let spoken =
            |language: &Language| of_realm.is_empty() || language.is_english() || of_realm.contains(language);
        chosen.extend(parts.filter(spoken));
    }
    chosen.extend(of_realm.iter().cloned());
    if let Some(end) = chosen.iter().position(|language| language.as_str() == "en") {
        chosen.truncate(end);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(asked: Option<&str>, of_realm: &[&str]) -> Vec<String> {
        let of_realm: Vec<Language> = of_realm.iter().map(|tag| tag.parse().expect("a tag")).collect();
        languages(asked, &of_realm).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn without_languages_of_the_realm_only_what_was_asked_for_goes_before_english() {
        assert_eq!(tried(Some("de-CH"), &[]), ["de-ch", "de"]);
        assert!(tried(None, &[]).is_empty());
        assert!(tried(Some("en"), &[]).is_empty());
        assert_eq!(tried(Some("en-GB"), &[]), ["en-gb"]);
        assert!(tried(Some("no language"), &[]).is_empty());
    }

    #[test]
    fn a_realm_says_what_its_users_speak_and_what_the_others_read() {
        let realm = ["nl", "fr"];
        assert_eq!(tried(None, &realm), ["nl", "fr"]);
        assert_eq!(tried(Some("fr-BE"), &realm), ["fr", "nl", "fr"]);
        assert_eq!(tried(Some("de"), &realm), ["nl", "fr"], "it is not spoken there");
        assert!(tried(Some("en"), &realm).is_empty(), "English may always be asked for");
        assert_eq!(tried(None, &["nl", "en", "fr"]), ["nl"]);
    }
}
