//! What is in `packaging/` is what a node needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use seccompiler::{apply_filter, compile_from_json};
use serde_json::{Value, json};

use crate::node::{Folder, Node, run, said};

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name)
}

#[test]
fn the_first_configuration_file_is_right() {
    let output = run(&["config", "check", packaged("seawall.toml").to_str().expect("a plain path")]);
    assert!(output.status.success(), "{}", said(&output));
}

/// A process under the container's profile; the kernel judges, as it would in the container.
#[test]
fn under_the_profile_of_the_container_a_node_runs_on_the_ring() {
    let profile = fs::read(packaged("seccomp.json")).expect("it is there");
    let profile: Value = serde_json::from_slice(&profile).expect("it is JSON");
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ALLOW");
    let rules = profile["syscalls"].as_array().expect("a list").clone();
    assert!(rules.len() > 1, "it forbids something");
    thread::spawn(move || {
        for rule in rules {
            assert_eq!(rule["action"], "SCMP_ACT_ERRNO");
            let names = rule["names"].as_array().expect("a list");
            let calls: Vec<Value> = names.iter().map(|name| json!({ "syscall": name })).collect();
            let filter = json!({
                "mismatch_action": "allow", "match_action": { "errno": rule["errnoRet"] }, "filter": calls,
            });
            let machine = std::env::consts::ARCH.try_into().expect("an architecture that has a table");
            let text = json!({ "node": filter }).to_string();
            let filters = compile_from_json(text.as_bytes(), machine).expect("every name is a system call");
            filters
                .values()
                .for_each(|filter| apply_filter(filter).expect("a thread may forbid itself something"));
        }
        let folder = Folder::new("profile");
        let node = Node::start(&folder, "");
        assert!(node.said.contains("driver      ring ("), "{}", node.said);
        assert_eq!(node.get("/readyz").0, 200);
    })
    .join()
    .expect("the node runs");
}

/// The unit says in words of systemd what the profile says in those of containers.
#[test]
fn the_unit_allows_io_uring_and_starts_what_is_packaged() {
    let unit = fs::read_to_string(packaged("seawall.service")).expect("it is there");
    let has = |line: &str| unit.lines().any(|one| one == line);
    assert!(has("SystemCallFilter=@system-service @aio"), "{unit}");
    assert!(has("ExecStart=/usr/local/bin/seawall server --config /etc/seawall.toml"), "{unit}");
    assert!(has("KillSignal=SIGTERM") && has("StateDirectory=seawall"), "{unit}");
}
