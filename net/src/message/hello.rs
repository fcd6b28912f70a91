//! HELLO: the first request of a connection, and the way to learn a new generation.

use crate::frame::VERSION;
use crate::limits::{COMMIT_MAX, HELLO_TEXT_MAX, KEY_MAX, REQUEST_BODY_MAX, ROW_MAX};
use crate::position::Lineage;
use crate::refusal::Refusal;
use crate::wire::{Malformed, Reader, put_sized};

/// What a client says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloRequest<'a> {
    /// The oldest version of the protocol that it speaks.
    pub min_version: u8,
    /// The newest version of the protocol that it speaks.
    pub max_version: u8,
    /// What it can do beyond the version, a bit each. None is defined yet.
    pub features: u64,
    /// For logs and status.
    pub client_name: &'a str,
    /// Who it acts for; empty: nobody in particular.
    pub identity: &'a str,
}

impl<'a> HelloRequest<'a> {
    /// What this library says.
    pub fn new(client_name: &'a str, identity: &'a str) -> HelloRequest<'a> {
        HelloRequest { min_version: VERSION, max_version: VERSION, features: 0, client_name, identity }
    }

    /// The version that both sides speak.
    pub fn version(&self) -> Result<u8, Refusal> {
        let spoken = self.min_version..=self.max_version;
        let nearest = if self.min_version > VERSION { self.min_version } else { self.max_version };
        if spoken.contains(&VERSION) {
            Ok(VERSION)
        } else {
            Err(Refusal::unsupported_version(VERSION, u64::from(nearest)))
        }
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.min_version, self.max_version]);
        out.extend_from_slice(&self.features.to_le_bytes());
        put_sized(out, self.client_name.as_bytes());
        put_sized(out, self.identity.as_bytes());
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Result<HelloRequest<'a>, Refusal> {
        HelloRequest::read(payload).map_err(|malformed| Refusal::malformed("hello", malformed))
    }

    fn read(payload: &'a [u8]) -> Result<HelloRequest<'a>, Malformed> {
        let mut reader = Reader::new(payload);
        let hello = HelloRequest {
            min_version: reader.u8()?,
            max_version: reader.u8()?,
            features: reader.u64()?,
            client_name: reader.text("client name", HELLO_TEXT_MAX)?,
            identity: reader.text("identity", HELLO_TEXT_MAX)?,
        };
        reader.end()?;
        Ok(hello)
    }
}

/// What a client must not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Body bytes of a frame.
    pub frame: u32,
    /// Payload bytes of a COMMIT.
    pub commit: u32,
    /// Bytes of a row.
    pub row: u32,
    /// Bytes of a key.
    pub key: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            frame: REQUEST_BODY_MAX as u32,
            commit: COMMIT_MAX as u32,
            row: ROW_MAX as u32,
            key: KEY_MAX as u32,
        }
    }
}

/// What a node says about itself. Its generation stands in the frame header, as in every reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloReply {
    /// The version that is spoken from now on.
    pub version: u8,
    /// What both sides can do beyond the version, a bit each.
    pub features: u64,
    /// The history that this node's data belongs to.
    pub lineage: Lineage,
    /// The cluster; for now the lineage that it began with.
    pub cluster: Lineage,
    /// The node's wall clock: microseconds since 1970, UTC.
    pub server_time_us: i64,
    /// What the client must not exceed.
    pub limits: Limits,
    /// How the node does its I/O: `ring` or `syscall`.
    pub driver: String,
    /// How the node makes writes durable, in words.
    pub durable_primitive: String,
    /// Whether the log passes the page cache by.
    pub direct_io: bool,
    /// Whether the node was started for development, with promises that a production node would not break.
    pub dev: bool,
}

/// Bits of the capabilities.
const DIRECT_IO: u8 = 1;
const DEV: u8 = 2;

impl HelloReply {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let capabilities = (u8::from(self.direct_io) * DIRECT_IO) | (u8::from(self.dev) * DEV);
        out.extend_from_slice(&[self.version, capabilities]);
        out.extend_from_slice(&self.features.to_le_bytes());
        out.extend_from_slice(&self.lineage.0);
        out.extend_from_slice(&self.cluster.0);
        out.extend_from_slice(&self.server_time_us.to_le_bytes());
        for limit in [self.limits.frame, self.limits.commit, self.limits.row, self.limits.key] {
            out.extend_from_slice(&limit.to_le_bytes());
        }
        put_sized(out, self.driver.as_bytes());
        put_sized(out, self.durable_primitive.as_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<HelloReply, Malformed> {
        let (version, capabilities) = (reader.u8()?, reader.u8()?);
        Ok(HelloReply {
            version,
            features: reader.u64()?,
            lineage: Lineage(reader.array()?),
            cluster: Lineage(reader.array()?),
            server_time_us: reader.i64()?,
            limits: Limits {
                frame: reader.u32()?,
                commit: reader.u32()?,
                row: reader.u32()?,
                key: reader.u32()?,
            },
            driver: reader.text("driver", HELLO_TEXT_MAX)?.to_owned(),
            durable_primitive: reader.text("durable primitive", HELLO_TEXT_MAX)?.to_owned(),
            direct_io: capabilities & DIRECT_IO != 0,
            dev: capabilities & DEV != 0,
        })
    }
}
