//! Before a load that wants rows: puts every one of them.

use std::io::{Read, Write};

use seawall::limits::COMMIT_MAX;
use seawall::reply::Body;
use seawall::session::Answer;

use super::Unreachable;
use super::connect::{self, Connected};
use super::options::{COMMIT_OVERHEAD, Options};
use super::random::Random;
use super::rows;

/// Rows of one COMMIT_MANY: fewer than a node lets one connection have under way.
const AT_ONCE: usize = 512;

pub fn fill(options: &Options) -> Result<(), Unreachable> {
    let mut connected = connect::connect(&options.connect)?;
    let failed = |why: String| Unreachable(format!("the rows could not be put before the load: {why}"));
    connected.socket.set_nonblocking(false).map_err(|error| failed(error.to_string()))?;
    let at_once = (COMMIT_MAX / (options.value_bytes + COMMIT_OVERHEAD)).clamp(1, AT_ONCE);
    let mut random = Random::stream(u64::MAX - 1);
    let mut number = 0;
    while number < options.keys {
        let end = options.keys.min(number + at_once);
        let value = |random: &mut Random| (0..options.value_bytes).map(|_| random.next() as u8).collect();
        let commits: Vec<_> = (number..end).map(|number| rows::put(number, value(&mut random))).collect();
        put(&mut connected, &commits).map_err(failed)?;
        number = end;
    }
    Ok(())
}

/// Sends the commits and waits until all of them are durable.
fn put(connected: &mut Connected, commits: &[seawall::Commit]) -> Result<(), String> {
    let Connected { socket, session, .. } = connected;
    let mut out = Vec::new();
    session.commit_many(&mut out, commits, 0).map_err(|refusal| refusal.to_string())?;
    socket.write_all(&out).map_err(|error| error.to_string())?;
    let (mut bytes, mut chunk, mut done) = (Vec::new(), [0; 64 << 10], 0);
    while done < commits.len() {
        let read = socket.read(&mut chunk).map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the node closed the connection".to_owned());
        }
        bytes.extend_from_slice(&chunk[..read]);
        let mut used = 0;
        while let Answer::Reply(reply, len) =
            session.next(&bytes[used..]).map_err(|refusal| refusal.to_string())?
        {
            used += len;
            match reply.body {
                Body::Committed { .. } => done += 1,
                Body::Refused(why) => return Err(why.to_string()),
                other => return Err(format!("a commit was answered with {other:?}")),
            }
        }
        bytes.drain(..used);
    }
    Ok(())
}
