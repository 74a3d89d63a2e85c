//! A socket that systemd opened is the daemon's, whatever the config says of one.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::Command;

use super::daemon::{Daemon, run};
use super::http;
use super::place::Place;
use super::simulator::Simulator;

/// The daemon with its stdin as so many sockets from descriptor 3 on. The shell hands them over to
/// its own process, which the daemon then is.
fn handed(place: &Place, count: usize) -> Command {
    let mut shell = Command::new("sh");
    let script =
        format!("exec 3<&0 4<&0 0</dev/null; export LISTEN_FDS={count} LISTEN_PID=$$; exec \"$@\"");
    let run = run(place);
    shell.args(["-c", &script, "sh"]).arg(run.get_program()).args(run.get_args());
    shell
}

#[test]
fn the_health_endpoints_are_on_the_socket_that_was_handed_over() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut daemon = Daemon::spawn_on(handed(&place, 1), OwnedFd::from(listener));
    assert_eq!(daemon.listens(), address);
    daemon.hears("every account has been looked at");
    assert_eq!(http::get(&address, "/livez").status, 200);
    daemon.stop();
}

#[test]
fn what_is_no_listening_socket_is_refused_before_anything_is_asked_of_zoho() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let listener = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let connected = OwnedFd::from(std::net::TcpStream::connect(&zoho.address).unwrap());
    let datagrams = OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
    let file = OwnedFd::from(File::open("/dev/null").unwrap());
    for (count, socket, why) in [
        (2, listener(), "systemd hands over 2 sockets: give it one ListenStream="),
        (1, connected, "it does not listen"),
        (1, datagrams, "fd 3 is not a valid tcp socket"),
        (1, file, "fd 3 is not a socket"),
    ] {
        let (code, log) = Daemon::begin_on(handed(&place, count), socket).ends();
        let log = log.concat();
        assert_eq!(code, Some(1), "{log}");
        assert!(
            log.contains("the socket that systemd handed over cannot be listened on")
                && log.contains(why),
            "{log}"
        );
    }
    assert_eq!(zoho.requests(), 0);
}
