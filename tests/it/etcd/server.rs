//! A real etcd: one machine or three, each a process with a port of its own on the loopback.
//!
//! Its log is how a test learns that it serves. It is killed with its value.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Where etcd is, if it is installed. When it must be, and is not, this fails.
#[expect(clippy::print_stderr, reason = "a test that could not run says so")]
pub(crate) fn installed() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&paths).map(|folder| folder.join("etcd")).find(|path| path.is_file());
    let required = std::env::var_os("CHANNELKEEPER_REQUIRE_ETCD").is_some_and(|value| value == "1");
    assert!(
        found.is_some() || !required,
        "etcd is required and is not in PATH: apt-get install etcd-server"
    );
    if found.is_none() {
        eprintln!("NOT TESTED: etcd is not in PATH (apt-get install etcd-server)");
    }
    found
}

/// Machines that are one etcd.
pub(crate) struct Server {
    machines: Vec<Machine>,
    _folder: TempDir,
}

/// A certificate and its key, as PEM files.
pub(crate) struct Certificate<'a> {
    /// The file of the certificate.
    pub(crate) certificate: &'a Path,
    /// The file of the key.
    pub(crate) key: &'a Path,
}

struct Machine {
    command: Vec<String>,
    url: String,
    running: Option<Running>,
}

struct Running {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
}

impl Server {
    /// One machine.
    #[track_caller]
    pub(crate) fn one(program: &Path, more: &[&str]) -> Server {
        Server::start(program, 1, None, more)
    }

    /// Three machines.
    #[track_caller]
    pub(crate) fn three(program: &Path) -> Server {
        Server::start(program, 3, None, &[])
    }

    /// One machine that is spoken to over TLS.
    #[track_caller]
    pub(crate) fn with_tls(program: &Path, certificate: &Certificate<'_>) -> Server {
        Server::start(program, 1, Some(certificate), &[])
    }

    /// Ports are found free, and may be taken by somebody else before etcd does: then it is tried
    /// with others.
    #[track_caller]
    fn start(program: &Path, count: usize, tls: Option<&Certificate<'_>>, more: &[&str]) -> Server {
        let mut failed = String::new();
        for _ in 0..STARTS_MAX {
            let folder = tempfile::tempdir().unwrap();
            let mut machines = laid_out(program, count, tls, more, folder.path());
            machines.iter_mut().for_each(Machine::spawn);
            match machines.iter_mut().try_for_each(Machine::serves) {
                Ok(()) => return Server { machines, _folder: folder },
                Err(log) if log.contains("address already in use") => failed = log,
                Err(log) => panic!("etcd does not start:\n{log}"),
            }
        }
        panic!("etcd finds its ports taken:\n{failed}");
    }

    /// Where its machines are.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.machines.iter().map(|machine| machine.url.clone()).collect()
    }

    /// Stops a machine: it stands still until it goes on.
    pub(crate) fn stop(&self, machine: usize) {
        self.machines[machine].signal(Signal::STOP);
    }

    /// Lets a machine go on.
    pub(crate) fn go_on(&self, machine: usize) {
        self.machines[machine].signal(Signal::CONT);
    }

    /// Kills a machine.
    pub(crate) fn kill(&mut self, machine: usize) {
        self.machines[machine].running = None;
    }

    /// Starts a machine again, with the data that it left, and waits until it serves.
    #[track_caller]
    pub(crate) fn start_again(&mut self, machine: usize) {
        let machine = &mut self.machines[machine];
        machine.spawn();
        if let Err(log) = machine.serves() {
            panic!("etcd does not start again:\n{log}");
        }
    }
}

/// The commands of machines that know each other, on ports that are free.
fn laid_out(
    program: &Path,
    count: usize,
    tls: Option<&Certificate<'_>>,
    more: &[&str],
    folder: &Path,
) -> Vec<Machine> {
    // All are held until all are found.
    let held: Vec<TcpListener> =
        (0..count * 2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<u16> = held.iter().map(|held| held.local_addr().unwrap().port()).collect();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let peer = |number: usize| format!("http://127.0.0.1:{}", ports[count + number]);
    let peers: Vec<String> =
        (0..count).map(|number| format!("m{number}={}", peer(number))).collect();
    let machine = |number: usize| {
        let url = format!("{scheme}://127.0.0.1:{}", ports[number]);
        let mut command = vec![program.display().to_string(), "--logger=zap".to_owned()];
        command.extend([
            format!("--name=m{number}"),
            format!("--data-dir={}", folder.join(format!("m{number}")).display()),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            format!("--listen-peer-urls={}", peer(number)),
            format!("--initial-advertise-peer-urls={}", peer(number)),
            format!("--initial-cluster={}", peers.join(",")),
        ]);
        if let Some(Certificate { certificate, key }) = tls {
            command.push(format!("--cert-file={}", certificate.display()));
            command.push(format!("--key-file={}", key.display()));
        }
        command.extend(more.iter().map(|word| (*word).to_owned()));
        Machine { command, url, running: None }
    };
    (0..count).map(machine).collect()
}

impl Machine {
    fn spawn(&mut self) {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).stdin(Stdio::null()).stdout(Stdio::null());
        // Settings of etcd's own that somebody has in the environment are not for this one.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ETCD_") {
                command.env_remove(name);
            }
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = channel();
        // It ends with the pipe, which ends with etcd.
        thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| {
                // A test that has heard enough listens no more, and etcd must go on.
                let _unheard = tell.send(line);
            });
        });
        self.running = Some(Running { child, lines, log: Vec::new() });
    }

    /// Waits until it serves; otherwise its log.
    fn serves(&mut self) -> Result<(), String> {
        let running = self.running.as_mut().unwrap();
        while let Ok(line) = running.lines.recv_timeout(PATIENCE) {
            running.log.push(line);
            if running.log.last().is_some_and(|line| line.contains("serving client traffic")) {
                return Ok(());
            }
        }
        Err(running.log.join("\n"))
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().expect("a machine that runs");
        kill_process(Pid::from_child(&running.child), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to kill.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

const STARTS_MAX: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);
