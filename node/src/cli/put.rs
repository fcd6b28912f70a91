//! `seawall put`: one row, replaced whole.

use clap::Args;
use seawall::address::RowPath;
use seawall::message::term::Ttl;
use seawall::{Commit, Row, Value};

use super::connect::Connect;
use super::{Exit, args, ended};

/// Put a row; all its fields are replaced.
#[derive(Args)]
pub(super) struct Put {
    /// The row. A '/' inside of a part is written %2F.
    #[arg(value_name = "TABLE/PARTITION/ROW")]
    row: RowPath,
    /// Its fields. TYPE is text, int, bool, decimal, time, bytes or set; without it, true and false are bools, whole
    /// numbers are ints, and all else is text.
    #[arg(value_name = "FIELD[:TYPE]=VALUE", required = true, value_parser = args::field)]
    fields: Vec<(String, Value)>,
    /// How long the row lives: 500ms, 30s, 15m, 24h, 7d.
    #[arg(long, value_name = "DURATION", value_parser = args::ttl)]
    ttl: Option<Ttl>,
    #[command(flatten)]
    once: Once,
    #[command(flatten)]
    connect: Connect,
}

/// What makes a commit happen once, however often it is sent.
#[derive(Args)]
pub(super) struct Once {
    /// A name for this commit within its partition. Run it again under the same key, and the first outcome is told.
    #[arg(long, value_name = "KEY")]
    key: Option<args::RequestName>,
    /// When the key was first sent; now, if it is left out. Needed to repeat a commit that is older than the memory of
    /// outcomes (24 hours).
    #[arg(long, value_name = "TIME", requires = "key", value_parser = args::time)]
    first_sent: Option<i64>,
}

impl Once {
    pub(super) fn apply(&self, commit: Commit) -> Result<Commit, String> {
        let commit = match &self.key {
            None => return Ok(commit),
            Some(args::RequestName::Caller(name)) => commit.key(name),
            Some(args::RequestName::Session(..)) => {
                return Err(
                    "--key session:… belongs to the client that made it: choose a key of your own".into()
                );
            }
        };
        Ok(match self.first_sent {
            Some(us) => commit.first_sent(us),
            None => commit,
        })
    }
}

impl Put {
    pub(super) fn run(self) -> Exit {
        let Self { row: path, fields, ttl, once, connect } = self;
        let mut row = Row::new();
        for (name, value) in fields {
            if row.insert(name.clone(), value).is_some() {
                return Exit::Usage(format!("field '{name}' is given twice"));
            }
        }
        let commit = Commit::new(&path.partition);
        let commit = match ttl {
            Some(ttl) => commit.put_for(&path.row, row, ttl),
            None => commit.put(&path.row, row),
        };
        match once.apply(commit) {
            Ok(commit) => connect.with(|client| ended::send(client, &connect, &commit, &path.to_string())),
            Err(why) => Exit::Usage(why),
        }
    }
}
