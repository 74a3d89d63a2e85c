//! The binary: arguments in, exit code out. Everything else is in the library.

use std::io::stdout;
use std::process::ExitCode;

use channelkeeper::cli;

fn main() -> ExitCode {
    // Whatever this process makes (the store, its socket) is for its owner alone unless it says otherwise.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the runtime cannot be started");
            return ExitCode::from(cli::Exit::Failed.code());
        }
    };
    let exit = runtime.block_on(cli::main(std::env::args_os(), &mut stdout()));
    runtime.shutdown_background();
    ExitCode::from(exit.code())
}

/// Two are plenty: the work is waiting for Zoho.
const WORKERS: usize = 2;
