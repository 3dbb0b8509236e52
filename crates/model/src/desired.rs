//! What a site should do, as the replicated state says. A view: it can close, prepare and
//! hurry; it never opens (design, section 5, rule 2).

use crate::{ChainLink, Epoch, LogIndex, Mode, SiteId, StackId, SyncSetting, SystemId, Timeline};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What a site should do for one stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Instruction {
    /// Not adopted: touch nothing.
    Leave,
    /// This site is elected: run the primary at `epoch`, under a cover that says so.
    /// A standby is promoted past `timeline_highest`; a primary that ran before goes on.
    Run {
        /// The epoch.
        epoch: Epoch,
        /// Highest timeline that an earlier promote step may have made.
        timeline_highest: Timeline,
        /// True while the group waits for the report of the promotion.
        promote_due: bool,
        /// True while the group waits for the first write.
        verify_due: bool,
    },
    /// Close `epoch` and report when no process is left.
    Fence {
        /// The epoch to relinquish.
        epoch: Epoch,
    },
    /// Let go of the primary of `epoch` and report the end of the received WAL.
    Detach {
        /// The epoch whose primary is left.
        epoch: Epoch,
    },
    /// Stream from `site`, elected for `epoch`, which runs on `timeline` once it is promoted.
    Follow {
        /// The primary.
        site: SiteId,
        /// Its epoch.
        epoch: Epoch,
        /// Its timeline, once known.
        timeline: Option<Timeline>,
        /// True while the group waits for the report that it streams.
        report_due: bool,
    },
    /// Go on as you are: a standby keeps receiving, a closed site stays closed.
    Stay,
}

/// One stack's part of the view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredStack {
    /// The stack.
    pub stack: StackId,
    /// Its highest epoch.
    pub epoch: Epoch,
    /// Highest epoch that is closed for this site.
    pub closed: Epoch,
    /// The site elected for `epoch`.
    pub active: Option<SiteId>,
    /// Its mode.
    pub mode: Mode,
    /// The database's identity, once adopted.
    pub system_id: Option<SystemId>,
    /// What this site should do.
    pub instruction: Instruction,
    /// The synchronous set that this site has as a primary; none if the group never set one.
    pub sync: Option<SyncSetting>,
    /// The chain of promotions, oldest first: a returning copy is compared with it.
    pub chain: Vec<ChainLink>,
}

/// The view of one site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// The state's log index; a view below the highest one taken is ignored.
    pub index: LogIndex,
    /// The site's stacks, sorted by name.
    pub stacks: Vec<DesiredStack>,
}

impl Desired {
    /// The part of one stack.
    #[must_use]
    pub fn of(&self, stack: &StackId) -> Option<&DesiredStack> {
        self.stacks.iter().find(|s| s.stack == *stack)
    }
}
