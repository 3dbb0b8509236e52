//! `profile` and the durations that override it: the same keys in every file, checked by the
//! rules of `coordination::timing`.

use super::problem::Problem;
use super::reader::{Located, Section};
use coordination::Timing;
use coordination::timing::{Profile, TimingError, TimingRule, TimingValues};
use model::Millis;
use std::ops::Range;

/// Parts in a million of one percent.
const PPM_PER_PERCENT: f64 = 10_000.0;

/// The profile of a name.
pub fn profile_named(name: &str) -> Option<Profile> {
    match name {
        "wan" => Some(Profile::Wan),
        "metro" => Some(Profile::Metro),
        "fast" => Some(Profile::Fast),
        _ => None,
    }
}

/// The durations of a file as written, and where each was said.
pub struct TimingKeys {
    /// Profile and overrides, unchecked.
    pub values: TimingValues,
    places: Vec<(&'static str, Range<usize>)>,
    fallback: Range<usize>,
}

/// Reads the profile and its overrides out of the root table.
pub fn read(root: &Section<'_>) -> TimingKeys {
    let mut keys = TimingKeys { values: Profile::Wan.values(), places: Vec::new(), fallback: root.span() };
    if let Some(name) = root.text_opt("profile") {
        keys.fallback = name.span.clone();
        match profile_named(&name.value) {
            Some(profile) => keys.values = profile.values(),
            None => root.fault(
                name.span,
                format!("unknown profile {:?}", name.value),
                "not a profile",
                "write \"wan\", \"metro\" or \"fast\" (`tripoint timing` shows them)",
            ),
        }
    }
    for (table, durations) in TABLES {
        let Some(section) = root.table_opt(table) else { continue };
        for (key, full, field) in *durations {
            if let Some(duration) = section.duration_opt(key) {
                keys.places.push((full, duration.span));
                *field(&mut keys.values) = duration.value;
            }
        }
        if *table == "clock" {
            keys.drift(&section);
        }
        section.finish();
    }
    keys
}

type Field = fn(&mut TimingValues) -> &mut Millis;
type Durations = &'static [(&'static str, &'static str, Field)];

/// Every duration by table and key. The full names are those that the rules print.
const TABLES: &[(&str, Durations)] = &[
    (
        "lease",
        &[
            ("duration", "lease.duration", |v| &mut v.lease_duration),
            ("renew_every", "lease.renew_every", |v| &mut v.renew_every),
        ],
    ),
    ("fence", &[("deadline", "fence.deadline", |v| &mut v.fence_deadline)]),
    ("clock", &[]),
    ("detect", &[("after", "detect.after", |v| &mut v.detect_after)]),
    (
        "raft",
        &[
            ("heartbeat", "raft.heartbeat", |v| &mut v.heartbeat),
            ("election_min", "raft.election_min", |v| &mut v.election_min),
            ("election_max", "raft.election_max", |v| &mut v.election_max),
        ],
    ),
    (
        "measured",
        &[
            ("rtt_p99", "measured.rtt_p99", |v| &mut v.round_trip_p99),
            ("fsync_p99", "measured.fsync_p99", |v| &mut v.fsync_p99),
        ],
    ),
];

impl TimingKeys {
    fn drift(&mut self, clock: &Section<'_>) {
        let Some(text) = clock.text_opt("max_drift") else { return };
        match percent(&text.value) {
            Some(ppm) => {
                self.values.drift_max_ppm = ppm;
                self.places.push(("clock.max_drift", text.span));
            }
            None => clock.fault(
                text.span,
                format!("`clock.max_drift` = {:?} can't be used", text.value),
                "not a percentage",
                "write a number from 0 to below 10 and a percent sign, such as \"1%\"",
            ),
        }
    }

    /// The durations, if every rule between them holds; else each broken rule is a problem at a
    /// line that takes part in it.
    pub fn checked(&self, root: &Section<'_>) -> Option<Timing> {
        match Timing::new(self.values) {
            Ok(timing) => Some(timing),
            Err(errors) => {
                for error in errors {
                    root.problem(self.problem(&error));
                }
                None
            }
        }
    }

    fn problem(&self, error: &TimingError) -> Problem {
        let rule = error.rule.to_string();
        let names = involved(error.rule);
        let place = names.iter().find_map(|name| self.places.iter().find(|(n, _)| n == name));
        let span = place.map_or_else(|| self.fallback.clone(), |(_, span)| span.clone());
        Problem::new(
            span,
            format!("timing rule broken: {rule}"),
            format!("left side {}, right side {}", error.left, error.right),
            format!("change {}; `tripoint timing --config FILE` shows every rule", names.join(" or ")),
        )
    }
}

/// The keys that take part in a rule, the likeliest culprit first.
const fn involved(rule: TimingRule) -> &'static [&'static str] {
    match rule {
        TimingRule::RenewalsMayBeLost => {
            &["lease.renew_every", "lease.duration", "measured.rtt_p99", "measured.fsync_p99"]
        }
        TimingRule::SuspicionBeforeExpiry => {
            &["detect.after", "lease.duration", "lease.renew_every", "measured.rtt_p99"]
        }
        TimingRule::LeaderChangeCostsNoLease => &[
            "raft.election_max",
            "lease.duration",
            "lease.renew_every",
            "raft.heartbeat",
            "measured.rtt_p99",
        ],
        TimingRule::ElectionAboveRoundTrip => &["raft.election_min", "measured.rtt_p99"],
        TimingRule::ElectionOrder => &["raft.election_min", "raft.election_max", "raft.heartbeat"],
        TimingRule::Positive => &[
            "lease.duration",
            "lease.renew_every",
            "fence.deadline",
            "detect.after",
            "clock.max_drift",
            "raft.heartbeat",
            "raft.election_min",
            "raft.election_max",
            "measured.rtt_p99",
        ],
    }
}

/// "1%" or "0.5 %" as parts in a million.
fn percent(text: &str) -> Option<u64> {
    let number: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
    let ppm = number * PPM_PER_PERCENT;
    (number.is_finite() && number >= 0.0 && ppm < 1_000_000.0).then_some(ppm.round() as u64)
}

/// A duration of the policy that is no part of the timing rules.
pub fn set(target: &mut Millis, value: Option<Located<Millis>>) {
    if let Some(value) = value {
        *target = value.value;
    }
}
