//! A thread that does one order after the other and tells the worker what came of each. It decides nothing, and commits go
//! first.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::driver::mailbox::{Control, Post};
use crate::seam::{Event, WorkerId};

/// Dropped, it ends after the order that it works on, which looks at [`Stop`] if it takes long.
pub struct Hand<O> {
    orders: Option<Sender<O>>,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

/// Whether the thread is to end.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<O: Send + 'static> Hand<O> {
    pub fn start(
        name: &str,
        cpus: Vec<usize>,
        post: Arc<Post>,
        stop: Stop,
        mut execute: impl FnMut(O) -> (WorkerId, Event) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, orders) = mpsc::channel::<O>();
        let asked = stop.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            be_nice(&cpus);
            for order in orders {
                if asked.is_asked() {
                    return;
                }
                let (worker, event) = execute(order);
                let mut control = Control::Told(Box::new(event));
                while let Err(back) = post.control(worker, control) {
                    if asked.is_asked() {
                        return;
                    }
                    control = back;
                    thread::sleep(Duration::from_millis(1));
                }
            }
        })?;
        Ok(Self { orders: Some(sender), stop, thread: Some(thread) })
    }

    pub fn orders(&self) -> Sender<O> {
        self.orders.clone().expect("it runs")
    }
}

impl<O> Drop for Hand<O> {
    fn drop(&mut self) {
        self.stop.0.store(true, Ordering::Relaxed);
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a thread that panics takes the process with it");
        }
    }
}

/// Niceness alone does not do it: the kernel's own threads, which end a worker's writes on its CPU, were seen to wait 36 ms
/// for one that is nice. So it stays away from the workers where there is a CPU without one.
fn be_nice(cpus: &[usize]) {
    // SAFETY: both calls take numbers only. A thread is a process to the scheduler: 0 names this one.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 10);
        const WHO_PROCESS: i32 = 1;
        const IDLE: i32 = 3 << 13;
        libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, IDLE);
    }
    let known: Vec<usize> = cpus.iter().copied().filter(|cpu| *cpu < libc::CPU_SETSIZE as usize).collect();
    if known.is_empty() {
        return;
    }
    // SAFETY: a set of bits, for which all zeros is the empty one; each CPU is within it; and the call reads it only while it
    // runs. 0 names this thread. It may fail, and then the thread runs where it did.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        known.iter().for_each(|cpu| libc::CPU_SET(*cpu, &mut set));
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}
