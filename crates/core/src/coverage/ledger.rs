//! One channel's ledger, and what each fact does to it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::canary::Canaries;
use crate::model::channel::{ChannelId, ChannelName, Spec};
use crate::model::events::{Events, Operation};
use crate::model::observed::Observed;
use crate::model::secret::Fingerprint;
use crate::model::time::{Times, Timestamp, after, is_same_second, span};

use super::gap::{Gap, GapCause, GapKind};
use super::look::{Context, SHORTEST_GRANT};
use super::reception::{OpenSpan, Reception};
use super::track::{Open, Stretch, Track, UnsureWrites};

/// The stretches in which one channel was covered, and those in which it was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The channel.
    pub id: ChannelId,
    /// Its name when it was last declared.
    pub name: ChannelName,
    /// The URL that its deliveries should go to.
    pub notify_url: Fingerprint,
    /// Its last known end at Zoho.
    pub expiry: Option<Timestamp>,
    /// When a fact of this channel's own was certain of all that was covered; a later good look of
    /// the account is as good.
    pub sure: Timestamp,
    /// Writes that may have been applied, since the last fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<UnsureWrites>,
    /// Its events, those that are declared no longer among them.
    pub tracks: Vec<Track>,
    /// The gaps that canaries found at the URL it delivers to.
    #[serde(default, skip_serializing_if = "Reception::is_empty")]
    pub reception: Reception,
}

/// One channel as one look shows it.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// The channel, if Zoho has it.
    pub observed: Option<&'a Observed>,
    /// True when it is ours; else a channel with another URL is a conflict.
    pub ours: bool,
    /// When the look was made.
    pub times: Times,
    /// The last good look before it.
    pub looked_from: Option<Timestamp>,
}

impl Ledger {
    /// A ledger for a channel that is declared at `at` and that nothing else is known of.
    pub fn new(spec: &Spec, at: Timestamp) -> Ledger {
        let mut ledger = Ledger {
            id: spec.id,
            name: spec.name.clone(),
            notify_url: spec.notify_url.fingerprint(),
            expiry: None,
            sure: at,
            doubt: None,
            tracks: Vec::new(),
            reception: Reception::default(),
        };
        ledger.declare(spec, at, None);
        ledger
    }

    /// When the last of its events was declared no longer; `None` while one is declared.
    pub fn closed_at(&self) -> Option<Timestamp> {
        let ends = self.tracks.iter().map(|track| track.until);
        ends.collect::<Option<Vec<Timestamp>>>()
            .map(|ends| ends.into_iter().max().unwrap_or(self.sure))
    }

    /// The channel is declared so at `at`. Events that were not, begin, and events that are not any
    /// more, end; when the URL is another one, all end and begin anew. `unseen_from` is the
    /// last good look, when nobody has looked just now. Returns whether anything changed.
    pub fn declare(&mut self, spec: &Spec, at: Timestamp, unseen_from: Option<Timestamp>) -> bool {
        let url = spec.notify_url.fingerprint();
        let moved = url != self.notify_url;
        if moved {
            self.reception.end(at);
        }
        let is_wanted =
            |track: &Track| !moved && spec.events.of(&track.module).contains(track.operation);
        let mut changed = self.close(at, unseen_from, |track| !is_wanted(track));
        for (module, operations) in spec.events.iter() {
            for operation in operations.iter() {
                changed |= self.open_track(module, operation, at);
            }
        }
        changed |= moved || spec.name != self.name;
        self.notify_url = url;
        self.name = spec.name.clone();
        self.drop_old_tracks();
        changed
    }

    /// The channel is declared no longer. Returns whether anything changed.
    pub fn retire(&mut self, at: Timestamp, unseen_from: Option<Timestamp>) -> bool {
        let closed = self.close(at, unseen_from, |_| true);
        if closed {
            self.reception.end(at);
        }
        closed
    }

    /// Takes in how the canaries to its URL fared, as known at `at`; nothing when none are sent.
    /// Returns true when anything changed.
    pub fn hear(&mut self, canaries: Option<&Canaries>, at: Timestamp) -> bool {
        let declared =
            self.tracks.iter().filter(|track| track.is_live()).map(|track| track.since).min();
        declared.is_some_and(|since| self.reception.hear(canaries, since, at))
    }

    /// A good look. Returns whether anything changed.
    pub fn look(&mut self, sight: &Sight<'_>) -> bool {
        let Times { sent, received } = sight.times;
        let sure = sight.looked_from.map_or(self.sure, |looked| looked.max(self.sure));
        let alive = sight.observed.filter(|seen| seen.expiry.is_none_or(|expiry| expiry > sent));
        let seen_expiry = alive.and_then(|seen| seen.expiry);
        let same_end =
            self.expiry.zip(seen_expiry).is_some_and(|(known, seen)| is_same_second(known, seen));
        let ended = self.expiry.filter(|end| *end < received && !same_end);
        let context = Context {
            sure,
            received,
            ended,
            same_end,
            is_alive: alive.is_some(),
            doubt: self.doubt,
        };
        let mut changed = self.doubt.is_some();
        for index in 0..self.tracks.len() {
            let track = &self.tracks[index];
            if track.is_live() {
                let seen = self.see(track, alive, sight.ours);
                changed |= context.apply(&mut self.tracks[index], seen);
            }
        }
        changed |= seen_expiry.is_some() && !same_end;
        if changed {
            self.sure = self.sure.max(sent);
            self.doubt = None;
            let still_ahead = alive.is_none() || self.expiry.is_some_and(|end| end >= received);
            self.expiry = seen_expiry.or(self.expiry.filter(|_| still_ahead));
        }
        changed
    }

    /// A write is about to be sent that asks for this expiry: from now on it may have been applied.
    pub fn intend(&mut self, sent: Timestamp, asked: Timestamp) {
        let doubt = self.doubt.unwrap_or(UnsureWrites { since: sent, first: asked, last: asked });
        let UnsureWrites { since, first, last } = doubt;
        self.doubt = Some(UnsureWrites {
            since: since.min(sent),
            first: first.min(asked),
            last: last.max(asked),
        });
    }

    /// A write was accepted, of the channel as it is declared but for the events that were left
    /// out: the next look says what became of those.
    pub fn granted(&mut self, times: Times, expiry: Timestamp, left_out: &Events) {
        let Times { sent, received } = times;
        let is_written = |track: &Track| !left_out.of(&track.module).contains(track.operation);
        self.tracks
            .iter_mut()
            .filter(|track| is_written(track))
            .for_each(|track| track.begin_life(received));
        if let Some(doubt) = self.doubt {
            let (from, to) =
                (after(doubt.since, SHORTEST_GRANT), self.expiry.map_or(sent, |end| end.min(sent)));
            for track in
                self.tracks.iter_mut().filter(|track| track.is_live() && track.open.is_none())
            {
                track.add(Stretch {
                    from,
                    to,
                    kind: GapKind::Unknown,
                    cause: GapCause::UnsureWrite,
                });
            }
        }
        self.settle(sent);
        let ends_meanwhile = self.expiry.filter(|end| *end < received);
        for track in self.tracks.iter_mut().filter(|track| track.is_live() && is_written(track)) {
            if let Some(open) = track.open {
                track.begin(Open {
                    from: sent.max(open.from),
                    kind: GapKind::Unknown,
                    cause: GapCause::UnsureWrite,
                });
                track.end(received);
            } else if let Some(end) = ends_meanwhile {
                track.add(Stretch {
                    from: end,
                    to: received,
                    kind: GapKind::Unknown,
                    cause: GapCause::UnsureWrite,
                });
            }
        }
        let is_unsaid =
            |track: &Track| track.is_live() && track.open.is_none() && !is_written(track);
        if !self.tracks.iter().any(is_unsaid) {
            self.sure = self.sure.max(sent);
        }
        self.doubt = None;
        self.expiry = Some(expiry);
    }

    /// A write was refused: what was not enabled yet is refused.
    pub fn refused(&mut self) {
        for open in self.tracks.iter_mut().filter_map(|track| track.open.as_mut()) {
            if open.cause == GapCause::NotEnabled {
                open.cause = GapCause::Refused;
            }
        }
    }

    /// Every gap up to `now`, by event and time, and behind those of an event what was covered and
    /// not deliverable. The time past a known end counts as a gap too, when no fact came since.
    pub fn gaps(&self, now: Timestamp) -> Vec<Gap> {
        let gap = |(track, (from, to, kind, cause)): (&Track, Pending)| {
            let (module, operation) = (track.module.clone(), track.operation);
            Gap { module, operation, from, to, kind, cause }
        };
        self.spans(now).map(gap).collect()
    }

    /// The same, each with its event.
    pub fn spans(&self, now: Timestamp) -> impl Iterator<Item = (&Track, Pending)> {
        self.tracks.iter().flat_map(move |track| {
            let ended = track.gaps.iter().map(|gap| (gap.from, Some(gap.to), gap.kind, gap.cause));
            let own = ended.chain(self.pending(track, now));
            let refused = self.refused_beside(track, now);
            own.chain(refused).map(move |span| (track, span))
        })
    }

    /// The stretches in which an event was covered and not deliverable.
    fn refused_beside(&self, track: &Track, now: Timestamp) -> impl Iterator<Item = Pending> {
        let refused = if self.reception.is_empty() {
            Vec::new()
        } else {
            let ended = track.gaps.iter().map(|gap| (gap.from, Some(gap.to)));
            let open = self.pending(track, now).into_iter().map(|(from, to, ..)| (from, to));
            let own: Vec<OpenSpan> = ended.chain(open).collect();
            self.reception.beside((track.since, track.until), &own)
        };
        refused.into_iter().map(|((from, to), kind)| (from, to, kind, GapCause::CanaryRefused))
    }

    /// How long each kind of gap was, up to `now`: the sum over the events.
    pub fn lost(&self, now: Timestamp) -> BTreeMap<GapKind, Duration> {
        let mut lost = BTreeMap::new();
        for (_, (from, to, kind, _)) in self.spans(now) {
            *lost.entry(kind).or_insert(Duration::ZERO) += span(from, to.unwrap_or(now));
        }
        lost
    }

    /// The gaps still open at `now`, including those that follow from the known end and from writes
    /// in doubt.
    fn pending(&self, track: &Track, now: Timestamp) -> Vec<Pending> {
        if !track.is_live() {
            return Vec::new();
        }
        let (from, cause) = match (track.open, self.expiry) {
            (
                Some(Open {
                    from,
                    kind: kind @ (GapKind::Undeliverable | GapKind::Unknown),
                    cause,
                }),
                _,
            ) => {
                return vec![(from, None, kind, cause)];
            }
            (Some(Open { from, kind: GapKind::Uncovered, cause }), _) => (from, cause),
            (None, Some(end)) if end <= now => (end, GapCause::Expired),
            (None, _) => return Vec::new(),
        };
        let Some(doubt) = self.doubt.filter(|doubt| doubt.last > from) else {
            return vec![(from, None, GapKind::Uncovered, cause)];
        };
        let begins = doubt.since.max(from);
        let ends = Some(doubt.last).filter(|last| *last <= now);
        let mut pending = vec![(begins, ends, GapKind::Unknown, GapCause::UnsureWrite)];
        if from < begins {
            pending.insert(0, (from, Some(begins), GapKind::Uncovered, cause));
        }
        pending.extend(ends.map(|last| (last, None, GapKind::Uncovered, GapCause::Expired)));
        pending
    }

    /// Writes down what is pending at `at`.
    fn settle(&mut self, at: Timestamp) {
        for index in 0..self.tracks.len() {
            for (from, to, kind, cause) in self.pending(&self.tracks[index], at) {
                let track = &mut self.tracks[index];
                track.begin(Open { from, kind, cause });
                if let Some(to) = to {
                    track.end(to);
                }
            }
        }
    }

    /// Ends tracks. No later look will say what became of them since the last good one: that is
    /// unknown.
    fn close(
        &mut self,
        at: Timestamp,
        unseen_from: Option<Timestamp>,
        which: impl Fn(&Track) -> bool,
    ) -> bool {
        if !self.tracks.iter().any(|track| track.is_live() && which(track)) {
            return false;
        }
        if let Some(looked) = unseen_from {
            let (from, to) = (looked.max(self.sure), self.expiry.map_or(at, |end| end.min(at)));
            for track in self
                .tracks
                .iter_mut()
                .filter(|track| track.is_live() && track.open.is_none() && which(track))
            {
                track.add(Stretch { from, to, kind: GapKind::Unknown, cause: GapCause::Unseen });
            }
        }
        self.settle(at);
        for track in self.tracks.iter_mut().filter(|track| track.is_live() && which(track)) {
            track.end(at);
            track.until = Some(at);
        }
        true
    }

    fn open_track(&mut self, module: &str, operation: Operation, at: Timestamp) -> bool {
        let is_it = |track: &Track| {
            track.is_live() && track.module == module && track.operation == operation
        };
        if self.tracks.iter().any(is_it) {
            return false;
        }
        self.tracks.push(Track::new(module.to_owned(), operation, at));
        true
    }

    fn drop_old_tracks(&mut self) {
        let mut excess =
            self.tracks.iter().filter(|track| !track.is_live()).count().saturating_sub(ENDED_MAX);
        self.tracks.retain(|track| {
            let goes = !track.is_live() && excess > 0;
            excess -= usize::from(goes);
            !goes
        });
    }

    /// One event as a look shows it: `None` when it is covered.
    fn see(
        &self,
        track: &Track,
        alive: Option<&Observed>,
        ours: bool,
    ) -> Option<(GapKind, GapCause)> {
        let Some(seen) = alive else {
            let cause = if self.expiry.is_some() { GapCause::Absent } else { GapCause::NotEnabled };
            return Some((GapKind::Uncovered, cause));
        };
        let there =
            seen.notify_urls.iter().filter(|url| url.fingerprint() == self.notify_url).count();
        if there == 0 {
            let cause = if ours { GapCause::WrongUrl } else { GapCause::Conflict };
            return Some((GapKind::Uncovered, cause));
        }
        if !seen.events.of(&track.module).contains(track.operation) {
            return Some((GapKind::Uncovered, GapCause::EventMissing));
        }
        // The rows disagree, and which of them is this event's is not said.
        (seen.notify_urls.len() > there).then_some((GapKind::Unknown, GapCause::WrongUrl))
    }
}

/// A gap without its event: its beginning, its end if it has one, its kind and its cause.
pub type Pending = (Timestamp, Option<Timestamp>, GapKind, GapCause);

/// Ended tracks kept of one channel.
pub const ENDED_MAX: usize = 64;
