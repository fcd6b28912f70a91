//! `fault-disk`: serves one large file, the disk, through FUSE. What is written to it is volatile until it is flushed
//! (see `seawall_tests::powercut::cache`). Orders come by standard input, one a line, each with one line of answer.
//! When the input ends, it unmounts itself and ends.
//!
//! A file system must not stand on the file itself but on a loop device over it: of a file on FUSE, RWF_DSYNC asks for
//! no flush, while a block device's is passed on.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool at the edge: it serves a file and talks to the rig"
)]

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, UNIX_EPOCH};

use clap::Parser;
use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, KernelConfig,
    LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite,
    Request, WriteFlags,
};
use seawall_tests::powercut::cache::{Cache, Content, Durable, SECTOR};
use seawall_tests::powercut::order::{Answer, Order};
use seawall_tests::random::Random;

const DISK: INodeNo = INodeNo(2);
const NAME: &str = "disk";
const FOR_EVER: Duration = Duration::from_secs(1 << 20);
/// How long a freeze waits for the writes that it was told to wait for.
const PATIENCE: Duration = Duration::from_secs(2);
const WRITE_MAX: u32 = 1 << 20;

#[derive(Parser)]
#[command(name = "fault-disk", about = "A disk with a volatile write cache, as one file.")]
struct Args {
    /// Where to mount; the disk is the file `disk` there.
    #[arg(long, value_name = "DIR")]
    mount: PathBuf,
    /// The file with what is durable; made with `--bytes` when it does not exist.
    #[arg(long, value_name = "FILE")]
    image: PathBuf,
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1 << 20..))]
    bytes: u64,
}

/// What happens to the next operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Works,
    FreezesAfter(u64),
    Frozen,
    FailsWrites,
    FailsFlushes,
}

struct Disk {
    image: File,
    bytes: u64,
    cache: Cache,
    mode: Mode,
    /// Whether a flush forgets the node's files, until the next cut.
    lies: bool,
    /// Operations that ended with EIO since the disk was whole.
    refused: u64,
}

impl Disk {
    fn read(&mut self, offset: u64, size: u32) -> io::Result<Vec<u8>> {
        if self.mode == Mode::Frozen {
            return Err(self.refuse());
        }
        let first = offset - offset % SECTOR as u64;
        let end = (offset + u64::from(size)).min(self.bytes).next_multiple_of(SECTOR as u64);
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(first)).map_err(io::Error::other)?];
        self.image.read_exact_at(&mut bytes, first)?;
        self.cache.read(first, &mut bytes);
        let skipped = usize::try_from(offset - first).map_err(io::Error::other)?;
        bytes.drain(..skipped.min(bytes.len()));
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        if !Cache::whole_sectors(offset, bytes.len()) || end > self.bytes {
            return Err(io::Error::from_raw_os_error(Errno::EINVAL.code()));
        }
        let mine = || (offset / SECTOR as u64..end / SECTOR as u64).any(|sector| self.cache.is_mine(sector));
        match self.mode {
            Mode::Frozen => return Err(self.refuse()),
            Mode::FailsWrites if mine() => return Err(self.refuse()),
            Mode::FreezesAfter(0 | 1) => self.mode = Mode::Frozen,
            Mode::FreezesAfter(writes) => self.mode = Mode::FreezesAfter(writes - 1),
            Mode::Works | Mode::FailsWrites | Mode::FailsFlushes => {}
        }
        self.cache.write(offset, bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let durable = match self.mode {
            Mode::Frozen => return Err(self.refuse()),
            Mode::FailsFlushes => {
                self.cache.drop_mine();
                return Err(self.refuse());
            }
            _ if self.lies => self.cache.flush_others(),
            Mode::Works | Mode::FreezesAfter(_) | Mode::FailsWrites => self.cache.flush(),
        };
        self.apply(&durable)
    }

    fn refuse(&mut self) -> io::Error {
        self.refused += 1;
        io::Error::from_raw_os_error(Errno::EIO.code())
    }

    /// Writes what is durable, neighbours together.
    fn apply(&self, durable: &[Durable]) -> io::Result<()> {
        for run in durable.chunk_by(|a, b| a.0 + 1 == b.0) {
            let bytes: Vec<u8> = run.iter().flat_map(|(_, content)| content.iter().copied()).collect();
            self.image.write_all_at(&bytes, run[0].0 * SECTOR as u64)?;
        }
        Ok(())
    }

    fn obey(&mut self, order: Order) -> io::Result<Answer> {
        match order {
            Order::Freeze { writes: 0 } => self.mode = Mode::Frozen,
            Order::Freeze { writes } => self.mode = Mode::FreezesAfter(writes),
            Order::Cut { seed, mood } => {
                let image = &self.image;
                let mut failed = Ok(());
                let durable = |sector: u64| {
                    let mut content: Content = [0; SECTOR];
                    let read = image.read_exact_at(&mut content, sector * SECTOR as u64);
                    failed = std::mem::replace(&mut failed, Ok(())).and(read);
                    content
                };
                let (survives, tally) = self.cache.cut(&mut Random::new(seed), mood, durable);
                failed?;
                self.apply(&survives)?;
                (self.mode, self.lies) = (Mode::Works, false);
                return Ok(Answer::Cut(tally));
            }
            Order::Mine(ranges) => self.cache.set_mine(ranges),
            Order::FailWrites => self.mode = Mode::FailsWrites,
            Order::FailFlushes => self.mode = Mode::FailsFlushes,
            Order::Lie => self.lies = true,
            Order::Heal => {
                self.mode = Mode::Works;
                return Ok(Answer::Healed(std::mem::take(&mut self.refused)));
            }
        }
        Ok(Answer::Done)
    }
}

/// The file system: a root with the disk in it.
#[derive(Clone)]
struct Files(Arc<Mutex<Disk>>);

impl Files {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().expect("no order and no operation panics")
    }

    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0o700, 0),
            DISK => (FileType::RegularFile, 0o600, self.disk().bytes),
            _ => return None,
        };
        Some(FileAttr {
            ino: inode,
            size,
            blocks: size / SECTOR as u64,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    /// Obeys one line; a freeze is answered when it is cold.
    fn answer(&self, line: &str) -> Answer {
        let obeyed =
            line.parse::<Order>().and_then(|order| self.disk().obey(order).map_err(|e| e.to_string()));
        let until = Instant::now() + PATIENCE;
        while matches!(self.disk().mode, Mode::FreezesAfter(_)) {
            match Instant::now() < until {
                true => std::thread::sleep(Duration::from_micros(200)),
                false => self.disk().mode = Mode::Frozen,
            }
        }
        obeyed.unwrap_or_else(Answer::Failed)
    }
}

fn errno(e: &io::Error) -> Errno {
    if e.raw_os_error().is_none() {
        eprintln!("fault-disk: {e}");
    }
    Errno::from_i32(e.raw_os_error().unwrap_or(0))
}

impl Filesystem for Files {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        config
            .set_max_write(WRITE_MAX)
            .map(drop)
            .map_err(|most| io::Error::other(format!("at most {most} bytes")))
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attributes(DISK) {
            Some(found) if parent == INodeNo::ROOT && name == NAME => {
                reply.entry(&FOR_EVER, &found, Generation(0));
            }
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Some(found) => reply.attr(&FOR_EVER, &found),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.disk().read(offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(e) => reply.error(errno(&e)),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let length = u32::try_from(data.len()).expect("a write is smaller than 4 GiB");
        match self.disk().write(offset, data) {
            Ok(()) => reply.written(length),
            Err(e) => reply.error(errno(&e)),
        }
    }

    /// Closing a file is no flush of a disk.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        match self.disk().flush() {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(errno(&e)),
        }
    }
}

fn serve(args: &Args) -> io::Result<()> {
    let image = File::options().read(true).write(true).create(true).truncate(false).open(&args.image)?;
    image.set_len(args.bytes)?;
    let disk = Disk {
        image,
        bytes: args.bytes,
        cache: Cache::default(),
        mode: Mode::Works,
        lies: false,
        refused: 0,
    };
    let files = Files(Arc::new(Mutex::new(disk)));
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("fault-disk".into())];
    let session = fuser::spawn_mount(files.clone(), &args.mount, &config)?;
    println!("serving");
    for line in io::stdin().lines() {
        println!("{}", files.answer(&line?));
    }
    session.umount_and_join()
}

fn main() -> ExitCode {
    let args = Args::parse();
    match serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("fault-disk: {}: {e}", args.mount.display());
            ExitCode::from(1)
        }
    }
}
