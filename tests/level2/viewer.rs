//! Who asks every witness for the status, again and again, and the operator who adopts the stack.

use crate::clocks;
use crate::group::{Files, stack, witness_host};
use crate::judge::{Shared, lock};
use crate::wire::{self, Net};
use model::{GroupStatus, Millis, Mode, SiteId};
use rpc::client::{ChannelTiming, Expected, channel_over, within};
use rpc::identity::Role;
use rpc::network::Network;
use rpc::tonic::transport::Channel;
use rpc::v1::{self, operator_client::OperatorClient, status_client::StatusClient};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// Between two questions to one witness.
const EVERY: Duration = Duration::from_millis(400);
const PATIENCE: Millis = Millis(4_000);

/// What it is started with.
#[derive(Clone)]
pub struct Setup {
    /// Site and address.
    pub witnesses: Vec<(SiteId, String)>,
    pub files: Files,
    pub judge: Shared,
    pub active: SiteId,
    /// Set once the group would act.
    pub protected: Arc<Mutex<bool>>,
}

/// Runs until the simulation ends.
pub async fn run(setup: Setup, net: Net) {
    clocks::here_is(&net.host);
    let network = Network::simulated(net);
    let channel = |role: Role, name: &str, (site, address): &(SiteId, String)| {
        let expected = Expected { role: Role::Witness, name: Some(site.to_string()) };
        channel_over(&network, address, &setup.files.identity(role, name), expected, ChannelTiming::default())
    };
    let hosts: Vec<String> = setup.witnesses.iter().map(|(site, _)| witness_host(site)).collect();
    for witness in &setup.witnesses {
        let client = StatusClient::new(channel(Role::Viewer, "eve", witness));
        tokio::spawn(ask(client, witness.0.clone(), hosts.clone(), Arc::clone(&setup.judge)));
    }
    let operators: Vec<_> =
        setup.witnesses.iter().map(|w| OperatorClient::new(channel(Role::Operator, "alice", w))).collect();
    let first = StatusClient::new(channel(Role::Viewer, "eve", &setup.witnesses[0]));
    protect(&setup, &operators, first).await;
    std::future::pending::<()>().await;
}

async fn ask(mut client: StatusClient<Channel>, at: SiteId, hosts: Vec<String>, judge: Shared) {
    let me = witness_host(&at);
    loop {
        let before = wire::alone_since(&me, &hosts);
        let floor = lock(&judge).acknowledged();
        // Cut by the same cuts before and after.
        let alone = |before: Option<u64>| before.is_some() && before == wire::alone_since(&me, &hosts);
        match within(PATIENCE, client.get(v1::StatusRequest { stale: false })).await {
            Ok(answer) => {
                let status: GroupStatus =
                    serde_json::from_str(&answer.into_inner().json).expect("a status is JSON");
                lock(&judge).told(&at, floor, alone(before), &status);
            }
            Err(status) => lock(&judge).not_told(&at, alone(before), &format!("{:?}", status.code())),
        }
        sleep(EVERY).await;
    }
}

/// Adopts the stack once all have reported, and has the group act from then on.
async fn protect(setup: &Setup, operators: &[OperatorClient<Channel>], mut first: StatusClient<Channel>) {
    let adopt = v1::AdoptRequest { stack: stack().into(), active: setup.active.as_str().to_owned() };
    let mode = v1::SetModeRequest { stack: stack().into(), mode: v1::Mode::from(Mode::Auto).into() };
    let mut adopted = false;
    for mut operator in operators.iter().cloned().cycle() {
        if !adopted {
            match within(PATIENCE, operator.adopt(adopt.clone())).await {
                Ok(_) => adopted = true,
                // Its answer may have been lost.
                Err(status) => adopted = status.message().contains("was adopted before"),
            }
        }
        if adopted && within(PATIENCE, operator.set_mode(mode.clone())).await.is_ok() {
            break;
        }
        sleep(EVERY).await;
    }
    loop {
        if let Ok(answer) = within(PATIENCE, first.get(v1::StatusRequest { stale: false })).await {
            let status: GroupStatus =
                serde_json::from_str(&answer.into_inner().json).expect("a status is JSON");
            if status.stacks.iter().any(|s| !s.held && s.takeover.to.is_some()) {
                break;
            }
        }
        sleep(EVERY).await;
    }
    *setup.protected.lock().expect("no holder panicked") = true;
    lock(&setup.judge).tell("alice", "the stack is protected");
}
