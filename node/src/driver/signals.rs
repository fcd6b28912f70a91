//! SIGINT and SIGTERM as values: blocked in every thread, taken by one that only waits for them.

use std::{io, mem, ptr, thread};

/// Blocks both signals for the calling thread and all that it starts later, and calls `arrived` for each from a
/// thread of its own.
pub fn listen(arrived: impl Fn() + Send + 'static) -> io::Result<()> {
    let signals = block()?;
    thread::Builder::new().name("seawall-signals".into()).spawn(move || {
        loop {
            let mut signal = 0;
            // SAFETY: both pointers are valid, and the signals of the set are blocked in this thread.
            let result = unsafe { libc::sigwait(&signals, &mut signal) };
            if result == 0 {
                arrived();
            }
        }
    })?;
    Ok(())
}

fn block() -> io::Result<libc::sigset_t> {
    // SAFETY: a signal set is plain data and `sigemptyset` initialises it; the pointers are valid.
    let (signals, result) = unsafe {
        let mut signals: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut signals);
        libc::sigaddset(&mut signals, libc::SIGINT);
        libc::sigaddset(&mut signals, libc::SIGTERM);
        (signals, libc::pthread_sigmask(libc::SIG_BLOCK, &signals, ptr::null_mut()))
    };
    if result == 0 { Ok(signals) } else { Err(io::Error::from_raw_os_error(result)) }
}
