//! Stand-in until crates/consensus is there.
#![allow(missing_docs, dead_code)]
use coordination::{Command, Entry, Outcome, State};
use model::LogIndex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
#[derive(Debug)]
pub enum Applied {
    Entry { index: LogIndex, entry: Arc<Entry>, outcome: Outcome, state: Arc<State> },
    Restored { state: Arc<State> },
}
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProposeError {
    #[error("a")]
    NoLeader,
    #[error("a")]
    Unknown,
    #[error("a")]
    Stopped,
}
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a")]
    A,
}
#[derive(Clone, Debug)]
pub struct Leadership {
    pub leader: Option<u64>,
    pub term: u64,
}
impl Leadership {
    pub fn is_leading(&self) -> bool {
        false
    }
}
#[derive(Clone, Debug)]
pub struct Handle;
impl Handle {
    pub async fn propose(&self, _: Command, _: Duration) -> Result<(LogIndex, Outcome), ProposeError> {
        Err(ProposeError::NoLeader)
    }
    pub async fn read_index(&self, _: Duration) -> Result<LogIndex, ProposeError> {
        Err(ProposeError::NoLeader)
    }
    pub fn watch_leadership(&self) -> watch::Receiver<Leadership> {
        watch::channel(Leadership { leader: None, term: 0 }).1
    }
    pub async fn transfer_leader(&self, _: u64) -> Result<(), ProposeError> {
        Err(ProposeError::NoLeader)
    }
}
#[derive(Clone, Debug)]
pub struct ConsensusService;
#[derive(Clone, Debug)]
pub enum ServiceError {
    Refused(String),
}
