//! Whether an answer is one to what was asked.

use seawall::message::assigned::Result as Assigned;
use seawall::message::scan::Page;
use seawall::refusal::{Outcome, Refusal};
use seawall::reply::Body;
use seawall::value::ValueRef;

use super::rows::{GROUP, complaint, number_in, rows_in_group};
use super::window::{Ended, Sums};

/// What a request was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To change a row in a way that has no result.
    Change,
    /// To add 1 to the one hot row.
    Add,
    /// For this row.
    Row(usize),
    /// For the group of this row.
    Group(usize),
}

/// What the answers can be held against.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Rows from 0 on that were all put before; `None`: whatever is there.
    pub filled: Option<usize>,
}

impl Expected {
    /// How an operation ended, by what was answered.
    pub fn judge(&self, asked: Asked, body: &Body<'_>, sums: &mut Sums) -> Ended {
        let judged = match (asked, body) {
            (_, Body::Refused(Refusal { code, outcome: Outcome::Unknown, .. })) => Ok(Ended::Unknown(*code)),
            (_, Body::Refused(Refusal { code, .. })) => Ok(Ended::Refused(*code)),
            (Asked::Change, Body::Committed { results, .. }) if results.is_empty() => Ok(Ended::Done),
            (Asked::Add, Body::Committed { results, .. }) => {
                let mut results = results.iter().map(|assigned| assigned.result);
                match (results.next(), results.next()) {
                    (Some(Assigned::Value(ValueRef::Int(sum))), None) if sum > 0 => {
                        sums.saw(u64::try_from(sum).unwrap_or(u64::MAX));
                        Ok(Ended::Done)
                    }
                    other => Err(format!("an addition of 1 came to {other:?}")),
                }
            }
            (Asked::Row(number), Body::Row { found: Some(found), .. }) => {
                number_in(found.row).and_then(|seen| {
                    let wrong = || format!("row {number} was asked for, and row {seen} is what was found");
                    if seen == number { Ok(Ended::Done) } else { Err(wrong()) }
                })
            }
            (Asked::Row(number), Body::Row { found: None, .. }) => match self.filled {
                Some(_) => Err(format!("row {number} was put before, and there is no such row")),
                None => Ok(Ended::NotFound),
            },
            (Asked::Group(number), Body::Page { page, .. }) => self.judge_page(number, page),
            (asked, body) => Err(format!("{asked:?} was answered with {body:?}")),
        };
        judged.unwrap_or_else(Ended::Wrong)
    }

    fn judge_page(&self, number: usize, page: &Page<'_>) -> Result<Ended, String> {
        let least = self.filled.map_or(0, |keys| rows_in_group(number, keys));
        let count = page.rows.len();
        if !(least..=GROUP).contains(&count) {
            return Err(format!("a page of the group of row {number} has {count} rows instead of {least}"));
        }
        let mut last: &[u8] = &[];
        for row in page.rows {
            if let Some(why) = complaint(number, &row) {
                return Err(why);
            }
            if row.key <= last {
                return Err(format!("a page of the group of row {number} is out of order"));
            }
            last = row.key;
        }
        Ok(if count == 0 { Ended::NotFound } else { Ended::Done })
    }
}

#[cfg(test)]
mod tests {
    use seawall::frame::{Decoder, Step};
    use seawall::message::assigned::Results;
    use seawall::message::read::Found;
    use seawall::message::scan::PageRow;
    use seawall::message::{Opcode, RequestMeta};
    use seawall::position::Position;
    use seawall::reply::{self, Reply, ReplyMeta};
    use seawall::{Row, Value};

    use super::super::rows::{FIELD, row_of};
    use super::*;

    const FILLED: Expected = Expected { filled: Some(1000) };
    const NOT_FILLED: Expected = Expected { filled: None };

    /// Judges what `encode` writes, after it went over the wire.
    fn judged(
        expected: Expected,
        asked: Asked,
        opcode: Opcode,
        encode: impl Fn(&mut Vec<u8>, &ReplyMeta),
    ) -> (Ended, Sums) {
        let request = RequestMeta { correlation: 1, opcode: opcode as u16, ..RequestMeta::default() };
        let meta = ReplyMeta { position: Some(Position::new(1, 1)), ..ReplyMeta::to(&request) };
        let (mut bytes, mut sums) = (Vec::new(), Sums::default());
        encode(&mut bytes, &meta);
        let Ok(Step::Frame(frame, _)) = Decoder::new(1 << 20).next(&bytes) else { panic!("no frame") };
        let ended = expected.judge(asked, &Reply::decode(&frame).unwrap().body, &mut sums);
        (ended, sums)
    }

    fn value_of(number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        Row::new().with(FIELD, number.to_be_bytes().to_vec()).encode(&mut bytes);
        bytes
    }

    fn wrong(ended: &Ended) -> bool {
        matches!(ended, Ended::Wrong(_))
    }

    #[test]
    fn a_get_returns_the_row_that_was_asked_for() {
        let get = |expected, found: Option<u64>| {
            let row = found.map(value_of);
            let found = row.as_ref().map(|row| Found { version: Position::new(1, 1), row });
            judged(expected, Asked::Row(7), Opcode::Get, |out, meta| reply::encode_row(out, meta, 0, found)).0
        };
        assert_eq!(get(FILLED, Some(7)), Ended::Done);
        assert!(wrong(&get(FILLED, Some(8))));
        assert!(wrong(&get(NOT_FILLED, Some(8))));
        assert!(wrong(&get(FILLED, None)), "it was put before");
        assert_eq!(get(NOT_FILLED, None), Ended::NotFound);
    }

    #[test]
    fn an_addition_returns_its_sum_and_a_change_nothing() {
        let committed = |asked, sum: Option<Value>| {
            let mut results = Results::default();
            if let Some(sum) = sum {
                let mut bytes = Vec::new();
                Row::new().with("sum", sum).encode(&mut bytes);
                let (_, sum) = seawall::row::Fields::open(&bytes).unwrap().next().unwrap().unwrap();
                results.push(0, Assigned::Value(sum));
            }
            judged(FILLED, asked, Opcode::Commit, |out, meta| {
                reply::encode_committed(out, meta, 0, &results.list());
            })
        };
        let (ended, sums) = committed(Asked::Add, Some(Value::Int(1)));
        assert_eq!((ended, sums.seen, sums.complaint()), (Ended::Done, 1, None));
        assert!(wrong(&committed(Asked::Add, Some(Value::Int(0))).0));
        assert!(wrong(&committed(Asked::Add, Some(Value::from("1"))).0));
        assert!(wrong(&committed(Asked::Add, None).0));
        assert_eq!(committed(Asked::Change, None).0, Ended::Done);
        assert!(wrong(&committed(Asked::Change, Some(Value::Int(1))).0));
        assert!(wrong(&committed(Asked::Row(1), None).0), "a commit is no answer to a get");
    }

    #[test]
    fn a_page_has_all_rows_of_its_group_in_order() {
        let page = |expected, numbers: &[u64]| {
            let rows: Vec<_> = numbers
                .iter()
                .map(|number| (row_of("0000", &format!("{number:08}")).key, value_of(*number)))
                .collect();
            let rows = rows.iter().map(|(key, row)| PageRow {
                key: key.as_bytes(),
                found: Found { version: Position::new(1, 1), row },
            });
            judged(expected, Asked::Group(3), Opcode::Scan, |out, meta| {
                reply::encode_page(out, meta, 0, rows.clone(), || &[]);
            })
            .0
        };
        assert_eq!(page(FILLED, &[3, 259, 515, 771]), Ended::Done);
        assert_eq!(page(FILLED, &[3, 259, 515, 771, 1027]), Ended::Done, "another run may have put more");
        assert!(wrong(&page(FILLED, &[3, 259, 771])), "one is missing");
        assert!(wrong(&page(FILLED, &[3, 259, 771, 515])), "out of order");
        assert!(wrong(&page(FILLED, &[3, 259, 259, 771])), "one twice");
        assert!(wrong(&page(FILLED, &[3, 4, 515, 771])), "one of another partition");
        assert_eq!(page(NOT_FILLED, &[259]), Ended::Done);
        assert_eq!(page(NOT_FILLED, &[]), Ended::NotFound);
    }

    #[test]
    fn refusals_are_told_apart_by_what_became_of_the_request() {
        let refused = |refusal: Refusal| {
            judged(FILLED, Asked::Change, Opcode::Commit, |out, meta| {
                reply::encode_refusal(out, meta, &refusal);
            })
            .0
        };
        assert_eq!(refused(Refusal::throttled("a queue", 1, 1)), Ended::Refused(seawall::Code::Throttled));
        let unknown = Refusal::log_failed_after_append("the disk is gone".to_owned());
        assert_eq!(refused(unknown), Ended::Unknown(seawall::Code::LogFailed));
    }
}
