//! Rows lie in large pages where the kernel gives them to those who ask: in the heaps of the workers, not of the first
//! thread alone.

use std::fs;

use seawall::{Client, Commit, Outcome, row};
use seawall_tests::skip::skip;

use crate::node::{Node, folder};

const ROWS: u64 = 400;
const ROW_BYTES: usize = 60_000;

/// Resident bytes of the memory that asked for large pages, whether it got them or not, and of all.
fn asking(node: &Node) -> (u64, u64) {
    let maps = fs::read_to_string(format!("/proc/{}/smaps", node.pid())).expect("it runs");
    let (mut asking, mut all, mut resident) = (0, 0, 0);
    for line in maps.lines() {
        if let Some(bytes) = line.strip_prefix("Rss:") {
            resident = bytes.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024;
            all += resident;
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            asking += if flags.split_whitespace().any(|flag| flag == "hg") { resident } else { 0 };
        }
    }
    (asking, all)
}

#[test]
fn rows_ask_for_large_pages() {
    let given = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    if !given.contains("[madvise]") || cfg!(not(target_env = "gnu")) {
        return skip("rows_ask_for_large_pages", "missing: kernel: large pages for those who ask");
    }
    let folder = folder("large-pages");
    let node = Node::start_with(&folder, &[]);
    assert!(node.said().contains("memory      pages of 2 MiB are asked for"), "{}", node.said());
    let mut client = Client::connect(node.address.as_str()).expect("the node serves");
    for n in 0..ROWS {
        let put = Commit::new("p").put(&row("t", n), [("note", vec![n as u8; ROW_BYTES])]);
        assert!(matches!(client.commit(&put), Ok(Outcome::Committed(_))), "row {n}");
    }
    let rows = ROWS * ROW_BYTES as u64;
    let (asking, all) = asking(&node);
    assert!(
        asking >= rows,
        "{rows} bytes of rows, and {asking} of {all} resident bytes asked for large pages"
    );
    assert!(node.terminate().success());
}
