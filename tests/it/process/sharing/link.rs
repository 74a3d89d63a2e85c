//! A link between two processes, which stands still when a test says so.
//!
//! It passes on what each side writes. While it stands still nothing is passed on and nothing is
//! lost: neither side hears of it, as when a cable is pulled.
//!
//! All nodes have one config, and so one address of Zoho. An [`Entry`] stands there, knows by the
//! process that connects which node it is, and names that node to Zoho as the host.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustix::process::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// One way to a server.
pub(super) struct Link {
    /// `127.0.0.1:PORT`, where whoever wants to go there connects.
    pub(super) address: String,
    gate: Gate,
}

/// The proxy on the way of one node.
#[derive(Clone)]
pub(super) struct Gate {
    is_still: watch::Sender<bool>,
    trap: Arc<Mutex<Option<Trap>>>,
    /// The process whose way it is.
    pid: Arc<Mutex<Option<Pid>>>,
    /// The host that a request names, and the one that is put in its place.
    host: Option<(String, String)>,
}

/// Something that happens when a certain write comes along.
pub(super) struct Trap {
    /// It is the next one that has this in it.
    pub(super) of: String,
    /// The link stands still from then on, with the write in it.
    pub(super) holds: bool,
    /// Called once the write is in the link, before it is passed on.
    pub(super) springs: Box<dyn FnOnce() + Send>,
}

/// The way of all nodes to one server.
pub(super) struct Entry {
    /// `127.0.0.1:PORT`.
    pub(super) address: String,
    /// Each node's.
    pub(super) gates: Vec<Gate>,
}

impl Link {
    /// A way to this server.
    pub(super) fn to(runtime: &Runtime, server: SocketAddr) -> Link {
        let (listener, address) = listening(runtime);
        let gate = Gate::new(None);
        let always = gate.clone();
        runtime.spawn(take_in(listener, server, move |_| Some(always.clone())));
        Link { address, gate }
    }

    /// Nothing is passed on from here on.
    pub(super) fn stand_still(&self) {
        self.gate.stand_still();
    }

    /// Everything is passed on, and what had to wait comes first.
    pub(super) fn go_on(&self) {
        self.gate.go_on();
    }
}

impl Entry {
    /// For these nodes.
    pub(super) fn to(runtime: &Runtime, server: SocketAddr, nodes: &[String]) -> Entry {
        let (listener, address) = listening(runtime);
        let gate =
            |node: &String| Gate::new(Some((format!("host: {address}"), format!("host: {node}"))));
        let gates: Vec<Gate> = nodes.iter().map(gate).collect();
        let (known, entry) = (gates.clone(), address.parse().unwrap());
        let of = move |client| known.iter().find(|gate| gate.is_of(client, entry)).cloned();
        runtime.spawn(take_in(listener, server, of));
        Entry { address, gates }
    }
}

impl Gate {
    fn new(host: Option<(String, String)>) -> Gate {
        let is_still = watch::Sender::new(false);
        Gate { is_still, trap: Arc::default(), pid: Arc::default(), host }
    }

    /// It is this process's from here on.
    pub(super) fn belongs_to(&self, pid: Pid) {
        *self.pid.lock().unwrap() = Some(pid);
    }

    fn stand_still(&self) {
        self.is_still.send_replace(true);
    }

    pub(super) fn go_on(&self) {
        self.is_still.send_replace(false);
    }

    /// Waits for a write at Zoho.
    pub(super) fn lay(&self, trap: Trap) {
        *self.trap.lock().unwrap() = Some(trap);
    }

    fn spring(&self, write: &[u8]) {
        let holds = |text: &str| write.windows(text.len()).any(|part| part == text.as_bytes());
        let trap = self.trap.lock().unwrap().take_if(|trap| holds(&trap.of));
        if let Some(Trap { of: _, holds, springs }) = trap {
            if holds {
                self.stand_still();
            }
            springs();
        }
    }

    /// True when its process has the end of a connection that leads from there to here.
    fn is_of(&self, client: SocketAddr, here: SocketAddr) -> bool {
        let Some(pid) = *self.pid.lock().unwrap() else { return false };
        let socket = inode_of(client, here).map(|inode| format!("socket:[{inode}]"));
        let open = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()));
        let leads_to =
            open.into_iter().flatten().filter_map(|entry| entry.ok()?.path().read_link().ok());
        let mut leads_to = leads_to.map(|to| to.to_string_lossy().into_owned());
        socket.is_some_and(|socket| leads_to.any(|to| to == socket))
    }

    fn renamed(&self, bytes: &[u8]) -> Vec<u8> {
        let Some((own, instead)) = &self.host else { return bytes.to_vec() };
        let at = bytes.windows(own.len()).position(|window| window == own.as_bytes());
        let Some(at) = at else { return bytes.to_vec() };
        [&bytes[..at], instead.as_bytes(), &bytes[at + own.len()..]].concat()
    }
}

/// The kernel's name of the socket that leads from this address of the loopback to that one.
/// Several may have the same port, each with another goal.
fn inode_of(from: SocketAddr, to: SocketAddr) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let [from, to] = [from, to].map(|end| format!("0100007F:{:04X}", end.port()));
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut its =
        lines.filter(|fields| fields.get(1..3) == Some(&[from.as_str(), to.as_str()][..]));
    its.find_map(|fields| fields.get(9).map(|inode| (*inode).to_owned()))
}

fn listening(runtime: &Runtime) -> (TcpListener, String) {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

async fn take_in(
    listener: TcpListener,
    server: SocketAddr,
    gate_of: impl Fn(SocketAddr) -> Option<Gate>,
) {
    while let Ok((client, from)) = listener.accept().await {
        // Whoever is gone already needs no way.
        let Some(gate) = gate_of(from) else { continue };
        tokio::spawn(async move {
            // A server that is not there is noticed by whoever wanted to go there.
            let Ok(server) = TcpStream::connect(server).await else { return };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let there = pass_on(from_client, to_server, gate.clone());
            let back = pass_on(from_server, to_client, gate);
            // Either end may go away at any time, which ends the other.
            let _ended = tokio::try_join!(there, back);
        });
    }
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, gate: Gate) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    let mut is_still = gate.is_still.subscribe();
    loop {
        let length = from.read(&mut bytes).await?;
        if length == 0 {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if begins_a_write(&bytes[..length]) {
            gate.spring(&bytes[..length]);
        }
        is_still.wait_for(|is_still| !is_still).await.map_err(io::Error::other)?;
        to.write_all(&gate.renamed(&bytes[..length])).await?;
    }
}

fn begins_a_write(bytes: &[u8]) -> bool {
    ["POST /crm/", "PUT /crm/", "PATCH /crm/", "DELETE /crm/"]
        .iter()
        .any(|line| bytes.starts_with(line.as_bytes()))
}
