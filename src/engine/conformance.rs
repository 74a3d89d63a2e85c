//! The suite that holds each engine to its door: tests call it.
//!
//! Each check works below keys of its own, and panics where the engine does not do as it should.
//! [`SUITE`] is for a healthy engine. [`hints_go_on_after`] is for one that something befalls,
//! which only its own tests can bring about.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{
    COMMIT_BYTES_MAX, Change, Committed, Engine, EngineError, Entry, Guard, Hint, OPERATIONS_MAX,
    Revision, Selection, Snapshot,
};

/// A check on its way.
pub type Checking<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One check: of this engine, below these keys.
pub type Check = for<'a> fn(&'a dyn Engine, &'a str) -> Checking<'a>;

/// All checks, by name.
pub const SUITE: [(&str, Check); 15] = [
    ("a-value-comes-back", |e, u| Box::pin(a_value_comes_back(Below(e, u)))),
    ("whole-or-not-at-all", |e, u| Box::pin(whole_or_not_at_all(Below(e, u)))),
    ("modified-at", |e, u| Box::pin(modified_at(Below(e, u)))),
    ("created-at", |e, u| Box::pin(created_at(Below(e, u)))),
    ("not-created-at", |e, u| Box::pin(not_created_at(Below(e, u)))),
    ("all-guards-count", |e, u| Box::pin(all_guards_count(Below(e, u)))),
    ("nothing-changed", |e, u| Box::pin(nothing_changed(Below(e, u)))),
    ("selections", |e, u| Box::pin(selections(Below(e, u)))),
    ("many-keys", |e, u| Box::pin(many_keys(Below(e, u)))),
    ("one-revision", |e, u| Box::pin(one_revision(Below(e, u)))),
    ("odd-keys", |e, u| Box::pin(odd_keys(Below(e, u)))),
    ("large-and-binary", |e, u| Box::pin(large_and_binary(Below(e, u)))),
    ("beyond-the-limits", |e, u| Box::pin(beyond_the_limits(Below(e, u)))),
    ("one-of-many-wins", |e, u| Box::pin(one_of_many_wins(Below(e, u)))),
    ("hints-and-status", |e, u| Box::pin(hints_and_status(Below(e, u)))),
];

/// Hints come, something befalls the engine or the way there, and hints come again.
pub async fn hints_go_on_after(
    engine: &dyn Engine,
    under: &str,
    befalls: impl Future<Output = ()>,
) {
    let below = Below(engine, under);
    let mut hints = engine.watch(under.to_owned());
    below.is_hinted(&mut hints, "before").await;
    befalls.await;
    below.is_hinted(&mut hints, "after").await;
}

async fn a_value_comes_back(below: Below<'_>) {
    assert_eq!(below.read("a").await, None);
    let first = below.put("a", b"1").await;
    let entry = below.read("a").await.expect("the key is there");
    let expected =
        Entry { key: below.key("a"), value: b"1".to_vec(), created: first, modified: first };
    assert_eq!(entry, expected);
    let second = below.put("a", b"").await;
    assert!(second > first, "{second:?} after {first:?}");
    let entry = below.read("a").await.expect("the key is there");
    assert_eq!((entry.value.len(), entry.created, entry.modified), (0, first, second));
    below.delete("a").await;
    assert_eq!(below.read("a").await, None);
}

async fn whole_or_not_at_all(below: Below<'_>) {
    let held = below.put("held", b"1").await;
    let changes = || vec![below.puts("a", b"1"), below.deletes("held"), below.puts("b", b"1")];
    let wrong = Guard::ModifiedAt(below.key("held"), Revision(held.0 + 1));
    assert_eq!(below.commit(vec![wrong], changes()).await, Committed::Refused);
    let right = Guard::ModifiedAt(below.key("held"), held);
    assert_eq!(below.names().await, ["held"]);
    let done = revision(below.commit(vec![right], changes()).await);
    let entries = below.all().await.entries;
    let modified: Vec<_> = entries.iter().map(|entry| (entry.created, entry.modified)).collect();
    assert_eq!(modified, [(done, done), (done, done)], "one commit, one revision");
    assert_eq!(below.names().await, ["a", "b"]);
}

async fn modified_at(below: Below<'_>) {
    let guard = |revision| vec![Guard::ModifiedAt(below.key("a"), revision)];
    below.refuses(guard(Revision(1))).await;
    let first = revision(below.commit(guard(Revision(0)), vec![below.puts("a", b"1")]).await);
    below.refuses(guard(Revision(0))).await;
    below.holds(guard(first)).await;
    let second = below.put("a", b"1").await;
    below.refuses(guard(first)).await;
    below.holds(guard(second)).await;
    below.delete("a").await;
    below.refuses(guard(second)).await;
    below.holds(guard(Revision(0))).await;
}

async fn created_at(below: Below<'_>) {
    let guard = |revision| vec![Guard::CreatedAt(below.key("a"), revision)];
    below.refuses(guard(Revision(1))).await;
    let first = revision(below.commit(guard(Revision(0)), vec![below.puts("a", b"1")]).await);
    below.put("a", b"2").await;
    below.holds(guard(first)).await;
    below.refuses(guard(Revision(0))).await;
    below.delete("a").await;
    below.refuses(guard(first)).await;
    below.holds(guard(Revision(0))).await;
    let anew = below.put("a", b"3").await;
    assert!(anew > first);
    below.refuses(guard(first)).await;
    below.holds(guard(anew)).await;
    assert_eq!(below.read("a").await.expect("the key is there").created, anew, "it is another key");
}

async fn not_created_at(below: Below<'_>) {
    let guard = |revision| vec![Guard::NotCreatedAt(below.key("a"), revision)];
    below.holds(guard(Revision(1))).await;
    below.refuses(guard(Revision(0))).await;
    let first = below.put("a", b"1").await;
    below.refuses(guard(first)).await;
    below.holds(guard(Revision(0))).await;
    below.put("a", b"2").await;
    below.refuses(guard(first)).await;
    below.delete("a").await;
    below.holds(guard(first)).await;
    below.put("a", b"3").await;
    below.holds(guard(first)).await;
}

async fn all_guards_count(below: Below<'_>) {
    let keys: Vec<String> = (0..OPERATIONS_MAX).map(|number| format!("k{number:03}")).collect();
    let puts = keys.iter().map(|key| below.puts(key, b"1")).collect();
    let at = revision(below.commit(Vec::new(), puts).await);
    let guards = || keys.iter().map(|key| Guard::ModifiedAt(below.key(key), at));
    below.holds(guards().collect()).await;
    for wrong in [0, OPERATIONS_MAX / 2, OPERATIONS_MAX - 1] {
        let mut guards: Vec<Guard> = guards().collect();
        guards[wrong] = Guard::ModifiedAt(below.key(&keys[wrong]), Revision(0));
        below.refuses(guards).await;
    }
    let twice =
        vec![Guard::CreatedAt(below.key("k000"), at), Guard::NotCreatedAt(below.key("k000"), at)];
    below.refuses(twice).await;
}

async fn nothing_changed(below: Below<'_>) {
    let at = below.put("a", b"1").await;
    let gone = revision(below.commit(Vec::new(), vec![below.deletes("none")]).await);
    let guard = vec![Guard::ModifiedAt(below.key("a"), at)];
    let nothing = revision(below.commit(guard, Vec::new()).await);
    assert!(at <= gone && gone <= nothing, "{at:?}, {gone:?}, {nothing:?}");
    assert_eq!(below.read("a").await.expect("the key is there").modified, at);
}

async fn selections(below: Below<'_>) {
    for key in ["a/1", "a/2", "a", "b/1", "b0", "c"] {
        below.put(key, b"value").await;
    }
    let prefix = |name: &str| Selection::Prefix(below.key(name));
    let one = |name: &str| Selection::Key(below.key(name));
    assert_eq!(below.shown(vec![prefix("a/")]).await, ["a/1 value", "a/2 value"]);
    assert_eq!(below.shown(vec![one("a")]).await, ["a value"], "and nothing that begins so");
    assert_eq!(below.shown(vec![one("none"), prefix("none/")]).await, [] as [&str; 0]);
    let keys = Selection::KeysOf(below.key("b"));
    assert_eq!(below.shown(vec![keys.clone()]).await, ["b/1 ", "b0 "]);
    let several = below.shown(vec![one("c"), keys.clone(), prefix("a/")]).await;
    assert_eq!(several, ["a/1 value", "a/2 value", "b/1 ", "b0 ", "c value"]);
    let overlap = vec![keys.clone(), prefix("b/"), one("b/1"), keys];
    assert_eq!(below.shown(overlap).await, ["b/1 value", "b0 "], "each once, with its value");
}

/// More than any engine gives in one reply.
async fn many_keys(below: Below<'_>) {
    for batch in 0..MANY / OPERATIONS_MAX {
        let numbers = batch * OPERATIONS_MAX..(batch + 1) * OPERATIONS_MAX;
        let value = vec![b'x'; 4000];
        let puts = numbers.map(|number| below.puts(&format!("p/{number:05}"), &value));
        below.commit(Vec::new(), puts.collect()).await;
    }
    below.put("q", b"not among them").await;
    let expected: Vec<String> = (0..MANY).map(|number| format!("p/{number:05}")).collect();
    let found = below.range(vec![Selection::Prefix(below.key("p/"))]).await;
    assert_eq!(below.named(&found), expected);
    assert!(found.entries.iter().all(|entry| entry.value.len() == 4000));
    let keys = below.range(vec![Selection::KeysOf(below.key("p/"))]).await;
    assert_eq!(below.named(&keys), expected);
    assert!(keys.entries.iter().all(|entry| entry.value.is_empty()));
    let both = vec![Selection::KeysOf(below.key("p/")), Selection::Prefix(below.key("p/0000"))];
    let both = below.range(both).await;
    assert_eq!(below.named(&both), expected);
    assert_eq!(both.entries.iter().filter(|entry| !entry.value.is_empty()).count(), 10);
}

/// A read while others write was true at one moment: each commit writes all keys alike.
async fn one_revision(below: Below<'_>) {
    let keys: Vec<String> = (0..OPERATIONS_MAX).map(|number| format!("k{number:03}")).collect();
    let write = async |round: u8| {
        let value = vec![round; 5000];
        let puts = keys.iter().map(|key| below.puts(key, &value)).collect();
        below.commit(Vec::new(), puts).await
    };
    write(0).await;
    let writes = async {
        for round in 1..8 {
            write(round).await;
        }
    };
    let reads = async {
        for _ in 0..8 {
            let halves = ["k0", "k"].map(|half| Selection::Prefix(below.key(half)));
            let found = below.range(halves.to_vec()).await;
            assert_eq!(found.entries.len(), keys.len());
            let first = &found.entries[0];
            assert!(first.modified <= found.revision);
            for entry in &found.entries {
                assert_eq!((entry.modified, &entry.value), (first.modified, &first.value));
            }
        }
    };
    tokio::join!(writes, reads);
}

async fn odd_keys(below: Below<'_>) {
    let mut odd = [
        " ",
        "\"quoted\"",
        "%2F",
        "\\",
        "\n",
        "\u{0}",
        "a\u{0}",
        "a//b",
        "é",
        "日本",
        "🦀",
        "~",
        "{}",
        "\u{7f}",
        "\u{10ffff}",
    ];
    odd.sort_unstable();
    for key in odd {
        below.put(key, key.as_bytes()).await;
    }
    let found = below.all().await;
    assert_eq!(below.named(&found), odd);
    for key in odd {
        let entry = below.read(key).await.expect("the key is there");
        assert_eq!((entry.value.as_slice(), entry.key), (key.as_bytes(), below.key(key)));
    }
    let last = Selection::Prefix(below.key("\u{10ffff}"));
    assert_eq!(below.range(vec![last]).await.entries.len(), 1);
}

async fn large_and_binary(below: Below<'_>) {
    let value: Vec<u8> = (0..=255).cycle().take(COMMIT_BYTES_MAX - 1000).collect();
    below.put("large", &value).await;
    assert!(below.read("large").await.expect("the key is there").value == value);
    below.put("other", &value).await;
    below.put("third", &value).await;
    let all = below.all().await;
    assert!(all.entries.len() == 3 && all.entries.iter().all(|entry| entry.value == value));
    let bytes = COMMIT_BYTES_MAX / OPERATIONS_MAX - 100;
    let puts = (0..OPERATIONS_MAX).map(|number| below.puts(&format!("p{number}"), &value[..bytes]));
    below.commit(Vec::new(), puts.collect()).await;
    assert_eq!(below.all().await.entries.len(), OPERATIONS_MAX + 3);
}

async fn beyond_the_limits(below: Below<'_>) {
    let many = OPERATIONS_MAX + 1;
    let guards = vec![Guard::ModifiedAt(below.key("a"), Revision(0)); many];
    below.is_unable(guards, Vec::new()).await;
    let puts = (0..many).map(|number| below.puts(&number.to_string(), b"")).collect();
    below.is_unable(Vec::new(), puts).await;
    below.is_unable(Vec::new(), Vec::new()).await;
    let large = vec![below.puts("a", &vec![0; COMMIT_BYTES_MAX])];
    below.is_unable(Vec::new(), large).await;
    below.is_unable(Vec::new(), vec![below.puts("a", b"1"), below.deletes("a")]).await;
    for number in [0, many] {
        let selections = vec![Selection::Key(below.key("a")); number];
        assert!(matches!(below.0.range(selections).await, Err(EngineError::Unable(_))));
    }
    assert_eq!(below.names().await, [] as [&str; 0], "nothing of it was applied");
}

/// Sixteen who all saw the same want to write: one does.
async fn one_of_many_wins(below: Below<'_>) {
    let mut at = Revision(0);
    for round in 0..5 {
        let tries = (0..16).map(|who| {
            let guard = Guard::ModifiedAt(below.key("a"), at);
            let changes = vec![below.puts("a", &[round, who])];
            async move { (who, below.commit(vec![guard], changes).await) }
        });
        let answers = together(tries).await;
        let won: Vec<_> =
            answers.iter().filter(|(_, answer)| *answer != Committed::Refused).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        let (who, answer) = *won[0];
        at = revision(answer);
        let entry = below.read("a").await.expect("the key is there");
        assert_eq!((entry.value, entry.modified), (vec![round, who], at));
    }
}

async fn hints_and_status(below: Below<'_>) {
    let mut hints = below.0.watch(below.key("w/"));
    below.is_hinted(&mut hints, "w/first").await;
    below.put("x", b"not watched").await;
    let both = vec![below.puts("w/second", b"1"), below.deletes("w/first")];
    let at = revision(below.commit(Vec::new(), both).await);
    let mut told = Vec::new();
    while told.len() < 2 {
        let hint = below.hint(&mut hints).await.expect("a hint");
        assert!(hint.key.starts_with(&below.key("w/")), "{hint:?}");
        if hint.revision == at {
            told.push(hint.key);
        }
    }
    told.sort();
    assert_eq!(told, [below.key("w/first"), below.key("w/second")]);
    let status = below.0.status().await.expect("a healthy engine answers");
    assert!(status.revision >= at, "{status:?}");
    assert!(!status.version.is_empty() && status.bytes > 0, "{status:?}");
    assert!(status.quota.is_none_or(|quota| quota >= status.bytes), "{status:?}");
    assert_eq!(status.alarms, [] as [&str; 0]);
}

/// An engine, and the prefix of the keys that a check may use.
#[derive(Clone, Copy)]
struct Below<'a>(&'a dyn Engine, &'a str);

impl Below<'_> {
    fn key(self, name: &str) -> String {
        format!("{}{name}", self.1)
    }

    fn puts(self, name: &str, value: &[u8]) -> Change {
        Change::Put(self.key(name), value.to_vec())
    }

    fn deletes(self, name: &str) -> Change {
        Change::Delete(self.key(name))
    }

    async fn commit(self, guards: Vec<Guard>, changes: Vec<Change>) -> Committed {
        self.0.commit(guards, changes).await.expect("a healthy engine answers")
    }

    async fn put(self, name: &str, value: &[u8]) -> Revision {
        revision(self.commit(Vec::new(), vec![self.puts(name, value)]).await)
    }

    async fn delete(self, name: &str) {
        self.commit(Vec::new(), vec![self.deletes(name)]).await;
    }

    async fn range(self, selections: Vec<Selection>) -> Snapshot {
        self.0.range(selections).await.expect("a healthy engine answers")
    }

    async fn all(self) -> Snapshot {
        self.range(vec![Selection::Prefix(self.key(""))]).await
    }

    async fn read(self, name: &str) -> Option<Entry> {
        let mut found = self.range(vec![Selection::Key(self.key(name))]).await.entries;
        assert!(found.len() < 2, "{found:?}");
        found.pop()
    }

    /// The keys, without the prefix.
    fn named(self, snapshot: &Snapshot) -> Vec<String> {
        let keys = snapshot
            .entries
            .iter()
            .map(|entry| entry.key.strip_prefix(self.1).expect("a key below the prefix"));
        keys.map(str::to_owned).collect()
    }

    async fn names(self) -> Vec<String> {
        self.named(&self.all().await)
    }

    async fn shown(self, selections: Vec<Selection>) -> Vec<String> {
        let snapshot = self.range(selections).await;
        let values = snapshot.entries.iter().map(|entry| String::from_utf8_lossy(&entry.value));
        let both = self.named(&snapshot).into_iter().zip(values);
        both.map(|(name, value)| format!("{name} {value}")).collect()
    }

    async fn holds(self, guards: Vec<Guard>) {
        let answer = self.commit(guards.clone(), Vec::new()).await;
        assert!(matches!(answer, Committed::Done(_)), "{guards:?}");
    }

    async fn refuses(self, guards: Vec<Guard>) {
        let before = self.names().await;
        let change = vec![self.puts("refused", b"")];
        assert_eq!(self.commit(guards.clone(), change).await, Committed::Refused, "{guards:?}");
        assert_eq!(self.names().await, before);
    }

    async fn is_unable(self, guards: Vec<Guard>, changes: Vec<Change>) {
        let answer = self.0.commit(guards, changes).await;
        assert!(matches!(answer, Err(EngineError::Unable(_))), "{answer:?}");
    }

    /// Writes a key until a hint tells of it, or of a loss: a watch begins when it can.
    async fn is_hinted(self, hints: &mut mpsc::Receiver<Hint>, name: &str) {
        for _ in 0..WRITES_MAX {
            // While the engine comes back, a write may fail.
            let _try = self.0.commit(Vec::new(), vec![self.puts(name, b"")]).await;
            while let Some(hint) = self.hint(hints).await {
                if hint.key == self.key(name) {
                    return;
                }
            }
        }
        panic!("no hint of {name}");
    }

    async fn hint(self, hints: &mut mpsc::Receiver<Hint>) -> Option<Hint> {
        let hint = tokio::time::timeout(HINT_PATIENCE, hints.recv()).await.ok()?;
        Some(hint.expect("a watch goes on while its receiver is there"))
    }
}

fn revision(answer: Committed) -> Revision {
    match answer {
        Committed::Done(revision) => revision,
        Committed::Refused => panic!("a guard did not hold"),
    }
}

/// Waits for all of them, which are under way at once.
async fn together<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_ready = true;
        for (one, answer) in &mut waiting {
            if answer.is_none() {
                match one.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *answer = Some(value),
                    std::task::Poll::Pending => is_ready = false,
                }
            }
        }
        if is_ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, answer)| answer).collect()
}

const MANY: usize = 1000;
const HINT_PATIENCE: Duration = Duration::from_millis(500);
const WRITES_MAX: usize = 60;
