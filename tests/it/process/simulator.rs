//! The simulator, started as its users start it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use channelkeeper::clock::Pace;
use serde_json::{Value, json};

use super::http;

/// A simulator on a port of its own; it is killed with this value.
pub(super) struct Simulator {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub(super) address: String,
    /// The config that `--print-config` printed.
    pub(super) config: String,
}

impl Simulator {
    /// One org, four declared channels.
    pub(super) fn start() -> Simulator {
        Simulator::with(1, 4)
    }

    /// Orgs `sim1`, `sim2` and so on, over which the declared channels are spread.
    pub(super) fn with(orgs: usize, declared: usize) -> Simulator {
        Simulator::begun(orgs, declared, "crm")
    }

    /// One org of this product, four declared channels.
    pub(super) fn of_product(product: &str) -> Simulator {
        Simulator::begun(1, 4, product)
    }

    /// One org, one declared channel, on a clock that a daemon may be told of.
    pub(super) fn at_a_pace(pace: Pace) -> Simulator {
        Simulator::spawned(1, &["--channels", "1", "--pace", &pace.to_string()])
    }

    fn begun(orgs: usize, declared: usize, product: &str) -> Simulator {
        let (orgs, declared_of) = (orgs.to_string(), declared.to_string());
        let args =
            ["--product", product, "--accounts", orgs.as_str(), "--channels", declared_of.as_str()];
        Simulator::spawned(declared, &args)
    }

    fn spawned(declared: usize, args: &[&str]) -> Simulator {
        let mut child = Command::new(env!("CARGO_BIN_EXE_channelkeeper"))
            .args(["simulator", "--listen", "127.0.0.1:0", "--print-config"])
            .args(args)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut config = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        while config.matches("\ntoken = ").count() < declared {
            let read = stdout.read_line(&mut config).unwrap();
            assert_ne!(read, 0, "the simulator ended after {config:?}");
        }
        let first = config.lines().next().unwrap();
        let address = first.strip_prefix("# listening on http://").unwrap().to_owned();
        Simulator { child, address, config }
    }

    /// The account alone of what was printed.
    pub(super) fn account(&self) -> &str {
        self.config.split("\n[[channels]]").next().unwrap()
    }

    /// Looks in.
    pub(super) fn see(&self, path: &str) -> Value {
        http::get(&self.address, path).json()
    }

    /// Changes how it behaves, or what is in it.
    #[track_caller]
    pub(super) fn tell(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = http::call(&self.address, method, path, &body.to_string());
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.body);
        answer.json()
    }

    /// Somebody else edits a channel.
    #[track_caller]
    pub(super) fn hand(&self, hand: &Value) {
        self.hand_in("sim1", hand);
    }

    /// The same in this org.
    #[track_caller]
    pub(super) fn hand_in(&self, org: &str, hand: &Value) {
        self.tell("POST", "/_sim/hands", &json!({ "org": org, "hand": hand }));
    }

    /// Calls go wrong from here on.
    #[track_caller]
    pub(super) fn fault(&self, rule: &Value) {
        self.tell("POST", "/_sim/faults", rule);
    }

    /// The calls that it was asked.
    pub(super) fn counters(&self) -> Value {
        self.counters_by_org()["sim1"].take()
    }

    /// The calls that it was asked, by org.
    pub(super) fn counters_by_org(&self) -> Value {
        self.see("/_sim/counters")["orgs"].take()
    }

    /// How many POST, PUT, PATCH and DELETE calls there were.
    pub(super) fn writes(&self) -> u64 {
        self.counters()["writes"].as_u64().unwrap()
    }

    /// How many requests there were, for tokens and of the watch API.
    pub(super) fn requests(&self) -> u64 {
        let Value::Object(orgs) = self.counters_by_org() else { panic!("no orgs") };
        let counted = |counts: &Value| -> u64 {
            counts.as_object().unwrap().values().filter_map(Value::as_u64).sum()
        };
        orgs.values().map(|org| counted(&org["calls"]) + counted(&org["token_outcomes"])).sum()
    }

    /// Its live channels, by id.
    pub(super) fn channels(&self) -> BTreeMap<String, Value> {
        self.channels_by_org().remove("sim1").unwrap()
    }

    /// The live channels of each org, by id.
    pub(super) fn channels_by_org(&self) -> BTreeMap<String, BTreeMap<String, Value>> {
        let Value::Object(orgs) = self.see("/_sim/state")["orgs"].take() else { panic!("no orgs") };
        orgs.into_iter().map(|(name, mut org)| (name, live(org["channels"].take()))).collect()
    }
}

fn live(channels: Value) -> BTreeMap<String, Value> {
    let Value::Array(channels) = channels else { panic!("no channels: {channels}") };
    channels
        .into_iter()
        .filter(|channel| channel["live"] == true)
        .map(|channel| (channel["channel_id"].as_str().unwrap().to_owned(), channel))
        .collect()
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to kill.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
