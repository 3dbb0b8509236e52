//! `apply`: the only change of the state. Deterministic; no clock.
//!
//! A refused command changes nothing but the index. Each file below is about one kind of command.

mod define;
mod fence;
mod lease;
mod stack;
mod sync;
mod transition;

use crate::state::{Stack, State};
use crate::{Command, Entry, Outcome};
use model::{Epoch, LogIndex, Refusal, StackId};

/// What the parts of `apply` answer: a refusal changes nothing.
pub(crate) type Applied = Result<Outcome, Refusal>;

impl State {
    /// Applies one entry. `index` is its place in the log and only grows.
    ///
    /// [`Outcome::Refused`] says why nothing changed; [`Outcome::Diverged`] means that this
    /// witness's state differs from the leader's and that it must stop.
    pub fn apply(&mut self, index: LogIndex, entry: &Entry) -> Outcome {
        self.index = index;
        let outcome = self.dispatch(entry).unwrap_or_else(Outcome::Refused);
        if self.changes_covers(&entry.command, &outcome) {
            self.refresh_covers();
        }
        let outcome = self.with_cover(outcome, entry);
        if index.0.is_multiple_of(crate::state::DIGEST_EVERY) {
            self.digested = Some((index, self.digest()));
        }
        outcome
    }

    fn dispatch(&mut self, entry: &Entry) -> Applied {
        let at = entry.at;
        match &entry.command {
            Command::DefineSite { site, actor } => self.define_site(at, site, *actor),
            Command::DefineStack { stack, sites } => self.define_stack(at, stack, sites),
            Command::SetPolicy(policy) => self.set_policy(at, policy),
            Command::ForgetLongGrant { since } => self.forget_long_grant(*since),
            Command::Register { site, incarnation, terms } => self.register(at, site, *incarnation, *terms),
            Command::Renew { request, terms } => self.renew(at, request, *terms),
            Command::Expire { site, incarnation, number } => self.expire(at, site, *incarnation, *number),
            Command::SetVerdict { site, verdict, number, unreached_by } => {
                self.set_verdict(at, site, *verdict, *number, unreached_by)
            }
            Command::FenceBegin { stack, epoch } => self.fence_begin(at, stack, *epoch),
            Command::FenceByTime { stack, epoch, begun } => self.fence_by_time(at, stack, *epoch, *begun),
            Command::Attest { stack, epoch, operator, reason } => {
                self.attest(at, stack, *epoch, operator, reason)
            }
            Command::Adopt { stack, site, system_id, timeline } => {
                self.adopt(at, stack, site, *system_id, *timeline)
            }
            Command::SetMode { stack, mode } => self.set_mode(at, stack, *mode),
            Command::SetStreaming { stack, site, epoch, streams } => {
                self.set_streaming(at, stack, site, *epoch, *streams)
            }
            Command::BeginTransition { stack, epoch, cause, to } => {
                self.begin_transition(at, stack, *epoch, cause, to.as_ref())
            }
            Command::RecordWouldBegin { stack, epoch, cause } => {
                self.record_would_begin(at, stack, *epoch, cause)
            }
            Command::Elect { stack, epoch, site } => self.elect(at, stack, *epoch, site),
            Command::Step(report) => self.step(at, report),
            Command::PromoteGivenUp { stack, epoch, cause } => self.give_up_promote(at, stack, *epoch, cause),
            Command::Complete { stack, epoch } => self.complete(at, stack, *epoch),
            Command::Digest { index, digest } => Ok(self.agree_digest(*index, *digest)),
            Command::Nothing => Ok(Outcome::Applied),
            Command::SetReplication { stack, replication } => self.set_replication(at, stack, *replication),
            Command::BeginSet { stack, epoch, since, set } => self.begin_set(at, stack, *epoch, *since, set),
            Command::SettleSet { stack, epoch, since } => self.settle_set(at, stack, *epoch, *since),
            Command::FenceByReplication { stack, epoch } => self.fence_by_replication(at, stack, *epoch),
        }
    }

    /// Renewals are the bulk of the log and change no cover; neither does a refusal.
    fn changes_covers(&self, command: &Command, outcome: &Outcome) -> bool {
        let refused = matches!(outcome, Outcome::Refused(_));
        !refused && !matches!(command, Command::Renew { .. } | Command::Nothing | Command::Digest { .. })
    }

    /// Answers carry the cover as of this entry.
    fn with_cover(&self, outcome: Outcome, entry: &Entry) -> Outcome {
        match (outcome, &entry.command) {
            (Outcome::Registered(mut answer), Command::Register { site, .. }) => {
                answer.cover = self.cover_of(site);
                Outcome::Registered(answer)
            }
            (Outcome::Renewed { mut grant, repeated }, Command::Renew { request, .. }) => {
                let cover = self.cover_of(&request.site);
                grant.cover_revision = cover.revision;
                let known = request.cover_known == cover.revision && cover.revision.0 > 0;
                grant.cover = (!known).then_some(cover);
                Outcome::Renewed { grant, repeated }
            }
            (outcome, _) => outcome,
        }
    }

    fn agree_digest(&mut self, index: LogIndex, digest: u64) -> Outcome {
        match self.digested {
            Some((own_index, own)) if own_index == index && own != digest && !planted!(DigestIgnored) => {
                Outcome::Diverged
            }
            _ => {
                self.digest_agreed = self.digest_agreed.max(index);
                Outcome::Applied
            }
        }
    }

    pub(crate) fn stack_mut(&mut self, stack: &StackId) -> Result<&mut Stack, Refusal> {
        self.stacks.get_mut(stack).ok_or_else(|| Refusal::UnknownStack(stack.clone()))
    }

    /// The stack, if it is adopted and `epoch` is its current one.
    pub(crate) fn stack_at(&mut self, stack: &StackId, epoch: Epoch) -> Result<&mut Stack, Refusal> {
        let found = self.stack_mut(stack)?;
        match found.epoch() {
            Epoch::NONE => Err(Refusal::NotAdopted),
            current if current != epoch => Err(Refusal::StaleEpoch { current }),
            _ => Ok(found),
        }
    }
}
