//! Reading rows by their names.

use super::answer::{got, got_many};
use super::ask::Ask;
use crate::address::RowRef;
use crate::client::Got;
use crate::key::Key;
use crate::message::{Consistency, GetRequest, MultiGetRequest, Opcode};

pub(crate) fn get<'a>(
    partition: &'a Key,
    row: &'a RowRef,
    consistency: Consistency,
) -> Ask<impl Fn(&mut Vec<u8>), Got> {
    let get = GetRequest { consistency, ..GetRequest::new(partition, row) };
    Ask::new(Opcode::Get, move |payload| get.encode(payload), got).seen_at(|got| Some(got.token))
}

pub(crate) fn multi_get<'a>(partition: &'a Key, rows: &'a [RowRef]) -> Ask<impl Fn(&mut Vec<u8>), Vec<Got>> {
    let write = |payload: &mut Vec<u8>| {
        MultiGetRequest::encode_rows(payload, &Consistency::Linearizable, partition, rows);
    };
    Ask::new(Opcode::MultiGet, write, got_many).seen_at(|got| got.first().map(|got| got.token))
}
