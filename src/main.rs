//! Parses the command line, calls it, turns its error into an exit code.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    mozaiks_gateway::cli::main()
}
