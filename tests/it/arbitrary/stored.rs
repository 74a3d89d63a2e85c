//! Values in the database that are not what was written.
//!
//! Each case damages one or two values of a store at rest, then starts a world on it. A store that
//! can be read is read, one that cannot is moved aside, one that says it is newer is left alone;
//! whichever it was, nothing foreign is written, nothing undeclared is made, and everything
//! declared is covered after the next audit.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use channelkeeper::clock::Clock;
use channelkeeper::daemon::actions;
use channelkeeper::daemon::requests::AckRequest;
use channelkeeper::model::secret::Origin;
use channelkeeper::model::time::after;
use channelkeeper::model::version::ApiVersion;
use channelkeeper::simulator::{Channel, Hand, Knobs};
use channelkeeper::store::{OpenError, Store, StoreError};
use proptest::prelude::*;
use serde_json::Value;

use super::{any_json, cases};
use crate::world::World;

#[test]
fn no_stored_value_makes_the_store_panic_or_the_daemon_write_what_is_not_its_own() {
    cases(256)
        .run(&prop::collection::vec(damages(), 1..3), |damages| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build();
            runtime.unwrap().block_on(case(&damages))
        })
        .unwrap();
}

async fn case(damages: &[Damage]) -> Result<(), TestCaseError> {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    for (n, name) in ["a", "b", "c", "d"].iter().enumerate() {
        let id = world.declare("acme", name, &["Deals.all", "Leads.create"]);
        // Every second one has a neighbour that is somebody else's.
        foreign(&world, if n % 2 == 0 { id.number() + 1 } else { FOREIGN + n as i64 });
    }
    let theirs = channels(&world, false);
    world.start();
    world.audit().await;
    // Somebody deletes ours, and the next look finds that out: each has a gap.
    for (account, id) in world.declared() {
        world.hand(&account, &Hand::Delete { channel: id.number() });
    }
    world.audit().await;
    let ours = channels(&world, true);
    assert_eq!((theirs.len(), ours.len()), (4, 4));
    let fleet = world.daemon().links.fleet.borrow().clone();
    let acked = actions::ack(&fleet, world.store(), &AckRequest::default(), world.now()).await;
    assert_eq!(acked.map(|acked| acked.len()).ok(), Some(4));
    drop(fleet);
    world.stop().await;
    for damage in damages {
        damage.do_it(world.state_dir());
    }
    match Store::open(world.state_dir(), world.host_clock.now()) {
        Ok(opened) => {
            let fetch = |_: &Origin| Err("not here".to_owned());
            // A desired state that is not what was written is refused as a whole.
            let restored = opened.store.restore_desired(&fetch);
            prop_assert!(
                matches!(restored, Ok(_) | Err(StoreError::Value { tree: "desired", .. })),
                "{restored:?}"
            );
        }
        Err(OpenError::Newer { .. }) if damages.iter().any(|damage| damage.tree == "meta") => {
            return Ok(());
        }
        Err(other) => return Err(TestCaseError::fail(format!("{other:?}"))),
    }
    world.start();
    for _ in 0..2 {
        world.audit().await;
        world.pass_time(Duration::from_secs(1800)).await;
    }
    prop_assert_eq!(channels(&world, false), theirs, "{:?}", world.trace());
    let left: Vec<i64> = channels(&world, true).iter().map(|channel| channel.id).collect();
    prop_assert_eq!(left, ours.iter().map(|channel| channel.id).collect::<Vec<_>>());
    for (account, id) in world.declared() {
        prop_assert!(world.is_covered(&account, id, world.now()), "{} is not covered", id);
    }
    prop_assert!(world.trace().len() < CALLS_MAX, "{} calls", world.trace().len());
    world.crash().await;
    Ok(())
}

fn foreign(world: &World, channel: i64) {
    let hand = Hand::Create {
        channel,
        events: vec!["Deals.all".to_owned()],
        notify_url: "https://other.example.com/".to_owned(),
        token: Some("theirs".to_owned()),
        expiry: after(world.now(), Duration::from_secs(6 * 24 * 3600)),
    };
    assert!(world.hand("acme", &hand));
}

/// Ours, or the others.
fn channels(world: &World, ours: bool) -> Vec<Channel> {
    let now = world.now();
    let zoho = world.zoho();
    let all = zoho.channels("acme", now).into_iter().cloned();
    all.filter(|channel| channel.notify_url.contains("hooks.example.com") == ours).collect()
}

/// The damage to one value.
#[derive(Clone, Debug)]
struct Damage {
    tree: &'static str,
    /// Which of the tree's values.
    which: prop::sample::Index,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Bytes(Vec<u8>),
    Json(Value),
    /// One byte of it.
    Byte(prop::sample::Index, u8),
    /// One leaf of its JSON.
    Leaf(prop::sample::Index, Value),
    /// The value of another key.
    Other(prop::sample::Index),
    /// A digit is another one.
    Digit(prop::sample::Index, u8),
}

fn damages() -> impl Strategy<Value = Damage> {
    let tree = prop::sample::select(vec![
        "records", "records", "records", "ledger", "ledger", "acks", "accounts", "tokens",
        "desired", "meta",
    ]);
    let words = &[
        "9999-12-30T22:00:00.999999999Z",
        "-009999-01-02T01:59:59Z",
        "2026-03-01T00:00:01Z",
        "2026-03-02T00:00:00Z",
        "700001",
        "acme",
        "a",
        "records",
        "INVALID_DATA",
        "NOT_SUBSCRIBED",
    ];
    let how = prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..80).prop_map(How::Bytes),
        1 => any_json(words).prop_map(How::Json),
        2 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| How::Byte(at, byte)),
        4 => (any::<prop::sample::Index>(), leaf(words)).prop_map(|(at, value)| How::Leaf(at, value)),
        2 => any::<prop::sample::Index>().prop_map(How::Other),
        3 => (any::<prop::sample::Index>(), b'0'..=b'9').prop_map(|(at, digit)| How::Digit(at, digit)),
    ];
    (tree, any::<prop::sample::Index>(), how).prop_map(|(tree, which, how)| Damage {
        tree,
        which,
        how,
    })
}

fn leaf(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => prop::sample::select(words).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => prop::sample::select(vec![0_u64, 1, 2, 3, u64::from(u32::MAX)]).prop_map(Value::from),
    ]
}

impl Damage {
    fn do_it(&self, state_dir: &Path) {
        let db = opened(&state_dir.join("db"));
        let tree = db.open_tree(self.tree).unwrap();
        // Damaged bytes are those of the disk; all else befalls one entry of a leaf.
        let is_of_disk = matches!(self.how, How::Bytes(_) | How::Byte(..));
        let is_in_leaves = IN_LEAVES.contains(&self.tree) && !is_of_disk;
        let stored = tree.iter().map(Result::unwrap).map(|(key, bytes)| {
            let whole = || vec![(Vec::new(), bytes.to_vec())];
            (key, if is_in_leaves { lines_of(&bytes) } else { whole() })
        });
        let mut stored: Vec<(sled::IVec, Vec<Line>)> = stored.collect();
        let values: Vec<Vec<u8>> = stored
            .iter()
            .flat_map(|(_, lines)| lines.iter().map(|(_, value)| value.clone()))
            .collect();
        if values.is_empty() {
            return;
        }
        let which = self.which.index(values.len());
        let damaged = self.damaged(&values[which], &values);
        let mut all = stored.iter_mut().flat_map(|(key, lines)| {
            (0..lines.len()).map(|at| (key.clone(), at)).collect::<Vec<_>>()
        });
        let (key, at) = all.nth(which).unwrap();
        let (_, lines) = stored.iter_mut().find(|(other, _)| *other == key).unwrap();
        lines[at].1 = damaged;
        let bytes = if is_in_leaves { leaf_of(lines) } else { lines[at].1.clone() };
        tree.insert(key, bytes).unwrap();
        db.flush().unwrap();
    }

    /// The value in place of this one of all of them.
    fn damaged(&self, value: &[u8], all: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = value.to_vec();
        match &self.how {
            How::Bytes(bytes) => bytes.clone(),
            How::Json(value) => value.to_string().into_bytes(),
            How::Other(other) => all[other.index(all.len())].clone(),
            How::Byte(at, byte) => {
                let at = at.index(bytes.len().max(1));
                bytes.iter_mut().skip(at).take(1).for_each(|old| *old = *byte);
                bytes
            }
            How::Digit(at, digit) => {
                let mut digits: Vec<&mut u8> =
                    bytes.iter_mut().filter(|byte| byte.is_ascii_digit()).collect();
                if !digits.is_empty() {
                    let at = at.index(digits.len());
                    *digits[at] = *digit;
                }
                bytes
            }
            How::Leaf(at, new) => with_leaf(&bytes, *at, new),
        }
    }
}

/// An entry of a leaf of the database: its key there, and its value.
type Line = (Vec<u8>, Vec<u8>);

/// The entries of a leaf, as `src/store/disk.rs` writes it: the length of a text, and the text,
/// deflated. One that was damaged before has none.
fn lines_of(leaf: &[u8]) -> Vec<Line> {
    let mut text = Vec::new();
    let deflated = leaf.get(4..).unwrap_or_default();
    if flate2::read::ZlibDecoder::new(deflated).read_to_end(&mut text).is_err() {
        return Vec::new();
    }
    let line = |line: &[u8]| {
        let blank = line.iter().position(|byte| *byte == b' ')?;
        Some((line[..blank].to_vec(), line[blank + 1..].to_vec()))
    };
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn leaf_of(lines: &[Line]) -> Vec<u8> {
    let text: Vec<u8> =
        lines.iter().flat_map(|(key, value)| [key, &b" "[..], value, b"\n"].concat()).collect();
    let head = u32::try_from(text.len()).unwrap().to_le_bytes().to_vec();
    let mut deflater = flate2::write::ZlibEncoder::new(head, flate2::Compression::fast());
    deflater.write_all(&text).unwrap();
    deflater.finish().unwrap()
}

/// The same JSON with another leaf; the same bytes, when they are no JSON any more.
fn with_leaf(bytes: &[u8], at: prop::sample::Index, new: &Value) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else { return bytes.to_vec() };
    let mut leaves = Vec::new();
    leaves_of(&mut value, &mut leaves);
    if !leaves.is_empty() {
        let at = at.index(leaves.len());
        *leaves[at] = new.clone();
    }
    value.to_string().into_bytes()
}

fn leaves_of<'a>(value: &'a mut Value, leaves: &mut Vec<&'a mut Value>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| leaves_of(item, leaves)),
        Value::Object(map) => map.values_mut().for_each(|item| leaves_of(item, leaves)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => leaves.push(value),
    }
}

/// The database behind the store's back; its former user lets go of the lock a moment after it was
/// dropped.
fn opened(path: &Path) -> sled::Db {
    for _ in 0..500 {
        match sled::Config::default().segment_size(SEGMENT_BYTES).path(path).open() {
            Ok(db) => return db,
            Err(_) => std::thread::park_timeout(Duration::from_millis(10)),
        }
    }
    panic!("{} stays locked", path.display());
}

const FOREIGN: i64 = 700_000;
/// The segment that the store begins its databases with; sled opens none with another.
const SEGMENT_BYTES: usize = 256 * 1024;
/// The trees whose entries lie in leaves.
const IN_LEAVES: [&str; 3] = ["desired", "records", "ledger"];
/// In an hour that has nothing to do: far more than a look and a repair take, far fewer than a loop
/// that spins.
const CALLS_MAX: usize = 200;
