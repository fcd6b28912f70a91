//! Which driver a node runs, and why.

use std::fmt;

use super::probe::Obstacle;
use crate::params::RECEIVE_BUFFERS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// io_uring: sockets and logs of a worker on one ring.
    Ring,
    /// epoll for the sockets and threads for the logs, where io_uring is blocked.
    Syscall,
}

impl Kind {
    /// As `--driver` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ring => "ring",
            Kind::Syscall => "syscall",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Kind::Ring => "io_uring",
            Kind::Syscall => "epoll and log threads",
        }
    }
}

/// How the ring receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Receive {
    /// Each receive by an operation of its own, into the connection's buffer.
    #[default]
    OneShot,
    /// By one operation for as long as the connection lasts, into buffers that all connections share.
    Multishot { buffers: u16 },
}

impl fmt::Display for Receive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Receive::OneShot => "one-shot",
            Receive::Multishot { .. } => "multishot",
        })
    }
}

/// What is run, and why it is not what was wanted, if it is not. Who wants nothing gets what works.
pub fn receive(
    wanted: Option<Receive>,
    kind: Kind,
    works: impl FnOnce() -> Result<(), String>,
) -> (Receive, Option<String>) {
    let multishot = match wanted {
        Some(Receive::OneShot) => return (Receive::OneShot, None),
        Some(multishot) => multishot,
        None => Receive::Multishot { buffers: RECEIVE_BUFFERS },
    };
    let works = match kind {
        Kind::Syscall => Err("it is a way of the ring".to_owned()),
        Kind::Ring => works(),
    };
    let not_followed =
        |why| format!("receive = multishot is not followed: {why}; each receive is an operation of its own");
    match works {
        Ok(()) => (multishot, None),
        Err(why) => (Receive::OneShot, wanted.is_some().then(|| not_followed(why))),
    }
}

/// What was chosen. Shown at the start and in the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub kind: Kind,
    /// Why, and what would change it.
    pub why: String,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.kind.name(), self.kind.what(), self.why)
    }
}

/// `wanted` is an order and is followed or refused. Without one a *blocked* io_uring gives way to system calls; one
/// that is broken in another way is for a person to look at, who may order them.
pub fn choose(wanted: Option<Kind>, ring: Result<(), Obstacle>) -> Result<Choice, Obstacle> {
    let chosen = |kind, why| Ok(Choice { kind, why });
    match (wanted, ring) {
        (Some(Kind::Syscall), _) => chosen(Kind::Syscall, "as --driver asks".into()),
        (Some(Kind::Ring), Ok(())) => chosen(Kind::Ring, "as --driver asks".into()),
        (None, Ok(())) => chosen(Kind::Ring, "io_uring works here".into()),
        (None, Err(obstacle)) if obstacle.blocked => chosen(Kind::Syscall, obstacle.to_string()),
        (Some(Kind::Ring) | None, Err(mut obstacle)) => {
            obstacle.way_out += ", or start with --driver syscall";
            Err(obstacle)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked() -> Obstacle {
        Obstacle { what: "io_uring is blocked".into(), way_out: "unblock it".into(), blocked: true }
    }

    #[test]
    fn the_ring_unless_it_is_blocked() {
        assert_eq!(choose(None, Ok(())).unwrap().kind, Kind::Ring);
        let choice = choose(None, Err(blocked())).unwrap();
        assert_eq!(choice.kind, Kind::Syscall);
        assert!(choice.why.contains("blocked") && choice.why.contains("unblock it"), "{choice}");
        let broken = Obstacle { what: "too old".into(), way_out: "run another".into(), blocked: false };
        let refused = choose(None, Err(broken)).unwrap_err();
        assert!(refused.way_out.contains("run another") && refused.way_out.contains("--driver syscall"));
    }

    #[test]
    fn a_way_to_receive_gives_way_where_it_is_missing() {
        let wanted = Receive::Multishot { buffers: 8 };
        let one_shot = (Receive::OneShot, None);
        assert_eq!(receive(Some(wanted), Kind::Ring, || Ok(())), (wanted, None));
        assert_eq!(receive(Some(Receive::OneShot), Kind::Ring, || panic!("not asked")), one_shot);
        for kind in [Kind::Ring, Kind::Syscall] {
            let (run, why) = receive(Some(wanted), kind, || Err("too old".into()));
            assert!(run == Receive::OneShot && why.is_some_and(|why| why.contains("receive = multishot")));
            assert_eq!(receive(None, kind, || Err("too old".into())), one_shot);
        }
        let (run, why) = receive(None, Kind::Ring, || Ok(()));
        assert!(matches!(run, Receive::Multishot { .. }) && why.is_none());
    }

    #[test]
    fn an_order_is_followed_or_refused() {
        assert_eq!(choose(Some(Kind::Syscall), Ok(())).unwrap().kind, Kind::Syscall);
        assert_eq!(choose(Some(Kind::Syscall), Err(blocked())).unwrap().kind, Kind::Syscall);
        assert_eq!(choose(Some(Kind::Ring), Ok(())).unwrap().kind, Kind::Ring);
        assert!(choose(Some(Kind::Ring), Err(blocked())).unwrap_err().way_out.contains("unblock it"));
    }
}
