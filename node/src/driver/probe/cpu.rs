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

    /// The members of a cluster may share a machine: the first workers of two of them, on one CPU, would wait for each
    /// other at each commit. So each begins with another one.
    pub fn of_member(mut self, member: u32) -> Self {
        let first = member.saturating_sub(1) as usize % self.cores.len().max(1);
        self.cores.rotate_left(first);
        self
    }

    /// One core is left to the kernel and the service plane.
    pub fn default_workers(&self) -> u16 {
        u16::try_from(self.cores.len().saturating_sub(1)).unwrap_or(u16::MAX).max(1)
    }

    /// `None` when there are more workers than CPUs: those are not pinned.
    pub fn cpu(&self, worker: u16) -> Option<CoreId> {
        self.cores.get(usize::from(worker)).copied()
    }

    /// The CPUs that have none of so many workers.
    pub fn beside(&self, workers: u16) -> Vec<usize> {
        self.cores.iter().skip(usize::from(workers)).map(|core| core.id).collect()
    }
}

fn order(mut cores: Vec<CoreId>, disk_cpu: Option<usize>) -> Vec<CoreId> {
    cores.sort_by_key(|core| (Some(core.id) != disk_cpu, core.id));
    cores
}

/// The CPU that took most of the interrupts of `device`, a whole disk in /sys.
pub(super) fn of_disk(device: &Path) -> Option<usize> {
    let owner = fs::canonicalize(device.join("device")).unwrap_or_default();
    let beside = fs::read_dir(&owner).into_iter().flatten().flatten();
    let beside: Vec<String> = beside.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    busiest(&fs::read_to_string("/proc/interrupts").ok()?, &queue_names(&owner, &beside))
}

/// How the interrupts of a disk's queues begin: `virtio1-req.0`, `nvme0q1`. `owner` is the device that the disk
/// belongs to, `beside` the entries of its directory.
fn queue_names(owner: &Path, beside: &[String]) -> Vec<String> {
    let parts = || owner.iter().rev().filter_map(|part| part.to_str());
    if let Some(virtio) = parts().find(|part| is_numbered(part, "virtio")) {
        // `-req.0` of a disk, `-request` of a virtual SCSI adapter, `-virtqueues` where vectors are scarce.
        return vec![format!("{virtio}-req"), format!("{virtio}-virtqueues")];
    }
    // With several paths to one disk the owner is a subsystem, and the controllers stand in it.
    let mut controllers: Vec<&str> = beside.iter().map(String::as_str).collect();
    controllers.extend(parts().next());
    controllers.retain(|name| is_numbered(name, "nvme"));
    let queues = |controller: &&str| -> Vec<String> {
        (1..10).map(|first_digit| format!("{controller}q{first_digit}")).collect() // queue 0 is for admin
    };
    controllers.iter().flat_map(queues).collect()
}

fn is_numbered(name: &str, kind: &str) -> bool {
    let number = name.strip_prefix(kind).unwrap_or_default();
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
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
 37:          0     999999 PCI-MSIX-0000:00:02.0   0-edge      nvme0q0
 38:         50         51 PCI-MSIX-0000:00:02.0   1-edge      nvme0q1
 39:         50          1 PCI-MSIX-0000:00:02.0   1-edge      nvme0q12
LOC:     123456     123456 Local timer interrupts";

    const MANY: &str = "           CPU0       CPU1       CPU2       CPU3
 40:        100          0          0          0 PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
 41:          0        300          0          0 PCI-MSIX-0000:00:02.0   2-edge      virtio1-req.1
 42:          0          0        200          0 PCI-MSIX-0000:00:02.0   3-edge      virtio1-req.2
 43:          0          0          0        999 PCI-MSIX-0000:00:03.0   1-edge      virtio11-req.0
 44:          0          0          0        150 PCI-MSIX-0000:00:04.0   1-edge      nvme1q1
 45:          0          0        100          0 PCI-MSIX-0000:00:05.0   1-edge      nvme2q1
 46:        999          0          0          0 PCI-MSIX-0000:00:06.0   1-edge      nvme12q1
 47:          0          7          0          0 PCI-MSIX-0000:00:07.0   3-edge      virtio5-request
 48:          0          0          5          0 PCI-MSIX-0000:00:08.0   1-edge      virtio6-virtqueues";

    fn found(interrupts: &str, owner: &str, beside: &[&str]) -> Option<usize> {
        let beside: Vec<String> = beside.iter().map(|&name| name.to_owned()).collect();
        busiest(interrupts, &queue_names(Path::new(owner), &beside))
    }

    #[test]
    fn the_busiest_cpu_is_found_by_the_names_of_the_disks_queues() {
        let virtio = "/sys/devices/pci0000:00/0000:00:02.0/virtio1";
        assert_eq!(found(INTERRUPTS, virtio, &["block", "driver"]), Some(2));
        let nvme = "/sys/devices/pci0000:00/0000:00:04.0/nvme/nvme0";
        assert_eq!(found(INTERRUPTS, nvme, &["nvme0n1", "hwmon0"]), Some(0));
        assert_eq!(found(INTERRUPTS, "/sys/devices/pci0000:00/ata1/host0/target0:0:0/0:0:0:0", &[]), None);
        assert_eq!(found(INTERRUPTS, "", &[]), None);
        assert_eq!(busiest("", &[]), None);
    }

    #[test]
    fn of_many_queues_the_busiest_counts_and_only_of_this_disk() {
        assert_eq!(found(MANY, "/sys/devices/pci0000:00/0000:00:02.0/virtio1", &[]), Some(1));
        let subsystem = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0";
        assert_eq!(found(MANY, subsystem, &["nvme1", "nvme2", "nvme0n1", "power"]), Some(3));
        let scsi = "/sys/devices/pci0000:00/0000:00:07.0/virtio5/host2/target2:0:0/2:0:0:0";
        assert_eq!(found(MANY, scsi, &["block"]), Some(1));
        assert_eq!(found(MANY, "/sys/devices/pci0000:00/0000:00:08.0/virtio6", &[]), Some(2));
    }

    #[test]
    fn the_first_worker_goes_to_the_disks_cpu_if_it_may() {
        let cores = || vec![CoreId { id: 0 }, CoreId { id: 1 }, CoreId { id: 2 }];
        let ids = |cores: Vec<CoreId>| cores.iter().map(|c| c.id).collect::<Vec<_>>();
        assert_eq!(ids(order(cores(), Some(2))), [2, 0, 1]);
        assert_eq!(ids(order(cores(), Some(9))), [0, 1, 2]);
        assert_eq!(ids(order(cores(), None)), [0, 1, 2]);
        let member = |member| Placement { cores: order(cores(), Some(2)) }.of_member(member);
        assert_eq!(ids(member(1).cores), [2, 0, 1]);
        assert_eq!(ids(member(2).cores), [0, 1, 2]);
        assert_eq!(ids(member(5).cores), [0, 1, 2], "once round");
        assert_eq!(ids(Placement { cores: Vec::new() }.of_member(2).cores), [0; 0], "nothing is known");
    }
}
