//! Whether a multishot receive into provided buffers works here.

use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use io_uring::{cqueue, opcode, types};

use crate::driver::ring::provided::{GROUP, Piece, Provided};
use crate::driver::ring::queue::Queue;

/// Receives two bytes so, and says why it cannot.
pub(super) fn check() -> Result<(), String> {
    let failed = |e: io::Error| format!("this kernel's io_uring cannot do it ({e})");
    let mut queue = Queue::new(8, 16).map_err(failed)?;
    let provided = Provided::new(&queue, 1, 64).map_err(failed)?;
    let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
    ours.write_all(b"ok").map_err(failed)?;
    let receive = opcode::RecvMulti::new(types::Fd(theirs.as_raw_fd()), GROUP).build();
    // SAFETY: it names no memory but the provided buffer; both outlive the last completion, which is waited for.
    unsafe { queue.push(receive) };
    drop(ours); // the bytes, and then the end
    let (mut received, mut ended) = (Err(0), false);
    while !ended {
        queue.enter(1);
        while let Some(entry) = queue.pop() {
            ended |= !cqueue::more(entry.flags());
            match (entry.result(), cqueue::buffer_select(entry.flags())) {
                (to @ 1.., Some(buffer)) => received = Ok(Piece { buffer, from: 0, to: to as usize }),
                (errno, _) if received.is_err() => received = Err(-errno),
                _ => {} // the end, or that there is no second buffer
            }
        }
    }
    match received {
        Ok(piece) if provided.bytes(piece) == b"ok" => Ok(()),
        Ok(_) => Err("this kernel's io_uring received something else".to_owned()),
        Err(errno) => Err(failed(io::Error::from_raw_os_error(errno))),
    }
}
