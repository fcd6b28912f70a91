//! Memory in pages of 2 MiB: a look at one row of millions waits for page tables as long as for the row itself.
//!
//! Where the kernel gives such pages to those who ask (`madvise`, the usual setting), the allocator has to. glibc's
//! does so if its environment says it before the process begins, and by no call later; so the process begins again,
//! as the same process. With another allocator, or where the kernel always or never gives them, nothing happens.
//!
//! A thread's heap grows by pages, and glibc asks only for what it begins with. So heaps begin with all that they may
//! take, 64 MiB, of which the kernel gives what is used. To say so ends glibc's learning of what is large enough for a
//! mapping of its own, so that is said, too: frames and buffers are not mapped and unmapped each time.
//!
//! glibc 2.36 compares what the kernel says with a text that has no end, so it asks or does not as chance has it. Whether
//! it does shows in the first large allocation; where it does not, the process begins again, a few times at most.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{env, fs};

const TUNABLES: &str = "GLIBC_TUNABLES";
const WISH: &str = "glibc.malloc.hugetlb";
const WISHES: &str =
    "glibc.malloc.hugetlb=1:glibc.malloc.top_pad=67108864:glibc.malloc.mmap_threshold=4194304";
/// How often this process has begun again, and with which tunables: glibc cuts its own variable at the first of them.
const ASKED: &str = "SEAWALL_ASKED_FOR_LARGE_PAGES";
const MOST: u32 = 12;
/// Mapped by itself.
const LARGE: usize = 8 << 20;

/// Comes back if there is nothing to do, or if it cannot be done: pages are then as they are. Before any thread.
pub fn ask() {
    let asked = env::var(ASKED).unwrap_or_default();
    let (times, tunables) = match asked.split_once(' ') {
        None => (0, wish(env::var_os(TUNABLES).unwrap_or_default(), &given())),
        Some((times, tunables)) => {
            let times = times.parse().unwrap_or(MOST);
            (times, (times < MOST && !heard()).then(|| tunables.into()))
        }
    };
    if let (Some(tunables), Ok(program)) = (tunables, env::current_exe()) {
        let mut again = Command::new(program);
        let mut args = env::args_os();
        args.next().into_iter().for_each(|name| {
            again.arg0(name);
        });
        let mut asked = OsString::from(format!("{} ", times + 1));
        asked.push(&tunables);
        let _not_begun = again.args(args).env(TUNABLES, tunables).env(ASKED, asked).exec();
    }
}

/// To whom the kernel gives large pages.
fn given() -> String {
    fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default()
}

/// Whether what is allocated now asks for large pages: the kernel marks such memory.
pub fn heard() -> bool {
    let large: Vec<u8> = Vec::with_capacity(LARGE);
    let maps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    marked(&maps, large.as_ptr().addr()).unwrap_or(true)
}

/// `None`: it does not stand there.
fn marked(maps: &str, address: usize) -> Option<bool> {
    let within = |line: &str| {
        let (begin, end) = line.split(' ').next()?.split_once('-')?;
        let at = |text| usize::from_str_radix(text, 16).ok();
        Some((at(begin)?..at(end)?).contains(&address))
    };
    let mut lines = maps.lines().skip_while(|line| within(line) != Some(true));
    let flags = lines.find_map(|line| line.strip_prefix("VmFlags:"))?;
    Some(flags.split_whitespace().any(|flag| flag == "hg"))
}

/// What the environment has to say, if it does not say anything about it yet, and if it is of use.
fn wish(tunables: OsString, given: &str) -> Option<OsString> {
    let glibc = cfg!(all(target_os = "linux", target_env = "gnu"));
    let said = tunables.to_string_lossy().contains(WISH);
    (glibc && !said && given.contains("[madvise]")).then(|| {
        let mut all = tunables;
        if !all.is_empty() {
            all.push(":");
        }
        all.push(WISHES);
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_env = "gnu")]
    fn it_is_asked_once_and_beside_what_is_asked_already() {
        let asked =
            |before: &str, given| wish(before.into(), given).map(|all| all.into_string().expect("UTF-8"));
        let madvise = "always [madvise] never\n";
        assert_eq!(asked("", madvise).as_deref(), Some(WISHES));
        let beside = asked("glibc.malloc.arena_max=1", madvise).expect("a wish");
        assert_eq!(beside, format!("glibc.malloc.arena_max=1:{WISHES}"));
        assert_eq!(asked(&beside, madvise), None);
        assert_eq!(asked("glibc.malloc.hugetlb=0", madvise), None, "somebody does not want them");
        assert_eq!(asked("", "[always] madvise never\n"), None);
        assert_eq!(asked("", "always madvise [never]\n"), None);
        assert_eq!(asked("", ""), None);
    }

    #[test]
    fn the_kernel_says_whether_memory_was_asked_for() {
        let maps = "7f00-7f80 rw-p 00000000 00:00 0 \nRss:  4 kB\nVmFlags: rd wr mr hg \n\
                    7f80-8000 rw-p 00000000 00:00 0 \nVmFlags: rd wr mr \n";
        assert_eq!(marked(maps, 0x7f7f), Some(true));
        assert_eq!(marked(maps, 0x7f80), Some(false));
        assert_eq!(marked(maps, 0x8000), None);
        assert!(
            marked(&fs::read_to_string("/proc/self/smaps").expect("Linux"), maps.as_ptr().addr()).is_some()
        );
    }
}
