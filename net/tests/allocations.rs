//! What the hot path may not do: allocate for a commit that arrives.

use allocation_counter::measure;
use seawall::message::commit::decode_commit;
use seawall::message::{Check, Op};
use seawall::{Commit, row};

#[test]
fn a_commit_is_read_without_an_allocation() {
    let (cabin, total) = (row("cabin", "C14"), row("total", "held"));
    let commit = Commit::new("HP-2026-07-14")
        .key("hold-BK-88421")
        .check(cabin.field("state").is_in(["free", "held"]))
        .check(cabin.exists())
        .merge(&cabin, [("state", "held"), ("by", "BK-88421")])
        .add(&total, "count", 1, ..=total.field("limit"))
        .set_add(&cabin, "tags", ["a", "b"])
        .event("cabin-held", "C14");
    let mut payload = Vec::new();
    commit.encode(&mut payload);
    let mut read = 0;
    let allocated = measure(|| {
        let commit = decode_commit(&payload).expect("it is whole");
        read += commit.fingerprint().0.len();
        read += commit.checks.iter().filter(|check| matches!(check, Check::Exists(_))).count();
        read += commit.ops.iter().filter(|op| matches!(op, Op::Event { .. })).count();
    });
    assert_eq!((read, allocated.count_total), (18, 0));
}
