//! `seawall resolve`: makes final what became of a commit.

use clap::Args;
use seawall::client::Settled;
use seawall::{Key, Value};

use super::Exit;
use super::args::{self, RequestName};
use super::connect::{Connect, explained};
use crate::json::answer;

/// Make final what became of a commit: after this, it either has happened or never will.
#[derive(Args)]
pub(super) struct Resolve {
    /// The commit's partition.
    #[arg(value_name = "PARTITION", value_parser = args::key)]
    partition: Key,
    /// The key that it was sent under.
    #[arg(value_name = "KEY")]
    key: RequestName,
    /// When it was first sent, as the commit's unknown outcome says; now, if it is left out.
    #[arg(long, value_name = "TIME", value_parser = args::time)]
    first_sent: Option<i64>,
    #[command(flatten)]
    connect: Connect,
}

impl Resolve {
    pub(super) fn run(self) -> Exit {
        let Self { partition, key, first_sent, connect } = self;
        connect.with(|client| {
            let now = client.node().map_or(0, |node| node.server_time_us);
            let settled = client.resolve(&partition, key.sent(first_sent.unwrap_or(now)))?;
            connect.say(|| told(&settled, first_sent), || answer::settled(&settled));
            Ok(Exit::Done)
        })
    }
}

fn told(settled: &Settled, first_sent: Option<i64>) -> String {
    match settled {
        Settled::Committed(done) => format!("COMMITTED: it happened\nversion  {}\ntoken    {}", done.version, done.token),
        Settled::Rejected(why) => format!("REJECTED: it was decided, and nothing was done\n{}", explained(why)),
        Settled::Aborted => match first_sent {
            Some(us) => format!("ABORTED: it never happened, and never will (first sent {})", Value::Time(us)),
            None => "ABORTED: it did not happen within the memory of outcomes (24 hours), and will not from now on; \
                     with --first-sent TIME an older one is told apart"
                .to_owned(),
        },
        Settled::InFlight => "IN_FLIGHT: it is being decided; ask again".to_owned(),
        Settled::Unseen(token) => format!("UNSEEN: not arrived as of {token}; it may yet"),
        Settled::Expired => "EXPIRED: it is older than the memory of outcomes: read the rows to find out".to_owned(),
        Settled::Lost => "LOST: it happened in a history that was lost since".to_owned(),
    }
}
