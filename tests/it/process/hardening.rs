//! The service's sandbox breaks nothing: the real binary's whole life under as much of
//! `systemd/channelkeeper.service` as there is without systemd.
//!
//! bubblewrap makes the file system, the namespaces and the user; `tests/hardening/filter.py` makes
//! the filters of system calls out of the unit's own lines; the simulator stands outside. A second
//! test traces the same life without a filter: an error that the daemon gets over would not be seen
//! in the first.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::declared::{AUDIT_ALWAYS, channel};
use super::place::{Place, ran};
use super::simulator::Simulator;
use super::systemd::Systemd;

#[test]
fn a_whole_life_in_the_sandbox_of_the_unit() {
    let Some(bwrap) = available() else { return };
    let zoho = Simulator::start();
    let place = Place::new(&config(&zoho, Path::new("/run/channelkeeper")));
    let sandbox = Sandbox::new(&bwrap, &place, &[]);
    let mut systemd = Systemd::in_folder(&sandbox.runtime);
    let mut daemon = Daemon::spawn_by(sandbox.starts(&systemd));
    daemon.is_process(sandbox.inner());
    live(&zoho, &place, Path::new("/run/channelkeeper"), &mut daemon, &mut systemd);
    assert!(
        fs::read_to_string(sandbox.runtime.join("status.json"))
            .unwrap()
            .contains("guaranteed_until")
    );
    let (code, log) = daemon.ends();
    assert_eq!(code, Some(0), "{}", log.join("\n"));
    for trouble in ["WARN", "ERROR"] {
        let expected =
            ["the config is not used", "a problem of the config", "more than one audit a minute"];
        let told =
            |line: &&String| line.contains(trouble) && !expected.iter().any(|it| line.contains(it));
        let told: Vec<&String> = log.iter().filter(told).collect();
        assert!(told.is_empty(), "{told:#?}");
    }
}

#[test]
fn what_a_daemon_has_no_business_with_fails_in_the_sandbox_and_works_outside() {
    let Some(bwrap) = available() else { return };
    let place = Place::new("");
    let sandbox = Sandbox::new(&bwrap, &place, &[]);
    let (file, attempts) = (place.state().join("file"), hardening("attempts.py"));
    File::create(&file).unwrap();
    let mut command = sandbox.command();
    command.arg("/usr/bin/python3").arg(&attempts).arg("/var/lib/channelkeeper/file");
    let inside = ran(command);
    let expected = "\
        write where others read: EROFS\n\
        a device: EPERM\n\
        see other processes: ESRCH\n\
        memory to write and execute: EPERM\n\
        memory made executable: EPERM\n\
        a netlink socket: EAFNOSUPPORT\n\
        a packet socket: EAFNOSUPPORT\n\
        another user: EPERM\n\
        a set-user-id bit: EPERM\n\
        a namespace: EPERM\n\
        a mount: EPERM\n\
        another's debugger: EPERM\n\
        a program in the kernel: EPERM\n\
        a keyring: EPERM\n\
        io_uring: EPERM\n\
        the clock: EPERM\n\
        the host's name: EPERM\n\
        locked memory: EPERM\n";
    assert_eq!((inside.code, inside.out.as_str()), (0, expected), "{}", inside.err);

    let harmless = [
        "see other processes",
        "memory to write and execute",
        "memory made executable",
        "a netlink socket",
        "another user",
        "a set-user-id bit",
        "locked memory",
    ];
    let mut command = Command::new("/usr/bin/python3");
    command.arg(&attempts).arg(&file).args(harmless);
    let outside = ran(command);
    let done: String = harmless.iter().map(|name| format!("{name}: done\n")).collect();
    assert_eq!(outside.out, done, "{}", outside.err);
}

#[test]
fn a_filter_that_takes_away_what_the_daemon_needs_is_noticed() {
    let Some(bwrap) = available() else { return };
    let zoho = Simulator::start();
    let place = Place::new(&config(&zoho, Path::new("/run/channelkeeper")));
    let sandbox = Sandbox::new(&bwrap, &place, &["SystemCallFilter=~@network-io"]);
    let systemd = Systemd::in_folder(&sandbox.runtime);
    let (code, log) = Daemon::begin_on(sandbox.starts(&systemd), Stdio::null()).ends();
    assert_ne!(code, Some(0), "{}", log.join("\n"));
    assert_eq!(zoho.requests(), 0);
}

#[test]
fn every_system_call_of_a_whole_life_is_one_that_the_unit_allows() {
    if available().is_none() {
        return;
    }
    let zoho = Simulator::start();
    let place = Place::new("");
    let (runtime, trace) = (place.path().join("run"), place.path().join("trace"));
    fs::create_dir(&runtime).unwrap();
    fs::create_dir(place.path().join("credentials")).unwrap();
    fs::write(place.path().join("credentials/secret"), "secret-sim1").unwrap();
    place.write(&config(&zoho, &runtime));
    let mut systemd = Systemd::in_folder(&runtime);
    let mut daemon = Daemon::spawn_by(systemd.tells(traced(&place, &trace), Some(1_000_000)));
    live(&zoho, &place, &runtime, &mut daemon, &mut systemd);
    let (code, log) = daemon.ends();
    assert_eq!(code, Some(0), "{}", log.join("\n"));
    let made = called(&trace);
    assert!(made.len() > 30, "does this test still read the trace? {made:?}");
    let mut filter = Command::new("/usr/bin/python3");
    filter.arg(hardening("filter.py")).arg(unit());
    let allowed: BTreeSet<String> = ran(filter).out.lines().map(str::to_owned).collect();
    let refused: Vec<&String> = made.difference(&allowed).collect();
    assert!(refused.is_empty(), "{refused:?} of {made:?}");
}

/// Enable, renew, repair drift, reload a good and a bad config, answer verbs and probes; then it is
/// told to stop.
fn live(
    zoho: &Simulator,
    place: &Place,
    runtime: &Path,
    daemon: &mut Daemon,
    systemd: &mut Systemd,
) {
    systemd.hears(|message| message == "READY=1\n");
    daemon.hears("every account has been looked at");
    assert_eq!(zoho.channels().len(), 1, "enabled");
    place.done(&["renew"]);
    assert_eq!(zoho.counters()["channels_reenabled"], 1, "renewed");
    zoho.hand(&json!({"remove_event": {"channel": 101, "event": "Deals.edit"}}));
    daemon.hears_that("repair", |line| line["step"] == "update (drift)");

    let more = config(zoho, runtime) + &channel("more", 102, &["Leads.create"]);
    for (config, came) in [
        ("this is no config", "the config is not used; the last good one stays in force"),
        (&more, "the config was read again and is in force"),
    ] {
        place.write(config);
        daemon.signal(Signal::HUP);
        daemon.hears(came);
        systemd.hears(|message| message.starts_with("RELOADING=1"));
        systemd.hears(|message| message == "READY=1\n");
    }
    daemon.hears_that("the new channel", |line| {
        line["step"] == "enable (missing)" && line["channel"] == "more"
    });
    systemd.hears(|message| message == "WATCHDOG=1\n");
    assert!(place.done(&["status"]).out.contains("orders"));
    assert_eq!(daemon.get("/healthz").json()["status"], json!("ok"));
    assert_eq!(daemon.get("/metrics").status, 200);
    daemon.signal(Signal::TERM);
    systemd.hears(|message| message.starts_with("STOPPING=1"));
}

/// One channel, whose account's secrets are credentials and whose token a command prints, and a host
/// name that has to be looked up.
fn config(zoho: &Simulator, runtime: &Path) -> String {
    let account = zoho.account().replace("//127.0.0.1:", "//localhost:");
    let account = account.replace("\"secret-sim1\"", "{ credential = \"secret\" }");
    let file = format!("\n[daemon]\nstatus_file = \"{}/status.json\"\n", runtime.display());
    let token = "{ command = [\"sh\", \"-c\", \"cat $CREDENTIALS_DIRECTORY/secret | rev\"] }";
    let orders = channel("orders", 101, &["Deals.all"]).replace("\"token-orders\"", token);
    account + AUDIT_ALWAYS + &file + &orders
}

/// The unit's sandbox around a place.
struct Sandbox {
    bwrap: PathBuf,
    filters: PathBuf,
    credentials: PathBuf,
    /// The directory that is `/run/channelkeeper` inside.
    runtime: PathBuf,
    state: PathBuf,
    folder: PathBuf,
}

impl Sandbox {
    /// With these lines as if they stood in the unit.
    fn new(bwrap: &Path, place: &Place, more: &[&str]) -> Sandbox {
        let folder = |name: &str| {
            let path = place.path().join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let filters = folder("filters");
        let mut command = Command::new("/usr/bin/python3");
        command.arg(hardening("filter.py")).arg(unit()).arg(&filters).args(more);
        let made = ran(command);
        assert_eq!(made.code, 0, "{}", made.err);
        fs::write(folder("credentials").join("secret"), "secret-sim1").unwrap();
        Sandbox {
            bwrap: bwrap.to_owned(),
            filters,
            credentials: folder("credentials"),
            runtime: folder("run"),
            state: folder("state"),
            folder: place.path().to_owned(),
        }
    }

    /// Runs what is added to it. Each line of the unit that is built here stands beside what it is
    /// built of.
    fn command(&self) -> Command {
        let unit = fs::read_to_string(unit()).unwrap();
        let of_unit = [
            ("DynamicUser=yes", "--unshare-user --uid 61184 --gid 61184"),
            ("ProtectProc=invisible", "--unshare-pid --as-pid-1 --proc /proc"),
            ("PrivateIPC=yes", "--unshare-ipc"),
            ("ProtectHostname=yes", "--unshare-uts"),
            ("ProtectControlGroups=yes", "--unshare-cgroup-try"),
            ("CapabilityBoundingSet=", "--cap-drop ALL"),
            ("PrivateDevices=yes", "--dev /dev"),
            ("PrivateTmp=yes", "--tmpfs /tmp --tmpfs /var/tmp"),
            ("NoNewPrivileges=yes", "--add-seccomp-fd 8 --add-seccomp-fd 9"),
        ];
        let mut command = Command::new("sh");
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command.env("FILTERS", &self.filters).env("INFO", self.folder.join("info"));
        let script =
            "exec \"$@\" 7>\"$INFO\" 8<\"$FILTERS/calls.bpf\" 9<\"$FILTERS/arguments.bpf\"";
        command.args(["-c", script, "sh"]).arg(&self.bwrap).args([
            "--die-with-parent",
            "--info-fd",
            "7",
        ]);
        for (line, built) in of_unit {
            assert!(
                unit.lines().any(|of_unit| of_unit == line),
                "{line} is not in the unit any more"
            );
            command.args(built.split(' '));
        }
        for system in
            ["/usr", "/bin", "/lib", "/lib64", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl"]
        {
            command.args(["--ro-bind-try", system, system]);
        }
        let program = Path::new(env!("CARGO_BIN_EXE_channelkeeper"));
        for (how, outside, inside) in [
            ("--ro-bind", program, "/sandbox/channelkeeper"),
            ("--ro-bind", &hardening(""), &hardening("").display().to_string()),
            ("--ro-bind", &self.folder, "/etc/channelkeeper"),
            ("--ro-bind", &self.credentials, "/run/credentials/channelkeeper.service"),
            ("--bind", &self.state, "/var/lib/channelkeeper"),
            ("--bind", &self.runtime, "/run/channelkeeper"),
        ] {
            command.arg(how).arg(outside).arg(inside);
        }
        // ProtectSystem=strict, ProtectHome=yes: what is not named above is not there, and what is
        // above these is not written.
        command.args(["--remount-ro", "/", "--chdir", "/"]);
        command
    }

    /// The unit's own ExecStart= in it, in the environment that systemd makes.
    fn starts(&self, systemd: &Systemd) -> Command {
        let unit = fs::read_to_string(unit()).unwrap();
        let start = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart=/usr/bin/channelkeeper "))
            .unwrap();
        let mut command = systemd.tells(self.command(), Some(1_000_000));
        command.env("NOTIFY_SOCKET", "/run/channelkeeper/notify");
        command.env("STATE_DIRECTORY", "/var/lib/channelkeeper");
        command.env("CREDENTIALS_DIRECTORY", "/run/credentials/channelkeeper.service");
        command.arg("/sandbox/channelkeeper").args(start.split(' '));
        command.args(["--listen", "127.0.0.1:0", "--log-format", "json"]);
        command
    }

    /// The daemon's own process, which the sandbox's has started.
    fn inner(&self) -> Pid {
        let info: Value =
            serde_json::from_slice(&fs::read(self.folder.join("info")).unwrap()).unwrap();
        Pid::from_raw(info["child-pid"].as_i64().unwrap().try_into().unwrap()).unwrap()
    }
}

/// The daemon without a sandbox, with every system call written down in `trace`.
fn traced(place: &Place, trace: &Path) -> Command {
    let run = place.command(&["run", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    let mut command = Command::new("strace");
    // -D: what is started is the daemon itself, and strace stands beside it.
    command.args(["-D", "-f", "-qq", "-o"]).arg(trace).arg(run.get_program()).args(run.get_args());
    command.env("CREDENTIALS_DIRECTORY", place.path().join("credentials"));
    command
}

/// The names of the calls in a trace.
fn called(trace: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(trace).unwrap();
    let name =
        |line: &str| Some(line.split_once(' ')?.1.trim_start().split_once('(')?.0.to_owned());
    let is_name =
        |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    text.lines().filter_map(name).filter(is_name).collect()
}

/// Where bubblewrap is, if it and what else this takes is there. When it must be, and is not, this
/// fails.
#[expect(clippy::print_stderr, reason = "a test that could not run says so")]
fn available() -> Option<PathBuf> {
    let works = |program: &str, args: &[&str]| {
        let ended =
            Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
        ended.is_ok_and(|status| status.success())
    };
    let needed = [
        (
            "bwrap",
            &["--unshare-user", "--ro-bind", "/", "/", "true"][..],
            "bubblewrap, and leave to make user namespaces",
        ),
        ("/usr/bin/python3", &["-c", "import seccomp"], "python3-seccomp"),
        ("systemd-analyze", &["syscall-filter", "@default"], "systemd"),
        ("strace", &["-qq", "-o", "/dev/null", "true"], "strace, and leave to trace"),
    ];
    let missing: Vec<&str> =
        needed.iter().filter(|(program, args, _)| !works(program, args)).map(|it| it.2).collect();
    if missing.is_empty() {
        return Some(PathBuf::from("bwrap"));
    }
    let required =
        std::env::var_os("CHANNELKEEPER_REQUIRE_BWRAP").is_some_and(|value| value == "1");
    assert!(
        !required,
        "the sandbox cannot be tried without {}: .ci/run installs it",
        missing.join("; ")
    );
    eprintln!("not run: the sandbox cannot be tried without {}", missing.join("; "));
    None
}

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/channelkeeper.service")
}

fn hardening(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hardening").join(name)
}
