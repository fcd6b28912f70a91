//! How often the kernel starts work on its own threads: where flushes and punted operations hide. Counted by the
//! tracepoint workqueue:workqueue_execute_start, in an instance of tracefs of our own; the whole machine is in it.

use std::fs;
use std::path::{Path, PathBuf};

/// Counts from its making until its end.
#[derive(Debug)]
pub struct Counting {
    instance: PathBuf,
}

impl Counting {
    /// `Err` says why it cannot be counted, and what would change that.
    pub fn begin() -> Result<Counting, String> {
        let roots = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
        let instances = roots.iter().map(|root| Path::new(root).join("instances"));
        let instances = instances.into_iter().find(|instances| instances.is_dir()).ok_or(
            "tracefs is not to be seen: run as root after `mount -t tracefs tracefs /sys/kernel/tracing`",
        )?;
        let instance = instances.join(format!("seawall-bench-{}", std::process::id()));
        fs::create_dir(&instance).map_err(|e| format!("{}: {e}: run as root", instance.display()))?;
        let counting = Counting { instance }; // from here on it is removed, whatever happens
        counting.put("1").map_err(|e| format!("the kernel has no such tracepoint: {e}"))?;
        Ok(counting)
    }

    /// How many so far.
    pub fn count(&self) -> Result<u64, String> {
        let broken = |e| format!("{}: {e}", self.instance.display());
        let mut sum = 0;
        for cpu in fs::read_dir(self.instance.join("per_cpu")).map_err(broken)? {
            sum += events_in(&fs::read_to_string(cpu.map_err(broken)?.path().join("stats")).map_err(broken)?);
        }
        Ok(sum)
    }

    fn put(&self, on: &str) -> std::io::Result<()> {
        fs::write(self.instance.join("events/workqueue/workqueue_execute_start/enable"), on)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let _it_ends_with_the_instance = self.put("0");
        let _a_leftover_counts_nothing = fs::remove_dir(&self.instance);
    }
}

/// Those still in the buffer, those that newer ones pushed out, and those that found no place.
fn events_in(stats: &str) -> u64 {
    let counted = ["entries", "overrun", "commit overrun", "dropped events"];
    let lines = stats.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(name, _)| counted.contains(name)).filter_map(|(_, n)| n.trim().parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::events_in;

    #[test]
    fn what_was_pushed_out_of_the_buffer_happened_all_the_same() {
        let stats = "entries: 120\noverrun: 7\ncommit overrun: 0\nbytes: 4600\noldest event ts: 1.5\n\
                     now ts: 2.5\ndropped events: 3\nread events: 9\n";
        assert_eq!(events_in(stats), 130);
        assert_eq!(events_in(""), 0);
    }
}
