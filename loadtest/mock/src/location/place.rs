//! A place, perhaps with parts that nobody knows.

/// Where an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockPlace {
    /// Two letters.
    pub country_code: Option<String>,
    /// Its largest subdivision.
    pub region: Option<String>,
    /// The city.
    pub city: Option<String>,
}

impl MockPlace {
    /// A place of which everything is known.
    pub fn new(country_code: &str, region: &str, city: &str) -> Self {
        let known = |text: &str| Some(text.to_owned());
        Self { country_code: known(country_code), region: known(region), city: known(city) }
    }

    /// Utrecht in the Netherlands.
    pub fn utrecht() -> Self {
        Self::new("NL", "Provincie Utrecht", "Utrecht")
    }
}
