//! The fault disk, a loop device on it, a file system on that.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use seawall_tests::powercut::cache::{Mood, Tally};
use seawall_tests::powercut::order::{Answer, Order};

/// Room for the logs of some dozen starts; the image is sparse.
const DISK_BYTES: u64 = 3 << 30;
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileSystem {
    Xfs,
    Ext4,
}

impl FileSystem {
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Xfs => "xfs",
            FileSystem::Ext4 => "ext4",
        }
    }

    /// Discards say nothing to a new disk.
    fn make(self, device: &str) -> Result<String, String> {
        match self {
            FileSystem::Xfs => run("mkfs.xfs", &["-q", "-f", "-K", device]),
            FileSystem::Ext4 => run("mkfs.ext4", &["-q", "-F", "-E", "nodiscard", device]),
        }
    }
}

/// What the command said, or why it failed.
fn run(command: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(command).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("{command} cannot be started: {e}; is it installed?"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(said(&output.stdout)),
        false => {
            Err(format!("{command} {}: {}: {}", arguments.join(" "), output.status, said(&output.stderr)))
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the rig's folders have plain names")
}

pub struct Stack {
    folder: PathBuf,
    server: Server,
    device: Option<String>,
    mounted: bool,
}

impl Stack {
    /// A new disk with an empty file system, mounted. What an earlier one left in the folder is gone.
    pub fn new(folder: &Path, file_system: FileSystem) -> Result<Stack, String> {
        for part in ["disk", "mount"] {
            fs::create_dir_all(folder.join(part)).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        let image = folder.join("image");
        if image.exists() {
            fs::remove_file(&image).map_err(|e| format!("{}: {e}", image.display()))?;
        }
        let server = Server::start(folder)?;
        let mut stack = Stack { folder: folder.to_owned(), server, device: None, mounted: false };
        let device = stack.attach()?;
        file_system.make(&device)?;
        stack.mount(&device)?;
        Ok(stack)
    }

    /// Where the node keeps its data.
    pub fn data(&self) -> PathBuf {
        self.mount_point().join("data")
    }

    fn mount_point(&self) -> PathBuf {
        self.folder.join("mount")
    }

    /// The disk is seen as it is now, by a kernel that remembers nothing of it.
    pub fn up(&mut self) -> Result<(), String> {
        let device = self.attach()?;
        self.mount(&device)
    }

    fn attach(&mut self) -> Result<String, String> {
        let disk = self.folder.join("disk/disk");
        let device = run("losetup", &["--find", "--show", "--direct-io=on", text(&disk)])?;
        self.device = Some(device.clone());
        let direct = run("losetup", &["--noheadings", "--output", "DIO", "--list", &device])?;
        match direct.as_str() {
            "1" => Ok(device),
            _ => Err(format!(
                "{device} does no direct I/O, so the kernel's cache would stand before the disk's"
            )),
        }
    }

    fn mount(&mut self, device: &str) -> Result<(), String> {
        run("mount", &[device, text(&self.mount_point())])?;
        self.mounted = true;
        Ok(())
    }

    /// Takes the file system and the loop device away, whatever state the disk is in. The node has ended before.
    pub fn down(&mut self) -> Result<(), String> {
        if self.mounted {
            let mount_point = self.mount_point();
            if let Err(why) = patiently(|| run("umount", &[text(&mount_point)])) {
                run("umount", &["--lazy", text(&mount_point)]).map_err(|e| format!("{why}; {e}"))?;
            }
            self.mounted = false;
        }
        if let Some(device) = self.device.take() {
            let name = device.trim_start_matches("/dev/");
            let attached = PathBuf::from(format!("/sys/block/{name}/loop"));
            patiently(|| {
                let detached = run("losetup", &["--detach", &device]);
                match attached.exists() {
                    true => Err(format!("{device} is still attached: {detached:?}")),
                    false => Ok(()),
                }
            })?;
        }
        Ok(())
    }

    pub fn order(&mut self, order: &Order) -> Result<Answer, String> {
        match self.server.ask(order)? {
            Answer::Failed(why) => Err(format!("the disk could not {order}: {why}")),
            answer => Ok(answer),
        }
    }

    /// The power goes, with the file system gone before.
    pub fn cut(&mut self, seed: u64, mood: Mood) -> Result<Tally, String> {
        match self.order(&Order::Cut { seed, mood })? {
            Answer::Cut(tally) => Ok(tally),
            answer => Err(format!("the disk answered a cut with {answer}")),
        }
    }

    /// The disk works again; how many operations it had refused.
    pub fn heal(&mut self) -> Result<u64, String> {
        match self.order(&Order::Heal)? {
            Answer::Healed(refused) => Ok(refused),
            answer => Err(format!("the disk answered to be healed with {answer}")),
        }
    }

    /// Tells the disk where the node's log files are, as far as there are any.
    pub fn name_mine(&mut self) -> Result<(), String> {
        let mut mine = Vec::new();
        for shard in entries(&self.data()).into_iter().filter(|path| path.is_dir()) {
            for file in entries(&shard) {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if name == "meta" || name.ends_with(".seg") {
                    // A file that vanishes or is renamed meanwhile was no part of a log.
                    let said = run("filefrag", &["-e", "-b512", text(&file)]).unwrap_or_default();
                    mine.extend(said.lines().filter_map(extent));
                }
            }
        }
        self.order(&Order::Mine(mine)).map(drop)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Err(why) = self.down() {
            crate::say(&format!("LEFT BEHIND in {}: {why}", self.folder.display()));
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// The sectors of one line of `filefrag -e -b512`: number, logical range, physical range, ...
fn extent(line: &str) -> Option<Range<u64>> {
    let mut columns = line.split(':').map(str::trim);
    columns.next()?.parse::<u64>().ok()?;
    let (start, last) = columns.nth(1)?.split_once("..")?;
    Some(start.trim().parse().ok()?..last.trim().parse::<u64>().ok()? + 1)
}

fn patiently<T>(mut attempt: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let until = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            ended => return ended,
        }
    }
}

/// The process that serves the disk. It unmounts itself when its input ends.
struct Server {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Server {
    fn start(folder: &Path) -> Result<Server, String> {
        let binary = crate::beside_us("fault-disk")?;
        let mut command = Command::new(&binary);
        command.arg("--mount").arg(folder.join("disk")).arg("--image").arg(folder.join("image"));
        command.args(["--bytes", &DISK_BYTES.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", binary.display()))?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("it was asked for"));
        let mut server = Server { child, orders, answers };
        match server.line()?.as_str() {
            "serving" => Ok(server),
            other => Err(format!("the disk said {other:?} instead of serving")),
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) => Err("the process that serves the disk ended".to_owned()),
            Ok(_) => Ok(line.trim().to_owned()),
            Err(e) => Err(format!("the disk cannot be heard: {e}")),
        }
    }

    fn ask(&mut self, order: &Order) -> Result<Answer, String> {
        let orders = self.orders.as_mut().expect("open until it is dropped");
        writeln!(orders, "{order}").map_err(|e| format!("the disk does not listen: {e}"))?;
        self.line()?.parse()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.orders = None;
        if let Err(why) = self.child.wait() {
            crate::say(&format!("LEFT BEHIND: the disk's process {}: {why}", self.child.id()));
        }
    }
}
