//! `seawall put`: one row, replaced whole.

use clap::Args;
use seawall::address::RowPath;
use seawall::{Client, Commit, Outcome, Row, Value};
use serde_json::json;

use super::Exit;
use super::connect::Connect;

/// Put a row; all its fields are replaced.
#[derive(Args)]
pub(super) struct Put {
    /// The row. A '/' inside of a part is written %2F.
    #[arg(value_name = "TABLE/PARTITION/ROW")]
    row: RowPath,
    /// Its fields. TYPE is text, int, bool, decimal, time or bytes; without it, true and false are bools, whole
    /// numbers are ints, and all else is text.
    #[arg(value_name = "FIELD[:TYPE]=VALUE", required = true, value_parser = field)]
    fields: Vec<(String, Value)>,
    #[command(flatten)]
    connect: Connect,
}

impl Put {
    pub(super) fn run(self) -> Exit {
        let Self { row: path, fields, connect } = self;
        let mut row = Row::new();
        for (name, value) in fields {
            if row.insert(name.clone(), value).is_some() {
                return Exit::Usage(format!("field '{name}' is given twice"));
            }
        }
        let commit = Commit::new(&path.partition).put(&path.row, row);
        connect.with(|client: &mut Client| match client.commit(&commit)? {
            Outcome::Committed(done) => {
                let (version, token) = (done.version.to_string(), done.token.to_string());
                connect.say(
                    || format!("committed {path}\nversion  {version}\ntoken    {token}"),
                    || json!({ "outcome": "committed", "version": version, "token": token }),
                );
                Ok(Exit::Done)
            }
            Outcome::Rejected(why) => Ok(Exit::Refused(why.to_string())),
            Outcome::Unknown(unknown) => Ok(Exit::Refused(unknown.to_string())),
        })
    }
}

fn field(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write FIELD=VALUE or FIELD:TYPE=VALUE")?;
    let (name, type_name) = match name.split_once(':') {
        Some((name, type_name)) => (name, Some(type_name)),
        None => (name, None),
    };
    seawall::check_name(name).map_err(|why| format!("'{name}' is no field's name: {why}"))?;
    let value = Value::parse(type_name, value).map_err(|why| why.to_string())?;
    Ok((name.to_owned(), value))
}
