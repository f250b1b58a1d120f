//! The document store as a program of its own; see `docstore::program`.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    docstore::program::main(std::env::args_os()).into()
}
