//! What a reply says behind its head, by the operation that it answers; for clients.

use super::{Body, Flags};
use crate::frame::Kind;
use crate::limits::READ_ROWS_MAX;
use crate::list::List;
use crate::message::hello::HelloReply;
use crate::message::read::read_found;
use crate::message::report::Report;
use crate::message::scan::Page;
use crate::message::settle::KeyStatus;
use crate::message::watch::Told;
use crate::message::{Opcode, assigned, declare, route};
use crate::wire::{Malformed, Reader};

pub(super) fn read<'a>(
    kind: Kind,
    opcode: u16,
    flags: Flags,
    reader: &mut Reader<'a>,
) -> Result<Body<'a>, Malformed> {
    let unknown = Malformed::Unknown { what: "operation", got: u64::from(opcode) };
    let opcode = Opcode::from_u16(opcode).ok_or(unknown)?;
    if kind == Kind::Stream {
        return match opcode {
            Opcode::Subscribe => Ok(Body::Told { lineage_tag: reader.u32()?, told: Told::read(reader)? }),
            _ => Err(unknown),
        };
    }
    Ok(match opcode {
        Opcode::GetMap => Body::Map(route::read(reader)?),
        Opcode::Hello => Body::Hello(HelloReply::read(reader)?),
        Opcode::Commit => Body::Committed { lineage_tag: reader.u32()?, results: assigned::read(reader)? },
        // Each commit is answered as a COMMIT; only a refusal answers the frame as a whole.
        Opcode::CommitMany => return Err(unknown),
        Opcode::StatusOf | Opcode::Resolve => {
            let (lineage_tag, status) = (reader.u32()?, KeyStatus::read(reader)?);
            if status.is_final() != flags.has(Flags::FINAL) {
                let got = u64::from(flags.0);
                return Err(Malformed::Unknown { what: "flags of a status", got });
            }
            Body::KeyStatus { lineage_tag, status }
        }
        Opcode::Get => Body::Row { lineage_tag: reader.u32()?, found: read_found(reader)? },
        Opcode::MultiGet => {
            Body::Rows { lineage_tag: reader.u32()?, rows: List::read_counted(reader, READ_ROWS_MAX)? }
        }
        Opcode::Scan | Opcode::ScanIndex => {
            Body::Page { lineage_tag: reader.u32()?, page: Page::read(reader)? }
        }
        Opcode::Describe => Body::Declared { declared: declare::read_declared(reader)? },
        Opcode::Status | Opcode::Explain | Opcode::Trace => Body::Report(Report::read(reader)?),
        Opcode::Subscribe => Body::Subscribed { lineage_tag: reader.u32()? },
        Opcode::Declare | Opcode::Credit | Opcode::AckCursor | Opcode::Cancel => Body::Done,
    })
}
