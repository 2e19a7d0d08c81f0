//! Which system and browser a user agent means.
//!
//! The rules are those of the User Agent String Parser project, read once from `user_agents.json`: what the project keeps
//! on browsers and systems, turned from YAML into JSON and not changed otherwise (its first member says of which
//! revision). To read them takes a moment and memory, so that it is done before the doors open, and only where a text
//! names what they tell. The matching takes time in proportion to the length, which is bounded.

use std::sync::LazyLock;

use serde::Deserialize;
use tocsin_model::{OriginTag, Placeholder, Template, TextTag};
use ua_parser::{os, user_agent};

use super::value::one_line;

/// Characters of a user agent that are looked at.
const USER_AGENT_CHARACTERS_MAX: usize = 1_000;
/// Longest name of a system or browser, with its version.
const NAME_CHARACTERS_MAX: usize = 40;

/// Families that users know by another name.
const RENAMED: [(&str, &str); 9] = [
    ("Mac OS X", "Mac"),
    ("Mobile Safari", "Safari"),
    ("Mobile Safari UI/WKWebView", "Safari"),
    ("Chrome Mobile", "Chrome"),
    ("Chrome Mobile iOS", "Chrome"),
    ("Chrome Mobile WebView", "Chrome"),
    ("Edge Mobile", "Edge"),
    ("Firefox Mobile", "Firefox"),
    ("Firefox iOS", "Firefox"),
];

/// A system and a browser as they are shown, each with its version where there is one; empty where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Software {
    pub(crate) operating_system: String,
    pub(crate) browser: String,
}

/// What texts can name of it.
pub(crate) trait NamesSoftware: Placeholder {
    /// System and browser.
    const OF_SOFTWARE: [Self; 2];
}

impl NamesSoftware for TextTag {
    const OF_SOFTWARE: [Self; 2] = [Self::OperatingSystem, Self::Browser];
}

impl NamesSoftware for OriginTag {
    const OF_SOFTWARE: [Self; 2] = [Self::OperatingSystem, Self::Browser];
}

struct Rules {
    browsers: user_agent::Extractor<'static>,
    systems: os::Extractor<'static>,
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    user_agent_parsers: Vec<user_agent::Parser<'a>>,
    #[serde(borrow)]
    os_parsers: Vec<os::Parser<'a>>,
}

static RULES: LazyLock<Rules> =
    LazyLock::new(|| Rules::read().expect("the rules are part of the program, and a test reads them"));

impl Rules {
    fn read() -> Result<Self, Box<dyn std::error::Error>> {
        let written: Written<'static> = serde_json::from_str(include_str!("user_agents.json"))?;
        let browsers = user_agent::Builder::new().push_all(written.user_agent_parsers)?.build()?;
        let systems = os::Builder::new().push_all(written.os_parsers)?.build()?;
        tracing::info!("the rules on user agents are read, since a text names system or browser");
        Ok(Self { browsers, systems })
    }
}

impl Software {
    /// Reads the rules now, which takes a moment, so that no call has to wait for it.
    pub(super) fn prepare() {
        LazyLock::force(&RULES);
    }

    /// What this user agent means, as far as `template` names anything of it.
    pub(crate) fn named_in<P: NamesSoftware>(template: &Template<P>, user_agent: Option<&str>) -> Self {
        let user_agent = user_agent.filter(|_| template.has_any(&P::OF_SOFTWARE));
        user_agent.map(Self::of).unwrap_or_default()
    }

    /// What this user agent means. Anybody may have written it.
    fn of(user_agent: &str) -> Self {
        let user_agent = one_line(user_agent, USER_AGENT_CHARACTERS_MAX);
        let browser = RULES.browsers.extract(&user_agent);
        let system = RULES.systems.extract(&user_agent);
        Self {
            operating_system: system
                .map(|found| name(&found.os, found.major.as_deref(), found.minor.as_deref()))
                .unwrap_or_default(),
            browser: browser.map(|found| name(&found.family, found.major, found.minor)).unwrap_or_default(),
        }
    }
}

/// A family with the first two parts of its version. What stands in neither a name nor a version is left out, since it
/// may come out of the user agent as it is.
fn name(family: &str, major: Option<&str>, minor: Option<&str>) -> String {
    let renamed = RENAMED.iter().find(|(known, _)| *known == family);
    let mut shown = renamed.map_or(family, |(_, name)| name).to_owned();
    let part = |part: Option<&str>| part.filter(|part| !part.is_empty()).map(str::to_owned);
    if let Some(major) = part(major) {
        shown = format!("{shown} {major}");
        if let Some(minor) = part(minor) {
            shown = format!("{shown}.{minor}");
        }
    }
    shown.retain(|character| character.is_alphanumeric() || " .-_+()".contains(character));
    one_line(&shown, NAME_CHARACTERS_MAX)
}

#[cfg(test)]
#[path = "user_agent_tests.rs"]
mod tests;
