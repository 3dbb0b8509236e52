//! What the log says, in plain English, for the story of a run.

use super::World;
use coordination::explain::{event_text, explain, refusal_text};
use coordination::{Command, Outcome};

impl World {
    /// What the leader thinks when the run ends.
    pub(super) fn tell_end(&self) {
        let Some(leader) = self.raft.leader else { return self.say(|_| String::from("nobody leads")) };
        let witness = &self.witnesses[usize::from(leader)];
        let lines = explain(&witness.state, &witness.view, None, self.moment(leader));
        for line in lines {
            self.say(|_| format!("the end: {line}"));
        }
    }

    /// An entry was applied by the leader.
    pub(super) fn tell_entry(&self, place: usize) {
        let committed = &self.history.entries[place];
        let index = place + 1;
        if let Outcome::Refused(refusal) = &committed.outcome {
            let who = name_of(&committed.entry.command);
            self.say(|_| format!("entry {index}: {who} is refused: {}", refusal_text(refusal)));
            return;
        }
        let Some(leader) = self.raft.leader else { return };
        let state = &self.witnesses[usize::from(leader)].state;
        let new = state.events().rev().take_while(|event| event.index.0 == index as u64);
        let mut lines: Vec<String> = new.map(|event| event_text(&event.kind)).collect();
        lines.reverse();
        for line in lines {
            self.say(|_| format!("entry {index}: {line}"));
        }
    }
}

fn name_of(command: &Command) -> String {
    let text = format!("{command:?}");
    let end = text.find([' ', '(', '{']).unwrap_or(text.len());
    String::from(&text[..end])
}
