//! The client over the simulator's state.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::auth::{credentials_fingerprint, exchange_code};
use super::client::{Client, ItemVerdict};
use super::error::{Class, Error, Kind};
use super::testing::{Sim, account, ask, id, spec};
use super::transport::{Exchange, Transport};
use crate::clock::Clock;
use crate::model::channel::Ask;
use crate::model::exchange::{Request, Response};
use crate::model::secret::Secret;
use crate::model::time::after;
use crate::model::token::{FETCHES_MAX, FETCHES_MAX_SHARED, TokenState};
use crate::simulator::knobs::{DeadTokenCode, Length};
use crate::simulator::{Fault, Knobs};

fn sim() -> Arc<Sim> {
    Sim::new(Knobs::default())
}

fn asks(sim: &Sim, ids: impl IntoIterator<Item = i64>, events: &[&str]) -> Vec<Ask> {
    ids.into_iter().map(|id| ask(spec(id, events), sim.now())).collect()
}

fn words(verdicts: &[ItemVerdict]) -> Vec<String> {
    let word = |verdict: &ItemVerdict| match verdict {
        ItemVerdict::Accepted(Some(_)) => "granted".to_owned(),
        ItemVerdict::Accepted(None) => "accepted".to_owned(),
        ItemVerdict::Refused(refused) => refused.code.clone(),
        ItemVerdict::Unsure(_) => "unsure".to_owned(),
    };
    verdicts.iter().map(word).collect()
}

/// Class and, for a transient failure, the wait.
fn class(error: &Error) -> String {
    match error.class() {
        Class::Transient { retry_after: None } => "transient".to_owned(),
        Class::Transient { retry_after: Some(wait) } => format!("transient {}s", wait.as_secs()),
        Class::Withheld => "withheld".to_owned(),
        Class::Account => "account".to_owned(),
        Class::Forbidden(refused) => format!("forbidden {}", refused.code),
        Class::Unscoped(refused) => format!("unscoped {}", refused.message),
        Class::Rejected { code, .. } => format!("rejected {code}"),
        Class::Unsure => "unsure".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_fetched_once_and_again_before_it_ends() {
    let sim = sim();
    let client = sim.client();
    let (one, two) = tokio::join!(client.list(), client.list());
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(sim.calls(), ["POST token", "GET watch", "GET watch"]);
    sim.clock.sleep(Duration::from_secs(3600 - 61)).await;
    client.list().await.unwrap();
    assert_eq!(sim.calls(), ["GET watch"]);
    sim.clock.sleep(Duration::from_secs(2)).await;
    client.list().await.unwrap();
    assert_eq!(sim.calls(), ["POST token", "GET watch"]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_token_is_fetched_anew_and_the_call_made_once_more() {
    for dead_token_code in [DeadTokenCode::InvalidToken, DeadTokenCode::InvalidOauthtoken] {
        let sim = Sim::new(Knobs { dead_token_code, ..Knobs::default() });
        let client = sim.client();
        client.list().await.unwrap();
        sim.zoho().end_access_tokens("a", sim.now());
        sim.calls();
        let asks = asks(&sim, [1], &["Deals.all"]);
        let verdicts = client.enable(&asks.iter().collect::<Vec<_>>()).await.unwrap();
        assert_eq!(words(&verdicts), ["granted"]);
        assert_eq!(sim.calls(), ["POST watch", "POST token", "POST watch"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_stays_dead_is_fetched_once_a_call() {
    let sim = sim();
    sim.fault(Fault::InvalidToken);
    let error = sim.client().list().await.unwrap_err();
    assert_eq!(class(&error), "account");
    assert_eq!(sim.calls(), ["POST token", "GET watch", "POST token", "GET watch"]);
}

/// Fifteen access tokens of one refresh token live at once: other programs that use it end ours.
#[tokio::test(start_paused = true)]
async fn the_sixteenth_live_token_ends_ours_in_mid_use_and_one_new_one_is_fetched() {
    let sim = Sim::new(Knobs { tokens_in_ten_minutes: 1000, ..Knobs::default() });
    let client = sim.client();
    client.list().await.unwrap();
    for others in 1..=14 {
        sim.client().list().await.unwrap();
        sim.calls();
        client.list().await.unwrap();
        assert_eq!(sim.calls(), ["GET watch"], "{others} others");
    }
    sim.client().list().await.unwrap();
    sim.calls();
    client.list().await.unwrap();
    assert_eq!(sim.calls(), ["GET watch", "POST token", "GET watch"]);
    for _ in 0..10 {
        client.list().await.unwrap();
    }
    assert_eq!(sim.calls(), ["GET watch"; 10], "no storm");
}

#[tokio::test(start_paused = true)]
async fn a_missing_scope_is_not_tried_again() {
    let sim = sim();
    sim.fault(Fault::ScopeMismatch);
    let error = sim.client().list().await.unwrap_err();
    assert_eq!(error.to_string(), "list: HTTP 401 OAUTH_SCOPE_MISMATCH: Unauthorized");
    assert_eq!(class(&error), "account");
    assert_eq!(sim.calls(), ["POST token", "GET watch"]);
}

#[tokio::test(start_paused = true)]
async fn an_oauth_error_inside_a_200_is_the_accounts_and_asked_again_slowly() {
    let sim = sim();
    sim.fault_once(Fault::OauthError { error: "invalid_code".to_owned() });
    let client = sim.client();
    let error = client.list().await.unwrap_err();
    let said = error.to_string();
    assert!(
        said.starts_with(
            "token: the OAuth server refuses the credentials: invalid_code (the refresh token"
        ),
        "{said}"
    );
    assert!(
        said.contains("`channelkeeper login`")
            && said.contains("at once when the config gives others"),
        "{said}"
    );
    assert_eq!(class(&error), "account");
    sim.clock.sleep(Duration::from_secs(119)).await;
    assert_eq!(class(&client.list().await.unwrap_err()), "account");
    assert_eq!(sim.calls(), ["POST token"]);
    sim.clock.sleep(Duration::from_secs(1)).await;
    assert!(client.list().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_throttled_token_request_waits_ten_minutes() {
    let sim = sim();
    sim.fault_once(Fault::TokenThrottled);
    let client = sim.client();
    assert_eq!(class(&client.list().await.unwrap_err()), "transient 600s");
    sim.clock.sleep(Duration::from_secs(400)).await;
    assert_eq!(class(&client.list().await.unwrap_err()), "transient 200s");
    assert_eq!(sim.calls(), ["POST token"]);
    sim.clock.sleep(Duration::from_secs(200)).await;
    assert!(client.list().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn other_credentials_drop_the_token_and_the_refusal() {
    let sim = sim();
    let client = sim.client();
    client.list().await.unwrap();
    let mut remembered = client.token_state().await;
    let same = sim.client_of(account(), Some(remembered.clone()), |_| Ok(()));
    same.list().await.unwrap();
    assert_eq!(sim.calls(), ["POST token", "GET watch", "GET watch"]);
    let mut other = account();
    other.credentials.client_secret = Secret::new("another");
    let client = sim.client_of(other.clone(), Some(remembered), |_| Ok(()));
    assert_eq!(class(&client.list().await.unwrap_err()), "account");
    remembered = client.token_state().await;
    assert!(remembered.denied.is_some());
    let mended = sim.client_of(account(), Some(remembered), |_| Ok(()));
    assert!(mended.list().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_fetch_is_remembered_before_it_is_made() {
    let sim = sim();
    let kept: Arc<Mutex<Vec<TokenState>>> = Arc::default();
    let at_request = Arc::new(AtomicUsize::new(usize::MAX));
    let (seen, noted) = (kept.clone(), at_request.clone());
    sim.on_request(move |request| {
        if request.path.contains("oauth") {
            noted.store(
                seen.lock().unwrap().last().map_or(0, |state| state.fetches.len()),
                Ordering::Relaxed,
            );
        }
    });
    let keep = kept.clone();
    let client = sim.client_of(account(), None, move |state| {
        keep.lock().unwrap().push(state.clone());
        Ok(())
    });
    client.list().await.unwrap();
    assert_eq!(at_request.load(Ordering::Relaxed), 1);
    assert!(kept.lock().unwrap().last().unwrap().access.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_cannot_be_remembered_is_neither_made_nor_counted() {
    let sim = sim();
    let client = sim.client_of(account(), None, |_| Err("the disk is full".to_owned()));
    for _ in 0..20 {
        let error = client.list().await.unwrap_err();
        assert!(
            error.to_string().ends_with("cannot record the request: the disk is full"),
            "{error}"
        );
        assert_eq!(class(&error), "transient");
    }
    assert!(sim.calls().is_empty());
    assert!(client.token_state().await.fetches.is_empty());
}

/// A client that remembers the token's state, and begins with what the one before it remembered.
fn begun_again(sim: &Arc<Sim>, stored: &Arc<Mutex<Option<TokenState>>>) -> Client {
    let keep = stored.clone();
    let remembered = stored.lock().unwrap().clone();
    sim.client_of(account(), remembered, move |state| {
        *keep.lock().unwrap() = Some(state.clone());
        Ok(())
    })
}

#[tokio::test(start_paused = true)]
async fn a_restart_loop_burns_no_tokens() {
    let sim = sim();
    let stored: Arc<Mutex<Option<TokenState>>> = Arc::default();
    for _ in 0..1000 {
        assert!(begun_again(&sim, &stored).list().await.is_ok());
        sim.clock.sleep(Duration::from_millis(600)).await;
    }
    assert_eq!(sim.tokens_issued(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_loop_without_a_usable_token_stays_within_what_zoho_gives() {
    for (is_shared, fetches) in [(false, FETCHES_MAX), (true, FETCHES_MAX_SHARED)] {
        let sim = sim();
        sim.fault(Fault::InvalidToken);
        let stored: Arc<Mutex<Option<TokenState>>> = Arc::default();
        for _ in 0..1000 {
            let client = begun_again(&sim, &stored);
            let client = if is_shared { client.sharing_tokens() } else { client };
            assert!(client.list().await.is_err());
            sim.clock.sleep(Duration::from_millis(599)).await;
        }
        assert_eq!(sim.tokens_issued(), fetches as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_straddles_pages_is_one_channel() {
    let sim = sim();
    let client = sim.client();
    let modules = ["Contacts.create", "Deals.all", "Leads.edit"];
    let all = asks(&sim, 1..=100, &modules);
    for batch in all.chunks(50) {
        client.enable(&batch.iter().collect::<Vec<_>>()).await.unwrap();
    }
    sim.calls();
    let listing = client.list().await.unwrap();
    assert_eq!(sim.calls(), ["GET watch", "GET watch"]);
    assert_eq!(listing.channels.len(), 100);
    let wanted = spec(1, &modules).events;
    assert!(listing.channels.values().all(|observed| observed.events == wanted));
    let one = client.look_at(id(67)).await.unwrap().unwrap();
    assert_eq!((one.events, one.tokens.len()), (wanted, 1));
    assert_eq!(client.look_at(id(101)).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_is_a_204_or_an_empty_array() {
    for empty_list_status in [204, 200] {
        let sim = Sim::new(Knobs { empty_list_status, ..Knobs::default() });
        assert!(sim.client().list().await.unwrap().channels.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn skew_goes_both_ways_and_counts_the_exchange_only() {
    for ahead_ms in [0, 90_000, -90_000, 86_400_000] {
        let sim = sim();
        sim.zoho_clock.step(ahead_ms);
        let client = sim.client();
        client.list().await.unwrap();
        client.list().await.unwrap();
        let skew = client.skew_ms().unwrap();
        assert!((skew - ahead_ms).abs() <= 1000, "{ahead_ms}: {skew}");
    }
    let sim = sim();
    let slow = crate::simulator::Rule {
        path: Some(crate::simulator::faults::Endpoint::Token),
        ..crate::simulator::Rule::always(Fault::Delay { by: Length(Duration::from_secs(25)) })
    };
    sim.zoho().add_fault(slow);
    let client = sim.client();
    client.list().await.unwrap();
    let skew = client.skew_ms().unwrap();
    assert!(skew.abs() <= 1000, "{skew}");
}

#[tokio::test(start_paused = true)]
async fn each_fault_has_its_class() {
    let delay = |seconds| Fault::Delay { by: Length(Duration::from_secs(seconds)) };
    let rows = [
        (Fault::ServerErrorJson, "transient", "unsure"),
        (Fault::ServerErrorHtml, "transient", "unsure"),
        (Fault::Unavailable, "transient", "unsure"),
        (Fault::TooManyRequests, "transient", "transient"),
        (Fault::InvalidToken, "account", "account"),
        (Fault::ScopeMismatch, "account", "account"),
        (Fault::Forbidden, "account", "forbidden NO_PERMISSION"),
        (Fault::NotFound, "account", "account"),
        (Fault::Refused, "transient", "transient"),
        (Fault::ResetBefore, "transient", "unsure"),
        (Fault::ResetAfter, "transient", "unsure"),
        (Fault::HangBefore, "transient", "unsure"),
        (Fault::HangAfter, "transient", "unsure"),
        (delay(5), "ok", "granted granted granted"),
        (delay(60), "transient", "unsure"),
        (Fault::Truncated { keep: 10 }, "transient", "unsure"),
        (Fault::Oversized { mib: 9 }, "transient", "unsure"),
        (Fault::Oversized { mib: 1 }, "transient", "unsure"),
        (Fault::ContentType { value: "text/plain".to_owned() }, "ok", "granted granted granted"),
        (Fault::ItemMissing, "ok", "granted granted unsure"),
        (Fault::ItemsReordered, "ok", "granted granted granted"),
        (
            Fault::UnknownItemCode { code: "WHO_KNOWS".to_owned() },
            "ok",
            "WHO_KNOWS granted granted",
        ),
        (Fault::RefuseBatchWith { channel: "2".to_owned() }, "ok", "rejected INVALID_DATA"),
        (
            Fault::RefuseChannel {
                channel: "2".to_owned(),
                code: "LIMIT_REACHED".to_owned(),
                details: serde_json::json!({}),
            },
            "ok",
            "granted LIMIT_REACHED granted",
        ),
    ];
    for (fault, reading, writing) in rows {
        let sim = sim();
        let client = sim.client();
        let asks = asks(&sim, 1..=3, &["Deals.all"]);
        let asks: Vec<&Ask> = asks.iter().collect();
        client.enable(&asks).await.unwrap();
        sim.fault(fault.clone());
        let read = client.list().await.map_or_else(|error| class(&error), |_| "ok".to_owned());
        let written = client
            .enable(&asks)
            .await
            .map_or_else(|error| class(&error), |verdicts| words(&verdicts).join(" "));
        assert_eq!((read.as_str(), written.as_str()), (reading, writing), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_write_is_unsure_whether_it_was_applied_or_not() {
    for (fault, applied) in
        [(Fault::ResetBefore, false), (Fault::ResetAfter, true), (Fault::HangAfter, true)]
    {
        let sim = sim();
        sim.fault_once(fault);
        let client = sim.client();
        let asks = asks(&sim, [1], &["Deals.all"]);
        assert_eq!(class(&client.enable(&[&asks[0]]).await.unwrap_err()), "unsure");
        assert_eq!(sim.live().contains(&1), applied);
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_passes_on_how_long_to_wait() {
    let sim = Sim::new(Knobs { retry_after_secs: Some(42), ..Knobs::default() });
    sim.fault(Fault::TooManyRequests);
    assert_eq!(class(&sim.client().list().await.unwrap_err()), "transient 42s");
}

#[tokio::test(start_paused = true)]
async fn traffic_counts_each_call_once() {
    let sim = sim();
    let client = sim.client();
    client.list().await.unwrap();
    sim.fault_once(Fault::Refused);
    client.list().await.unwrap_err();
    sim.fault_once(Fault::HangBefore);
    client.list().await.unwrap_err();
    sim.fault_once(Fault::Forbidden);
    client.list().await.unwrap_err();
    let traffic = client.traffic();
    let expected = [
        (("list", "lost"), 1),
        (("list", "not-sent"), 1),
        (("list", "ok"), 1),
        (("list", "refused"), 1),
    ];
    assert_eq!(traffic.calls.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(traffic.tokens.into_iter().collect::<Vec<_>>(), [("ok", 1)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_said_of_an_error_holds_a_secret() {
    let sim = sim();
    let kinds = [Fault::ServerErrorHtml, Fault::InvalidToken, Fault::Forbidden, Fault::HangAfter];
    for kind in kinds {
        sim.zoho().clear_faults();
        sim.fault(kind);
        let error = sim.client().list().await.unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(!said.contains("1000.") && !said.contains("secret-a"), "{said}");
    }
    assert!(matches!(
        Error { operation: "x", writing: false, kind: Kind::Unremembered(String::new()) }.class(),
        Class::Transient { .. }
    ));
}

/// Answers each request as it is told to.
struct Says<F>(F);

impl<F: Fn(&Request) -> Response + Send + Sync> Transport for Says<F> {
    fn send(&self, request: Request) -> Exchange<'_> {
        let response = self.0(&request);
        Box::pin(async move { Ok(response) })
    }
}

/// A client of a server that gives a token and says something of its own to the rest.
fn client_of(says: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Client {
    let given = |request: &Request| (request.path == "/oauth/v2/token").then(|| said(200, TOKEN));
    let transport = Says(move |request: &Request| given(request).unwrap_or_else(|| says(request)));
    client_over(transport)
}

fn client_over(transport: impl Transport + 'static) -> Client {
    let clock = sim().client().clock().clone();
    Client::new(
        account(),
        Arc::new(transport),
        clock,
        None,
        Arc::new(|_| Box::pin(async { Ok(()) })),
    )
}

fn said(status: u16, body: &str) -> Response {
    Response { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
}

/// The outcome of a look and of a write, in words.
async fn all_that_is_said(client: &Client) -> String {
    let ask = ask(spec(1, &["Deals.all"]), client.clock().now());
    format!("{:?}\n{:?}", client.list().await, client.enable(&[&ask]).await)
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_an_answer_quotes_is_taken_out() {
    let quotes = |status: u16, body: fn(&Request) -> String| {
        client_of(move |request| said(status, &body(request)))
    };
    let echo = |request: &Request| {
        format!("<html>{} {:?} {}</html>", "x".repeat(250), request.headers, request.path)
    };
    let plain = |request: &Request| format!("gateway: {:?}", request.headers);
    let refusal = |_: &Request| {
        r#"{"watch":[{"code":"INVALID_DATA","status":"error","message":"bad hush-token",
            "details":{"channel_id":"1","token":"an-older-one","of":"hush%2Dtoken"}}]}"#
            .to_owned()
    };
    let misplaced = |_: &Request| r#"{"watch":"hush-token, 1000.access-of-now"}"#.to_owned();
    for client in
        [quotes(502, echo), quotes(502, plain), quotes(400, refusal), quotes(200, misplaced)]
    {
        let mut spec = spec(1, &["Deals.all"]);
        spec.token = Some(Secret::new("hush-token"));
        let ask = ask(spec, client.clock().now());
        let written = client.enable(&[&ask]).await;
        let said = format!("{written:?}\n{:?}", client.list().await);
        for secret in ["hush-token", "an-older-one", "1000.access-of-now"] {
            assert!(!said.contains(secret), "{secret}: {said}");
        }
    }
    let plain = all_that_is_said(&quotes(502, plain)).await;
    assert!(plain.contains("Zoho-oauthtoken [secret]"), "{plain}");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_the_oauth_server_quotes_is_taken_out() {
    let client = client_over(Says(|request: &Request| {
        let sent = String::from_utf8_lossy(&request.body).into_owned();
        said(200, &serde_json::json!({ "error": format!("bad {sent} 1000.refresh-a") }).to_string())
    }));
    let error = client.list().await.unwrap_err().to_string();
    assert!(error.contains("refresh_token=[secret]"), "{error}");
    let kept = client.token_state().await.denied.unwrap().what;
    for said in [error, kept] {
        assert!(!said.contains("secret-a") && !said.contains("refresh-a"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_code_that_the_oauth_server_quotes_is_taken_out() {
    let quotes = Says(|request: &Request| {
        let sent = String::from_utf8_lossy(&request.body).into_owned();
        said(200, &serde_json::json!({ "error": format!("bad {sent}") }).to_string())
    });
    let code = Secret::new("1000.code-of-once");
    let error = exchange_code(&account(), &code, &quotes).await.unwrap_err().to_string();
    assert!(error.contains("code=[secret]") && !error.contains("code-of-once"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_no_json_is_judged_by_its_status() {
    for (status, expected) in [(200, "unsure"), (400, "rejected HTTP_400")] {
        let client = client_of(move |_| said(status, "no"));
        let ask = ask(spec(1, &["Deals.all"]), client.clock().now());
        let error = client.enable(&[&ask]).await.unwrap_err();
        assert_eq!(class(&error), expected, "{status}: {error}");
    }
}

/// An answer without a channel, of a server whose clock shows this.
fn dated(date: &str) -> Response {
    let headers = vec![("date".to_owned(), date.to_owned())];
    Response { status: 204, headers, body: Vec::new() }
}

#[tokio::test(start_paused = true)]
async fn a_time_far_off_is_followed_unchecked_where_no_token_can_be_spared() {
    let clock = sim().client().clock().clone();
    let now = clock.now();
    let kept = TokenState {
        credentials: credentials_fingerprint(&account()),
        access: Some((Secret::new("1000.kept"), after(now, Duration::from_secs(3600)))),
        fetches: vec![now; 3],
        denied: None,
    };
    let answers = Says(|request: &Request| {
        assert_ne!(request.path, "/oauth/v2/token", "the calls need the tokens that are left");
        dated("Tue, 24 Nov 2026 16:00:00 GMT")
    });
    let client = Client::new(
        account(),
        Arc::new(answers),
        clock,
        Some(kept),
        Arc::new(|_| Box::pin(async { Ok(()) })),
    );
    client.list().await.unwrap();
    assert!(client.skew_ms().is_some_and(|skew| skew > 86_000_000), "{:?}", client.skew_ms());
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_of_the_api_is_told_once() {
    let client = client_over(Says(|request: &Request| match &*request.path {
        "/oauth/v2/token" => {
            let right = dated("Mon, 23 Nov 2026 16:00:00 GMT");
            Response { status: 200, body: TOKEN.as_bytes().to_vec(), ..right }
        }
        _ => dated("Tue, 23 Nov 2027 16:00:00 GMT"),
    }));
    let lines = Lines::default();
    let of_log = lines.clone();
    let log = tracing_subscriber::fmt().with_writer(move || of_log.clone()).finish();
    let heard = tracing::subscriber::set_default(log);
    client.list().await.unwrap();
    client.list().await.unwrap();
    drop(heard);
    let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert_eq!(said.matches("and is not followed").count(), 1, "{said}");
    assert!(client.skew_ms().is_some_and(|skew| skew.abs() < 2000), "{:?}", client.skew_ms());
}

/// The bytes of a log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_bare_success_is_unsure_whatever_its_status() {
    for status in [200, 202, 400] {
        let client = client_of(move |_| said(status, r#"{"code":"SUCCESS","status":"success"}"#));
        let ask = ask(spec(1, &["Deals.all"]), client.clock().now());
        let error = client.enable(&[&ask]).await.unwrap_err();
        assert_eq!(error.class(), Class::Unsure, "{status}: {error}");
        assert_eq!(client.disable(&[id(1)]).await.unwrap_err().class(), Class::Unsure, "{status}");
        assert!(client.list().await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_no_header_can_carry_is_not_kept() {
    let first = std::sync::atomic::AtomicBool::new(true);
    let client = client_over(Says(move |request: &Request| {
        if request.path != "/oauth/v2/token" {
            return Response { status: 204, headers: Vec::new(), body: Vec::new() };
        }
        let token = if first.swap(false, Ordering::SeqCst) { "10\n00" } else { "1000.good" };
        said(200, &serde_json::json!({ "access_token": token, "expires_in": 3600 }).to_string())
    }));
    let error = client.list().await.unwrap_err();
    assert!(error.to_string().contains("no header can carry"), "{error}");
    assert_eq!(error.class(), Class::Transient { retry_after: None });
    assert_eq!(client.token_state().await.access, None);
    assert!(client.list().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_redirect_a_page_and_another_api_are_named() {
    let told = |response: fn() -> Response| async move {
        all_that_is_said(&client_of(move |_| response())).await
    };
    let redirect = told(|| Response {
        status: 301,
        headers: vec![("location".to_owned(), "https://me:pw@crm.zoho.test/x?y=1".to_owned())],
        body: b"<html>moved</html>".to_vec(),
    });
    let redirect = redirect.await;
    assert_eq!(redirect.matches("it redirects to crm.zoho.test").count(), 2, "{redirect}");
    assert!(!redirect.contains("<html>") && !redirect.contains("me:pw"), "{redirect}");
    let page = told(|| said(200, "\n<!DOCTYPE html><p>sign in</p>")).await;
    assert_eq!(page.matches("a web page came instead of JSON").count(), 2, "{page}");
    let elsewhere =
        told(|| said(401, r#"{"code":"INVALID_TOKEN","message":"invalid oauth token"}"#));
    let elsewhere = elsewhere.await;
    let named = "the org's API is at https://www.zohoapis.eu, but this account asks https://www.zohoapis.test";
    assert!(elsewhere.contains(named), "{elsewhere}");
}

const TOKEN: &str = r#"{"access_token":"1000.access-of-now","expires_in":3600,
    "api_domain":"https://www.zohoapis.eu"}"#;
