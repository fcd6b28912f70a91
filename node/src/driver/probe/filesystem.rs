//! The file system under the data directory, and what of it is unsafe, unproven or slow for a log.

use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::path::Path;

use super::disk::statx;

/// Less room than this, in bytes or as a share of the whole, is called nearly full.
const LITTLE_BYTES: u64 = 1 << 30;
const LITTLE_SHARE: u64 = 20;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSystem {
    /// Its name: that of the mount table where the number alone is ambiguous.
    pub kind: String,
    pub source: String,
    pub mount_point: String,
    /// Those of the mount and those of the file system, as the mount table has them.
    pub options: Vec<String>,
    pub free_bytes: u64,
    pub bytes: u64,
    /// Whether new files are written in place, which btrfs does not do by itself.
    pub nocow: bool,
}

/// What a person should know before trusting the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// `unsafe`, `unproven`, `slow` or `space`.
    pub kind: &'static str,
    pub what: String,
    pub way_out: &'static str,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.kind, self.what, self.way_out)
    }
}

impl FileSystem {
    /// Of the open directory.
    pub(super) fn of(directory: &File) -> io::Result<Self> {
        let about = statfs(directory)?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mount =
            statx(directory, libc::STATX_MNT_ID).and_then(|about| Mount::find(&mounts, about.stx_mnt_id));
        let mount = mount.unwrap_or_default();
        let block = about.f_frsize as u64;
        Ok(Self {
            kind: name(about.f_type as u64, &mount.kind),
            source: mount.source,
            mount_point: mount.point,
            options: mount.options,
            free_bytes: about.f_bavail * block,
            bytes: about.f_blocks * block,
            nocow: is_nocow(directory),
        })
    }

    pub fn warnings(&self) -> Vec<Warning> {
        let mut all = self.of_kind();
        all.extend(self.of_options());
        let little = LITTLE_BYTES.max(self.bytes / LITTLE_SHARE);
        if self.bytes > 0 && self.free_bytes < little {
            let free = size(self.free_bytes);
            let what = format!("{free} of {} are free", size(self.bytes));
            all.push(Warning {
                kind: "space",
                what,
                way_out: "make room: a log that cannot grow refuses commits",
            });
        }
        all
    }

    fn of_kind(&self) -> Vec<Warning> {
        let local = "use ext4 or XFS on a local disk";
        let (kind, what, way_out) = match self.kind.as_str() {
            "ext4" | "xfs" => return Vec::new(),
            "ext3" | "ext2" => ("slow", "was not made for direct I/O on preallocated files", local),
            "btrfs" if self.nocow || self.has("nodatacow") => return Vec::new(),
            "btrfs" => (
                "slow",
                "copies every block that is written again, so commits are slow and segments fall to pieces",
                "run `chattr +C` on the data directory while it is empty (NOCOW; the log has its own checksums)",
            ),
            "overlay" if self.has("volatile") => (
                "unsafe",
                "was mounted as volatile: flushes do nothing",
                "mount a volume for the data directory",
            ),
            "overlay" => (
                "unsafe",
                "is the layer of a container and goes away with it",
                "mount a volume for the data directory",
            ),
            "tmpfs" | "ramfs" => ("unsafe", "is memory: nothing outlives the machine's power", local),
            "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "virtiofs" | "ceph" => (
                "unproven",
                "is somebody else's disk: what a flush means there cannot be seen from here",
                local,
            ),
            "zfs" => (
                "unproven",
                "writes every block anew and answers flushes by its own log, or not at all with sync=disabled",
                "check `zfs get sync,logbias`, or use ext4 or XFS",
            ),
            kind if kind.starts_with("fuse") => {
                ("unproven", "is a program: RWF_DSYNC may reach it as a plain write, without a flush", local)
            }
            _ => ("unproven", "was never tried with this program", local),
        };
        vec![Warning { kind, what: format!("{} {what}", self.kind), way_out }]
    }

    fn of_options(&self) -> Vec<Warning> {
        let mut all = Vec::new();
        if self.has("nobarrier") || self.has("barrier=0") {
            all.push(Warning {
                kind: "unsafe",
                what: "it is mounted without barriers: flushes do not reach the disk's cache".into(),
                way_out: "remount it with `barrier` unless the cache survives a power cut",
            });
        }
        if self.has("data=journal") {
            all.push(Warning {
                kind: "slow",
                what: "data=journal writes every block twice and takes direct I/O away".into(),
                way_out: "mount it with data=ordered",
            });
        }
        all
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|o| o == option)
    }
}

impl std::fmt::Display for FileSystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.kind)?;
        if !self.mount_point.is_empty() {
            write!(f, " of {} on {}", self.source, self.mount_point)?;
        }
        write!(f, ", {} of {} free", size(self.free_bytes), size(self.bytes))
    }
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while amount >= 1024.0 && units.len() > 0 {
        amount /= 1024.0;
        unit = units.next();
    }
    format!("{amount:.1} {}", unit.expect("there are units left"))
}

/// The mount table tells what shares a number (ext2 to ext4, the kinds of FUSE) and what has none here.
fn name(number: u64, mounted_as: &str) -> String {
    let known = match number as u32 {
        0xEF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0x794C_7630 => "overlay",
        0x0102_1994 => "tmpfs",
        0x8584_58F6 => "ramfs",
        0x6969 => "nfs",
        0x6573_5546 => "fuse",
        0x2FC1_2FC1 => "zfs",
        0x0102_1997 => "9p",
        0xFF53_4D42 | 0xFE53_4D42 => "cifs",
        _ => "",
    };
    match (mounted_as, known) {
        ("", "") => format!("file system {number:#x}"),
        ("", known) => known.into(),
        (mounted_as, _) => mounted_as.into(),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Mount {
    kind: String,
    source: String,
    point: String,
    options: Vec<String>,
}

impl Mount {
    /// In the text of /proc/self/mountinfo.
    fn find(mounts: &str, id: u64) -> Option<Self> {
        mounts.lines().find_map(|line| {
            let (mount, file_system) = line.split_once(" - ")?;
            let mut mount = mount.split(' ');
            if mount.next()?.parse() != Ok(id) {
                return None;
            }
            let (point, of_mount) = (mount.nth(3)?, mount.next()?);
            let mut file_system = file_system.split(' ');
            let (kind, source) = (file_system.next()?, file_system.next()?);
            let options = of_mount.split(',').chain(file_system.next()?.split(','));
            let (kind, options) = (kind.into(), options.map(str::to_owned).collect());
            Some(Self { kind, source: unescape(source), point: unescape(point), options })
        })
    }
}

/// The mount table writes spaces, tabs, line ends and backslashes as octal numbers.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

fn statfs(directory: &File) -> io::Result<libc::statfs> {
    let mut about = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the file is open and `about` is valid for writes.
    if unsafe { libc::fstatfs(directory.as_raw_fd(), about.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel filled it in.
    Ok(unsafe { about.assume_init() })
}

fn is_nocow(directory: &File) -> bool {
    const NOCOW: libc::c_int = 0x0080_0000; // FS_NOCOW_FL, which new files inherit
    let mut flags: libc::c_int = 0;
    // SAFETY: the file is open, and the kernel writes an int whatever the request's name says.
    let result = unsafe { libc::ioctl(directory.as_raw_fd(), libc::FS_IOC_GETFLAGS, &raw mut flags) };
    result == 0 && flags & NOCOW != 0
}

/// Of a directory that exists.
pub(super) fn of(path: &Path) -> io::Result<FileSystem> {
    FileSystem::of(&File::open(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = r"22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard,data=journal
31 27 0:40 /@data /srv/a\040b rw,noatime shared:2 master:7 - btrfs /dev/sdb rw,nobarrier,subvol=/@data
32 27 0:41 / /srv/remote rw - fuse.sshfs me@there:/ rw,user_id=0";

    fn with(kind: &str, options: &[&str]) -> FileSystem {
        let options = options.iter().map(|&o| o.to_owned()).collect();
        FileSystem {
            kind: kind.into(),
            options,
            bytes: 1 << 40,
            free_bytes: 1 << 39,
            ..FileSystem::default()
        }
    }

    #[test]
    fn the_mount_table_is_read_by_the_number_of_the_mount() {
        let btrfs = Mount::find(MOUNTS, 31).expect("it is there");
        assert_eq!((btrfs.kind.as_str(), btrfs.source.as_str()), ("btrfs", "/dev/sdb"));
        assert_eq!(btrfs.point, "/srv/a b");
        assert_eq!(btrfs.options, ["rw", "noatime", "rw", "nobarrier", "subvol=/@data"]);
        assert_eq!(
            Mount::find(MOUNTS, 27).expect("it is there").options,
            ["rw", "relatime", "rw", "discard", "data=journal"]
        );
        assert_eq!(Mount::find(MOUNTS, 2), None);
        assert_eq!(Mount::find("nonsense\n27 - -\n", 27), None);
    }

    #[test]
    fn a_file_system_has_the_name_of_its_mount_or_of_its_number() {
        assert_eq!(name(0xEF53, "ext3"), "ext3");
        assert_eq!(name(0xEF53, ""), "ext4");
        assert_eq!(name(0x6573_5546, "fuse.sshfs"), "fuse.sshfs");
        assert_eq!(name(0xFFFF_FFFF_9123_683E, ""), "btrfs", "the number's sign is not part of it");
        assert_eq!(name(0x1234, ""), "file system 0x1234");
    }

    #[test]
    fn each_file_system_gets_the_warning_that_it_deserves_and_a_way_out() {
        let table = [
            ("ext4", "", ""),
            ("xfs", "", ""),
            ("ext3", "slow", "XFS"),
            ("btrfs", "slow", "chattr +C"),
            ("overlay", "unsafe", "volume"),
            ("tmpfs", "unsafe", "XFS"),
            ("ramfs", "unsafe", "XFS"),
            ("nfs4", "unproven", "local disk"),
            ("9p", "unproven", "local disk"),
            ("fuse", "unproven", "local disk"),
            ("fuse.sshfs", "unproven", "local disk"),
            ("zfs", "unproven", "zfs get sync"),
            ("bcachefs", "unproven", "XFS"),
        ];
        for (kind, expected, way_out) in table {
            let warnings = with(kind, &["rw", "relatime"]).warnings();
            let kinds: Vec<_> = warnings.iter().map(|w| w.kind).collect();
            assert_eq!(kinds.join(" "), expected, "{kind}");
            assert!(warnings.iter().all(|w| w.way_out.contains(way_out) && w.what.contains(kind)), "{kind}");
            assert!(warnings.iter().all(|w| !w.to_string().contains('\n')), "one line each");
        }
    }

    #[test]
    fn options_that_take_durability_or_speed_away_are_named() {
        let kinds = |fs: &FileSystem| fs.warnings().iter().map(|w| w.kind).collect::<Vec<_>>();
        assert_eq!(kinds(&with("ext4", &["nobarrier"])), ["unsafe"]);
        assert_eq!(kinds(&with("ext4", &["barrier=0", "data=journal"])), ["unsafe", "slow"]);
        assert!(with("overlay", &["volatile"]).warnings()[0].what.contains("flushes do nothing"));
        assert!(kinds(&with("btrfs", &["nodatacow"])).is_empty());
        assert!(kinds(&FileSystem { nocow: true, ..with("btrfs", &[]) }).is_empty());
    }

    #[test]
    fn little_room_is_said() {
        let room = |free, all| FileSystem { free_bytes: free, bytes: all, ..with("ext4", &[]) }.warnings();
        assert!(room(2 << 30, 30 << 30).is_empty());
        assert!(room(2 << 30, 40 << 30).is_empty(), "a twentieth is enough");
        assert_eq!(room(2 << 30, 41 << 30)[0].kind, "space");
        assert_eq!(room((1 << 30) - 1, 8 << 30)[0].kind, "space");
        assert!(room(0, 0).is_empty(), "some file systems do not count");
        assert_eq!(size(1536 << 20), "1.5 GiB");
        assert_eq!(size(0), "0.0 KiB");
        assert_eq!(size(u64::MAX), "16777216.0 TiB");
    }
}
