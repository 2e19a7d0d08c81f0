//! From the text of a file to a scenario. What is absent has a default, named here; what contradicts is refused.

use std::time::Duration;

use toml::de::DeTable;

use super::document::{Document, Section};
use super::fault::{ScenarioFault, ScenarioFaults};
use super::types::{
    AnswerDelay, Doors, Fetch, Flows, LatencyFrom, LatencyThreshold, Limit, Pattern, Phase, Phones,
    PortalMix, Portals, ProviderBehaviour, ProviderNetwork, ProviderPhase, Quantile, Retries, Scenario,
    Shape, Share, Thresholds,
};
use crate::load::meter::Stage;

/// Longest phase and longest wait: a day.
const DURATION_S_MAX: f64 = 86_400.0;

/// Shortest phase.
const DURATION_S_MIN: f64 = 0.001;

/// Highest rate; far beyond what two cores can send.
const RATE_PER_S_MAX: f64 = 1_000_000.0;

/// Most flows of one burst, and highest counts of thresholds.
const FLOWS_MAX: u64 = 100_000_000;

/// Most phases of either kind, and thresholds of latency.
const SECTIONS_MAX: usize = 100;

impl Scenario {
    /// Reads the text of a scenario's file. `name` is that of the file without its ending.
    ///
    /// # Errors
    ///
    /// All that is wrong, each with its line and what to do.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioFaults> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut document = Document::new(text);
        if !errors.is_empty() {
            let faults = errors.iter().map(|error| ScenarioFault {
                line: document.line_of(error.span().map_or(0, |span| span.start)),
                key: String::new(),
                message: format!("not TOML: {}", error.message()),
            });
            return Err(ScenarioFaults::new(faults.collect()));
        }
        let scenario = whole(&mut document, &Section::whole(table.get_ref()), name);
        if document.faults.is_empty() { Ok(scenario) } else { Err(ScenarioFaults::new(document.faults)) }
    }
}

fn whole<'d>(document: &mut Document<'d>, root: &Section<'d>, name: &str) -> Scenario {
    document.allow(
        root,
        &[
            "title",
            "about",
            "seed",
            "doors",
            "phase",
            "flows",
            "portals",
            "phones",
            "provider_phase",
            "thresholds",
        ],
    );
    document.needed(root, "title", "; say what the run is in a few words");
    document.needed(root, "phase", "; write [[phase]] and say when flows arrive");
    let phases = document.sections(root, "phase");
    let provider_phases = document.sections(root, "provider_phase");
    for (key, sections) in [("phase", &phases), ("provider_phase", &provider_phases)] {
        if sections.len() > SECTIONS_MAX {
            document.fault_at(root, key, format!("there may be at most {SECTIONS_MAX} of them"));
        }
    }
    Scenario {
        name: name.to_owned(),
        title: document.text(root, "title").unwrap_or_default().to_owned(),
        about: document.text(root, "about").unwrap_or_default().to_owned(),
        seed: document.whole(root, "seed", 0..=u64::from(u32::MAX)).unwrap_or(1),
        first_flow: 0,
        doors: document
            .word(root, "doors", &[("plain", Doors::Plain), ("tls", Doors::Tls)])
            .unwrap_or_default(),
        phases: phases
            .iter()
            .enumerate()
            .filter_map(|(index, section)| phase(document, section, index))
            .collect(),
        flows: flows(document, root),
        portals: portals(document, root),
        phones: phones(document, root),
        provider_phases: provider_phases
            .iter()
            .filter_map(|section| provider_phase(document, section))
            .collect(),
        thresholds: thresholds(document, root),
    }
}

#[derive(Clone, Copy)]
enum ShapeWord {
    Steady,
    Ramp,
    Burst,
}

fn phase<'d>(document: &mut Document<'d>, section: &Section<'d>, index: usize) -> Option<Phase> {
    document.allow(
        section,
        &["name", "shape", "arrivals", "duration_s", "rate_per_s", "from_per_s", "to_per_s", "flows"],
    );
    document.needed(section, "shape", "; one of \"steady\", \"ramp\", \"burst\"");
    document.needed(section, "duration_s", "; say how long the phase lasts");
    let words = [("steady", ShapeWord::Steady), ("ramp", ShapeWord::Ramp), ("burst", ShapeWord::Burst)];
    let shape = document.word(section, "shape", &words);
    let patterns = [("poisson", Pattern::Poisson), ("even", Pattern::Even)];
    Some(Phase {
        name: document.text(section, "name").map_or_else(|| format!("phase {}", index + 1), str::to_owned),
        pattern: document.word(section, "arrivals", &patterns).unwrap_or(Pattern::Poisson),
        duration: document
            .seconds(section, "duration_s", DURATION_S_MIN..=DURATION_S_MAX)
            .unwrap_or_default(),
        shape: shape_of(document, section, shape?)?,
    })
}

fn shape_of<'d>(document: &mut Document<'d>, section: &Section<'d>, word: ShapeWord) -> Option<Shape> {
    let (needed, why_not): (&[&'static str], _) = match word {
        ShapeWord::Steady => (&["rate_per_s"], "for shape = \"steady\""),
        ShapeWord::Ramp => (&["from_per_s", "to_per_s"], "for shape = \"ramp\""),
        ShapeWord::Burst => (&["flows"], "for shape = \"burst\""),
    };
    for key in ["rate_per_s", "from_per_s", "to_per_s", "flows"] {
        if needed.contains(&key) {
            document.needed(section, key, &format!("; it is needed {why_not}"));
        } else {
            document.unwanted(section, key, why_not);
        }
    }
    match word {
        ShapeWord::Steady => {
            let rate_per_s = document.number(section, "rate_per_s", 0.0..=RATE_PER_S_MAX)?;
            Some(Shape::Steady { rate_per_s })
        }
        ShapeWord::Ramp => {
            let from_per_s = document.number(section, "from_per_s", 0.0..=RATE_PER_S_MAX);
            let to_per_s = document.number(section, "to_per_s", 0.0..=RATE_PER_S_MAX);
            Some(Shape::Ramp { from_per_s: from_per_s?, to_per_s: to_per_s? })
        }
        ShapeWord::Burst => {
            let flows = document.whole(section, "flows", 1..=FLOWS_MAX)?;
            Some(Shape::Burst { flows })
        }
    }
}

fn flows<'d>(document: &mut Document<'d>, root: &Section<'d>) -> Flows {
    let section = document.section(root, "flows");
    document.allow(&section, &["ttl_s", "in_flight_max", "drain_s", "sms_share", "sms_fallback_after_s"]);
    let ttl = document.seconds(&section, "ttl_s", 1.0..=3_600.0).unwrap_or(Duration::from_secs(120));
    let sms_fallback_after = document.seconds(&section, "sms_fallback_after_s", 1.0..=3_600.0);
    if sms_fallback_after.is_some_and(|after| after >= ttl) {
        let message = format!("must be shorter than ttl_s ({} s), or nobody sees the code", ttl.as_secs());
        document.fault_at(&section, "sms_fallback_after_s", message);
    }
    let in_flight_max = document.whole(&section, "in_flight_max", 1..=10_000_000);
    Flows {
        ttl,
        in_flight_max: in_flight_max.and_then(|bound| usize::try_from(bound).ok()).unwrap_or(100_000),
        drain: document.seconds(&section, "drain_s", 0.0..=DURATION_S_MAX).unwrap_or(Duration::from_secs(30)),
        sms_share: share(document, &section, "sms_share").unwrap_or(Share::NONE),
        sms_fallback_after,
    }
}

fn portals<'d>(document: &mut Document<'d>, root: &Section<'d>) -> Portals {
    let section = document.section(root, "portals");
    let mix_keys = ["sync", "long_poll", "sse", "callback", "absent"];
    document.allow(
        &section,
        &[
            "sync",
            "long_poll",
            "sse",
            "callback",
            "absent",
            "wait_s",
            "retries_max",
            "retry_pause_ms",
            "honours_retry_after",
            "connections_max",
            "held_max",
        ],
    );
    let [sync, long_poll, sse, callback, absent] = mix_keys.map(|key| {
        let weight = document.whole(&section, key, 0..=1_000_000).unwrap_or(0);
        u32::try_from(weight).unwrap_or(u32::MAX)
    });
    let mut mix = PortalMix { sync, long_poll, sse, callback, absent };
    if !mix_keys.iter().any(|key| section.has(key)) {
        mix.long_poll = 1;
    } else if mix.total() == 0 {
        document.fault_at(
            &section,
            "long_poll",
            "all weights are 0; give one of sync, long_poll, sse, callback, absent",
        );
    }
    let tries_max = document.whole(&section, "retries_max", 0..=1_000).unwrap_or(0);
    if tries_max == 0 {
        document.unwanted(&section, "retry_pause_ms", "without retries_max");
        document.unwanted(&section, "honours_retry_after", "without retries_max");
    }
    let [connections_max, held_max] = ["connections_max", "held_max"].map(|key| {
        let bound = document.whole(&section, key, 1..=1_000_000);
        bound.and_then(|bound| usize::try_from(bound).ok())
    });
    Portals {
        mix,
        connections_max,
        held_max,
        wait: document.seconds(&section, "wait_s", 1.0..=120.0).unwrap_or(Duration::from_secs(30)),
        retries: Retries {
            tries_max: u32::try_from(tries_max).unwrap_or(u32::MAX),
            pause: document
                .milliseconds(&section, "retry_pause_ms", 1.0..=3_600_000.0)
                .unwrap_or(Duration::from_millis(500)),
            honours_retry_after: document.flag(&section, "honours_retry_after").unwrap_or(true),
        },
    }
}

fn phones<'d>(document: &mut Document<'d>, root: &Section<'d>) -> Phones {
    let section = document.section(root, "phones");
    document.allow(
        &section,
        &["count", "answer_delay", "median_ms", "sigma", "refuse_share", "ignore_share", "hpke", "fetch"],
    );
    let refuse_share = share(document, &section, "refuse_share").unwrap_or(Share::NONE);
    let ignore_share = share(document, &section, "ignore_share").unwrap_or(Share::NONE);
    if refuse_share.get() + ignore_share.get() > 1.0 {
        document.fault_at(
            &section,
            "ignore_share",
            "together with refuse_share it is more than 1; lower one of them",
        );
    }
    let count = document.whole(&section, "count", 1..=10_000_000).unwrap_or(10_000);
    Phones {
        count: u32::try_from(count).unwrap_or(u32::MAX),
        answer_delay: answer_delay(document, &section),
        refuse_share,
        ignore_share,
        hpke: document.flag(&section, "hpke").unwrap_or(false),
        fetch: document
            .word(&section, "fetch", &[("at_once", Fetch::AtOnce), ("when_opened", Fetch::WhenOpened)])
            .unwrap_or(Fetch::AtOnce),
    }
}

fn answer_delay<'d>(document: &mut Document<'d>, section: &Section<'d>) -> AnswerDelay {
    if document.word(section, "answer_delay", &[("zero", false), ("log_normal", true)]) == Some(true) {
        document.needed(section, "median_ms", "; half of the people answer within it");
        return AnswerDelay::LogNormal {
            median: document.milliseconds(section, "median_ms", 1.0..=3_600_000.0).unwrap_or_default(),
            sigma: document.number(section, "sigma", 0.0..=5.0).unwrap_or(0.5),
        };
    }
    document.unwanted(section, "median_ms", "unless answer_delay = \"log_normal\"");
    document.unwanted(section, "sigma", "unless answer_delay = \"log_normal\"");
    AnswerDelay::Zero
}

#[derive(Clone, Copy)]
enum BehaviourWord {
    Outage,
    Slow,
    TooMany,
}

fn provider_phase<'d>(document: &mut Document<'d>, section: &Section<'d>) -> Option<ProviderPhase> {
    document.allow(
        section,
        &["network", "from_s", "duration_s", "behaviour", "share", "delay_ms", "retry_after_s"],
    );
    for (key, why) in [
        ("network", "; one of \"push\", \"apns\", \"fcm\", \"sms\""),
        ("from_s", "; seconds since the start of the run"),
        ("duration_s", "; seconds that it lasts"),
        ("behaviour", "; one of \"outage\", \"slow\", \"too_many\""),
    ] {
        document.needed(section, key, why);
    }
    let networks = [
        ("push", ProviderNetwork::Push),
        ("apns", ProviderNetwork::Apns),
        ("fcm", ProviderNetwork::Fcm),
        ("sms", ProviderNetwork::Sms),
    ];
    let network = document.word(section, "network", &networks);
    let from = document.seconds(section, "from_s", 0.0..=DURATION_S_MAX);
    let duration = document.seconds(section, "duration_s", DURATION_S_MIN..=DURATION_S_MAX);
    let share = share(document, section, "share").unwrap_or(Share::ALL);
    let behaviour = behaviour(document, section);
    Some(ProviderPhase { network: network?, from: from?, duration: duration?, behaviour: behaviour?, share })
}

fn behaviour<'d>(document: &mut Document<'d>, section: &Section<'d>) -> Option<ProviderBehaviour> {
    let words = [
        ("outage", BehaviourWord::Outage),
        ("slow", BehaviourWord::Slow),
        ("too_many", BehaviourWord::TooMany),
    ];
    let word = document.word(section, "behaviour", &words)?;
    if !matches!(word, BehaviourWord::Slow) {
        document.unwanted(section, "delay_ms", "unless behaviour = \"slow\"");
    }
    if !matches!(word, BehaviourWord::TooMany) {
        document.unwanted(section, "retry_after_s", "unless behaviour = \"too_many\"");
    }
    match word {
        BehaviourWord::Outage => Some(ProviderBehaviour::Outage),
        BehaviourWord::Slow => {
            document.needed(section, "delay_ms", "; added to each answer");
            let delay = document.milliseconds(section, "delay_ms", 1.0..=600_000.0)?;
            Some(ProviderBehaviour::Slow { delay })
        }
        BehaviourWord::TooMany => {
            let retry_after = document.seconds(section, "retry_after_s", 1.0..=3_600.0);
            Some(ProviderBehaviour::TooMany { retry_after })
        }
    }
}

fn thresholds<'d>(document: &mut Document<'d>, root: &Section<'d>) -> Thresholds {
    let section = document.section(root, "thresholds");
    document.allow(
        &section,
        &[
            "failed_share_max",
            "dropped_max",
            "unfinished_max",
            "created_min",
            "unanswered_max",
            "finished_per_s_min",
            "server_cpu_us_per_flow_max",
            "resident_mib_max",
            "latency",
        ],
    );
    let latencies = document.sections(&section, "latency");
    if latencies.len() > SECTIONS_MAX {
        document.fault_at(&section, "latency", format!("there may be at most {SECTIONS_MAX} of them"));
    }
    Thresholds {
        failed_share_max: share(document, &section, "failed_share_max"),
        dropped_max: document.whole(&section, "dropped_max", 0..=FLOWS_MAX),
        unfinished_max: document.whole(&section, "unfinished_max", 0..=FLOWS_MAX),
        created_min: document.whole(&section, "created_min", 0..=FLOWS_MAX),
        unanswered_max: document.whole(&section, "unanswered_max", 0..=FLOWS_MAX),
        finished_per_s_min: document.number(&section, "finished_per_s_min", 0.0..=RATE_PER_S_MAX),
        server_cpu_us_per_flow_max: document.number(&section, "server_cpu_us_per_flow_max", 0.0..=1e9),
        resident_mib_max: document.whole(&section, "resident_mib_max", 1..=1_048_576),
        latencies: latencies.iter().filter_map(|section| latency(document, section)).collect(),
    }
}

fn latency<'d>(document: &mut Document<'d>, section: &Section<'d>) -> Option<LatencyThreshold> {
    document.allow(section, &["stage", "percentile", "from", "max_ms", "max_disk_syncs"]);
    document.needed(section, "stage", "; say what is timed");
    document.needed(section, "percentile", "; 99 for instance");
    let stage = document.word(section, "stage", &Stage::ALL.map(|stage| (stage.name(), stage)));
    let percentile = document.number(section, "percentile", 0.001..=100.0).and_then(Quantile::new);
    let froms = [("intended", LatencyFrom::Intended), ("sent", LatencyFrom::Sent)];
    let from = document.word(section, "from", &froms).unwrap_or(LatencyFrom::Intended);
    let time = document.milliseconds(section, "max_ms", 0.001..=3_600_000.0).map(Limit::Time);
    let syncs = document.number(section, "max_disk_syncs", 0.001..=1_000_000.0).map(Limit::DiskSyncs);
    if section.has("max_ms") == section.has("max_disk_syncs") {
        document.fault_at(section, "max_ms", "give either max_ms or max_disk_syncs");
    }
    Some(LatencyThreshold { stage: stage?, percentile: percentile?, from, limit: time.or(syncs)? })
}

fn share<'d>(document: &mut Document<'d>, section: &Section<'d>, name: &'static str) -> Option<Share> {
    document.number(section, name, 0.0..=1.0).and_then(Share::new)
}
