//! Which CPU each worker runs on. The first one shares the CPU that takes the disk's interrupts: there a flush's
//! completion wakes it without crossing cores.

use std::fs;
use std::path::Path;

use core_affinity::CoreId;

/// The CPUs that this process may use, in the order in which workers get them.
#[derive(Clone, Debug)]
pub struct Placement {
    cores: Vec<CoreId>,
}

impl Placement {
    pub fn new(disk_cpu: Option<usize>) -> Self {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        Self { cores: order(cores, disk_cpu) }
    }

    /// One core is left to the kernel and the service plane.
    pub fn default_workers(&self) -> u16 {
        u16::try_from(self.cores.len().saturating_sub(1)).unwrap_or(u16::MAX).max(1)
    }

    /// `None` when there are more workers than CPUs: those are not pinned.
    pub fn cpu(&self, worker: u16) -> Option<CoreId> {
        self.cores.get(usize::from(worker)).copied()
    }
}

fn order(mut cores: Vec<CoreId>, disk_cpu: Option<usize>) -> Vec<CoreId> {
    cores.sort_by_key(|core| (Some(core.id) != disk_cpu, core.id));
    cores
}

/// The CPU that took most of the interrupts of `device`, a whole disk in /sys.
pub(super) fn of_disk(device: &Path) -> Option<usize> {
    let disk = device.file_name()?.to_str()?;
    let parent = fs::canonicalize(device.join("device")).ok();
    let parent = parent.as_deref().and_then(Path::file_name).and_then(|n| n.to_str()).unwrap_or("");
    busiest(&fs::read_to_string("/proc/interrupts").ok()?, &queue_names(disk, parent))
}

/// How the interrupts of a disk's queues begin: `virtio1-req.0`, `nvme0q1`.
fn queue_names(disk: &str, parent: &str) -> Vec<String> {
    let mut names = Vec::new();
    if parent.starts_with("virtio") {
        names.push(format!("{parent}-req"));
    }
    if let Some((controller, _)) = disk.strip_prefix("nvme").and_then(|rest| rest.split_once('n')) {
        names.extend((1..10).map(|first_digit| format!("nvme{controller}q{first_digit}"))); // queue 0 is for admin
    }
    names
}

fn busiest(interrupts: &str, names: &[String]) -> Option<usize> {
    let mut lines = interrupts.lines();
    let cpus: Vec<usize> =
        lines.next()?.split_whitespace().filter_map(|cpu| cpu.strip_prefix("CPU")?.parse().ok()).collect();
    let mut counts = vec![0u64; cpus.len()];
    for line in lines {
        let ours =
            line.split_whitespace().next_back().is_some_and(|last| names.iter().any(|n| last.starts_with(n)));
        if ours {
            let taken = line.split_whitespace().skip(1).map(|count| count.parse().unwrap_or(0));
            counts.iter_mut().zip(taken).for_each(|(sum, count): (&mut u64, u64)| *sum += count);
        }
    }
    let (count, cpu) =
        counts.into_iter().zip(cpus).max_by_key(|&(count, cpu)| (count, std::cmp::Reverse(cpu)))?;
    (count > 0).then_some(cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERRUPTS: &str = "           CPU0       CPU2
 31:          0        275 PCI-MSIX-0000:00:01.0   3-edge      virtio0-stats
 36:         12      61559 PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
 37:     999999          0 PCI-MSIX-0000:00:02.0   0-edge      nvme0q0
 38:         50         51 PCI-MSIX-0000:00:02.0   1-edge      nvme0q1
 39:         50          1 PCI-MSIX-0000:00:02.0   1-edge      nvme0q12
LOC:     123456     123456 Local timer interrupts";

    #[test]
    fn the_busiest_cpu_is_found_by_the_names_of_the_disks_queues() {
        assert_eq!(busiest(INTERRUPTS, &queue_names("vda", "virtio1")), Some(2));
        assert_eq!(busiest(INTERRUPTS, &queue_names("nvme0n1", "nvme0")), Some(0));
        assert_eq!(busiest(INTERRUPTS, &queue_names("sda", "0:0:0:0")), None);
        assert_eq!(busiest("", &[]), None);
    }

    #[test]
    fn the_first_worker_goes_to_the_disks_cpu_if_it_may() {
        let cores = || vec![CoreId { id: 0 }, CoreId { id: 1 }, CoreId { id: 2 }];
        let ids = |cores: Vec<CoreId>| cores.iter().map(|c| c.id).collect::<Vec<_>>();
        assert_eq!(ids(order(cores(), Some(2))), [2, 0, 1]);
        assert_eq!(ids(order(cores(), Some(9))), [0, 1, 2]);
        assert_eq!(ids(order(cores(), None)), [0, 1, 2]);
    }
}
