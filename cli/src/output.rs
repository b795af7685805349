//! What goes to the terminal.

use tracing_subscriber::EnvFilter;

/// Starts logging to standard error: warnings unless `verbose` or RUST_LOG asks for more.
pub fn start_tracing(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}
