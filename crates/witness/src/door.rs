//! The way from the services to the loop and to the consensus: what every handler is given.

use crate::config::Config;
use crate::event::{Event, Question};
use crate::links::Links;
use crate::peers::Peers;
use consensus::{Handle, Leadership, ProposeError};
use coordination::{Command, Outcome, State};
use model::{GroupStatus, LogIndex, Millis, SiteId, StackId};
use rpc::tonic::Status;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// What a caller without a quorum is told.
pub const NO_QUORUM: &str = "this witness reaches no majority of the group, so it cannot vouch for its state; ask with --stale to see what it last knew";

/// Cheap to clone; every handler has one.
#[derive(Clone)]
pub struct Door {
    /// This witness.
    pub config: Arc<Config>,
    /// The group's log.
    pub consensus: Handle,
    /// Who leads.
    pub leadership: watch::Receiver<Leadership>,
    /// The state as this witness has applied it.
    pub state: watch::Receiver<Arc<State>>,
    /// The loop.
    pub events: mpsc::Sender<Event>,
    /// Whom this witness reaches.
    pub links: Arc<Links>,
    /// The other witnesses.
    pub peers: Arc<Peers>,
    /// Set when the process ends: streams end with it.
    pub stop: CancellationToken,
}

impl Door {
    /// The state as applied here.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.state.borrow().clone()
    }

    /// True if this witness leads, as far as it knows.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.leadership.borrow().me_leading
    }

    /// The site whose witness leads, if it is known and not this one.
    #[must_use]
    pub fn other_leader(&self) -> Option<SiteId> {
        self.leadership.borrow().leader.clone().filter(|site| *site != self.config.site)
    }

    /// Commits a command.
    ///
    /// # Errors
    /// UNAVAILABLE: no leader here, nothing was proposed. DEADLINE_EXCEEDED: its fate is unknown.
    pub async fn propose(&self, command: Command, deadline: Millis) -> Result<(LogIndex, Outcome), Status> {
        self.consensus.propose(command, deadline).await.map_err(|error| match error {
            ProposeError::NoLeader => {
                Status::unavailable("this witness knows no leader at the moment; try the next witness")
            }
            ProposeError::Unknown => Status::deadline_exceeded(
                "no answer in time: the command may have been committed or not; send it again",
            ),
            ProposeError::TooLong(_) => Status::invalid_argument(error.to_string()),
            ProposeError::Stopped => Status::unavailable("this witness is stopping; try the next witness"),
        })
    }

    /// Tells the loop.
    ///
    /// # Errors
    /// UNAVAILABLE while the process ends.
    pub async fn tell(&self, event: Event) -> Result<(), Status> {
        self.events.send(event).await.map_err(|_| stopping())
    }

    /// The status as this witness sees it.
    ///
    /// # Errors
    /// UNAVAILABLE while the process ends.
    pub async fn status(&self, stale: bool) -> Result<GroupStatus, Status> {
        let (answer, wait) = oneshot::channel();
        self.tell(Event::Asked(Question::Status { stale, answer })).await?;
        wait.await.map_err(|_| stopping())
    }

    /// Why the group thinks what it thinks.
    ///
    /// # Errors
    /// UNAVAILABLE while the process ends.
    pub async fn explain(&self, stack: Option<StackId>) -> Result<Vec<String>, Status> {
        let (answer, wait) = oneshot::channel();
        self.tell(Event::Asked(Question::Explain { stack, answer })).await?;
        wait.await.map_err(|_| stopping())
    }

    /// Returns once this witness has applied all that was committed before the call.
    ///
    /// # Errors
    /// UNAVAILABLE with [`NO_QUORUM`].
    pub async fn catch_up(&self, deadline: Millis) -> Result<(), Status> {
        let caught_up = async {
            let index = self.consensus.read_index(deadline).await.ok()?;
            let mut state = self.state.clone();
            state.wait_for(|state| state.index() >= index).await.ok()?;
            Some(())
        };
        match tokio::time::timeout(deadline.into(), caught_up).await {
            Ok(Some(())) => Ok(()),
            Ok(None) | Err(_) => Err(Status::unavailable(NO_QUORUM)),
        }
    }

    /// R of the policy in force.
    #[must_use]
    pub fn renew_every(&self) -> Millis {
        let state = self.state.borrow();
        state
            .policy()
            .map_or(self.config.policy.timing.values().renew_every, |p| p.timing.values().renew_every)
    }
}

fn stopping() -> Status {
    Status::unavailable("this witness is stopping; ask another one")
}
