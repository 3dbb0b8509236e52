//! The configuration files: one TOML file a process, read as a whole, every fault named with its
//! line and its remedy.

mod actor;
mod common;
mod gate;
mod operator;
mod problem;
mod reader;
pub mod timing;
mod witness;

#[cfg(test)]
mod tests;

pub use problem::{Problem, render};
use reader::{Problems, Section};
use std::path::Path;
use toml::de::DeTable;

/// What a file is for. Said in the file itself: `role = "witness"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `tripoint witness`.
    Witness,
    /// `tripoint actor`.
    Actor,
    /// `tripoint gate`.
    Gate,
    /// A person's commands.
    Operator,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Witness => "witness",
            Self::Actor => "actor",
            Self::Gate => "gate",
            Self::Operator => "operator",
        }
    }
}

const ROLES: [Role; 4] = [Role::Witness, Role::Actor, Role::Gate, Role::Operator];

/// What a host can't give a gate. `gate::check`, or a stand-in in tests.
pub type HostCheck = fn(&::gate::Config) -> Vec<::gate::Error>;

/// A file that was read and checked.
#[derive(Debug)]
pub enum Config {
    /// For `tripoint witness`.
    Witness(Box<::witness::config::Config>),
    /// For `tripoint actor`.
    Actor(Box<::actor::config::Config>),
    /// For `tripoint gate`.
    Gate(Box<::gate::Config>),
    /// For a person's commands.
    Operator(ctl::connect::Target),
}

impl Config {
    /// Whom the file is for, in words.
    pub fn owner(&self) -> String {
        match self {
            Self::Witness(c) => format!("the witness of site {}", c.site),
            Self::Actor(c) => format!("the actor of site {}", c.site),
            Self::Gate(c) => format!("the gate of stack {} at site {}", c.stack, c.site),
            Self::Operator(_) => "an operator's or viewer's commands".to_owned(),
        }
    }
}

/// Why a file can't be used, ready to be printed.
#[derive(Debug)]
pub struct Unusable(pub String);

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for Unusable {}

/// Reads and checks a file.
///
/// # Errors
/// The file can't be read, or all that is wrong with it.
pub fn load(path: &Path, wanted: Option<Role>, host: HostCheck, colour: bool) -> Result<Config, Unusable> {
    let source = source(path)?;
    check(&source, wanted, host).map_err(|problems| Unusable(render(path, &source, &problems, colour)))
}

/// Reads the durations of a file of any role, whether its rules hold or not.
///
/// # Errors
/// The file can't be read or is no TOML, or a duration in it is none.
pub fn durations(path: &Path, colour: bool) -> Result<coordination::timing::TimingValues, Unusable> {
    let source = source(path)?;
    let problems = Problems::default();
    let values = match DeTable::parse(&source) {
        Ok(table) => Some(timing::read(&Section::root(table.get_ref(), 0..0, &problems)).values),
        Err(error) => {
            problems.borrow_mut().push(syntax(&error));
            None
        }
    };
    let problems = problems.into_inner();
    match values {
        Some(values) if problems.is_empty() => Ok(values),
        _ => Err(Unusable(render(path, &source, &problems, colour))),
    }
}

fn source(path: &Path) -> Result<String, Unusable> {
    std::fs::read_to_string(path).map_err(|error| {
        let why = common::plain(&error);
        Unusable(format!(
            "error: {} can't be read: {why}\nhelp: give --config the path of a TOML file",
            path.display()
        ))
    })
}

/// Checks the text of a file.
///
/// # Errors
/// All that is wrong with it.
pub fn check(source: &str, wanted: Option<Role>, host: HostCheck) -> Result<Config, Vec<Problem>> {
    let table = match DeTable::parse_recoverable(source) {
        (table, errors) if errors.is_empty() => table,
        (_, errors) => return Err(errors.iter().map(syntax).collect()),
    };
    let problems = Problems::default();
    let root = Section::root(table.get_ref(), 0..source.lines().next().map_or(0, str::len), &problems);
    let role = role(&root, wanted);
    let config = match role {
        Some(Role::Witness) => witness::read(&root).map(|c| Config::Witness(Box::new(c))),
        Some(Role::Actor) => actor::read(&root).map(|c| Config::Actor(Box::new(c))),
        Some(Role::Gate) => gate::read(&root).map(|file| {
            for problem in host(&file.config).iter().filter_map(|error| file.problem(error)) {
                root.problem(problem);
            }
            Config::Gate(Box::new(file.config))
        }),
        Some(Role::Operator) => operator::read(&root).map(Config::Operator),
        None => None,
    };
    if role.is_some() {
        root.finish();
    }
    let problems = problems.into_inner();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
}

fn syntax(error: &toml::de::Error) -> Problem {
    let span = error.span().unwrap_or(0..0);
    Problem::new(span, "this is no TOML", error.message(), "see https://toml.io; texts stand in quotes")
}

fn role(root: &Section<'_>, wanted: Option<Role>) -> Option<Role> {
    let example = format!("\"{}\"", wanted.unwrap_or(Role::Witness).name());
    let text = root.text("role", &example)?;
    let role = ROLES.into_iter().find(|r| r.name() == text.value);
    match (role, wanted) {
        (None, _) => root.fault(
            text.span,
            format!("unknown role {:?}", text.value),
            "not a role",
            "write \"witness\", \"actor\", \"gate\" or \"operator\"",
        ),
        (Some(role), Some(wanted)) if role != wanted => {
            root.fault(
                text.span,
                format!("this file has the role {}, not {}", role.name(), wanted.name()),
                "another role",
                format!("give the file whose role is \"{}\"", wanted.name()),
            );
            return None;
        }
        _ => {}
    }
    role
}
