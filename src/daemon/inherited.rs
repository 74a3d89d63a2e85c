//! The socket that systemd opened for the health endpoints, where a socket unit does so.
//!
//! It goes before `http.listen`: whoever wrote the socket unit is root and has said where to
//! listen. An address that other hosts reach needs `http.public` all the same. Whatever else was
//! handed over is refused by name, since a daemon that goes on without the socket that somebody
//! asked for looks as if it were down.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

/// The listening socket, if this process was handed one.
///
/// To be called once and first of all: it takes `$LISTEN_FDS` out of the environment.
///
/// # Errors
/// When what was handed over is not exactly one TCP socket that listens.
pub(crate) fn http() -> io::Result<Option<TcpListener>> {
    let mut handed = ListenFd::from_env();
    if handed.len() > 1 {
        return Err(io::Error::other(format!(
            "systemd hands over {} sockets: give it one ListenStream=",
            handed.len()
        )));
    }
    let Some(listener) = handed.take_tcp_listener(0)? else { return Ok(None) };
    if !socket_acceptconn(&listener)? {
        return Err(io::Error::other("it does not listen: give it Accept=no"));
    }
    listener.set_nonblocking(true)?;
    Ok(Some(listener))
}
