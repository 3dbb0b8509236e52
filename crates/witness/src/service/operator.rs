//! `Operator`: changes that a person asks for. Each is one committed command.

use super::{malformed, name, refused};
use crate::adoption;
use crate::door::Door;
use coordination::explain::refusal_text;
use coordination::{Command, Outcome};
use model::{Cause, Epoch, LogIndex, Millis, Mode, Refusal, SiteId, StackId};
use rpc::identity::Role;
use rpc::server::require;
use rpc::tonic::{Request, Response, Status, async_trait};
use rpc::v1;

/// For one command of a person.
const DEADLINE: Millis = Millis(5_000);
/// Longest reason of an attestation, in characters: it is kept in the audit log.
const REASON_LENGTH_MAX: usize = 500;

/// The service.
pub struct Service {
    door: Door,
}

impl Service {
    /// With the way to the loop.
    #[must_use]
    pub const fn new(door: Door) -> Self {
        Self { door }
    }

    async fn commit(&self, command: Command, done: String) -> Result<Response<v1::OperatorResponse>, Status> {
        match self.door.propose(command, DEADLINE).await? {
            (_, Outcome::Refused(refusal)) => Err(refused(&refusal)),
            (LogIndex(index), _) => Ok(Response::new(v1::OperatorResponse { index, text: done })),
        }
    }

    /// The stack's epoch and sites, as of now.
    async fn stack(&self, stack: &StackId) -> Result<(Epoch, Vec<SiteId>), Status> {
        self.door.catch_up(DEADLINE).await?;
        let state = self.door.state();
        let found = state.stacks().get(stack);
        let found = found.ok_or_else(|| refused(&Refusal::UnknownStack(stack.clone())))?;
        Ok((found.epoch(), found.sites.clone()))
    }
}

#[async_trait]
impl v1::operator_server::Operator for Service {
    async fn adopt(
        &self,
        request: Request<v1::AdoptRequest>,
    ) -> Result<Response<v1::OperatorResponse>, Status> {
        require(&request, &[Role::Operator])?;
        let request = request.into_inner();
        let stack: StackId = name("stack", &request.stack)?;
        let active: SiteId = name("active", &request.active)?;
        let (_, sites) = self.stack(&stack).await?;
        let status = super::status::current(&self.door, false).await?;
        let command =
            adoption::check(&status, &stack, &sites, &active).map_err(Status::failed_precondition)?;
        let done = format!("Stack {stack} is adopted at {active}, epoch 1, in mode observe.");
        self.commit(command, done).await
    }

    async fn set_mode(
        &self,
        request: Request<v1::SetModeRequest>,
    ) -> Result<Response<v1::OperatorResponse>, Status> {
        require(&request, &[Role::Operator])?;
        let request = request.into_inner();
        let stack: StackId = name("stack", &request.stack)?;
        let mode: Mode = rpc::convert::mode(request.mode).map_err(malformed)?;
        let done = format!("Stack {stack} is in mode {mode}.");
        self.commit(Command::SetMode { stack, mode }, done).await
    }

    async fn attest(
        &self,
        request: Request<v1::AttestRequest>,
    ) -> Result<Response<v1::OperatorResponse>, Status> {
        let person = require(&request, &[Role::Operator])?;
        let request = request.into_inner();
        let stack: StackId = name("stack", &request.stack)?;
        if request.reason.trim().is_empty() {
            return Err(Status::invalid_argument(
                "an attestation needs a reason: say how you know that the site is off",
            ));
        }
        // Who attests is who the certificate says, whatever the request says.
        let command = Command::Attest {
            stack: stack.clone(),
            epoch: Epoch(request.epoch),
            operator: person.name,
            reason: request.reason.chars().take(REASON_LENGTH_MAX).collect(),
        };
        let done = format!("Epoch {} of {stack} is closed by your word.", request.epoch);
        self.commit(command, done).await
    }

    async fn stop_and_elect(
        &self,
        request: Request<v1::StopAndElectRequest>,
    ) -> Result<Response<v1::OperatorResponse>, Status> {
        require(&request, &[Role::Operator])?;
        let request = request.into_inner();
        let stack: StackId = name("stack", &request.stack)?;
        let to: SiteId = name("to", &request.to)?;
        let (epoch, sites) = self.stack(&stack).await?;
        if !sites.contains(&to) {
            return Err(Status::failed_precondition(refusal_text(&Refusal::NotAtSite(stack, to))));
        }
        let done = format!("Stack {stack} is being stopped; {to} is elected once that is proven.");
        let command = Command::BeginTransition { stack, epoch, cause: Cause::Operator, to: Some(to) };
        self.commit(command, done).await
    }
}
