//! Who may see and do what: the health listener's token and names, the socket's mode, and the
//! process's memory.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use rustix::process::geteuid;
use serde_json::Value;

use super::daemon::Daemon;
use super::http;
use super::place::Place;
use super::simulator::Simulator;

const TOKEN: &str = "hush-0123456789abcdef";

/// The status that a request gets, with a host and perhaps a token.
fn asked(daemon: &Daemon, host: &str, token: Option<&str>, path: &str) -> u16 {
    let mut stream = TcpStream::connect(daemon.listens()).unwrap();
    stream.set_read_timeout(Some(http::PATIENCE)).unwrap();
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{token}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn with_a_token_only_livez_is_open_and_a_probe_shows_it_from_a_file() {
    let zoho = Simulator::start();
    let http = "\n[http]\nhosts = [\"Status.Example.com\"]\ntoken = { file = \"http-token\" }\n";
    let place = Place::new(&(zoho.config.clone() + http));
    fs::write(place.path().join("http-token"), TOKEN).unwrap();
    let daemon = Daemon::start(&place);
    let expected = [
        ("/livez", "localhost", None, 200),
        ("/readyz", "localhost", None, 401),
        ("/metrics", "localhost", None, 401),
        ("/", "localhost", Some("hush-0123456789abcdeF"), 401),
        ("/", "localhost", Some(TOKEN), 200),
        ("/metrics", "status.example.com:443", Some(TOKEN), 200),
        ("/metrics", "evil.example", Some(TOKEN), 421),
        ("/livez", "evil.example", None, 421),
    ];
    for (path, host, token, status) in expected {
        assert_eq!(asked(&daemon, host, token, path), status, "{path} at {host} with {token:?}");
    }
    let url = format!("http://{}", daemon.listens());
    let without = place.verb(&["probe", "--url", &url]);
    assert!(without.code == 3 && without.out.contains("401"), "{without:#?}");
    let file = place.path().join("http-token");
    place.done(&["probe", "--url", &url, "--token-file", file.to_str().unwrap()]);
    // Over its socket it is not asked for.
    place.done(&["probe"]);
    let log = daemon.stop().join("\n");
    assert!(!log.contains("hush"), "{log}");

    // A config that broke, and a token that is gone: endpoints that cannot be guarded stay closed,
    // and channels are still kept.
    fs::remove_file(file).unwrap();
    let mut daemon = Daemon::begin(&place);
    let said = daemon.hears("the health endpoints stay closed");
    assert!(said["why"].as_str().unwrap().starts_with("the token of [http]: "), "{said}");
    daemon.hears_that("that it holds channels", |line| {
        line["message"] == "every account has been looked at"
    });
    assert!(!daemon.log.iter().any(|line| line.contains("health endpoints are open")));
    daemon.stop();
}

#[test]
fn nothing_listens_to_other_hosts_without_a_word_in_the_config() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let refused = place.verb(&["run", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(
        refused.err.contains("other hosts can reach 0.0.0.0:0")
            && refused.err.contains("public = true"),
        "{refused:#?}"
    );
    place.write(&(zoho.config.clone() + "\n[http]\nlisten = \"0.0.0.0:8470\"\n"));
    assert_eq!(place.verb(&["check"]).code, 3);
    place.write(&(zoho.config.clone() + "\n[http]\npublic = true\n"));
    let mut command = place.command(&["--log-format", "json", "run", "--listen", "0.0.0.0:0"]);
    command.env_remove("RUST_LOG");
    let daemon = Daemon::spawn_by(command);
    daemon.stop();
}

#[test]
fn the_state_directory_and_the_socket_are_the_owner_s_and_whoever_changes_something_is_in_the_log()
{
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let mut daemon = Daemon::start(&place);
    let mode =
        |path: &str| fs::metadata(place.state().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("control.sock")), (0o700, 0o660));
    place.done(&["plan"]);
    place.done(&["renew"]);
    let asked = daemon.hears("a change was asked for");
    assert_eq!(
        (&asked["verb"], asked["uid"].as_u64()),
        (&Value::from("/renew"), Some(u64::from(geteuid().as_raw())))
    );
    assert!(asked["pid"].is_number(), "{asked}");
    let log = daemon.stop();
    assert_eq!(
        log.iter().filter(|line| line.contains("a change was asked for")).count(),
        1,
        "{log:#?}"
    );
}

/// The daemon's memory is in no file that the kernel writes, and in no answer of /proc to another
/// process of its user.
#[cfg(target_os = "linux")]
#[test]
fn a_daemon_leaves_no_core_and_nobody_of_its_user_looks_into_it() {
    use std::os::unix::fs::MetadataExt;
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let daemon = Daemon::start(&place);
    let proc = |file: &str| format!("/proc/{}/{file}", daemon.pid().as_raw_nonzero());
    let limits = fs::read_to_string(proc("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    // The files of a process that cannot be dumped are root's, so that its own user cannot read its
    // memory or environment.
    assert_eq!(fs::metadata(proc("environ")).unwrap().uid(), 0);
    let arguments = fs::read_to_string(proc("cmdline")).unwrap();
    assert!(!arguments.contains("secret") && !arguments.contains("refresh"), "{arguments:?}");
    drop(daemon);
}

#[test]
fn a_port_in_use_is_named_with_the_key_that_asks_for_it() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    let place = Place::new(&format!("[http]\nlisten = \"{address}\"\n"));
    let told = |args: &[&str]| {
        let ran = place.verb(args);
        assert_eq!(ran.code, 1, "{ran:#?}");
        ran.err
    };
    let err = told(&["run"]);
    assert!(
        err.contains(&format!("http://{address}, which `[http] listen` of the config")),
        "{err}"
    );
    let err = told(&["run", "--listen", &address.to_string()]);
    assert!(err.contains(&format!("http://{address}, which --listen says,")), "{err}");
}
