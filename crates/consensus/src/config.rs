//! What a Raft member is started with.

use coordination::timing::TimingValues;
use model::SiteId;
use std::{collections::BTreeMap, path::PathBuf};

/// One witness of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its site; its certificate must name it.
    pub site: SiteId,
    /// `host:port` of its gRPC server. May differ from witness to witness, and change.
    pub address: String,
}

/// Everything that [`crate::Consensus::start`] wants to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The store lives here; made if missing. One witness alone may use it.
    pub data_directory: PathBuf,
    /// Name of the group.
    pub group: String,
    /// This witness's node id: a key of `members`.
    pub me: u64,
    /// All witnesses. Every witness must be given the same ids and sites.
    pub members: BTreeMap<u64, Member>,
    /// Heartbeat and election timeouts are taken from here.
    pub timing: TimingValues,
    /// Begin with an empty store although this witness had one that is now missing or damaged.
    ///
    /// It forgot how it voted and what it acknowledged. So it starts only if *every* other witness
    /// answers, takes over their highest term, and neither votes nor stands for election until it
    /// has all that any of them holds. That is safe as long as those have not lost theirs too. A
    /// store that is there and sound is kept, whatever this says.
    pub reset_identity: bool,
}

impl Config {
    /// Digest of the group's name and members: messages of a differently founded group are refused.
    pub(crate) fn founding(&self) -> u64 {
        let mut text = self.group.clone();
        for (id, member) in &self.members {
            text.push_str(&format!("\n{id} {}", member.site));
        }
        fnv64(text.as_bytes())
    }
}

/// FNV-1a. Never change it: the result is on disk.
fn fnv64(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
