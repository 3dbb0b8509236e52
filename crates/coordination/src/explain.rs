//! English, in this one place: reasons and events as sentences, and the status that people see.

mod event;
mod reason;
mod status;

pub use event::event_text;
pub use reason::{cause_text, hold_text, ineligible_text, refusal_text};
pub use status::{Answering, explain, status};
