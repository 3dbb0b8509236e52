//! Generates clients, servers and messages from `proto/`, without `protoc`: protox compiles
//! the files, and the descriptor set is kept for gRPC reflection.

use prost::Message;
use std::{env, error::Error, fs, path::PathBuf};

/// The services' files; what they import comes with them.
const FILES: [&str; 6] = [
    "tripoint/v1/actor.proto",
    "tripoint/v1/consensus.proto",
    "tripoint/v1/gate.proto",
    "tripoint/v1/operator.proto",
    "tripoint/v1/status.proto",
    "tripoint/v1/types.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES, [&root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
