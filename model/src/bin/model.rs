#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::disallowed_types, reason = "it is a command")]
use seawall_model::protocol::Protocol;
use seawall_model::rules::Clause;
use seawall_model::scope::Scope;
use seawall_model::state::Set;
use stateright::{Checker, HasDiscoveries, Model};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut scope = Scope::SMALL;
    let mut protocol_without = Vec::new();
    for arg in &args[1..] {
        let (key, value) = arg.split_once('=').unwrap_or((arg, "1"));
        let n: u8 = value.parse().unwrap_or(0);
        match key {
            "sync" => scope.sync = Set::of_bits(n),
            "min" => scope.min_in_sync = n,
            "writes" => scope.writes = n,
            "epochs" => scope.epochs = n,
            "gens" => scope.generations = n,
            "damages" => scope.damages = n,
            "loss" => scope.accept_loss = n != 0,
            "leases" => scope.leases = n != 0,
            "late" => scope.late_requests = n != 0,
            "without" => protocol_without
                .push(*Clause::ALL.iter().find(|c| format!("{c:?}") == value).expect("a clause")),
            _ => panic!("{key}"),
        }
    }
    let mut protocol = Protocol::new(scope);
    for clause in protocol_without {
        protocol = protocol.without(clause);
    }
    let begin = std::time::Instant::now();
    let checker = protocol.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("{} unique, {} generated, depth {}, {:?}", checker.unique_state_count(), checker.state_count(), checker.max_depth(), begin.elapsed());
    for (name, path) in checker.discoveries() {
        println!("{name}");
        for action in path.clone().into_actions() {
            println!("   {action:?}");
        }
        println!("{:#?}", path.last_state().ghost);
        for r in &path.last_state().replicas { println!("{r:?}"); }
        println!("{:?}", path.last_state().map);
    }
}
