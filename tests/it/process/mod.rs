//! The real binary, as a process, against the simulator as another process: over HTTP, with
//! signals, files and pipes.
//!
//! Each test has its own simulator, port and directories. Nothing waits by the clock: a test reads
//! the daemon's log until the line that says what it waits for, and every wait has a bound.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod chromium;
mod daemon;
mod declared;
mod http;
mod place;
mod simulator;
mod systemd;

mod alerts;
mod clock;
mod demo;
#[cfg(target_os = "linux")]
mod disk;
mod drift;
#[cfg(target_os = "linux")]
mod flood;
mod foul;
mod generations;
#[cfg(target_os = "linux")]
mod hardening;
mod help;
mod hooks;
mod import;
mod init;
mod journal;
mod killed;
mod life;
mod listen;
mod login;
mod machines;
mod metrics;
mod moving;
mod notified;
mod online;
mod outside;
mod packaging;
mod page;
mod pause;
mod plan;
mod private;
mod pty;
mod receivers;
mod recovered;
mod refused;
mod rehearse;
mod reload;
mod secrets;
mod sharing;
mod signals;
mod slack;
mod socket;
mod status;
mod stderr;
mod tls;
mod together;
mod token;
mod vanished;
mod verbs;
mod waiting;
