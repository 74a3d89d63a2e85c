//! A secret that a command prints: no shell, a bound on its time and on its bytes, and its last
//! words when it fails.
//!
//! The command inherits the environment, less the variables by which systemd addresses the daemon
//! itself. It runs in a process group of its own, which is killed as a whole when its time is over.
//! Its arguments are never shown: they may say more than a reader of the log should know.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::zeroize::Zeroizing;

use crate::model::sanitize::plain;

/// The reason why a command gave no secret. It follows the command's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    /// There is no such program, or it may not be run.
    #[error("cannot be started: {0}")]
    NotStarted(String),
    /// It is still running.
    #[error("took longer than {} s", .0.as_secs_f32())]
    TookTooLong(Duration),
    /// It prints and prints.
    #[error("printed more than {0} KiB")]
    TooMuch(u64),
    /// Its output could not be read.
    #[error("could not be heard: {0}")]
    Unheard(String),
    /// It says no.
    #[error("failed: {status}{said}")]
    Failed {
        /// How it ended.
        status: String,
        /// `: ` and the last line of its stderr, if it said anything.
        said: String,
    },
}

/// How much a command may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommandBounds {
    pub(super) time: Duration,
    pub(super) kib: u64,
}

/// The bounds of every command.
pub(super) const BOUNDS: CommandBounds = CommandBounds { time: Duration::from_secs(10), kib: 64 };

/// The stdout of a command.
pub(super) fn output(
    words: &[String],
    bounds: CommandBounds,
) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let (program, arguments) =
        words.split_first().map_or(("", words), |(first, rest)| (first.as_str(), rest));
    let mut command = Command::new(program);
    command.args(arguments).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in OF_THE_DAEMON {
        command.env_remove(name);
    }
    let not_started = |error: std::io::Error| CommandError::NotStarted(error.to_string());
    let child = command.spawn().map_err(not_started)?;
    let group = Pid::from_child(&child);
    let (tell, told) = mpsc::channel();
    let heard = std::thread::Builder::new().spawn(move || {
        // Nobody listens any more when the time was over.
        let _late = tell.send(hear(child, bounds.kib));
    });
    heard.map_err(not_started)?;
    let Ok(ended) = told.recv_timeout(bounds.time) else {
        // It may have ended just now.
        let _gone = kill_process_group(group, Signal::KILL);
        return Err(CommandError::TookTooLong(bounds.time));
    };
    let Ended { stdout, stderr, status } =
        ended.map_err(|error| CommandError::Unheard(error.to_string()))?;
    if stdout.len() as u64 > bounds.kib * 1024 {
        return Err(CommandError::TooMuch(bounds.kib));
    }
    match status.success() {
        true => Ok(stdout),
        false => {
            let said = last_line(&stderr);
            Err(CommandError::Failed { status: status.to_string(), said })
        }
    }
}

/// The words of a command, whose program is beside the config when its name has a slash.
pub(super) fn located(words: &[String], folder: &Path) -> Vec<String> {
    let mut words = words.to_vec();
    if let Some(program) = words.first_mut().filter(|program| program.contains('/')) {
        *program = folder.join(&*program).to_string_lossy().into_owned();
    }
    words
}

struct Ended {
    stdout: Zeroizing<Vec<u8>>,
    stderr: Vec<u8>,
    status: ExitStatus,
}

/// Everything that a command says, up to a bound, and its end.
fn hear(mut child: Child, kib: u64) -> std::io::Result<Ended> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let asides = std::thread::Builder::new().spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stderr) = stderr {
            // Its words are for people only.
            let _partly = stderr.take(STDERR_MAX).read_to_end(&mut bytes);
        }
        bytes
    })?;
    // With room for all of it from the start: growing would leave pieces of it behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(kib as usize * 1024 + 1));
    if let Some(stdout) = stdout {
        stdout.take(kib * 1024 + 1).read_to_end(&mut bytes)?;
    }
    let stderr = asides.join().unwrap_or_default();
    Ok(Ended { stdout: bytes, stderr, status: child.wait()? })
}

fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map(|line| format!(": {}", line.chars().map(plain).take(SAID_MAX).collect::<String>()))
        .unwrap_or_default()
}

/// By these systemd addresses the daemon, and nobody whom it starts.
const OF_THE_DAEMON: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];
/// As much of its stderr as is read, and as is shown.
const STDERR_MAX: u64 = 64 * 1024;
const SAID_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: CommandBounds = CommandBounds { time: Duration::from_millis(200), kib: 1 };

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn shell(script: &str, bounds: CommandBounds) -> Result<String, CommandError> {
        let bytes = output(&words(&["sh", "-c", script]), bounds)?;
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn its_stdout_is_the_secret_and_no_shell_reads_its_arguments() {
        let said = output(&words(&["printf", "%s|%s", "$HOME", "a b; id"]), BOUNDS).unwrap();
        assert_eq!(said.as_slice(), b"$HOME|a b; id");
        assert_eq!(shell("echo aside >&2; echo s3cret", BOUNDS).unwrap(), "s3cret\n");
    }

    #[test]
    fn a_command_that_fails_says_its_status_and_its_last_words_and_none_of_its_arguments() {
        let failed = shell("echo first >&2; printf 'no \\033[31mlease\\n\\n' >&2; exit 2", BOUNDS);
        let failed = failed.unwrap_err().to_string();
        assert!(failed.starts_with("failed: exit status: 2: no ") && failed.ends_with("lease"));
        assert!(!failed.contains('\u{1b}') && !failed.contains("first"), "{failed:?}");
        let silent = shell("exit 3", BOUNDS).unwrap_err().to_string();
        assert_eq!(silent, "failed: exit status: 3");
        let none = output(&words(&["/nowhere/vault", "s3cret"]), BOUNDS).unwrap_err().to_string();
        assert!(none.starts_with("cannot be started: ") && !none.contains("s3cret"), "{none}");
        assert!(output(&[], BOUNDS).is_err());
    }

    #[test]
    fn a_command_that_never_ends_is_killed_with_whomever_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        // The child of the child holds stdout, and would hold up whoever waits for its end.
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let late = shell(&script, CommandBounds { time: Duration::from_secs(1), kib: 1 });
        assert_eq!(late, Err(CommandError::TookTooLong(Duration::from_secs(1))));
        let pid = std::fs::read_to_string(&file).unwrap().trim().parse::<i32>().unwrap();
        let stat = format!("/proc/{pid}/stat");
        // It is gone, or a corpse that its new parent has not seen yet.
        let is_alive = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        (0..1000).take_while(|_| is_alive()).for_each(|_| std::thread::yield_now());
        assert!(!is_alive());
    }

    #[test]
    fn a_command_that_prints_without_end_is_cut_off() {
        assert_eq!(shell("cat /dev/zero", BOUNDS), Err(CommandError::TooMuch(64)));
        assert!(shell("cat /dev/zero >&2", SHORT).is_err());
        assert_eq!(shell("printf %1024s x", SHORT).unwrap().len(), 1024);
        assert_eq!(shell("printf %1025s x", SHORT), Err(CommandError::TooMuch(1)));
    }

    #[test]
    fn a_program_with_a_slash_is_beside_the_config() {
        let at = |program: &str| located(&words(&[program, "a/b"]), Path::new("/etc/ck"));
        assert_eq!(at("bin/secret"), ["/etc/ck/bin/secret", "a/b"]);
        assert_eq!(at("/usr/bin/vault"), ["/usr/bin/vault", "a/b"]);
        assert_eq!(at("vault"), ["vault", "a/b"]);
    }
}
