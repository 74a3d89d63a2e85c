//! The ledger held against the truth.
//!
//! For each declared event, from the beginning of its track up to the last good look (what came
//! after it nobody can have noticed), in Zoho's time and to [`TOLERANCE`], both ends included: a
//! later check, with a later look, judges what lies too near to this one.
//! - a gap of the truth lies in gaps of the ledger, whatever their kind;
//! - an uncovered gap of the ledger holds nothing that was covered. An unknown one may hold either.

use std::time::Duration;

use channelkeeper::coverage::{GapKind, Ledger, Track};
use channelkeeper::model::channel::{ChannelId, Spec};
use channelkeeper::model::time::{Timestamp, after, before};
use channelkeeper::simulator::Covered;

use super::World;

/// How far an edge of the ledger may be from the truth's: `Date` has whole seconds, and requests
/// travel.
pub const TOLERANCE: Duration = Duration::from_secs(2);

type Span = (Timestamp, Timestamp);

/// Everything in which the ledgers of the running daemon and the truth disagree: nothing, if all is
/// well.
pub fn check_ledger(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    for (account, id) in world.declared() {
        let (ledgers, certain) = world.ledgers(&account);
        let Some(certain) = certain else { continue };
        let spec = world.desired.accounts[&account.parse().unwrap()].specs[&id].clone();
        let truth = world.zoho().truth(&account);
        match ledgers.get(&id) {
            Some(ledger) => check_channel(ledger, &spec, &truth, certain, &mut wrong),
            None => wrong.push(format!("{account} {id}: there is no ledger")),
        }
    }
    wrong
}

/// The same for one channel, whose events are certain up to `certain`.
pub fn check_channel(
    ledger: &Ledger,
    spec: &Spec,
    truth: &[Covered],
    certain: Timestamp,
    wrong: &mut Vec<String>,
) {
    if ledger.notify_url != spec.notify_url.fingerprint() {
        return;
    }
    for track in ledger.tracks.iter().filter(|track| track.until.is_none()) {
        if !spec.events.of(&track.module).contains(track.operation) {
            continue;
        }
        let name = format!("{} {}.{}", spec.name, track.module, track.operation.as_str());
        // A track may begin with the reply that first covered it. An event that was declared after
        // the last good look is certain nowhere yet.
        let life = (after(track.since, TOLERANCE), before(certain, TOLERANCE));
        let covered = covered(truth, spec.id, track, spec.notify_url.full());
        let missed = minus(
            &minus(&[life], &covered),
            &widened(&gaps(ledger, track, certain, None), TOLERANCE),
        );
        wrong.extend(
            missed
                .iter()
                .map(|gap| format!("{name}: a gap is taken for covered: {} to {}", gap.0, gap.1)),
        );
        let claimed = narrowed(&gaps(ledger, track, certain, Some(GapKind::Uncovered)), TOLERANCE);
        let false_alarms = minus(&claimed, &minus(&claimed, &covered));
        wrong.extend(
            false_alarms
                .iter()
                .map(|gap| format!("{name}: covered, and said not to be: {} to {}", gap.0, gap.1)),
        );
    }
}

/// The gaps of a live track up to `certain`, of one kind or of both.
pub fn gaps(
    ledger: &Ledger,
    track: &Track,
    certain: Timestamp,
    kind: Option<GapKind>,
) -> Vec<Span> {
    let all = ledger
        .gaps(certain)
        .into_iter()
        .filter(|gap| gap.module == track.module && gap.operation == track.operation);
    let of_kind =
        all.filter(|gap| kind.is_none_or(|kind| kind == gap.kind) && gap.from >= track.since);
    of_kind
        .map(|gap| (gap.from, gap.to.unwrap_or(certain).min(certain)))
        .filter(|gap| gap.0 < gap.1)
        .collect()
}

/// When an event was delivered to this URL.
pub fn covered(truth: &[Covered], id: ChannelId, track: &Track, notify_url: &str) -> Vec<Span> {
    let id = id.to_string();
    let it = |covered: &&Covered| {
        covered.channel == id
            && covered.module == track.module
            && covered.operation == track.operation.as_str()
            && covered.notify_url == notify_url
    };
    truth.iter().filter(it).map(|covered| (covered.from, covered.to)).collect()
}

/// The parts of `spans` outside `holes`.
pub fn minus(spans: &[Span], holes: &[Span]) -> Vec<Span> {
    let mut left: Vec<Span> = spans.iter().filter(|span| span.0 < span.1).copied().collect();
    for hole in holes {
        let pieces = left
            .into_iter()
            .flat_map(|span| [(span.0, span.1.min(hole.0)), (span.0.max(hole.1), span.1)]);
        left = pieces.filter(|piece| piece.0 < piece.1).collect();
    }
    left
}

fn widened(spans: &[Span], by: Duration) -> Vec<Span> {
    spans.iter().map(|span| (before(span.0, by), after(span.1, by))).collect()
}

fn narrowed(spans: &[Span], by: Duration) -> Vec<Span> {
    spans
        .iter()
        .map(|span| (after(span.0, by), before(span.1, by)))
        .filter(|span| span.0 < span.1)
        .collect()
}
