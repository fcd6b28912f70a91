//! System calls that fail on request, for the calling thread and for the threads and processes that it starts later.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// A system call, and when it fails; without a rule always.
pub type Call = (i64, Vec<SeccompRule>);

pub fn always(calls: &[i64]) -> Vec<Call> {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

/// When the argument `nth`, counted from 0, compares like this.
pub fn when(call: i64, nth: u8, operator: SeccompCmpOp, value: i32) -> Call {
    let condition = SeccompCondition::new(nth, SeccompCmpArgLen::Dword, operator, value as u64);
    (call, vec![SeccompRule::new(vec![condition.expect("a condition")]).expect("a rule")])
}

/// Runs `body` on a thread where `calls` end with `errno`. There is no way back from that, so the thread ends.
pub fn without<T: Send + 'static>(
    calls: Vec<Call>,
    errno: i32,
    body: impl FnOnce() -> T + Send + 'static,
) -> T {
    let thread = std::thread::spawn(move || {
        let fails = SeccompAction::Errno(errno as u32);
        let machine = std::env::consts::ARCH.try_into().expect("an architecture that seccompiler knows");
        let filter = SeccompFilter::new(calls.into_iter().collect(), SeccompAction::Allow, fails, machine);
        let program: BpfProgram = filter.expect("a filter").try_into().expect("a program");
        seccompiler::apply_filter(&program).expect("a thread may forbid itself something");
        body()
    });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
