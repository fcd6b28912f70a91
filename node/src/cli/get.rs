//! `seawall get`: one row as it is now, and what the answer rests on.

use clap::Args;
use seawall::address::RowPath;
use seawall::client::Got;

use super::Exit;
use super::columns::plain;
use super::connect::Connect;
use crate::json::answer;

/// Get a row as it is now (linearizable).
#[derive(Args)]
pub(super) struct Get {
    /// The row. A '/' inside of a part is written %2F.
    #[arg(value_name = "TABLE/PARTITION/ROW")]
    row: RowPath,
    #[command(flatten)]
    connect: Connect,
}

impl Get {
    pub(super) fn run(self) -> Exit {
        let Self { row: path, connect } = self;
        connect.with(|client| {
            let got = client.get(&path.partition, &path.row)?;
            connect.say(|| table(&path, &got), || answer::got(&got));
            Ok(Exit::Done)
        })
    }
}

fn table(path: &RowPath, got: &Got) -> String {
    let mut text = plain(&path.to_string());
    match &got.row {
        None => text += "\n(there is no such row)",
        Some(row) => {
            let width = row.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, value) in row.iter() {
                text += &format!("\n  {name:width$}  {}", plain(&value.to_string()));
            }
        }
    }
    if let Some(version) = got.version {
        text += &format!("\nversion  {version}");
    }
    text + &format!("\nas of    {}", got.token)
}
