//! What `config check` wants to know of a gate's configuration, without starting anything.

use crate::data::DataDirectory;
use crate::hold::{Holder, Program};
use crate::{Config, ContainmentChoice, Error, run, sys};

/// What is wrong with a configuration on this host, each with its remedy; empty if it will do.
///
/// Ways to hold processes are tried for real, with a process that only waits: so this is
/// called on the main thread.
#[must_use]
pub fn check(config: &Config) -> Vec<Error> {
    let mut wrong = Vec::new();
    let user = run::user(config).unwrap_or_else(|e| {
        wrong.push(e);
        None
    });
    if let Err(e) = Program::new(&config.command) {
        wrong.push(e);
    }
    if let Err(source) = std::fs::read_dir(&config.data_directory) {
        wrong.push(Error::DataDirectory { path: config.data_directory.clone(), source });
    } else if DataDirectory::new(&config.data_directory, None).control().is_none() {
        let source = std::io::Error::other("it has no readable global/pg_control");
        wrong.push(Error::DataDirectory { path: config.data_directory.clone(), source });
    }
    let settings = run::settings(config, user.clone());
    if let Some(path) = settings.impassable() {
        wrong.push(run::impassable(&path));
    }
    let in_container = std::process::id() == 1;
    let prefix = format!("tripoint-check-{}", std::process::id());
    let held = match config.containment {
        ContainmentChoice::NoneAccepted => Ok(()),
        choice => sys::current_mask()
            .and_then(|mask| Holder::choose(choice, in_container, &prefix, user, mask))
            .map(|_| ()),
    };
    wrong.extend(held.err());
    wrong
}
