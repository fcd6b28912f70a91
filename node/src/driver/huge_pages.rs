//! Memory in pages of 2 MiB: a look at one row of millions waits for page tables as long as for the row itself.
//!
//! Where the kernel gives such pages to those who ask (`madvise`, the usual setting), the allocator has to. glibc's
//! does so if its environment says it before the process begins, and by no call later; so the process begins again,
//! once, as the same process. With another allocator, or where the kernel always or never gives them, nothing happens.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{env, fs};

const TUNABLES: &str = "GLIBC_TUNABLES";
const WISH: &str = "glibc.malloc.hugetlb";

/// Comes back if there is nothing to do, or if it cannot be done: pages are then as they are. Before any thread.
pub fn ask() {
    let tunables = env::var_os(TUNABLES).unwrap_or_default();
    let given = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    if let (Some(tunables), Ok(program)) = (wish(tunables, &given), env::current_exe()) {
        let mut again = Command::new(program);
        let mut args = env::args_os();
        args.next().into_iter().for_each(|name| {
            again.arg0(name);
        });
        let _not_begun = again.args(args).env(TUNABLES, tunables).exec();
    }
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
        all.push(WISH);
        all.push("=1");
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
        assert_eq!(asked("", madvise).as_deref(), Some("glibc.malloc.hugetlb=1"));
        let beside = asked("glibc.malloc.arena_max=1", madvise).expect("a wish");
        assert_eq!(beside, "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1");
        assert_eq!(asked(&beside, madvise), None);
        assert_eq!(asked("glibc.malloc.hugetlb=0", madvise), None, "somebody does not want them");
        assert_eq!(asked("", "[always] madvise never\n"), None);
        assert_eq!(asked("", "always madvise [never]\n"), None);
        assert_eq!(asked("", ""), None);
    }
}
