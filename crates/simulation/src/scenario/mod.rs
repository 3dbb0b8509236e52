//! Scenarios: short scripts that say what happens to a group and what must come of it. The
//! language is described in `tests/scenarios/README.md`.
//!
//! | part | what it is |
//! | --- | --- |
//! | `script` | what a script says, as values |
//! | `words`, `parse` | from its text |
//! | `tale` | what happened: from the simulated world, or from real processes |
//! | `judge` | whether that is what was expected |
//! | `play` | a script in the simulated world |

mod judge;
mod parse;
mod play;
mod script;
mod tale;
mod words;

pub use judge::{Finding, judge};
pub use parse::parse;
pub use play::{Played, play};
pub use script::{
    Act, Answer, Blow, Claim, Deed, Expectation, Kind, Occasion, Part, Place, Question, Script,
    WRITE_GAP_MAX, When, Window,
};
pub(crate) use tale::answering;
pub use tale::{Happening, Look, Tale, answers, happening, read_answer, read_happening};
pub use words::ScriptError;

use std::path::{Path, PathBuf};

/// What the files of scripts end with.
pub const EXTENSION: &str = "scenario";

/// Reads one script.
///
/// # Errors
/// If it can't be read, or says something that is no script.
pub fn load(path: &Path) -> Result<Script, ScriptError> {
    let file = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&file, &text),
        Err(error) => Err(ScriptError {
            file,
            line: 0,
            expected: "a script".into(),
            found: error.to_string(),
            remedy: "name a file, or a folder of them, as `tests/scenarios`".into(),
        }),
    }
}

/// The scripts of a folder by name; of a file: itself.
#[must_use]
pub fn find(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return vec![path.to_path_buf()] };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION))
        .collect();
    found.sort();
    found
}
