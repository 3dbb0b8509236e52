//! Frames: round trips, refusals, and bytes of the first version that must always decode.

use super::{convert, wire, *};
use crate::group::{LogEntry, Proposal};
use coordination::Entry;
use model::{GrantTerms, Incarnation, LogIndex, Millis, Mode, Refusal, WallMillis};
use openraft::EntryPayload;
use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

/// Set to write the file anew: only for a new frame version, or before the first release.
const BLESS: &str = "CONSENSUS_BLESS_GOLDEN";
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/frames-v1.txt");

fn commands() -> Vec<(&'static str, Command)> {
    let terms = GrantTerms { lease_duration: Millis(5_000), fence_deadline: Millis(2_000) };
    let (site, stack) = ("dc1".parse().expect("a name"), "ess".parse().expect("a name"));
    vec![
        ("command-register", Command::Register { site, incarnation: Incarnation(77), terms }),
        ("command-set-mode", Command::SetMode { stack, mode: Mode::Observe }),
        ("command-nothing", Command::Nothing),
        ("command-digest", Command::Digest { index: LogIndex(1_000), digest: 0x1234_5678_9abc_def0 }),
    ]
}

fn entry(command: Command, index: u64) -> LogEntry {
    let entry = Entry { at: WallMillis(1_700_000_000_000), command };
    let log_id = convert::log_id(wire::Position { term: 3, index });
    openraft::Entry { log_id, payload: EntryPayload::Normal(Proposal(Arc::new(entry))) }
}

fn members() -> wire::Members {
    wire::Members { voters: vec![BTreeSet::from([1, 2, 3])], nodes: BTreeSet::from([1, 2, 3]) }
}

/// Every kind of frame, by name.
fn frames() -> Vec<(String, Vec<u8>)> {
    let sealed = |result: Result<Vec<u8>, CodecError>| result.expect("it encodes");
    let position = wire::Position { term: 3, index: 300 };
    let ballot = wire::Ballot { term: 3, node: 2, granted: true };
    let mut frames = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>| frames.push((name.to_owned(), bytes));
    for (name, command) in commands() {
        add(name, sealed(encode_command(&command)));
        add(&format!("log-{name}"), sealed(convert::record(&entry(command, 9))));
    }
    let blank = openraft::Entry { log_id: convert::log_id(position), payload: EntryPayload::Blank };
    add("log-blank", sealed(convert::record(&blank)));
    let founding = EntryPayload::Membership(convert::membership(members()));
    add(
        "log-members",
        sealed(convert::record(&openraft::Entry { log_id: convert::log_id(position), payload: founding })),
    );
    add("outcome-applied", sealed(encode_outcome(&Outcome::Applied)));
    add("refusal", sealed(seal(Kind::Refusal, &wire::Refusal::TooLong(70_000))));
    add("ballot", sealed(seal(Kind::Ballot, &ballot)));
    add("position", sealed(seal(Kind::Position, &position)));
    let meta = wire::SnapshotMeta { last: Some(position), members_at: None, members: members() };
    add(
        "snapshot-record",
        sealed(seal(Kind::SnapshotRecord, &wire::SnapshotRecord { meta: meta.clone(), state: &[1, 2] })),
    );
    let identity = wire::StoreIdentity {
        group: "g".into(),
        node: 1,
        site: "dc1".into(),
        founding: 5,
        store: 6,
        rejoining: false,
    };
    add("store-identity", sealed(seal(Kind::StoreIdentity, &identity)));
    let entries = vec![sealed(convert::record(&blank))];
    let append = wire::AppendRequest {
        founding: 5,
        leader: ballot,
        previous: None,
        entries,
        committed: Some(position),
    };
    add("append-request", sealed(seal(Kind::AppendRequest, &append)));
    add("append-response", sealed(seal(Kind::AppendResponse, &wire::AppendResponse::Higher(ballot))));
    let vote = wire::VoteRequest { founding: 5, ballot, last: Some(position), transfer: true };
    add("vote-request", sealed(seal(Kind::VoteRequest, &vote)));
    add("pre-vote-request", sealed(seal(Kind::PreVoteRequest, &vote)));
    add(
        "vote-response",
        sealed(seal(Kind::VoteResponse, &wire::VoteResponse { ballot, granted: true, last: None })),
    );
    let transfer = wire::TransferRequest { founding: 5, from: ballot, to: 3, last: Some(position) };
    add("transfer-request", sealed(seal(Kind::TransferRequest, &transfer)));
    let changed = wire::TransferResponse::VoteChanged { expected: ballot, actual: ballot };
    add("transfer-response", sealed(seal(Kind::TransferResponse, &changed)));
    let header = wire::SnapshotHeader { founding: 5, leader: ballot, meta, length: 2 };
    add("snapshot-header", sealed(seal(Kind::SnapshotHeader, &header)));
    add("snapshot-piece", sealed(seal(Kind::SnapshotPiece, [1_u8, 2].as_slice())));
    add("snapshot-response", sealed(seal(Kind::SnapshotResponse, &ballot)));
    add("hello", sealed(seal(Kind::Hello, &())));
    frames
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
}

#[test]
fn old_bytes_still_decode_and_nothing_is_written_differently() {
    if std::env::var_os(BLESS).is_some() {
        let text: String = frames().iter().map(|(name, bytes)| format!("{name} {}\n", hex(bytes))).collect();
        std::fs::write(GOLDEN, text).expect("written");
    }
    let golden = std::fs::read_to_string(GOLDEN).expect("testdata is part of the source");
    let now = frames();
    assert_eq!(golden.lines().count(), now.len(), "a frame without golden bytes");
    for (line, (name, bytes)) in golden.lines().zip(now) {
        let (old_name, old) = line.split_once(' ').expect("name and bytes");
        assert_eq!(old_name, name);
        assert_eq!(old, hex(&bytes), "{name} is written differently: that is a new frame version");
        peek(&unhex(old)).expect("a sound frame");
    }
}

#[test]
fn golden_log_entries_decode_to_what_they_were() {
    let golden = std::fs::read_to_string(GOLDEN).expect("testdata is part of the source");
    for (name, command) in commands() {
        let line = |name: &str| {
            let found = golden.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            unhex(found.unwrap_or_else(|| panic!("{name} has golden bytes")))
        };
        assert_eq!(decode_command(&line(name)), Ok(command.clone()));
        assert_eq!(convert::entry(&line(&format!("log-{name}"))), Ok(entry(command, 9)));
    }
}

#[test]
fn every_changed_bit_is_noticed() {
    let frame = encode_command(&Command::Nothing).expect("it encodes");
    for bit in 0..frame.len() * 8 {
        let mut changed = frame.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_command(&changed).is_err(), "bit {bit}");
    }
    for length in 0..frame.len() {
        assert!(decode_command(&frame[..length]).is_err(), "cut to {length}");
    }
}

/// A frame whose checksum is right, as a later program would write it.
fn forged(version: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = b"TP".to_vec();
    frame.extend_from_slice(&[version, kind]);
    frame.extend_from_slice(&u32::try_from(body.len()).expect("short").to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[2..8]);
    hasher.update(body);
    frame.extend_from_slice(&hasher.finalize().to_le_bytes());
    frame.extend_from_slice(body);
    frame
}

#[test]
fn what_is_unknown_is_an_error_that_says_so() {
    let unknown = |bytes: &[u8]| decode_command(bytes).expect_err("unknown");
    assert_eq!(unknown(&forged(2, 1, &[])), CodecError::UnknownVersion(2));
    assert_eq!(unknown(&forged(1, 99, &[])), CodecError::UnknownKind(99));
    let command = unknown(&forged(1, Kind::Command as u8, &[200]));
    assert!(matches!(command, CodecError::Body { .. }) && command.is_unknown(), "{command}");
    let wrong = unknown(&encode_outcome(&Outcome::Applied).expect("it encodes"));
    assert_eq!(wrong, CodecError::WrongKind { wanted: Kind::Command, found: Kind::Outcome });
    let left_over = unknown(&forged(1, Kind::Command as u8, &{
        let mut body = encode_command(&Command::Nothing).expect("it encodes").split_off(12);
        body.push(0);
        body
    }));
    assert!(matches!(left_over, CodecError::Body { .. }), "{left_over}");
}

#[test]
fn outcomes_travel() {
    for outcome in [Outcome::Applied, Outcome::Diverged, Outcome::Refused(Refusal::NotRegistered)] {
        let bytes = encode_outcome(&outcome).expect("it encodes");
        assert_eq!(decode_outcome(&bytes), Ok(outcome));
    }
}

/// Some serde attributes (tags, flattening, skipping) write what this format can't read back.
#[test]
fn a_state_survives_its_snapshot() {
    let mut state = coordination::State::default();
    let define = |name: &str| Command::DefineSite { site: name.parse().expect("a name"), actor: true };
    let sites = ["dc1", "dc2", "dc3"].map(|name| name.parse().expect("a name")).to_vec();
    let mut history = vec![define("dc1"), define("dc2"), define("dc3")];
    let stack: model::StackId = "ess".parse().expect("a name");
    history.push(Command::DefineStack { stack: stack.clone(), sites });
    history.extend(commands().into_iter().take(3).map(|(_, command)| command));
    let timing = coordination::Timing::new(coordination::timing::Profile::Metro.values()).expect("a profile");
    history.push(Command::SetPolicy(coordination::Policy::with_timing(timing)));
    history.push(Command::SetMode { stack, mode: Mode::Auto });
    let mut index = LogIndex(0);
    for command in history {
        index = index.next();
        let _ = state.apply(index, &Entry { at: WallMillis(1), command });
    }
    assert!(state.events().next().is_some(), "the history leaves events");
    let bytes = seal(Kind::State, &state).expect("it encodes");
    assert_eq!(open::<coordination::State>(Kind::State, &bytes), Ok(state));
}
