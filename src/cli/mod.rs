//! Arguments, exit status, output modes.

/// The program. Returns its exit status (language.md 1).
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(2)
}
