//! What a gate makes of an order of its actor: whether it obeys, and how far it has come.

use super::{Data, Input, Mode};
use model::Epoch;

/// Something to do once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Let go of the primary.
    Detach(Epoch),
    /// Stream from a site.
    Follow(Epoch),
    /// Close the epoch on disk and end its primary.
    Relinquish(Epoch),
    /// Leave recovery.
    Promote(Epoch),
    /// Planned stop, then the epoch is relinquished.
    Stop(Epoch),
}

/// What there is of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// No process is left.
    Down,
    /// Opened by the gate.
    Open {
        /// As what.
        mode: Mode,
        /// It has been in recovery since its start.
        seen_recovery: bool,
        /// It is what its mode says: in recovery, or out of it.
        settled: bool,
        /// It is being closed.
        closing: bool,
    },
    /// The postmaster is gone, and the rest is being killed.
    Clearing,
    /// A server that the gate did not start.
    Foreign,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Not there yet: look again.
    NotYet,
    /// There.
    Done,
    /// It will not get there; the reason is for people.
    Failed(&'static str),
    /// The server that runs may be promoted in this very step.
    Promote,
}

const HIGHER_OPEN: &str = "the primary is open at a higher epoch";
const STALE: &str = "its epoch is below the highest seen";

impl Input<'_> {
    /// Whether an order is obeyed at all. No order of an epoch below the highest seen is, but a
    /// relinquishment: that takes something away.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn may_obey(&self, order: Order, server: Server) -> Result<(), &'static str> {
        let open = match server {
            Server::Open { mode, .. } => Some(mode),
            Server::Down | Server::Clearing | Server::Foreign => None,
        };
        match (order, open) {
            (Order::Detach(epoch) | Order::Follow(epoch) | Order::Promote(epoch), _)
                if epoch < self.highest() && !planted!(StaleOrderObeyed) =>
            {
                Err(STALE)
            }
            (Order::Detach(_) | Order::Follow(_), Some(Mode::Plain | Mode::Primary(_))) => {
                Err("a primary runs here")
            }
            (Order::Stop(epoch), Some(Mode::Primary(open))) if open > epoch => Err(HIGHER_OPEN),
            (Order::Stop(_), Some(Mode::Standby)) => Err("a standby runs here"),
            _ => Ok(()),
        }
    }

    /// How far the promotion to this epoch has come.
    #[must_use]
    pub fn promotion(&self, epoch: Epoch, server: Server) -> Way {
        match server {
            Server::Open { mode, settled, closing: false, .. } if mode == Mode::Primary(epoch) => {
                if settled {
                    Way::Done
                } else {
                    Way::NotYet
                }
            }
            Server::Open { closing: true, .. } => Way::Failed("it is being closed"),
            // A cover for the next epoch is taken over in place in this very turn.
            Server::Open { mode: Mode::Primary(open), .. } if open > epoch => Way::Failed(HIGHER_OPEN),
            Server::Open { mode: Mode::Primary(_) | Mode::Plain, .. }
            | Server::Open { mode: Mode::Standby, seen_recovery: false, .. } => Way::NotYet,
            Server::Open { mode: Mode::Standby, .. } => self.permitted(epoch, Way::Promote),
            Server::Down | Server::Clearing if self.data == Data::Absent => {
                Way::Failed("there is no data directory that this server can start")
            }
            // It is started by the gate itself, if it may be.
            Server::Down | Server::Clearing => self.permitted(epoch, Way::NotYet),
            Server::Foreign => Way::Failed("a server that this gate did not start runs here"),
        }
    }

    fn permitted(&self, epoch: Epoch, way: Way) -> Way {
        match self.may_open() {
            Ok(may) if may == epoch => way,
            Ok(_) => Way::Failed("the cover is for another epoch"),
            Err(reason) => Way::Failed(reason),
        }
    }
}

/// How far a relinquishment has come whose epoch is closed on disk: ending the primary is the
/// gate's own decision then.
#[must_use]
pub fn relinquishment(epoch: Epoch, server: Server) -> Way {
    match server {
        Server::Down | Server::Open { mode: Mode::Standby, .. } => Way::Done,
        Server::Clearing if planted!(AckBeforeLastProcess) => Way::Done,
        Server::Open { mode: Mode::Primary(open), .. } if open > epoch => Way::Failed(HIGHER_OPEN),
        Server::Open { .. } | Server::Clearing | Server::Foreign => Way::NotYet,
    }
}
