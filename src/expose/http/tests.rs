//! Over a real loopback socket.

use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::health::{ReasonKind, Status};
use super::super::page::select::select;
use super::super::probe::{ProbeLimits, judge};
use super::super::testing::{
    START, change_channel, converged, empty, hold, hours, lose, rejected, remembering,
};
use super::*;
use crate::clock::VirtualClock;
use crate::model::desired::Http;
use crate::reconcile::report::ChannelState;

/// A listener with a daemon's overview behind it.
struct Face {
    address: std::net::SocketAddr,
    overview: watch::Sender<Arc<Overview>>,
    loop_age: Arc<Mutex<Duration>>,
    shutdown: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Face {
    async fn of(overview: Overview) -> Face {
        let (overview, receiver) = watch::channel(Arc::new(overview));
        let loop_age = Arc::new(Mutex::new(Duration::ZERO));
        let seen = loop_age.clone();
        let shown = Shown {
            overview: receiver,
            loop_age: Arc::new(move || LoopAge(*seen.lock().unwrap())),
            measured: Arc::new(Measured::default),
            clock: Arc::new(VirtualClock::new(START.parse().unwrap(), 1)),
            memory: remembering(),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        let door = Door::new(address, &Http::default());
        let served = tokio::spawn(serve(listener, router(shown, door), shutdown.clone()));
        Face { address, overview, loop_age, shutdown, served }
    }

    async fn ask(&self, method: &str, path: &str) -> Answer {
        self.ask_for(method, path, "*/*").await
    }

    async fn ask_for(&self, method: &str, path: &str, accept: &str) -> Answer {
        self.request(method, path, &format!("host: localhost\r\naccept: {accept}")).await
    }

    async fn ask_at(&self, host: &str, path: &str) -> Answer {
        self.request("GET", path, &format!("host: {host}")).await
    }

    async fn request(&self, method: &str, path: &str, headers: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("{headers}\r\nconnection: close");
        let request = format!("{method} {path} HTTP/1.1\r\n{head}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    async fn status(&self, path: &str) -> u16 {
        self.ask("GET", path).await.status
    }
}

fn one_refused() -> Overview {
    let mut overview = converged(50);
    lose(&mut overview, 7);
    hold(&mut overview, 7, rejected());
    overview
}

#[tokio::test]
async fn a_daemon_that_is_well_says_yes_everywhere() {
    let face = Face::of(converged(3)).await;
    for path in [
        "/livez",
        "/readyz",
        "/healthz",
        "/healthz?strict",
        "/healthz/channels/c1",
        "/metrics",
        "/",
        "/channels/acme/c1",
        "/channels/%61cme/c%31",
    ] {
        assert_eq!(face.status(path).await, 200, "{path}");
    }
    assert_eq!(face.ask("GET", "/livez").await.body, "ok\n");
}

#[tokio::test]
async fn one_channel_that_loses_events_is_503_and_its_reasons_say_which() {
    let face = Face::of(one_refused()).await;
    let answer = face.ask("GET", "/healthz").await;
    let health: HealthView = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (answer.status, health.status, health.guaranteed_until),
        (503, Status::Failing, None)
    );
    assert_eq!(
        health.reasons.iter().map(|reason| reason.word.as_str()).collect::<Vec<_>>(),
        ["uncovered", "rejected"]
    );
    assert_eq!(face.status("/readyz").await, 200);
    assert_eq!(face.status("/livez").await, 200);
}

#[tokio::test]
async fn degraded_is_200_and_503_when_asked_strictly() {
    let mut overview = converged(3);
    overview.config.problems = vec!["config.toml:3: unknown key".to_owned()];
    let face = Face::of(overview).await;
    assert_eq!(face.status("/healthz").await, 200);
    assert_eq!(face.status("/healthz?strict").await, 503);
    assert_eq!(face.status("/healthz?a=b&strict=1").await, 503);
    assert_eq!(face.status("/readyz").await, 200);
}

#[tokio::test]
async fn a_loop_that_stands_still_is_503() {
    let face = Face::of(converged(1)).await;
    *face.loop_age.lock().unwrap() = Duration::from_secs(100);
    let answer = face.ask("GET", "/livez").await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "the loop last turned 100 s ago\n"));
    assert_eq!(face.status("/readyz").await, 503);
    assert_eq!(face.status("/healthz").await, 503);
}

#[tokio::test]
async fn an_answer_is_that_of_the_newest_overview() {
    let face = Face::of(converged(1)).await;
    let mut failed = converged(1);
    failed.store_failed = Some("no space left".to_owned());
    face.overview.send(Arc::new(failed)).unwrap();
    let answer = face.ask("GET", "/readyz").await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "the store failed\n"));
    assert_eq!(face.status("/livez").await, 200);
}

#[tokio::test]
async fn a_channel_has_its_own_answer() {
    let face = Face::of(one_refused()).await;
    assert_eq!(face.status("/healthz/channels/c1").await, 200);
    assert_eq!(face.status("/healthz/channels/none").await, 404);
    let answer = face.ask("GET", "/healthz/channels/c7").await;
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (answer.status, &body["account"], &body["state"]),
        (503, &"acme".into(), &"uncovered".into())
    );
    assert_eq!(body["held"][0]["cause"], "rejected");
}

#[tokio::test]
async fn metrics_status_and_page_have_their_types_and_guards() {
    let face = Face::of(converged(1)).await;
    let answer = face
        .ask_for("GET", "/metrics", "application/openmetrics-text; version=1.0.0, */*; q=0.1")
        .await;
    assert!(
        answer.head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{}",
        answer.head
    );
    assert!(
        answer.body.contains("# TYPE channelkeeper_passes counter\n")
            && answer.body.ends_with("# EOF\n")
    );
    let answer = face.ask("GET", "/metrics").await;
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    assert!(
        answer.body.contains("# TYPE channelkeeper_passes_total counter\n")
            && !answer.body.contains("# EOF")
    );
    let view: StatusView =
        serde_json::from_str(&face.ask("GET", "/api/v1/status").await.body).unwrap();
    assert_eq!(view.accounts[0].channels[0].name, "c1");
    let answer = face.ask("GET", "/").await;
    assert!(answer.head.contains("content-type: text/html; charset=utf-8"), "{}", answer.head);
    assert!(
        answer.head.contains("content-security-policy: default-src 'none'; style-src 'sha256-"),
        "{}",
        answer.head
    );
    assert!(answer.head.contains("x-content-type-options: nosniff"), "{}", answer.head);
    assert!(answer.body.contains("everything is covered until"));
}

/// Whatever the answer is, also one that refuses.
#[tokio::test]
async fn every_answer_forbids_what_a_browser_might_do_with_it() {
    let face = Face::of(converged(1)).await;
    let mut answers = Vec::new();
    for (method, path) in
        [("GET", "/"), ("GET", "/livez"), ("GET", "/metrics"), ("GET", "/nothing"), ("POST", "/")]
    {
        answers.push((path, face.ask(method, path).await));
    }
    answers.push(("by another name", face.ask_at("evil.example", "/api/v1/status").await));
    for (path, answer) in answers {
        for header in [
            "cache-control: no-store",
            "content-security-policy: default-src 'none'; ",
            "cross-origin-opener-policy: same-origin",
            "cross-origin-resource-policy: same-origin",
            "referrer-policy: no-referrer",
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
        ] {
            assert!(answer.head.contains(header), "{path}: no {header} in {}", answer.head);
        }
        assert!(!answer.head.contains("access-control-"), "{}", answer.head);
    }
}

#[tokio::test]
async fn by_a_name_that_somebody_made_lead_here_nothing_is_read() {
    let face = Face::of(converged(1)).await;
    for path in ["/", "/livez", "/metrics", "/api/v1/status", "/channels/acme/c1", "/nothing"] {
        let answer = face.ask_at("evil.example:8470", path).await;
        assert_eq!(answer.status, 421, "{path}");
        assert!(
            answer.body.contains("hosts under [http]") && !answer.body.contains("c1"),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn nothing_secret_is_shown_on_any_path() {
    let face = Face::of(one_refused()).await;
    for path in [
        "/readyz",
        "/healthz",
        "/healthz/channels/c7",
        "/metrics",
        "/api/v1/status",
        "/api/v1/summary",
        "/",
        "/?q=s3cre",
        "/channels/acme/c7",
    ] {
        assert!(!face.ask("GET", path).await.body.contains("s3cret"), "{path}");
    }
}

#[tokio::test]
async fn only_reading_is_possible() {
    let face = Face::of(empty()).await;
    assert_eq!(face.status("/channels/acme/c1").await, 404);
    assert_eq!(face.ask("POST", "/channels/acme/c1").await.status, 405);
    for path in [
        "/",
        "/?page=x&state=y&period=%zz&q=%ff",
        "/livez",
        "/healthz",
        "/metrics",
        "/api/v1/status",
        "/api/v1/summary",
    ] {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            assert_eq!(face.ask(method, path).await.status, 405, "{method} {path}");
        }
        let head = face.ask("HEAD", path).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "HEAD {path}");
    }
    assert_eq!(face.status("/nothing").await, 404);
}

#[tokio::test]
async fn a_client_that_never_ends_its_request_does_not_hold_up_the_end() {
    let face = Face::of(converged(1)).await;
    let mut stream = TcpStream::connect(face.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    face.ask("GET", "/livez").await;
    face.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), face.served).await.unwrap().unwrap();
}

/// One fact changed in eight channels, and how bad that is.
fn troubles() -> Vec<(&'static str, Overview, Status, usize)> {
    use crate::plan::drift::Drift;
    let all = || converged(8);
    let drifted = |drift: Drift| {
        let mut overview = all();
        change_channel(&mut overview, 3, |channel| {
            (channel.state, channel.drift) = (ChannelState::Drifted, vec![drift]);
        });
        overview
    };
    let token = Drift::Token { seen: "none".into(), wanted: "a token".into() };
    let mut lost = all();
    lose(&mut lost, 3);
    let mut undeliverable = all();
    change_channel(&mut undeliverable, 3, |channel| {
        channel.undeliverable = Some(Box::new((START.parse().unwrap(), "HTTP 500".to_owned())));
    });
    let mut emergency = all();
    change_channel(&mut emergency, 3, |channel| channel.emergency_at = Some(hours(0)));
    let mut config = all();
    config.config.problems = vec!["config.toml:3: unknown key".to_owned()];
    vec![
        ("nothing is wrong", all(), Status::Ok, 0),
        ("Zoho does not have a channel", lost, Status::Failing, 1),
        ("a channel loses deliveries by its drift", drifted(token), Status::Failing, 1),
        (
            "a drift that loses nothing",
            drifted(Drift::NotifyOnRelatedAction { wanted: true }),
            Status::Degraded,
            0,
        ),
        ("a receiver refuses", undeliverable, Status::Failing, 0),
        ("a renewal is an emergency", emergency, Status::Failing, 0),
        ("the config is broken", config, Status::Degraded, 0),
    ]
}

#[tokio::test]
async fn every_surface_grades_by_the_same_scale() {
    for (trouble, overview, status, uncovered) in troubles() {
        assert!(Status::ALL.contains(&status));
        let severity = status.severity();
        let face = Face::of(overview.clone()).await;
        let health = face.ask("GET", "/healthz").await;
        assert_eq!(health.status, severity.http, "{trouble}");
        assert_eq!(face.status("/healthz?strict").await, severity.http_strict, "{trouble}");

        let view: StatusView =
            serde_json::from_str(&face.ask("GET", "/api/v1/status").await.body).unwrap();
        assert_eq!(view.health.status, status, "{trouble}");
        assert_eq!(view.headline.contains("NOT covered"), uncovered > 0, "{trouble}");
        assert_eq!(view.accounts[0].counts["uncovered"], uncovered, "{trouble}");
        let bad = view.accounts[0].channels.iter().filter(|one| one.status == Status::Failing);
        assert_eq!(bad.count(), uncovered, "{trouble}");

        let summary: Summary =
            serde_json::from_str(&face.ask("GET", "/api/v1/summary").await.body).unwrap();
        let limits = [6, 3, 1].map(|hours| Duration::from_secs(hours * 3600));
        let limits = ProbeLimits { warning: limits[0], critical: limits[1], stale: limits[2] };
        let verdict = judge(&summary, &limits, START.parse().unwrap());
        assert_eq!(verdict.grade, severity.grade, "{trouble}");

        let metrics = face.ask("GET", "/metrics").await.body;
        let line = format!("channelkeeper_status{{status=\"{}\"}} 1", severity.word);
        assert!(metrics.contains(&line), "{trouble}");
        let line =
            format!("channelkeeper_channels{{account=\"acme\",state=\"uncovered\"}} {uncovered}");
        assert!(metrics.contains(&line), "{trouble}");

        let query = Query::parse("state=uncovered");
        let shown = select(&overview, &query, START.parse().unwrap());
        assert_eq!(shown.found, uncovered, "{trouble}");
        let page = face.ask("GET", "/").await.body;
        assert!(page.contains(&format!("<title>channelkeeper: {}</title>", severity.word)));
    }
}

#[test]
fn an_alert_rule_is_as_severe_as_the_reason_that_it_is_about() {
    const RULES: &str = include_str!("../../../docs/monitoring/channelkeeper.rules.yml");
    let severity = |alert: &str| {
        let rule = RULES.split("- alert: ").find(|rule| rule.lines().next() == Some(alert));
        let rule = rule.unwrap_or_else(|| panic!("there is no rule {alert}"));
        let (_, severity) = rule.split_once("severity: ").unwrap();
        severity.split(' ').next().unwrap().to_owned()
    };
    for (alert, kind) in [
        ("ChannelkeeperStuck", ReasonKind::NotLive),
        ("ChannelkeeperUncovered", ReasonKind::Uncovered),
        ("ChannelkeeperUndeliverable", ReasonKind::Undeliverable),
        ("ChannelkeeperEmergency", ReasonKind::Emergency),
        ("ChannelkeeperPassOverdue", ReasonKind::PassOverdue),
        ("ChannelkeeperLookFailing", ReasonKind::LookFailed),
        ("ChannelkeeperWritesFailing", ReasonKind::WritesFailed),
        ("ChannelkeeperNeedsAPerson", ReasonKind::NeedsAPerson),
        ("ChannelkeeperAccountUnusable", ReasonKind::Unusable),
        ("ChannelkeeperDrifted", ReasonKind::Drifted),
        ("ChannelkeeperShortGrants", ReasonKind::ShortGrant),
        ("ChannelkeeperStoreFailed", ReasonKind::StoreFailed),
        ("ChannelkeeperConfigRefused", ReasonKind::Config),
        ("ChannelkeeperClockSkew", ReasonKind::Skew),
        ("ChannelkeeperRecoveryWaits", ReasonKind::Recovery),
    ] {
        assert_eq!(severity(alert), kind.status().severity().alert, "{alert}");
    }
    assert_eq!(severity("ChannelkeeperFailing"), Status::Failing.severity().alert);
    assert_eq!(severity("ChannelkeeperDegraded"), Status::Degraded.severity().alert);
}
