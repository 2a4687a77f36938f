//! Which tool was asked for: `DTCL` and `dtcl` are one program.

fn main() -> std::process::ExitCode {
    dtcl::cli::main()
}
