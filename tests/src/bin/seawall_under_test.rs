//! The `seawall` binary, under a path that the tests of this package know.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    seawall_node::cli::main()
}
