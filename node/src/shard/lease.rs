//! Row leases: who holds one, until when, under which token.

use seawall::position::Position;

/// A lease as it stands in its space. It is held while leader time is before its end, whether its removal was
/// logged or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The fencing token (R21): the position of the commit that acquired it.
    pub token: Position,
    pub expires_us: i64,
}

impl Lease {
    pub fn encode(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.token.epoch.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.token.index.0.to_le_bytes());
        bytes[16..].copy_from_slice(&self.expires_us.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Lease {
        let ([epoch, index, expires], []) = bytes.as_chunks::<8>() else { panic!("a lease is 24 bytes") };
        Lease {
            token: Position::new(u64::from_le_bytes(*epoch), u64::from_le_bytes(*index)),
            expires_us: i64::from_le_bytes(*expires),
        }
    }

    pub fn is_held(&self, time_us: i64) -> bool {
        time_us < self.expires_us
    }

    /// The lease that is held under `token`, or what is there instead.
    pub fn held(lease: Option<Lease>, token: Position, time_us: i64) -> Result<Lease, String> {
        match lease {
            Some(lease) if lease.token == token && lease.is_held(time_us) => Ok(lease),
            Some(lease) if lease.token == token => {
                Err(format!("it ended {} ms ago", ms(time_us - lease.expires_us)))
            }
            Some(lease) if lease.is_held(time_us) => Err(format!("held under token {}", lease.token)),
            Some(_) | None => Err("nobody holds it".to_owned()),
        }
    }

    /// Milliseconds until it ends, at least one.
    pub fn left_ms(&self, time_us: i64) -> u64 {
        ms(self.expires_us - time_us).max(1)
    }
}

fn ms(us: i64) -> u64 {
    u64::try_from(us / 1000).unwrap_or(0)
}
