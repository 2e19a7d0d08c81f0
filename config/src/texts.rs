//! What users read: texts in their languages, and what is shown of the origin of a call.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use tocsin_model::{DurationMs, Language, OriginTag, Secret, Template, TextTag};

/// One text in every language that it was written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Localized<P> {
    /// In English, or whatever language is to be read by whom no other text is for.
    pub last: Template<P>,
    /// In other languages.
    pub others: BTreeMap<Language, Template<P>>,
}

impl<P> Localized<P> {
    /// The text in the first of these languages that it was written in.
    pub fn in_first_of<'l>(&self, mut languages: impl Iterator<Item = &'l Language>) -> &Template<P> {
        languages.find_map(|language| self.others.get(language)).unwrap_or(&self.last)
    }
}

/// What the user of a type is shown when the portal says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeTexts {
    /// The title.
    pub title: Localized<TextTag>,
    /// The message.
    pub message: Localized<TextTag>,
    /// Whether the portal must give the message itself.
    pub is_message_required: bool,
    /// Whether the user is shown where the call comes from.
    pub shows_origin: bool,
}

/// `[origin]`: what is shown of where a call comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The text.
    pub template: Localized<OriginTag>,
    /// How an address becomes a place.
    pub location: LocationSource,
}

/// How an address becomes a place.
#[derive(Clone, Debug)]
pub enum LocationSource {
    /// Not at all.
    Off,
    /// By a file in the format of MaxMind.
    Database(PathBuf),
    /// By asking a server.
    Service(LocationService),
}

/// `[origin.service]`: a server that knows places.
#[derive(Clone)]
pub struct LocationService {
    /// Its URL with `{ip}` where the address stands, and perhaps `{key}`.
    pub url: String,
    /// What it knows us by.
    pub key: Option<Secret<String>>,
    /// Trust only the certificate authorities of this PEM file instead of the platform's.
    pub ca_file: Option<PathBuf>,
    /// Longest time of one question from look-up to the end of the answer.
    pub timeout: DurationMs,
    /// How long an answer is believed.
    pub cache_life: DurationMs,
    /// Answers that are kept.
    pub cache_entries_max: usize,
    /// Questions at once.
    pub calls_in_flight_max: usize,
    /// Where in the answer the country stands.
    pub country_code: FieldPath,
    /// Where the region stands.
    pub region: FieldPath,
    /// Where the city stands.
    pub city: FieldPath,
}

impl LocationService {
    fn parts(&self) -> impl PartialEq {
        let Self {
            url,
            key,
            ca_file,
            timeout,
            cache_life,
            cache_entries_max,
            calls_in_flight_max,
            country_code,
            region,
            city,
        } = self;
        let bounds = (timeout, cache_life, cache_entries_max, calls_in_flight_max);
        (url, key.as_ref().map(Secret::expose), ca_file, bounds, [country_code, region, city])
    }
}

impl PartialEq for LocationService {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for LocationService {}

/// The key, and the URL that may hold one, are left out.
impl fmt::Debug for LocationService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LocationService").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// The names that lead to a member of a JSON object, from the outermost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// Parses `city` or `location.city`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let fits = text.len() <= 200 && text.split('.').all(is_name);
        fits.then(|| Self(text.split('.').map(str::to_owned).collect()))
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}
