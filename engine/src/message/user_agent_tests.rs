//! User agents as browsers send them, and as attackers may.

use super::*;

/// The user agent, its system, its browser.
const KNOWN: [(&str, &str, &str); 12] = [
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_3) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/73.0.3683.86 Safari/537.36",
        "Mac 10.14",
        "Chrome 73.0",
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        "Windows 10",
        "Chrome 131.0",
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.2903.51",
        "Windows 10",
        "Edge 131.0",
    ),
    ("Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko", "Windows 7", "IE 11.0"),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0", "Linux", "Firefox 132.0"),
    (
        "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0",
        "Ubuntu",
        "Firefox 115.0",
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4.1 Safari/605.1.15",
        "Mac 10.15",
        "Safari 17.4",
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
        "iOS 17.5",
        "Safari 17.5",
    ),
    (
        "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.6367.82 Mobile Safari/537.36",
        "Android 14",
        "Chrome 124.0",
    ),
    ("Mozilla/5.0 (Android 13; Mobile; rv:120.0) Gecko/120.0 Firefox/120.0", "Android 13", "Firefox 120.0"),
    (
        "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36",
        "Chrome OS 14541.0",
        "Chrome 119.0",
    ),
    (
        "Mozilla/5.0 (Linux; Android 13; SM-S901B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/23.0 Chrome/115.0.0.0 Mobile Safari/537.36",
        "Android 13",
        "Samsung Internet 23.0",
    ),
];

#[test]
fn known_user_agents_mean_what_they_say() {
    for (user_agent, operating_system, browser) in KNOWN {
        let found = Software::of(user_agent);
        assert_eq!((&*found.operating_system, &*found.browser), (operating_system, browser), "{user_agent}");
    }
}

#[test]
fn what_nobody_knows_means_nothing() {
    for unknown in ["", " ", "x", "\u{0}\u{1b}[2J", "<script>alert(1)</script>", "日本語", "{user} [city]"]
    {
        assert_eq!(Software::of(unknown), Software::default(), "{unknown:?}");
    }
}

#[test]
fn a_hostile_user_agent_is_safe() {
    let (known, _, _) = KNOWN[0];
    let mut hostile: Vec<String> = vec![
        "A".repeat(1 << 20),
        format!("{}/1", "(".repeat(1 << 20)),
        format!("Mozilla/5.0 {}", "AppleWebKit/1 Chrome/1 ".repeat(50_000)),
        format!("{known}{}", " x".repeat(500_000)),
        "Mozilla/5.0 (Linux; Android 9\u{202e}evil; \u{7}) Chrome/7\u{0}3.0".to_owned(),
        "Camoufox\r\nX-Injected: 1 Camoufox 1.2".to_owned(),
    ];
    hostile.push(format!("Firefox/{}", "9".repeat(100_000)));
    for user_agent in hostile {
        let found = Software::of(&user_agent);
        for shown in [&found.operating_system, &found.browser] {
            assert!(shown.chars().count() <= NAME_CHARACTERS_MAX, "{shown}");
            let fits = |character: char| character.is_alphanumeric() || " .-_+()…".contains(character);
            assert!(shown.chars().all(fits), "{shown:?}");
        }
    }
    assert_eq!(Software::of(&format!("{known}{}", " x".repeat(500_000))).browser, "Chrome 73.0");
}

#[test]
fn only_a_text_that_names_system_or_browser_is_told_of_it() {
    let (user_agent, _, _) = KNOWN[0];
    let origin = |text: &str| {
        let template: Template<OriginTag> = Template::parse(text).expect("known places");
        Software::named_in(&template, Some(user_agent))
    };
    let message = |text: &str| {
        let template: Template<TextTag> = Template::parse(text).expect("known places");
        Software::named_in(&template, Some(user_agent))
    };
    for names_it in [origin("[browser]"), origin("[operatingSystem]"), message("{browser} {user}")] {
        assert_eq!(names_it, Software::of(user_agent));
    }
    for names_nothing in
        [origin("[message] from [city]"), message("{user} at {ip_address}"), message("Log in")]
    {
        assert_eq!(names_nothing, Software::default());
    }
}
