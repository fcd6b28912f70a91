//! How a commit ended, for `put` and `commit`.

use seawall::client::{Committed, Doubt, Unknown};
use seawall::message::assigned::Result as Assigned;
use seawall::message::request_key::KeyName;
use seawall::{Client, Commit, Outcome, Value};

use super::args::{RequestName, quoted};
use super::connect::{Connect, explained};
use super::{Exit, columns};
use crate::json::answer;

/// Sends the commit and says what became of it; `what` is its name for people.
pub(super) fn send(
    client: &mut Client,
    connect: &Connect,
    commit: &Commit,
    what: &str,
) -> seawall::Result<Exit> {
    let outcome = client.commit(commit)?;
    connect.say_json(|| answer::outcome(&outcome));
    Ok(match &outcome {
        Outcome::Committed(done) => {
            if !connect.json {
                crate::driver::console::say(columns::plain_lines(&committed(done, what)));
            }
            Exit::Done
        }
        Outcome::Rejected(why) => Exit::Refused(explained(why)),
        Outcome::Unknown(doubt) => Exit::Refused(unknown(doubt, commit, connect.address())),
    })
}

fn committed(done: &Committed, what: &str) -> String {
    let mut text = format!("committed {what}\nversion  {}\ntoken    {}", done.version, done.token);
    if done.replayed {
        text += "\nreplayed  it had been decided before under this key; this is its outcome";
    }
    for assigned in done.results.list().iter() {
        let came_to = match assigned.result {
            Assigned::Value(value) => format!("now {}", columns::plain(&value.to_value().to_string())),
            Assigned::Sequence(sequence) => format!("sequence {sequence}"),
            Assigned::Lease { token, expires_us } => {
                format!("lease token {token}, until {}", Value::Time(expires_us))
            }
        };
        text += &format!("\noperation {}  {came_to}", assigned.op);
    }
    text
}

/// Why nobody knows, and the command that settles it.
fn unknown(doubt: &Unknown, commit: &Commit, address: &str) -> String {
    let why = match &doubt.why {
        Doubt::Refusal(why) => explained(why),
        Doubt::Connection(why) => format!("the commit was sent, and no answer came ({why})"),
    };
    if doubt.is_beyond_settling() {
        return format!("UNKNOWN whether it was done: {why}");
    }
    let Some(sent) = &doubt.key else { return format!("UNKNOWN whether it was done: {doubt}") };
    let key = match commit.request_key().map(|key| key.name) {
        Some(KeyName::Caller(name)) => RequestName::typed(name),
        Some(KeyName::Session { .. }) | None => sent.to_string(),
    };
    let first_sent = sent.first_sent_us().map(|us| format!(" --first-sent {}", Value::Time(us)));
    format!(
        "UNKNOWN whether it was done: {why}\nto settle it for good, run\n  seawall resolve {} {}{} --connect {}",
        quoted(&doubt.partition.to_string()),
        quoted(&key),
        first_sent.unwrap_or_default(),
        quoted(address),
    )
}

#[cfg(test)]
mod tests {
    use seawall::Key;
    use seawall::client::SentKey;

    use super::*;

    #[test]
    fn an_expired_key_is_not_sent_to_resolve() {
        let commit = Commit::new("p").key("k");
        let key = Some(SentKey::caller("k", 5));
        let why = Doubt::Refusal(seawall::Refusal::key_expired(10, 5));
        let text = unknown(&Unknown { partition: Key::from("p"), key, why }, &commit, "127.0.0.1:7411");
        assert!(text.starts_with("UNKNOWN") && text.contains("KEY_EXPIRED"), "{text}");
        assert!(text.contains("read the rows") && text.contains("another key"), "{text}");
        assert!(!text.contains("resolve") && !text.contains("RESOLVE"), "{text}");
    }

    #[test]
    fn what_is_unknown_comes_with_the_command_that_settles_it() {
        let commit = Commit::new("HP 2026").key("it's mine");
        let doubt = Unknown {
            partition: Key::from("HP 2026"),
            key: Some(SentKey::caller("it's mine", 1_784_053_800_000_000)),
            why: Doubt::Connection("connection reset".to_owned()),
        };
        let text = unknown(&doubt, &commit, "127.0.0.1:7411");
        assert!(text.starts_with("UNKNOWN") && text.contains("connection reset"), "{text}");
        let command = "seawall resolve HP%202026 'it'\\''s mine' --first-sent 2026-07-14T18:30:00Z --connect 127.0.0.1:7411";
        assert!(text.ends_with(command), "{text}");
    }
}
