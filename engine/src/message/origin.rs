//! What is shown of where a call comes from.

use tocsin_model::{OriginTag, Template};

use super::location::Place;
use super::{Located, Software};

/// What is known of a call.
#[derive(Clone, Copy)]
pub(crate) struct OriginParts<'a> {
    /// What it is about.
    pub(crate) message: &'a str,
    /// By what it was made; nothing where the portal did not say.
    pub(crate) software: &'a Software,
    /// From where.
    pub(crate) located: &'a Located,
}

/// The template filled in, or the bare message where the place was asked for and is not known. Places without a value stay
/// empty; `None` where nothing is left to show.
pub(crate) fn origin_text(template: &Template<OriginTag>, parts: OriginParts<'_>) -> Option<String> {
    let nowhere = Place::default();
    let place = match parts.located {
        Located::At(place) => place,
        Located::NotAsked => &nowhere,
        Located::Unknown => return (!parts.message.is_empty()).then(|| parts.message.to_owned()),
    };
    let text = template.fill(|tag| match tag {
        OriginTag::Message => parts.message,
        OriginTag::OperatingSystem => &parts.software.operating_system,
        OriginTag::Browser => &parts.software.browser,
        OriginTag::CountryCode => &place.country_code,
        OriginTag::Region => &place.region,
        OriginTag::City => &place.city,
    });
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str =
        "[message] Device: [operatingSystem] [browser], Location: [countryCode], [region], [city]";
    const MESSAGE: &str = "You are logging into the XYZ portal";

    fn utrecht() -> Located {
        Located::At(Place {
            country_code: "NL".to_owned(),
            region: "Provincie Utrecht".to_owned(),
            city: "Utrecht".to_owned(),
        })
    }

    fn chrome() -> Software {
        Software { operating_system: "Mac 10.14".to_owned(), browser: "Chrome 73.0".to_owned() }
    }

    fn shown(template: &str, software: &Software, located: &Located) -> Option<String> {
        let template = Template::parse(template).expect("known places");
        origin_text(&template, OriginParts { message: MESSAGE, software, located })
    }

    #[test]
    fn the_two_vectors_of_the_feature_list() {
        assert_eq!(
            shown(DEFAULT, &chrome(), &utrecht()).as_deref(),
            Some(
                "You are logging into the XYZ portal Device: Mac 10.14 Chrome 73.0, Location: NL, Provincie Utrecht, \
                 Utrecht"
            )
        );
        assert_eq!(
            shown("[message] using [browser] from [city], [countryCode]", &chrome(), &utrecht()).as_deref(),
            Some("You are logging into the XYZ portal using Chrome 73.0 from Utrecht, NL")
        );
    }

    #[test]
    fn what_was_not_sent_leaves_its_place_empty() {
        assert_eq!(
            shown(DEFAULT, &Software::default(), &utrecht()).as_deref(),
            Some("You are logging into the XYZ portal Device:  , Location: NL, Provincie Utrecht, Utrecht")
        );
        assert_eq!(
            shown(DEFAULT, &chrome(), &Located::NotAsked).as_deref(),
            Some("You are logging into the XYZ portal Device: Mac 10.14 Chrome 73.0, Location: , , ")
        );
        assert_eq!(shown("[city]", &chrome(), &Located::NotAsked), None);
    }

    #[test]
    fn an_unknown_place_leaves_the_bare_message() {
        assert_eq!(shown(DEFAULT, &chrome(), &Located::Unknown).as_deref(), Some(MESSAGE));
        let template = Template::parse(DEFAULT).expect("known places");
        let parts = OriginParts { message: "", software: &chrome(), located: &Located::Unknown };
        assert_eq!(origin_text(&template, parts), None);
    }
}
