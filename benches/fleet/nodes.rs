//! Several nodes that share the accounts over an etcd, which is taken from PATH.
//!
//! Four things are measured: a cold start of all nodes at once, a while of rest, the takeover after
//! one of them is killed, and what each process and the database take. The etcd keeps its data in
//! the place of the measurement, on the same disk and the same cores as everything else.

use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use channelkeeper::clock::{Clock, SystemClock};
use channelkeeper::engine::etcd::{Etcd, EtcdSettings};
use channelkeeper::engine::{Engine, EngineStatus, Selection};

use super::Args;
use super::daemon::{Daemon, elapsed};
use super::process::Process;
use super::world::{NEVER, Place, World};

/// Measures, and prints what was found.
pub(crate) async fn measure(args: &Args) -> anyhow::Result<()> {
    let world = World::new(args, None).await?;
    let place = Place::new()?;
    let engine = EtcdProcess::start(&place).await?;
    let places = (0..args.nodes).map(|node| engine.place(args, &world, &place, node));
    let places = places.collect::<anyhow::Result<Vec<Place>>>()?;
    let start = |place: &Place| Daemon::start(args, &world, place, None);
    let mut nodes = places.iter().map(start).collect::<anyhow::Result<Vec<Daemon>>>()?;
    let begun = elapsed(&world);
    let total = world.total() as u64;
    wait(&world, &mut nodes, |world| world.created() >= total).await?;
    println!("{} accounts of {} channels, {} nodes", args.accounts, args.channels, args.nodes);
    println!("cold start: all covered after {:.1?}", elapsed(&world).saturating_sub(begun));
    anyhow::ensure!(world.created() == total, "a channel was created twice");
    world.clock.sleep(SETTLE).await;
    engine.tell("after the cold start", &nodes).await?;
    rest(args, &world, &engine, &nodes).await?;
    takeover(&world, &engine, nodes).await
}

/// Nothing is due, and nobody asks.
async fn rest(
    args: &Args,
    world: &World,
    engine: &EtcdProcess,
    nodes: &[Daemon],
) -> anyhow::Result<()> {
    world.take_calls();
    let processes: Vec<Process> = nodes.iter().map(|node| node.process).collect();
    let taken = |process: Process| process.taken();
    let before = engine.status().await?;
    let (of_etcd, of_nodes) = (taken(engine.process())?, sum(&processes)?);
    world.clock.sleep(args.idle).await;
    let after = engine.status().await?;
    let seconds = args.idle.as_secs_f64();
    let commits = (after.revision.0 - before.revision.0) as f64 / seconds;
    let cpu =
        |later: Duration, earlier: Duration| (later - earlier).as_secs_f64() / seconds * 100.0;
    println!(
        "rest of {:?}: {} calls at Zoho, {commits:.2} commits a second; CPU of etcd {:.1} %, of all nodes {:.1} %",
        args.idle,
        world.take_calls().len(),
        cpu(taken(engine.process())?.cpu, of_etcd.cpu),
        cpu(sum(&processes)?, of_nodes),
    );
    Ok(())
}

fn sum(processes: &[Process]) -> anyhow::Result<Duration> {
    let each = processes.iter().map(|process| Ok(process.taken()?.cpu));
    each.sum::<anyhow::Result<Duration>>()
}

/// The first node is killed.
async fn takeover(
    world: &World,
    engine: &EtcdProcess,
    mut nodes: Vec<Daemon>,
) -> anyhow::Result<()> {
    let killed = nodes.remove(0);
    let others = 1..=nodes.len();
    let owned = engine.owned(0..=0).await?;
    let all = engine.owned(0..=nodes.len()).await?;
    world.take_calls();
    let begun = elapsed(world);
    drop(killed);
    while engine.owned(others.clone()).await? < all {
        wait(world, &mut nodes, |_| true).await?;
    }
    let took = elapsed(world).saturating_sub(begun);
    let seen = world.take_calls();
    let writes = seen.iter().filter(|call| call.is_write()).count();
    println!("kill: {owned} accounts owned by others after {took:.1?}, {writes} writes");
    anyhow::ensure!(writes == 0, "a takeover wrote at Zoho");
    world.clock.sleep(SETTLE).await;
    engine.tell("after the takeover", &nodes).await
}

/// Waits until something is so, while all nodes run.
async fn wait(
    world: &World,
    nodes: &mut [Daemon],
    is_so: impl Fn(&World) -> bool,
) -> anyhow::Result<()> {
    let begun = elapsed(world);
    loop {
        nodes.iter_mut().try_for_each(Daemon::check)?;
        world.clock.sleep(OFTEN).await;
        if is_so(world) {
            return Ok(());
        }
        let waited = elapsed(world).saturating_sub(begun);
        anyhow::ensure!(waited < LIMIT, "{} channels after {waited:?}", world.created());
    }
}

/// An etcd with an engine that speaks to it; it is killed when this is dropped.
struct EtcdProcess {
    child: Child,
    url: String,
    engine: Etcd,
}

impl EtcdProcess {
    async fn start(place: &Place) -> anyhow::Result<EtcdProcess> {
        let (client, peer) = (free_url()?, free_url()?);
        let child = Command::new("etcd")
            .arg(format!("--data-dir={}", place.file("etcd").display()))
            .args([
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
            ])
            .args([
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
            ])
            .arg(format!("--initial-cluster=default={peer}"))
            .args(["--auto-compaction-mode=periodic", "--auto-compaction-retention=10m"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("etcd cannot be run (apt-get install etcd-server)")?;
        let clock = Arc::new(SystemClock::new());
        let endpoints = [client.clone()];
        let settings = EtcdSettings { endpoints: &endpoints, login: None, ca_file: None };
        let engine = Etcd::patient(settings, clock.clone(), LIMIT)?;
        let started = EtcdProcess { child, url: client, engine };
        while started.engine.status().await.is_err() {
            clock.sleep(OFTEN).await;
        }
        Ok(started)
    }

    /// The place of a node, with its config.
    fn place(
        &self,
        args: &Args,
        world: &World,
        below: &Place,
        node: usize,
    ) -> anyhow::Result<Place> {
        let place = below.below(&format!("n{node}"))?;
        world.write_config(&place, (NEVER, args.passes_max))?;
        let file = place.file("config.toml");
        let config = std::fs::read_to_string(&file)?;
        let url = &self.url;
        let cluster =
            format!("[cluster]\nname = \"bench\"\nnode = \"n{node}\"\nengine = [\"{url}\"]\n");
        std::fs::write(&file, config + &cluster)?;
        Ok(place)
    }

    fn process(&self) -> Process {
        Process(self.child.id())
    }

    async fn status(&self) -> anyhow::Result<EngineStatus> {
        Ok(self.engine.status().await?)
    }

    /// How many accounts these nodes own.
    async fn owned(&self, nodes: RangeInclusive<usize>) -> anyhow::Result<usize> {
        let claims = Selection::Prefix("channelkeeper/bench/claims/".to_owned());
        let claims = self.engine.range(vec![claims]).await?.entries;
        let is_of = |value: &str, node: usize| {
            value.contains(&format!("\"n{node}-"))
                || value.contains(&format!("\"node\":\"n{node}\""))
        };
        let is_theirs = |value: &[u8]| {
            let value = String::from_utf8_lossy(value);
            nodes.clone().any(|node| is_of(&value, node))
        };
        Ok(claims.iter().filter(|e| !e.key.ends_with("@fleet") && is_theirs(&e.value)).count())
    }

    async fn tell(&self, when: &str, nodes: &[Daemon]) -> anyhow::Result<()> {
        let status = self.status().await?;
        let resident = |process: Process| Ok(process.resident()? / MIB);
        let of_nodes = nodes.iter().map(|node| resident(node.process));
        let of_nodes = of_nodes.collect::<anyhow::Result<Vec<u64>>>()?;
        println!(
            "{when}: database {} MiB, etcd {} MiB resident, nodes {of_nodes:?} MiB",
            status.bytes / MIB,
            resident(self.process())?,
        );
        Ok(())
    }
}

impl Drop for EtcdProcess {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn free_url() -> std::io::Result<String> {
    Ok(format!("http://{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?))
}

const MIB: u64 = 1024 * 1024;
const OFTEN: Duration = Duration::from_millis(100);
const SETTLE: Duration = Duration::from_secs(15);
const LIMIT: Duration = Duration::from_secs(1800);
