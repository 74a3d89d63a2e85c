//! A transport that sends no write which its process may not make any more.
//!
//! Several machines share the accounts, and a process that was stopped may belong to nobody when
//! it goes on ([`Leash`]). So the leash is looked at where nothing but the network follows, after
//! every wait for a lock or for the store, and at each step until the reply is there.
//!
//! It stands at the seam and not in the client: a request is judged as it leaves, whoever made it.
//! A look changes nothing at Zoho and needs no leash. The fetch of a token counts against a limit
//! that all machines share, so it is a write.
//!
//! | request | of the leash is left | account held for | config in force for | while alone |
//! | --- | --- | --- | --- | --- |
//! | a look | nothing | no time | no time | sent |
//! | enable, update, replace, a token | 2.5 s | no time | no time | sent for emergencies |
//! | disable, remove-events | 5 s | 30 s | 16 s | not sent |

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::leash::Leash;
use crate::model::channel::AccountName;
use crate::model::cluster::Allowed;
use crate::model::exchange::{Request, Response};

use super::transport::{Exchange, Transport, TransportError};

/// A write needs so much of the leash: an exchange mostly takes less.
pub const LEFT_MIN: Duration = Duration::from_millis(2500);
/// A write after which something is not covered needs so much.
pub const LEFT_MIN_TAKING: Duration = Duration::from_secs(5);
/// And it waits until the account was owned for so long: whatever a former owner had under way is
/// at Zoho by then, and a look has shown it.
pub const HELD_MIN_TAKING: Duration = Duration::from_secs(30);
/// And until the config was in force here for so long. A machine looks for another one every ten
/// seconds, should it be told of none: one that gives a channel back at once takes nothing away.
pub const DECLARED_MIN_TAKING: Duration = Duration::from_secs(16);
/// The kernel gives a connection up when Zoho's acknowledgement is so late, so that it does not
/// deliver what a process wrote long ago.
pub const TCP_USER_TIMEOUT: Duration = Duration::from_secs(2);

/// Another transport, for one account that has to be owned.
pub struct Leashed {
    inner: Arc<dyn Transport>,
    leash: Leash,
    account: AccountName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Leash,
    LeashAndPatience,
}

impl Leashed {
    /// For this account's requests.
    pub fn new(inner: Arc<dyn Transport>, leash: Leash, account: AccountName) -> Leashed {
        Leashed { inner, leash, account }
    }

    fn check(&self, needs: Needs) -> Result<(), TransportError> {
        let left_min = match needs {
            Needs::Nothing => return Ok(()),
            Needs::Leash => LEFT_MIN,
            Needs::LeashAndPatience => LEFT_MIN_TAKING,
        };
        if needs == Needs::Leash && self.leash.allowed_for(&self.account) == Allowed::Emergencies {
            return Ok(());
        }
        let left = self.leash.left_for(&self.account);
        if left < left_min {
            return Err(TransportError::Withheld(format!(
                "another machine may own this account soon: {left:.1?} are left, and {left_min:?} \
                 are needed"
            )));
        }
        if needs != Needs::LeashAndPatience {
            return Ok(());
        }
        let held = self.leash.held_for(&self.account);
        if held < HELD_MIN_TAKING {
            return Err(TransportError::Withheld(format!(
                "this machine has owned the account for {held:.0?}; nothing is taken away before \
                 {HELD_MIN_TAKING:?}"
            )));
        }
        let declared = self.leash.declared_for();
        if declared < DECLARED_MIN_TAKING {
            return Err(TransportError::Withheld(format!(
                "the config has been in force here for {declared:.0?}; nothing is taken away \
                 before {DECLARED_MIN_TAKING:?}"
            )));
        }
        Ok(())
    }

    /// The reply, as long as the leash lasts.
    async fn send_leashed(&self, request: Request) -> Result<Response, TransportError> {
        let mut exchange = self.inner.send(request);
        let has_begun = AtomicBool::new(false);
        // Nothing is done for the exchange, not even its first step, once the leash has ended.
        let step_by_step = poll_fn(|context| {
            if self.leash.allowed_for(&self.account) == Allowed::Nothing {
                return Poll::Ready(Err(dropped()));
            }
            has_begun.store(true, Ordering::Relaxed);
            exchange.as_mut().poll(context)
        });
        let result = tokio::select! {
            biased;
            () = self.leash.ended_for(&self.account) => Err(dropped()),
            result = step_by_step => result,
        };
        // A process that was stopped at this very step sent it when it went on.
        let is_over = self.leash.allowed_for(&self.account) == Allowed::Nothing;
        if is_over && has_begun.load(Ordering::Relaxed) {
            self.leash.note_late(self.account.clone());
        }
        result
    }
}

impl Transport for Leashed {
    fn send(&self, request: Request) -> Exchange<'_> {
        let needs = Needs::of(&request);
        if needs == Needs::Nothing {
            return self.inner.send(request);
        }
        Box::pin(async move {
            self.check(needs)?;
            self.send_leashed(request).await
        })
    }
}

impl Needs {
    fn of(request: &Request) -> Needs {
        match request.method {
            "GET" => Needs::Nothing,
            "DELETE" => Needs::LeashAndPatience,
            _ if holds(&request.body, TAKES_EVENTS) => Needs::LeashAndPatience,
            _ => Needs::Leash,
        }
    }
}

fn holds(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|window| window == text)
}

fn dropped() -> TransportError {
    TransportError::Lost("dropped, because another machine may own this account".to_owned())
}

impl fmt::Debug for Leashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leashed").field("account", &self.account).finish_non_exhaustive()
    }
}

/// It stands in the body of a remove-events and in no other: within a text its quotes would be
/// escaped.
const TAKES_EVENTS: &[u8] = b"\"_delete_events\":";

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use crate::clock::{Clock, VirtualClock};

    use super::super::wire;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_needs_two_and_a_half_seconds_and_one_that_takes_away_five() {
        let world = World::new(Duration::ZERO);
        world.leash.hold(acme(), Duration::ZERO);
        world.clock.sleep(Duration::from_secs(60)).await;
        for (left, sent) in [
            (Duration::ZERO, vec!["GET"]),
            (LEFT_MIN - MILLI, vec!["GET"]),
            (LEFT_MIN, vec!["GET", "POST"]),
            (LEFT_MIN_TAKING - MILLI, vec!["GET", "POST"]),
            (LEFT_MIN_TAKING, vec!["GET", "POST", "PATCH", "DELETE"]),
        ] {
            world.leash.set(world.clock.boot() + left);
            for request in [get(), post(), remove_events(), delete()] {
                let _withheld = world.leashed.send(request).await;
            }
            assert_eq!(world.sent(), sent, "{left:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_taken_away_from_zoho_before_the_account_was_held_for_a_while() {
        let world = World::new(Duration::ZERO);
        world.leash.set(Duration::from_secs(3600));
        world.leash.hold(acme(), Duration::ZERO);
        world.clock.sleep(HELD_MIN_TAKING - MILLI).await;
        let refused = world.leashed.send(delete()).await.unwrap_err();
        assert!(matches!(refused, TransportError::Withheld(_)), "{refused:?}");
        world.leashed.send(post()).await.unwrap();
        world.clock.sleep(MILLI).await;
        world.leashed.send(delete()).await.unwrap();
        world.leashed.send(remove_events()).await.unwrap();
        assert_eq!(world.sent(), ["POST", "DELETE", "PATCH"]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_taken_away_from_zoho_before_the_config_was_in_force_for_a_while() {
        let world = World::new(Duration::ZERO);
        world.leash.set(Duration::from_secs(3600));
        world.leash.hold(acme(), Duration::ZERO);
        world.clock.sleep(Duration::from_secs(600)).await;
        world.leash.declare_anew();
        world.clock.sleep(DECLARED_MIN_TAKING - MILLI).await;
        for request in [delete(), remove_events()] {
            let refused = world.leashed.send(request).await.unwrap_err();
            assert!(matches!(refused, TransportError::Withheld(_)), "{refused:?}");
        }
        world.leashed.send(post()).await.unwrap();
        world.clock.sleep(MILLI).await;
        world.leashed.send(delete()).await.unwrap();
        assert_eq!(world.sent(), ["POST", "DELETE"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_is_not_ours_is_not_written_however_long_the_leash() {
        let world = World::new(Duration::ZERO);
        world.leash.set(Duration::from_secs(3600));
        world.leash.hold("beta".parse().unwrap(), Duration::ZERO);
        let refused = world.leashed.send(post()).await;
        assert!(matches!(refused, Err(TransportError::Withheld(_))), "{refused:?}");
        assert!(world.sent().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_under_way_is_dropped_when_the_leash_ends_and_a_look_is_not() {
        let world = World::new(Duration::from_secs(20));
        world.leash.hold(acme(), Duration::ZERO);
        world.leash.set(Duration::from_secs(4));
        let lost = world.leashed.send(post()).await;
        assert!(matches!(lost, Err(TransportError::Lost(_))), "{lost:?}");
        assert_eq!(world.clock.boot(), Duration::from_secs(4));
        assert_eq!(world.leash.take_late(), [acme()].into(), "it may have left late");
        world.leashed.send(get()).await.unwrap();
        assert_eq!(world.clock.boot(), Duration::from_secs(24));
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_is_alone_renews_and_takes_nothing_away() {
        let world = World::new(Duration::from_secs(20));
        world.leash.hold(acme(), Duration::ZERO);
        world.clock.sleep(Duration::from_secs(60)).await;
        world.leash.keep_alone(world.clock.boot() + Duration::from_secs(30));
        world.leashed.send(get()).await.unwrap();
        let lost = world.leashed.send(post()).await;
        assert!(matches!(lost, Err(TransportError::Lost(_))), "{lost:?}");
        assert_eq!(world.clock.boot(), Duration::from_secs(90), "alone no more");
        let withheld = world.leashed.send(post()).await;
        assert!(matches!(withheld, Err(TransportError::Withheld(_))), "{withheld:?}");
        assert_eq!(world.sent(), ["GET", "POST"]);
        world.leash.keep_alone(world.clock.boot() + Duration::from_secs(30));
        for request in [post(), remove_events(), delete()] {
            let _withheld = world.leashed.send(request).await;
        }
        assert_eq!(world.sent(), ["POST"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_whose_leash_is_cut_short_takes_no_further_step() {
        let world = World::new(Duration::from_millis(100));
        world.leash.hold(acme(), Duration::ZERO);
        world.leash.set(Duration::from_secs(60));
        let shorter = async {
            world.clock.sleep(Duration::from_millis(50)).await;
            world.leash.set(Duration::ZERO);
        };
        let (result, ()) = tokio::join!(world.leashed.send(post()), shorter);
        assert!(matches!(result, Err(TransportError::Lost(_))), "{result:?}");
        assert_eq!(world.leash.take_late(), [acme()].into());
    }

    #[tokio::test(start_paused = true)]
    async fn a_leash_that_is_made_longer_lets_a_slow_write_end() {
        let world = World::new(Duration::from_secs(20));
        world.leash.hold(acme(), Duration::ZERO);
        world.leash.set(Duration::from_secs(4));
        let longer = async {
            world.clock.sleep(Duration::from_secs(3)).await;
            world.leash.set(Duration::from_secs(60));
        };
        let (result, ()) = tokio::join!(world.leashed.send(post()), longer);
        result.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_was_decided_before_a_stop_is_not_sent_after_it() {
        let world = World::new(Duration::ZERO);
        world.leash.hold(acme(), Duration::ZERO);
        world.leash.set(Duration::from_secs(4));
        let decided = world.leashed.send(post());
        // The process is stopped before the request is polled.
        world.clock.sleep(Duration::from_secs(4)).await;
        assert!(matches!(decided.await, Err(TransportError::Withheld(_))));
        assert_eq!(world.leash.take_late(), [].into());
        assert!(world.sent().is_empty());
    }

    #[test]
    fn a_name_that_looks_like_a_removal_is_none() {
        let mut request = post();
        request.body = serde_json::to_vec(&serde_json::json!({ "token": TEXT })).unwrap();
        assert_eq!(Needs::of(&request), Needs::Leash);
        assert_eq!(Needs::of(&remove_events()), Needs::LeashAndPatience);
    }

    /// Notes what is sent, and takes so long for each.
    struct Slow {
        clock: Arc<VirtualClock>,
        takes: Duration,
        sent: Mutex<Vec<&'static str>>,
    }

    impl Transport for Slow {
        fn send(&self, request: Request) -> Exchange<'_> {
            Box::pin(async move {
                self.sent.lock().unwrap().push(request.method);
                self.clock.sleep(self.takes).await;
                Ok(Response::empty(200))
            })
        }
    }

    struct World {
        clock: Arc<VirtualClock>,
        leash: Leash,
        slow: Arc<Slow>,
        leashed: Leashed,
    }

    impl World {
        fn new(takes: Duration) -> World {
            let clock = Arc::new(VirtualClock::new("2026-01-01T00:00:00Z".parse().unwrap(), 1));
            let leash = Leash::new(clock.clone());
            let slow = Slow { clock: clock.clone(), takes, sent: Mutex::default() };
            let slow = Arc::new(slow);
            let leashed = Leashed::new(slow.clone(), leash.clone(), acme());
            World { clock, leash, slow, leashed }
        }

        fn sent(&self) -> Vec<&'static str> {
            std::mem::take(&mut self.slow.sent.lock().unwrap())
        }
    }

    fn acme() -> AccountName {
        "acme".parse().unwrap()
    }

    fn request(method: &'static str, body: Vec<u8>) -> Request {
        let (base, path) = ("https://www.zohoapis.test".to_owned(), "/watch".to_owned());
        Request { method, base, path, query: Vec::new(), headers: Vec::new(), body }
    }

    fn get() -> Request {
        request("GET", Vec::new())
    }

    fn post() -> Request {
        request("POST", b"{}".to_vec())
    }

    fn delete() -> Request {
        request("DELETE", Vec::new())
    }

    fn remove_events() -> Request {
        let events = crate::testing::events(&["Contacts.create"]);
        request("PATCH", wire::remove_events_body(&[(crate::testing::id(7), &events)]))
    }

    const MILLI: Duration = Duration::from_millis(1);
    const TEXT: &str = "\"_delete_events\":true";
}
