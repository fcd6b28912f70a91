fn main() -> std::process::ExitCode {
    seawall_node::cli::main()
}
