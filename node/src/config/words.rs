//! The settings that are no numbers.

use std::net::SocketAddr;

use super::Given;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    pub key: &'static str,
    pub default: &'static str,
    /// In words for a person.
    pub allowed: &'static str,
    /// What it is, and what moving it does.
    pub effect: &'static str,
    /// Says what is wrong.
    check: fn(&str) -> Result<(), String>,
}

pub const WORDS: &[Word] = &[
    Word {
        key: "data",
        default: "./seawall-data",
        allowed: "the path of a directory",
        effect: "Where the data is kept; made when it does not exist.",
        check: |text| if text.is_empty() { Err("is no path".into()) } else { Ok(()) },
    },
    Word {
        key: "listen",
        default: "127.0.0.1:7411",
        allowed: "a loopback address with its port, such as 127.0.0.1:7411",
        effect: "Where clients connect; port 0 takes any free one.",
        check: loopback,
    },
    Word {
        key: "admin.listen",
        default: "127.0.0.1:7412",
        allowed: "a loopback address with its port, such as 127.0.0.1:7412",
        effect: "Where health, status, metrics and commits are served by HTTP.",
        check: loopback,
    },
    Word {
        key: "map",
        default: "",
        allowed: "the path of a directory, or nothing",
        effect: "Where the members of a cluster on this machine keep their partition map; `seawall map init` makes it. A \
                 `member` needs it, and takes the number of its shards from it.",
        check: |_| Ok(()),
    },
    Word {
        key: "peer_listen",
        default: "127.0.0.1:7413",
        allowed: "a loopback address with its port, such as 127.0.0.1:7413",
        effect: "Where other members connect, if the node is one; the map tells it to them as `peer`.",
        check: loopback,
    },
    Word {
        key: "driver",
        default: "auto",
        allowed: "auto, ring or syscall",
        effect: "How the node talks to the kernel. `auto` takes the ring unless io_uring is blocked.",
        check: |text| one_of(text, &["auto", "ring", "syscall"]),
    },
    Word {
        key: "durable",
        default: "auto",
        allowed: "auto, link or dsync",
        effect: "How a write is made durable: `link` puts fdatasync behind it, `dsync` writes with RWF_DSYNC. `auto` \
                 decides by the disk's cache and by measuring.",
        check: |text| one_of(text, &["auto", "link", "dsync"]),
    },
    Word {
        key: "read_proof",
        default: "lease",
        allowed: "lease or round_trip",
        effect: "What a linearizable read of a leader among members rests on. `lease`: the promises of all required \
                 members, and nothing is sent for a read. `round_trip`: each of them answers once more before a read \
                 does, which holds also where a paused virtual machine stops the clock.",
        check: |text| one_of(text, &["lease", "round_trip"]),
    },
    Word {
        key: "receive",
        default: "auto",
        allowed: "auto, one-shot or multishot",
        effect: "How the ring receives: `one-shot` asks for each receive, into the connection's own buffer; \
                 `multishot` asks once for each connection, into buffers that all share, which costs less where \
                 each receive brings little and a copy more where it brings much. `auto` is multishot where the \
                 kernel has it.",
        check: |text| one_of(text, &["auto", "one-shot", "multishot"]),
    },
    Word {
        key: "huge_pages",
        default: "on",
        allowed: "on or off",
        effect: "Whether memory is asked for in pages of 2 MiB where the kernel gives them on request: looks at many \
                 rows are faster by a third, and memory grows in larger steps. To ask, the process executes itself again \
                 with `glibc.malloc.hugetlb=1`, and heaps of 64 MiB, in GLIBC_TUNABLES; where that names it already, \
                 nothing is done.",
        check: |text| one_of(text, &["on", "off"]),
    },
];

impl Word {
    pub(super) fn accept(&self, given: &Given) -> Result<String, String> {
        let refuse = |why: String| format!("{} = {given} {why}; allowed: {}", self.key, self.allowed);
        match given {
            Given::Text(text) => (self.check)(text).map(|()| text.clone()).map_err(refuse),
            Given::Number(_) | Given::Other(_) => Err(refuse("is no text".into())),
        }
    }
}

fn one_of(text: &str, known: &[&str]) -> Result<(), String> {
    if known.contains(&text) { Ok(()) } else { Err("is none of them".into()) }
}

/// Whoever can reach a node is obeyed, so it may be reached from this machine alone.
fn loopback(text: &str) -> Result<(), String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(()),
        Ok(_) => Err(
            "can be reached from outside, and this version asks nobody for credentials, so a tunnel or a \
                      proxy must do that"
                .into(),
        ),
        Err(_) => Err("is no address".into()),
    }
}
