//! The wire contract, generated from proto/, and the only conversions between wire and model.
//!
//! What comes from a connector is hostile until [`batch::from_wire`] and its neighbours have measured
//! it: lengths, counts, names and UTF-8 are checked before anything is believed or allocated by it.

#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
pub mod v1 {
    tonic::include_proto!("cordon.v1");
}

pub mod batch;
pub mod describe;
pub mod error;
pub mod lookup;
pub mod scope;

/// The protocol version that this build speaks.
pub const PROTOCOL: u32 = 1;

/// Bytes of one message on the wire, at most.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
