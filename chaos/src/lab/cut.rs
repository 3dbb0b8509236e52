//! Partitions: packets are dropped on *arrival*, so that senders meet silence, as with a real cut:
//! no reset, no "operation not permitted".

use super::netns;
use super::network::{NET, Network, OUTSIDE};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::process::Stdio;

/// The nftables table that holds our rules, and nothing else.
const TABLE: &str = "labcut";

/// What is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing gets in or out.
    Off(u8),
    /// Nothing gets in; what it sends arrives.
    Deaf(u8),
    /// Nothing that it sends arrives; it hears everything.
    Dumb(u8),
    /// The link between two sites.
    Link(u8, u8),
}

impl Cut {
    /// The rule for the namespace of `place`, if it needs one.
    fn rule(self, place: u8) -> Option<String> {
        let from = |n: u8| Some(format!("ip saddr {NET}.{n}.0/24 drop"));
        match self {
            Self::Off(n) | Self::Deaf(n) if n == place => Some("iifname \"eth0\" drop".to_owned()),
            Self::Off(n) | Self::Dumb(n) if n != place => from(n),
            Self::Link(a, b) if place == a => from(b),
            Self::Link(a, b) if place == b => from(a),
            _ => None,
        }
    }
}

/// Makes these cuts the only ones.
///
/// # Errors
/// If `nft` fails in one of the namespaces.
pub fn apply(network: &Network, cuts: &[Cut]) -> Result<()> {
    let mut running = Vec::new();
    for place in network.places() {
        let rules: Vec<String> = cuts.iter().filter_map(|c| c.rule(place)).collect();
        let script = script(&rules);
        let mut child = netns::command(&network.ns(place), "nft")?
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start nft")?;
        let mut stdin = child.stdin.take().context("nft has a stdin")?;
        stdin.write_all(script.as_bytes()).context("tell nft")?;
        running.push((place, child));
    }
    // started side by side, so that the cut is nearly one moment everywhere
    for (place, child) in running {
        let output = child.wait_with_output().context("wait for nft")?;
        if !output.status.success() {
            bail!("nft at place {place}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    Ok(())
}

/// Ends all cuts.
///
/// # Errors
/// As [`apply`].
pub fn heal(network: &Network) -> Result<()> {
    apply(network, &[])
}

/// One transaction that is right whether the table is there or not. What comes to the place
/// outside passes its bridge, not its input, so sites keep seeing each other through it.
fn script(rules: &[String]) -> String {
    let mut text = format!("add table inet {TABLE}\ndelete table inet {TABLE}\n");
    if !rules.is_empty() {
        text += &format!(
            "table inet {TABLE} {{ chain input {{ type filter hook input priority 0; policy accept;\n{}\n}}\n}}\n",
            rules.join("\n")
        );
    }
    text
}

/// Reads `off:1`, `deaf:1`, `dumb:1` or `link:1-2`.
///
/// # Errors
/// If it is none of them.
pub fn parse(text: &str) -> Result<Cut> {
    let number = |t: &str| t.parse::<u8>().ok().filter(|n| *n > 0 && *n != OUTSIDE);
    let cut = text.split_once(':').and_then(|(kind, rest)| match kind {
        "off" => number(rest).map(Cut::Off),
        "deaf" => number(rest).map(Cut::Deaf),
        "dumb" => number(rest).map(Cut::Dumb),
        "link" => {
            let (a, b) = rest.split_once('-')?;
            Some(Cut::Link(number(a)?, number(b)?))
        }
        _ => None,
    });
    cut.with_context(|| format!("{text:?}: a cut is off:N, deaf:N, dumb:N or link:N-M"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deaf_site_drops_and_the_others_do_not() {
        assert!(Cut::Deaf(1).rule(1).is_some());
        assert_eq!(Cut::Deaf(1).rule(2), None);
        assert_eq!(Cut::Dumb(1).rule(1), None);
        assert_eq!(Cut::Dumb(1).rule(2).as_deref(), Some("ip saddr 10.78.1.0/24 drop"));
    }

    #[test]
    fn a_link_touches_its_two_ends_alone() {
        assert_eq!(Cut::Link(1, 2).rule(3), None);
        assert_eq!(Cut::Link(1, 2).rule(2).as_deref(), Some("ip saddr 10.78.1.0/24 drop"));
        assert_eq!(parse("link:1-2").expect("well formed"), Cut::Link(1, 2));
        assert!(parse("off:9").is_err() && parse("on:1").is_err());
    }
}
