//! Encodes and decodes the two messages of `ListTracingPolicies` for tonic.

use hyper::body::Buf;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::tetragon_client::error::AskError;
use crate::tetragon_client::listing::{self, Listing};

/// Sends a message without fields, and reads the agent's list. Malformed bytes become a value, not
/// a gRPC error, so that they differ from errors that the agent sends.
pub struct ListCodec;

impl Codec for ListCodec {
    type Encode = ();
    type Decode = Result<Listing, AskError>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for ListCodec {
    type Item = ();
    type Error = Status;

    fn encode(&mut self, (): (), _: &mut EncodeBuf<'_>) -> Result<(), Status> {
        Ok(())
    }
}

impl Decoder for ListCodec {
    type Item = Result<Listing, AskError>;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let length = message.remaining();
        Ok(Some(listing::read(&message.copy_to_bytes(length))))
    }
}
