//! The product's command line, called from the place outside, and the reading of its JSON.

use super::layout::{Layout, site_number};
use crate::lab::netns;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Longest that any command may take, seconds.
const COMMAND_SECONDS: &str = "20";

/// More of a failed command's output is not repeated.
const SAID_MAX: usize = 300;

/// How to call `tripoint`.
#[derive(Clone, Debug)]
pub struct Tripoint {
    /// The binary.
    pub binary: PathBuf,
    /// Where operator.toml lies.
    pub home: PathBuf,
    /// The namespace that it is called in.
    pub netns: String,
}

/// What a witness says of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackStatus {
    /// The active site.
    pub active: Option<u8>,
    /// Its epoch.
    pub epoch: u64,
    /// True while a transition is under way.
    pub transition: bool,
    /// True if the present epoch is closed.
    pub closed: bool,
    /// True while its cover is held: time can't fence it then, and nobody takes over by it.
    pub held: bool,
    /// The site that would take over now.
    pub takeover: Option<u8>,
}

/// What a witness says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Index of the state shown.
    pub index: u64,
    /// The leader's site.
    pub leader: Option<u8>,
    /// By the names of the stacks.
    pub stacks: Vec<(String, StackStatus)>,
    /// Sites whose lease isn't expired and whose verdict is up.
    pub up: Vec<u8>,
}

impl Status {
    /// A stack by name.
    #[must_use]
    pub fn stack(&self, name: &str) -> Option<&StackStatus> {
        self.stacks.iter().find(|(n, _)| n == name).map(|(_, s)| s)
    }
}

impl Tripoint {
    /// Runs a command to its end; its output.
    ///
    /// # Errors
    /// If it fails or takes too long.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let mut command = netns::command(&self.netns, "timeout")?;
        command.arg(COMMAND_SECONDS).arg(&self.binary);
        self.finish(command, args)
    }

    /// The same outside of any namespace (for commands that need no network).
    ///
    /// # Errors
    /// As [`Tripoint::run`].
    pub fn run_local(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new("timeout");
        command.arg(COMMAND_SECONDS).arg(&self.binary);
        self.finish(command, args)
    }

    fn finish(&self, mut command: Command, args: &[&str]) -> Result<String> {
        command.args(args).env("TRIPOINT_HOME", &self.home).stdin(Stdio::null());
        let output = command.output().context("start tripoint")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            let said: String = format!("{} {}", errors.trim(), text.trim()).chars().take(SAID_MAX).collect();
            bail!("tripoint {}: {} {said}", args.join(" "), output.status);
        }
        Ok(text)
    }

    /// The group's state, linearizable.
    ///
    /// # Errors
    /// If no witness answers or there is no quorum.
    pub fn status(&self) -> Result<Status> {
        parse_status(&serde_json::from_str(&self.run(&["status", "-o", "json"])?)?)
    }

    /// The audit log from the beginning.
    ///
    /// # Errors
    /// As [`Tripoint::run`].
    pub fn events(&self) -> Result<Vec<Value>> {
        let text = self.run(&["events", "-o", "json"])?;
        // one value a line, or one list
        let lines: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&text).into_iter().collect();
        let values = lines.context("events")?;
        Ok(values.into_iter().flat_map(|v| if let Value::Array(list) = v { list } else { vec![v] }).collect())
    }
}

fn parse_status(value: &Value) -> Result<Status> {
    let site = |v: &Value| v.as_str().and_then(site_number);
    let list = |key: &str| value[key].as_array().cloned().unwrap_or_default();
    if value["index"].is_null() {
        bail!("a status without an index: {value}");
    }
    let all = list("stacks");
    let stacks = all.iter().map(|s| {
        let status = StackStatus {
            active: site(&s["active"]),
            epoch: s["epoch"].as_u64().unwrap_or(0),
            transition: !s["transition"].is_null(),
            closed: s["closed"].as_bool().unwrap_or(false),
            held: s["held"].as_bool().unwrap_or(false),
            takeover: site(&s["takeover"]["to"]),
        };
        (s["stack"].as_str().unwrap_or_default().to_owned(), status)
    });
    let up = |s: &&Value| {
        !s["expired"].as_bool().unwrap_or(true)
            && s["verdict"].as_str().is_some_and(|v| v.eq_ignore_ascii_case("up"))
    };
    Ok(Status {
        index: value["index"].as_u64().unwrap_or(0),
        leader: site(&value["leader"]),
        stacks: stacks.collect(),
        up: list("sites").iter().filter(up).filter_map(|s| site(&s["site"])).collect(),
    })
}

/// The sites that elections named for a stack after the entry `after`, in order.
#[must_use]
pub fn elections(events: &[Value], stack: &str, after: u64) -> Vec<u8> {
    let fits = |e: &&Value| {
        e["index"].as_u64().unwrap_or(0) > after
            && e["kind"]["event"] == "elected"
            && e["kind"]["stack"] == stack
    };
    events.iter().filter(fits).filter_map(|e| site_number(e["kind"]["site"].as_str()?)).collect()
}

/// Binary, home and namespace of a lab.
#[must_use]
pub fn tripoint(layout: &Layout, binary: PathBuf, netns: String) -> Tripoint {
    Tripoint { binary, home: layout.root.clone(), netns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elections_are_those_of_the_stack_after_the_entry() {
        let events: Vec<Value> = serde_json::from_str(
            r#"[{"index":3,"at":1,"kind":{"event":"elected","stack":"main","site":"dc1","epoch":1}},
                {"index":9,"at":1,"kind":{"event":"elected","stack":"main","site":"dc3","epoch":2}},
                {"index":9,"at":1,"kind":{"event":"fenced","stack":"main","site":"dc1","epoch":1}},
                {"index":12,"at":1,"kind":{"event":"elected","stack":"b","site":"dc2","epoch":2}}]"#,
        )
        .expect("JSON");
        assert_eq!(elections(&events, "main", 3), [3]);
    }

    #[test]
    fn a_status_is_read() {
        let value = serde_json::json!({"index": 7, "leader": "dc2",
            "sites": [{"site": "dc1", "expired": false, "verdict": "up"}, {"site": "dc2", "expired": true, "verdict": "up"}],
            "stacks": [{"stack": "main", "active": "dc1", "epoch": 4, "transition": null, "closed": false, "takeover": {"to": "dc3"}}]});
        let status = parse_status(&value).expect("complete");
        assert_eq!((status.leader, status.up.as_slice()), (Some(2), [1_u8].as_slice()));
        assert_eq!(status.stack("main").and_then(|s| s.takeover), Some(3));
    }
}
