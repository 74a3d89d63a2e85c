//! The binary: arguments in, exit code out. Everything else is in the library.

use std::io::stdout;
use std::process::ExitCode;

use channelkeeper::cli;

fn main() -> ExitCode {
    // Whatever this process makes (the store, its socket) is for its owner alone unless it says
    // otherwise.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    keep_memory_private();
    allow_connections();
    if cli::completed() {
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
    {
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

/// No core dump has a secret in it, and no other process of this user can look into the memory or
/// the environment. Where that cannot be had, the rest is no worse for it.
fn keep_memory_private() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let _kept_as_it_was = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _kept_as_it_was =
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// As many descriptors as the system lets this process have, as each account that is served at once
/// has a connection. Where that cannot be had, calls fail to connect and fewer are made at once.
fn allow_connections() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current: _, maximum } = getrlimit(Resource::Nofile);
    let _kept_as_it_was = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Two are plenty: the work is waiting for Zoho.
const WORKERS: usize = 2;
