//! What has to be reached: each figure with its target and its stretch.

/// A target: what is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Whole flows at the highest rate that is sustained, and their latencies at half of it.
    FullFlow,
    /// Transactions stored and pushed, answers later.
    BurstAcceptance,
    /// Memory, processor time and restart with a great many open transactions.
    Pending,
    /// Wrong answers, refused.
    Refusals,
    /// 100,000 arrivals within five seconds.
    Burst100k,
}

impl Target {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 5] =
        [Self::FullFlow, Self::BurstAcceptance, Self::Pending, Self::Refusals, Self::Burst100k];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FullFlow => "full-flow",
            Self::BurstAcceptance => "burst-acceptance",
            Self::Pending => "pending",
            Self::Refusals => "refusals",
            Self::Burst100k => "burst-100k",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }
}

/// One number with what it must reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) target: Target,
    /// Its name where results are kept.
    pub(super) key: &'static str,
    /// What it is, for people.
    pub(super) what: &'static str,
    /// Written behind the number.
    pub(super) unit: &'static str,
    pub(super) bound: Bound,
}

/// What a figure must reach: the target, then the stretch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    AtLeast(f64, f64),
    AtMost(f64, f64),
    /// Only told.
    Told,
}

/// All figures, in the order of the table.
pub(super) const FIGURES: &[Figure] = &[
    Figure {
        target: Target::FullFlow,
        key: "flows_per_s",
        what: "full flow, sustained, everything on these processors",
        unit: "/s",
        bound: Bound::AtLeast(4_000.0, 5_500.0),
    },
    Figure {
        target: Target::FullFlow,
        key: "server_cpu_us_per_flow",
        what: "server processor time of a full flow at that rate",
        unit: " µs",
        bound: Bound::AtMost(290.0, 240.0),
    },
    Figure {
        target: Target::FullFlow,
        key: "generator_cpu_us_per_flow",
        what: "phones, portals and doubles beside it",
        unit: " µs",
        bound: Bound::Told,
    },
    Figure {
        target: Target::FullFlow,
        key: "flow_p99_ms",
        what: "p99 of the whole flow at that rate",
        unit: " ms",
        bound: Bound::Told,
    },
    Figure {
        target: Target::FullFlow,
        key: "flows_per_s_tls",
        what: "the same over TLS",
        unit: "/s",
        bound: Bound::Told,
    },
    Figure {
        target: Target::FullFlow,
        key: "server_cpu_us_per_flow_tls",
        what: "server processor time of a flow over TLS",
        unit: " µs",
        bound: Bound::Told,
    },
    Figure {
        target: Target::FullFlow,
        key: "flows_per_s_hpke",
        what: "the same with phones that answer from the push (HPKE)",
        unit: "/s",
        bound: Bound::Told,
    },
    Figure {
        target: Target::FullFlow,
        key: "server_cpu_us_per_flow_hpke",
        what: "server processor time of such a flow",
        unit: " µs",
        bound: Bound::Told,
    },
    Figure {
        target: Target::FullFlow,
        key: "create_p99_syncs",
        what: "create p99 at half of that rate, over the disk's own sync p99",
        unit: " ×",
        bound: Bound::AtMost(4.0, 2.0),
    },
    Figure {
        target: Target::FullFlow,
        key: "told_p99_syncs",
        what: "answer to waiter p99 at half of that rate, over the disk's own sync p99",
        unit: " ×",
        bound: Bound::AtMost(4.0, 2.0),
    },
    Figure {
        target: Target::BurstAcceptance,
        key: "accepted_per_s",
        what: "burst acceptance: durable create and push relayed, fetches and answers later",
        unit: "/s",
        bound: Bound::AtLeast(15_000.0, 25_000.0),
    },
    Figure {
        target: Target::BurstAcceptance,
        key: "accepted_beside_fetches_per_s",
        what: "the same beside phones that fetch their challenges at once",
        unit: "/s",
        bound: Bound::Told,
    },
    Figure {
        target: Target::Pending,
        key: "bytes_per_pending",
        what: "memory for each open transaction, all in",
        unit: " bytes",
        bound: Bound::AtMost(2_048.0, 1_536.0),
    },
    Figure {
        target: Target::Pending,
        key: "cpu_many_over_few",
        what: "processor time of a flow beside many open transactions over beside 1,000",
        unit: " ×",
        bound: Bound::AtMost(1.15, 1.05),
    },
    Figure {
        target: Target::Pending,
        key: "restart_s",
        what: "restart with all of them open until a start is answered",
        unit: " s",
        bound: Bound::AtMost(5.0, 2.5),
    },
    Figure {
        target: Target::Pending,
        key: "recovered_s",
        what: "until all of them have their actors again, behind open doors",
        unit: " s",
        bound: Bound::Told,
    },
    Figure {
        target: Target::Refusals,
        key: "slowest",
        what: "wrong answers refused before any signature check, on one core: the slowest kind",
        unit: "/s",
        bound: Bound::AtLeast(30_000.0, 60_000.0),
    },
    Figure {
        target: Target::Refusals,
        key: "unknown_id",
        what: "of these: unknown transaction",
        unit: "/s",
        bound: Bound::Told,
    },
    Figure {
        target: Target::Refusals,
        key: "unknown_kid",
        what: "unknown `kid`",
        unit: "/s",
        bound: Bound::Told,
    },
    Figure {
        target: Target::Refusals,
        key: "wrong_nonce",
        what: "wrong nonce",
        unit: "/s",
        bound: Bound::Told,
    },
    Figure { target: Target::Refusals, key: "wrong_dh", what: "wrong `dh`", unit: "/s", bound: Bound::Told },
    Figure { target: Target::Refusals, key: "late", what: "late", unit: "/s", bound: Bound::Told },
    Figure {
        target: Target::Refusals,
        key: "forged",
        what: "beside them: all right but the signature, one check each",
        unit: "/s",
        bound: Bound::Told,
    },
    Figure {
        target: Target::Burst100k,
        key: "created",
        what: "100,000 arrivals in 5 s: answered 201",
        unit: "",
        bound: Bound::AtLeast(60_000.0, 100_000.0),
    },
    Figure {
        target: Target::Burst100k,
        key: "unanswered",
        what: "of them answered neither 201 nor 429 or 503 with Retry-After",
        unit: "",
        bound: Bound::AtMost(0.0, 0.0),
    },
    Figure {
        target: Target::Burst100k,
        key: "unfinished",
        what: "of the 201 without a final state",
        unit: "",
        bound: Bound::AtMost(0.0, 0.0),
    },
    Figure {
        target: Target::Burst100k,
        key: "resident_mib",
        what: "server memory at its highest meanwhile",
        unit: " MiB",
        bound: Bound::AtMost(1_024.0, 1_024.0),
    },
    Figure {
        target: Target::Burst100k,
        key: "create_p99_s",
        what: "p99 from the intended arrival to the 201",
        unit: " s",
        bound: Bound::Told,
    },
];

impl Bound {
    /// Whether the target is met.
    pub(super) fn is_met(self, measured: f64) -> bool {
        match self {
            Self::AtLeast(target, _) => measured >= target,
            Self::AtMost(target, _) => measured <= target,
            Self::Told => true,
        }
    }

    /// In a few words, how it stands.
    pub(super) fn verdict(self, measured: f64) -> String {
        let (target, stretch, is_stretched) = match self {
            Self::AtLeast(target, stretch) => (target, stretch, measured >= stretch),
            Self::AtMost(target, stretch) => (target, stretch, measured <= stretch),
            Self::Told => return "told only".to_owned(),
        };
        if is_stretched {
            return "**stretch**".to_owned();
        }
        let to = |bound: f64| if bound == 0.0 { measured } else { measured / bound };
        if self.is_met(measured) {
            format!("**yes** ({:.2} × the stretch)", to(stretch))
        } else if target == 0.0 {
            format!("no: {measured:.0} too many")
        } else {
            format!("no: {:.2} × the target", to(target))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_says_by_how_much() {
        let least = Bound::AtLeast(4_000.0, 5_500.0);
        assert_eq!(least.verdict(2_000.0), "no: 0.50 × the target");
        assert_eq!(least.verdict(4_400.0), "**yes** (0.80 × the stretch)");
        assert_eq!(least.verdict(5_500.0), "**stretch**");
        let most = Bound::AtMost(290.0, 240.0);
        assert_eq!(most.verdict(580.0), "no: 2.00 × the target");
        assert!(most.is_met(290.0) && !most.is_met(290.1) && !least.is_met(3_999.0));
        assert_eq!(Bound::AtMost(0.0, 0.0).verdict(3.0), "no: 3 too many");
        assert_eq!(Bound::AtMost(0.0, 0.0).verdict(0.0), "**stretch**");
    }

    #[test]
    fn figures_have_names_of_their_own() {
        for (index, figure) in FIGURES.iter().enumerate() {
            let is_twin = |other: &Figure| (other.target, other.key) == (figure.target, figure.key);
            assert!(!FIGURES[..index].iter().any(is_twin), "{}", figure.key);
        }
        assert_eq!(Target::named("full-flow"), Some(Target::FullFlow));
        assert_eq!(Target::named("half-flow"), None);
    }
}
