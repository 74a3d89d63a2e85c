//! Channel tokens that change by themselves: a pure function of a key, the channel and the time.
//!
//! ```text
//! generation = floor((seconds since 1970 + ID mod EVERY) / EVERY)
//! token      = the first 48 hexadecimal digits of HMAC-SHA256(KEY, "ID.GENERATION")
//! ```
//!
//! EVERY is in seconds; the id in it keeps the channels from changing all at once. Nothing of it is
//! stored, so nothing can be lost, and a receiver that has the key computes the same
//! (`docs/receivers.md`). It accepts the generation of its own clock and the one before.
//!
//! No call is made for the sake of a new token: it goes out with the first renewal that is
//! [`SETTLE`] into its generation, by Zoho's clock, and until then the one before is no drift. That
//! renewal comes within a life, which is half a generation at most, so no channel carries a token
//! that receivers have ceased to accept. Deliberately absent: `now`.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::name::ChannelId;
use super::secret::Secret;
use super::time::{Timestamp, before};

/// How long a generation has begun before its token is written: a receiver's clock may be so slow.
pub const SETTLE: Duration = Duration::from_secs(3600);

/// How a channel's tokens are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The key that tokens are derived from; receivers have it too.
    pub key: Secret,
    /// How long a generation lasts, in whole seconds.
    pub every: Duration,
    /// Tokens that a channel may carry without having drifted, those of the generations beside the
    /// one that would be written: it is not renewed yet, or a clock was set back. Empty in a
    /// declaration.
    pub neighbours: Vec<Secret>,
}

impl Rotation {
    /// The rotation as it is declared.
    pub fn new(key: Secret, every: Duration) -> Rotation {
        Rotation { key, every, neighbours: Vec::new() }
    }

    /// The generation at an instant, by the clock of whoever receives.
    pub fn generation(&self, id: ChannelId, at: Timestamp) -> i64 {
        let every = self.seconds();
        at.as_second().saturating_add(id.number() % every).div_euclid(every)
    }

    /// When a generation begins.
    pub fn begins(&self, id: ChannelId, generation: i64) -> Timestamp {
        let every = self.seconds();
        let second = generation.saturating_mul(every).saturating_sub(id.number() % every);
        let end = if second < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::from_second(second).unwrap_or(end)
    }

    /// The generation whose token is written at an instant of Zoho's clock.
    pub(super) fn written(&self, id: ChannelId, zoho_now: Timestamp) -> i64 {
        self.generation(id, before(zoho_now, SETTLE))
    }

    /// The token of a generation.
    pub fn token(&self, id: ChannelId, generation: i64) -> Secret {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes())
            .expect("a key of any length will do");
        mac.update(format!("{id}.{generation}").as_bytes());
        let mut token: String =
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        token.truncate(LENGTH);
        Secret::new(token)
    }

    fn seconds(&self) -> i64 {
        i64::try_from(self.every.as_secs()).unwrap_or(i64::MAX).max(1)
    }
}

/// Digits of a token: 192 bits, and two characters less than Zoho takes.
const LENGTH: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    fn id(number: i64) -> ChannelId {
        ChannelId::new(number).unwrap()
    }

    fn rotation() -> Rotation {
        Rotation::new(Secret::from("0123456789abcdef0123456789abcdef"), WEEK)
    }

    /// By another implementation: `printf %s 1000000068001.2948 | openssl dgst -sha256 -hmac KEY`.
    #[test]
    fn a_token_is_what_every_other_implementation_makes_of_it() {
        let at = "2026-07-01T00:00:00Z".parse().unwrap();
        assert_eq!(rotation().generation(id(1_000_000_068_001), at), 2948);
        let token = rotation().token(id(1_000_000_068_001), 2948);
        assert_eq!(token.expose(), "1cfdba5ec2148eabde789822180022b5deb7fefba1bd6765");
    }

    #[test]
    fn tokens_differ_by_channel_generation_and_key() {
        let other = Rotation::new(Secret::from("another key"), WEEK);
        let mut tokens = [
            rotation().token(id(1), 5),
            rotation().token(id(2), 5),
            rotation().token(id(1), 6),
            other.token(id(1), 5),
        ]
        .map(|token| token.expose().to_owned())
        .to_vec();
        tokens.sort();
        tokens.dedup();
        assert_eq!(tokens.len(), 4);
        assert!(tokens.iter().all(|token| token.len() <= 50));
    }

    #[test]
    fn a_generation_begins_where_the_one_before_ends() {
        for number in [1, 7, 604_800, 1_000_000_068_001, i64::MAX] {
            for generation in [-3, 0, 1, 2948] {
                let begins = rotation().begins(id(number), generation);
                assert_eq!(rotation().generation(id(number), begins), generation);
                let just_before = before(begins, Duration::from_secs(1));
                assert_eq!(rotation().generation(id(number), just_before), generation - 1);
                assert_eq!(
                    begins.duration_since(rotation().begins(id(number), generation - 1)).as_secs(),
                    604_800
                );
            }
        }
    }

    #[test]
    fn channels_change_at_different_times() {
        let begins = |number| rotation().begins(id(number), 2948);
        assert_ne!(begins(1_494_649_041_044_012), begins(4_150_958_758_436_190));
    }

    #[test]
    fn what_is_written_settles_for_an_hour() {
        let begins = rotation().begins(id(7), 100);
        let written = |seconds| {
            rotation()
                .written(id(7), super::super::time::after(begins, Duration::from_secs(seconds)))
        };
        assert_eq!((written(0), written(3599), written(3600)), (99, 99, 100));
    }
}
