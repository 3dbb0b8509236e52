//! The table of the planted bugs in `docs/testing.md`: printed from the cases, held by a test.
//! `BLESS=1 cargo test -p simulation --test planted table` writes it anew.

use crate::cases::CASES;
use simulation::exhaustive::{HUNTS, sets};
use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = "<!-- planted bugs: printed by crates/simulation/tests/planted -->\n";
const END: &str = "<!-- end of planted bugs -->\n";

fn render() -> String {
    let mut text = String::from(
        "| planted bug | what is weakened | caught by | within | model check |\n| --- | --- | --- | --- | --- |\n",
    );
    for case in CASES {
        let names: Vec<String> = case
            .caught_by
            .iter()
            .filter_map(|invariant| Some(invariant.statement().split_once(':')?.0.to_owned()))
            .collect();
        let also = match HUNTS.iter().find(|(bug, ..)| *bug == case.bug) {
            Some((_, world, _)) => format!("world {world}"),
            None => sets::HUNTS
                .iter()
                .find(|(bug, _)| *bug == case.bug)
                .map_or_else(String::new, |(_, world)| format!("world {world}")),
        };
        let (bug, what, by) = (case.bug, case.bug.text(), names.join(" or "));
        writeln!(text, "| {bug:?} | {what} | {by} | {} | {also} |", case.how)
            .expect("a String takes everything");
    }
    text
}

/// Compares, or blesses.
pub fn hold() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/testing.md");
    let document = std::fs::read_to_string(&path).expect("docs/testing.md is there");
    let (before, rest) = document.split_once(BEGIN).expect("docs/testing.md has the first marker");
    let (known, after) = rest.split_once(END).expect("docs/testing.md has the second marker");
    let current = render();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{current}{END}{after}")).expect("it can be written");
        return;
    }
    assert_eq!(known, current, "docs/testing.md is not current: run this test with BLESS=1");
}
