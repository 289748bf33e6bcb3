//! The two messages of `ListTracingPolicies` as tonic sends and receives them.

use hyper::body::Buf;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::tetragon_client::error::Why;
use crate::tetragon_client::listing::{self, Listed};

/// Sends a message without fields, and reads what an agent lists. Bytes that are no listing are a value, and no gRPC
/// error, so that they are told apart from errors that the agent sends.
pub struct ListCodec;

impl Codec for ListCodec {
    type Encode = ();
    type Decode = Result<Listed, Why>;
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
    type Item = Result<Listed, Why>;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let length = message.remaining();
        let listed = listing::read(&message.copy_to_bytes(length));
        Ok(Some(listed))
    }
}
