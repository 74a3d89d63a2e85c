//! The raw baseline: the requests of a script, sent again by a process that does nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use channelkeeper::clock::{Clock, SystemClock};
use channelkeeper::zoho::transport::install_crypto;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinSet;

use super::Args;
use super::process::{Process, Taken};
use super::script::Call;
use super::world::{World, lock};

/// The cost of one phase of a script.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Raw {
    pub(crate) phase: String,
    pub(crate) wall: Duration,
    pub(crate) taken: Taken,
}

/// A line of a script.
#[derive(Serialize, Deserialize)]
enum Line {
    Phase(String),
    Call(Call),
}

/// Writes the phases down, plays them against a fresh simulator, and says what each took.
pub(crate) async fn play(
    args: &Args,
    phases: &[(&str, Vec<Call>)],
    file: &Path,
) -> anyhow::Result<Vec<Raw>> {
    let begins =
        phases.iter().find_map(|(_, calls)| calls.first()).context("nothing was asked")?.at;
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    for (name, calls) in phases {
        writeln!(out, "{}", serde_json::to_string(&Line::Phase((*name).to_owned()))?)?;
        for call in calls {
            writeln!(out, "{}", serde_json::to_string(&Line::Call(call.clone()))?)?;
        }
    }
    out.flush()?;
    let world = World::new(args, Some(begins)).await?;
    // This thread waits; those of the runtime serve.
    let played = std::process::Command::new(std::env::current_exe()?)
        .arg("--replay")
        .arg(file)
        .args(["--base", &world.base, "--accounts", &args.accounts.to_string()])
        .output()?;
    let said = String::from_utf8_lossy(&played.stdout);
    anyhow::ensure!(played.status.success(), "the baseline failed: {said}");
    said.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Sends a script; one line of output for each of its phases.
pub(crate) async fn send(script: &Path, base: &str, at_once: usize) -> anyhow::Result<()> {
    install_crypto();
    let client = reqwest::Client::builder().build()?;
    let mut phases: Vec<(String, Vec<Call>)> = Vec::new();
    for line in BufReader::new(std::fs::File::open(script)?).lines() {
        match serde_json::from_str(&line?)? {
            Line::Phase(name) => phases.push((name, Vec::new())),
            Line::Call(call) => {
                phases.last_mut().context("a call before the first phase")?.1.push(call)
            }
        }
    }
    let process = Process(std::process::id());
    let clock = SystemClock::new();
    let tokens: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
    for (phase, calls) in phases {
        let queue = Arc::new(Mutex::new(by_account(calls)));
        let (before, begun) = (process.taken()?, clock.elapsed());
        let mut workers: JoinSet<anyhow::Result<()>> = JoinSet::new();
        for _ in 0..at_once {
            let (client, base) = (client.clone(), base.to_owned());
            let (queue, tokens) = (queue.clone(), tokens.clone());
            workers.spawn(async move {
                loop {
                    let Some(account) = lock(&queue).pop_front() else { return Ok(()) };
                    for call in account {
                        one(&client, &base, call, &tokens).await?;
                    }
                }
            });
        }
        while let Some(ended) = workers.join_next().await {
            ended.context("a worker of the baseline died")??;
        }
        let raw =
            Raw { phase, wall: clock.elapsed() - begun, taken: process.taken()?.since(before) };
        println!("{}", serde_json::to_string(&raw)?);
    }
    Ok(())
}

/// The calls of each account in their order, the accounts in the order of their first.
fn by_account(calls: Vec<Call>) -> VecDeque<Vec<Call>> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut accounts: VecDeque<Vec<Call>> = VecDeque::new();
    for call in calls {
        let place = *places.entry(call.org.clone()).or_insert(accounts.len());
        if place == accounts.len() {
            accounts.push_back(Vec::new());
        }
        accounts[place].push(call);
    }
    accounts
}

async fn one(
    client: &reqwest::Client,
    base: &str,
    call: Call,
    tokens: &Mutex<BTreeMap<String, String>>,
) -> anyhow::Result<()> {
    let url = format!("{base}{}", call.path);
    let method = reqwest::Method::from_bytes(call.method.as_bytes())?;
    let is_for_token = call.is_for_token();
    let mut request = client.request(method, url).query(&call.query).body(call.body);
    request = if is_for_token {
        request.header("content-type", "application/x-www-form-urlencoded")
    } else {
        let token = lock(tokens).get(&call.org).cloned().unwrap_or_default();
        request
            .header("authorization", format!("Zoho-oauthtoken {token}"))
            .header("content-type", "application/json")
    };
    let reply = request.send().await?;
    let status = reply.status().as_u16();
    let body = reply.bytes().await?;
    anyhow::ensure!(
        status < 400,
        "{} {} was answered with {status}: {}",
        call.method,
        call.path,
        String::from_utf8_lossy(&body)
    );
    if is_for_token {
        let body: Value = serde_json::from_slice(&body)?;
        let token = body["access_token"].as_str().context("no access token")?.to_owned();
        lock(tokens).insert(call.org, token);
    }
    Ok(())
}
