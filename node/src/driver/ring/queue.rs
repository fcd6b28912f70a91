//! The two queues shared with the kernel, and the one system call of the hot path.

use std::io;

use io_uring::{IoUring, cqueue, opcode, squeue};

/// The kernel side of a ring. What is pushed goes to the kernel with the next enter, all in one call.
pub(in crate::driver) struct Queue {
    ring: IoUring,
    /// How many system calls were made, and how many completions they brought; measures, not states.
    pub enters: u64,
    pub completions: u64,
    /// How many operations were pushed.
    pub submissions: u64,
}

const GETEVENTS: u32 = 1; // IORING_ENTER_GETEVENTS: with DEFER_TASKRUN nothing completes without it

impl Queue {
    /// SINGLE_ISSUER and DEFER_TASKRUN: one thread submits, and completions are worked off only while it waits.
    /// SUBMIT_ALL: one bad entry must not leave the rest behind.
    pub fn new(submissions: u32, completions: u32) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(completions)
            .build(submissions)?;
        if !ring.params().is_feature_nodrop() {
            return Err(io::Error::other("this kernel's io_uring may drop completions (no NODROP)"));
        }
        Ok(Self { ring, enters: 0, completions: 0, submissions: 0 })
    }

    pub fn register_files(&self, places: u32) -> io::Result<()> {
        self.ring.submitter().register_files_sparse(places)
    }

    /// The ring holds the file from now on, whatever becomes of `fd`.
    pub fn register_file(&self, place: u32, fd: i32) -> io::Result<()> {
        self.ring.submitter().register_files_update(place, &[fd]).map(drop)
    }

    /// # Safety
    /// Each range must be memory of this process. The kernel pins its pages; it touches them only for an operation
    /// that names them.
    pub unsafe fn register_buffers(&self, ranges: &[libc::iovec]) -> io::Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.ring.submitter().register_buffers(ranges) }
    }

    /// The kernel lets all registered memory go.
    pub fn unregister_buffers(&self) -> io::Result<()> {
        self.ring.submitter().unregister_buffers()
    }

    /// # Safety
    /// `entries` places of 16 bytes at the address, which is a whole number of pages, stay valid as long as the ring.
    pub unsafe fn register_offers(&self, address: u64, entries: u16, group: u16) -> io::Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.ring.submitter().register_buf_ring_with_flags(address, entries, group, 0) }
    }

    /// # Safety
    /// Memory and files that `entry` names stay valid, and nobody else touches the memory, until its last
    /// completion was popped.
    pub unsafe fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: the caller's promise.
        unsafe { self.push_all(&[entry]) }
    }

    /// Pushes two operations of which the second starts only when the first succeeded wholly. They go to the
    /// kernel in the same call: a chain ends where a submission ends. One completion comes: the first one's if it
    /// failed or fell short, and then none for the second; otherwise the second one's. So a sleeper is woken once.
    ///
    /// # Safety
    /// As for [`Queue::push`], for both.
    pub unsafe fn push_linked(&mut self, first: squeue::Entry, second: squeue::Entry) {
        // SAFETY: the caller's promise.
        unsafe { self.push_all(&[first.flags(squeue::Flags::IO_LINK | squeue::Flags::SKIP_SUCCESS), second]) }
    }

    /// What it cancels reports for itself.
    pub fn cancel(&mut self, user_data: u64) {
        let entry = opcode::AsyncCancel::new(user_data).build().user_data(crate::driver::table::CANCELLATION);
        // SAFETY: a cancellation names no memory.
        unsafe { self.push(entry) }
    }

    /// # Safety
    /// As for [`Queue::push`], for all of them.
    unsafe fn push_all(&mut self, entries: &[squeue::Entry]) {
        self.submissions += entries.len() as u64;
        // SAFETY: the caller's promise.
        while unsafe { self.ring.submission().push_multiple(entries) }.is_err() {
            self.enter(0); // the queue is full: the kernel takes all of it, and there is room
        }
    }

    /// Submits everything pushed, and sleeps until `completions` are there.
    pub fn enter(&mut self, completions: u32) {
        let pushed = self.ring.submission().len();
        self.enters += 1;
        // SAFETY: no argument is passed; the counts say how much of our own queue to take and what to wait for.
        let taken = unsafe {
            self.ring.submitter().enter::<libc::sigset_t>(pushed as u32, completions, GETEVENTS, None)
        };
        match taken {
            // A chain of which the kernel took only the first half has lost its flush, and nothing would tell.
            Ok(taken) if pushed > 0 => {
                assert_eq!(
                    taken, pushed,
                    "the kernel took a part of a submission: a flush may be cut off its write"
                );
            }
            Ok(_) => {}
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {}
            Err(e) => panic!("io_uring_enter failed: {e}"),
        }
    }

    /// Everything that was pushed was taken by the kernel, and no completion waits outside the queue.
    pub fn is_settled(&mut self) -> bool {
        let submissions = self.ring.submission();
        submissions.is_empty() && !submissions.cq_overflow()
    }

    pub fn pop(&mut self) -> Option<cqueue::Entry> {
        let entry = self.ring.completion().next();
        self.completions += u64::from(entry.is_some());
        entry
    }
}
