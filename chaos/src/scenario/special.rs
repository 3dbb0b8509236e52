//! The two scenarios that look at more than one stack.

use super::judge::Verdict;
use super::plan::Scenario;
use super::run::{self, Seen};
use crate::interrupt;
use crate::product::cluster::Cluster;
use crate::product::layout::site_name;
use crate::product::profile::Profile;
use anyhow::Result;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the log is watched for renewals.
const COUNT_FOR: Duration = Duration::from_secs(10);
/// More than the renewals that are due is daily life up to this, in percent: a verdict, a change
/// of "streams", a snapshot's entry.
const MORE_PERCENT: u32 = 130;

/// Three stacks at three sites: dc1's is lost and moves, the others must not.
///
/// # Errors
/// As [`run::run`].
pub fn three_stacks(
    cluster: &Cluster,
    scenario: &Scenario,
    seed: usize,
    out: &Path,
) -> Result<(Seen, Vec<String>)> {
    let index = cluster.status()?.index;
    let seen = run::run(cluster, scenario, 0, seed, out)?;
    let mut violations = Vec::new();
    for stack in cluster.layout.databases().filter(|s| *s != 0) {
        let elected = cluster.elections(stack, index)?;
        if !elected.is_empty() {
            let names: Vec<String> = elected.iter().map(|n| site_name(*n)).collect();
            violations.push(format!("{} moved to {}", cluster.layout.stacks[stack].name, names.join(", ")));
        }
    }
    Ok((seen, violations))
}

/// Counts the log's entries of some seconds in a quiet group of fifty stacks: renewals cost
/// O(sites), however many stacks there are.
///
/// # Errors
/// If no witness answers.
pub fn fifty_stacks(cluster: &Cluster, scenario: &Scenario, run: usize) -> Result<Verdict> {
    let profile = cluster.plan.settings.profile;
    let (begin, first) = (Instant::now(), cluster.status()?.index);
    while begin.elapsed() < COUNT_FOR {
        interrupt::check()?;
        std::thread::sleep(Duration::from_millis(100));
    }
    let entries = cluster.status()?.index - first;
    let due = renewals_due(cluster.layout.sites, profile, begin.elapsed());
    let mut verdict = Verdict::failed(scenario.name, profile, run, String::new());
    verdict.violations.clear();
    if entries > due * u64::from(MORE_PERCENT) / 100 {
        verdict.violations.push(format!("{entries} entries in {COUNT_FOR:?}, {due} renewals were due"));
    }
    verdict.tenures = vec![format!("{entries}/{due} entries")];
    Ok(verdict)
}

/// How many renewals all sites send in this time.
fn renewals_due(sites: u8, profile: Profile, time: Duration) -> u64 {
    let each = time.as_millis() / profile.renew_every().as_millis() + 1;
    u64::try_from(each).unwrap_or(u64::MAX) * u64::from(sites)
}
