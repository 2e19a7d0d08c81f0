//! The page of a report, as a browser shows it on a phone: in light and in dark.
//!
//! Chromium lays the page out in a frame of a phone's width; a script beside the frame measures what came of it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tocsin_loadtest::load::report::{Facts, Report};
use tocsin_loadtest::load::scenario::Scenario;
use tokio::process::Command;

use super::sample;

/// Width of the narrowest phones that are still common, in CSS pixels.
const PHONE_WIDTH: u32 = 390;

/// Time that Chromium has for one page.
const DEADLINE: Duration = Duration::from_secs(60);

const THRESHOLDS: &str = "[thresholds]\ndropped_max = 0\nfinished_per_s_min = 100000\n";

#[tokio::test]
async fn on_a_phone_nothing_is_wider_than_the_screen_and_no_two_texts_collide() {
    let seen = Browser::find().look_at(&sample::report(THRESHOLDS).to_html(), "light", PHONE_WIDTH).await;
    assert_eq!(seen["scroll_width"], PHONE_WIDTH, "{seen:#}");
    assert_eq!(seen["too_wide"], Value::Array(Vec::new()), "{seen:#}");
    assert_eq!(seen["cut_texts"], Value::Array(Vec::new()), "{seen:#}");
    assert_eq!(seen["colliding_texts"], Value::Array(Vec::new()), "{seen:#}");
    assert_eq!(seen["tall_cells"], Value::Array(Vec::new()), "{seen:#}");
    assert!(seen["figures"].as_u64().is_some_and(|figures| figures >= 10), "{seen:#}");
    assert!(seen["least_text_px"].as_f64().is_some_and(|size| size >= 9.5), "{seen:#}");
    assert!(seen["lines_drawn"].as_u64().is_some_and(|lines| lines >= 25), "{seen:#}");
}

#[tokio::test]
async fn at_a_desk_plots_stand_beside_each_other() {
    let seen = Browser::find().look_at(&sample::report("").to_html(), "light", 1_280).await;
    assert_eq!(seen["scroll_width"], 1_280, "{seen:#}");
    assert!(seen["plots_in_first_row"].as_u64().is_some_and(|plots| plots >= 2), "{seen:#}");
    assert_eq!(seen["colliding_texts"], Value::Array(Vec::new()), "{seen:#}");
}

#[tokio::test]
async fn it_can_be_read_in_light_and_in_dark() {
    let (browser, page) = (Browser::find(), sample::report(THRESHOLDS).to_html());
    let light = browser.look_at(&page, "light", PHONE_WIDTH).await;
    let dark = browser.look_at(&page, "dark", PHONE_WIDTH).await;
    assert_ne!(light["ground"], dark["ground"]);
    for seen in [&light, &dark] {
        // What WCAG asks of ordinary text, and of lines.
        assert!(seen["text_contrast"].as_f64().is_some_and(|contrast| contrast >= 4.5), "{seen:#}");
        assert!(seen["line_contrast"].as_f64().is_some_and(|contrast| contrast >= 3.0), "{seen:#}");
    }
}

#[tokio::test]
async fn a_run_in_which_nothing_happened_has_a_page_too() {
    let scenario = Scenario::parse("sample", sample::SCENARIO).expect("it is valid");
    let report = Report::new(&scenario, &Default::default(), Facts::default());
    let seen = Browser::find().look_at(&report.to_html(), "light", PHONE_WIDTH).await;
    assert_eq!(seen["scroll_width"], PHONE_WIDTH, "{seen:#}");
    assert_eq!(seen["heading"], report.title);
}

#[test]
fn it_needs_nothing_from_anywhere_and_runs_no_script() {
    let page = sample::report(THRESHOLDS).to_html();
    let lower = page.to_lowercase();
    for foreign in ["<script", "src=", "href=", "url(", "@import", "https://", "<iframe", "<link"] {
        assert!(!lower.contains(foreign), "{foreign}");
    }
}

#[test]
fn texts_of_others_are_shown_and_not_obeyed() {
    let mut report = sample::report("");
    report.about = "<img onerror=alert(1)> & \"more\"".to_owned();
    report.final_states.insert("<b>state</b>".to_owned(), 1);
    report.series[0].errors.insert("</svg><script>".to_owned(), 3);
    let page = report.to_html();
    for markup in ["<img", "<b>", "</svg><script"] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert!(page.contains("&lt;img onerror=alert(1)&gt; &amp; &quot;more&quot;"));
}

#[test]
fn it_says_which_thresholds_were_missed_and_which_limits_were_met() {
    let mut report = sample::report(THRESHOLDS);
    report.machine_limits.push("both cores were busy for 9 of 12 s".to_owned());
    let page = report.to_html();
    assert!(page.contains("1 of 2 thresholds missed"));
    assert!(page.contains("both cores were busy for 9 of 12 s"));
}

/// Chromium without a window.
struct Browser {
    program: PathBuf,
}

impl Browser {
    fn find() -> Self {
        let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let known = ["chromium", "chromium-browser", "google-chrome"];
        let found = std::env::split_paths(&path)
            .flat_map(|folder| known.map(|name| folder.join(name)))
            .find(|program| program.is_file());
        let program =
            named.or(found).expect("no Chromium; run `scripts/setup python`, or name one by CHROMIUM");
        Self { program }
    }

    /// Shows the page in this scheme of colours to somebody with a screen of this width.
    async fn look_at(&self, page: &str, scheme: &str, width_px: u32) -> Value {
        let folder = TempDir::new().expect("a folder");
        let around = folder.path().join("around.html");
        std::fs::write(&around, framed(page, width_px)).expect("it is written");
        // For whoever wants to see it himself.
        std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("load-report.html"), page)
            .expect("it is written");
        let shown = self.dump(&around, folder.path(), scheme).await;
        let (_, rest) =
            shown.split_once("<pre id=\"seen\">").unwrap_or_else(|| panic!("nothing seen: {shown}"));
        let (seen, _) = rest.split_once("</pre>").expect("the end of what was seen");
        let seen = seen.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        serde_json::from_str(&seen).unwrap_or_else(|error| panic!("{error}: {seen}"))
    }

    /// The document after its script has run.
    async fn dump(&self, page: &Path, folder: &Path, scheme: &str) -> String {
        let mut command = Command::new(&self.program);
        command
            .args(["--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--dump-dom"])
            // The page is our own, and the sandbox refuses to work for root and in many containers.
            .args(["--no-sandbox", "--disable-dev-shm-usage"])
            .arg("--window-size=1400,1000")
            .arg(format!("--blink-settings=preferredColorScheme={}", if scheme == "dark" { 0 } else { 1 }))
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .arg(format!("file://{}", page.display()))
            .env("HOME", folder)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(DEADLINE, command.output())
            .await
            .expect("Chromium takes less time")
            .expect("Chromium starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// A page that shows this one in a frame and measures it.
fn framed(page: &str, width_px: u32) -> String {
    let escaped = page.replace('&', "&amp;").replace('"', "&quot;");
    let script = include_str!("look.js");
    format!(
        "<!doctype html><meta charset=\"utf-8\"><body style=\"margin:0\"><script>{script}</script>\n\
         <iframe id=\"frame\" width=\"{width_px}\" height=\"900\" style=\"border:0\" onload=\"look()\" \
         srcdoc=\"{escaped}\"></iframe><pre id=\"seen\"></pre>"
    )
}
