//! A disk with a volatile write cache, for power cuts under the real binary: [`cache`] is the model, [`order`] what
//! the rig says to the process that serves the disk, [`promise`] the checker. `src/bin/fault_disk.rs` is that process,
//! `src/bin/powercut/` the rig.

pub mod cache;
pub mod order;
pub mod promise;
#[cfg(test)]
mod tests;
