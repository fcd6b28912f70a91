//! A node that takes a commit and never answers: the command says so, and how to settle it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::node::{Node, alone, has, seawall};

/// Passes everything to the node, and of the node's bytes only the first: the answer to HELLO.
fn forgetful(node: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, node) = (listener.local_addr().unwrap().to_string(), node.to_owned());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut there) = (client.unwrap(), TcpStream::connect(&node).unwrap());
            let (mut from_client, mut to_node) = (client.try_clone().unwrap(), there.try_clone().unwrap());
            std::thread::spawn(move || {
                let _until_it_ends = std::io::copy(&mut from_client, &mut to_node);
            });
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                let hello = there.read(&mut bytes).unwrap();
                client.write_all(&bytes[..hello]).unwrap();
                let _swallowed = there.read_to_end(&mut Vec::new());
            });
        }
    });
    address
}

#[test]
fn an_unknown_outcome_is_settled_by_the_command_that_it_names() {
    let node = Node::start("lost");
    let proxy = forgetful(&node.address);
    for key in [&["--key", "it's mine"][..], &[]] {
        let put = ["put", "cabin/P 1/C14", "state=held", "--connect", &proxy, "--timeout", "1s"];
        let ended = alone(&[&put[..], key].concat());
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        has(
            &ended.err,
            &["seawall: UNKNOWN whether it was done", "to settle it for good, run\n  seawall resolve P%201 "],
        );
        let command = ended.err.lines().last().unwrap().trim().replace(&proxy, &node.address);
        let arguments = command.strip_prefix("seawall ").unwrap();
        let shell = format!("exec \"$SEAWALL\" {arguments}");
        let settled = std::process::Command::new("sh")
            .args(["-c", &shell])
            .env("SEAWALL", seawall().get_program())
            .output()
            .unwrap();
        let said = [settled.stdout, settled.stderr].concat();
        has(&String::from_utf8_lossy(&said), &["COMMITTED: it happened"]);
    }
    let ended = alone(&["put", "cabin/P/C14", "n=1", "--connect", &proxy, "--timeout", "1s", "--json"]);
    assert_eq!(ended.code, Some(1));
    let told: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(told["outcome"], "unknown");
    assert!(told["resolve"]["key"].as_str().unwrap().starts_with("session:"), "{told}");
    let read = alone(&["get", "cabin/P/C14", "--connect", &proxy, "--timeout", "1s"]);
    assert_eq!(read.code, Some(3), "a read that is not answered leaves nothing unknown");
}
