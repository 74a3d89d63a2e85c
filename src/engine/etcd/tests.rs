//! Answers that no healthy etcd gives, and machines that are not there.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::clock::SystemClock;

/// A machine that answers each request with the next of these; without one it is silent.
struct Machine {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Machine {
    async fn start(answers: Vec<(u16, String)>) -> Machine {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn({
            let asked = asked.clone();
            let mut answers = answers.into_iter();
            async move {
                loop {
                    let (mut socket, _) = listener.accept().await.unwrap();
                    let request = request(&mut socket).await;
                    asked.lock().unwrap().push(request);
                    let Some((status, body)) = answers.next() else {
                        tokio::spawn(async move { silence(socket).await });
                        continue;
                    };
                    let head = format!("HTTP/1.1 {status} So\r\nconnection: close\r\n");
                    let text = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                    let _written = socket.write_all(text.as_bytes()).await;
                }
            }
        });
        Machine { url, asked }
    }

    /// One that gives these, all well.
    async fn gives(answers: &[&str]) -> Machine {
        Machine::start(answers.iter().map(|body| (200, (*body).to_owned())).collect()).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn silence(socket: TcpStream) {
    std::future::pending::<()>().await;
    drop(socket);
}

/// The path and the body, and the token if there is one.
async fn request(socket: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let mut part = [0; 4096];
        let length = socket.read(&mut part).await.unwrap_or(0);
        read.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n").filter(|_| length > 0) else {
            assert!(length > 0, "{text}");
            continue;
        };
        let field = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(found, _)| *found == name).map(|(_, value)| value.to_owned()).next()
        };
        if Some(body.len()) != field("content-length").and_then(|length| length.parse().ok()) {
            continue;
        }
        let path = head.split(' ').nth(1).unwrap_or_default();
        return format!("{path} {body} {}", field("authorization").unwrap_or_default());
    }
}

fn etcd(machines: &[&str], login: Option<(&str, &str)>) -> Etcd {
    let endpoints: Vec<String> = machines.iter().map(|url| (*url).to_owned()).collect();
    let login = login.map(|(user, password)| (user.to_owned(), Secret::new(password)));
    let settings = EtcdSettings { endpoints: &endpoints, login, ca_file: None };
    Etcd::new(settings, Arc::new(SystemClock::new())).unwrap()
}

async fn commit(etcd: &Etcd) -> Result<Committed, EngineError> {
    let guard = Guard::ModifiedAt("a".to_owned(), Revision(3));
    etcd.commit(vec![guard], vec![Change::Put("a".to_owned(), b"1".to_vec())]).await
}

async fn read(etcd: &Etcd) -> Result<Snapshot, EngineError> {
    etcd.range(vec![Selection::Key("a".to_owned())]).await
}

fn is_unreachable<T>(answer: &Result<T, EngineError>) -> bool {
    matches!(answer, Err(EngineError::Unreachable(_)))
}

/// A port at which nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

const DONE: &str = r#"{"header":{"revision":"7"},"succeeded":true}"#;
const EMPTY: &str =
    r#"{"header":{"revision":"7"},"succeeded":true,"responses":[{"response_range":{}}]}"#;
const TOKEN_GIVEN: &str = r#"{"header":{},"token":"the-token.1"}"#;

#[tokio::test]
async fn only_an_answer_of_etcd_s_that_says_so_is_a_refusal() {
    let refused = r#"{"header":{"revision":"7"},"responses":[]}"#;
    let machine = Machine::gives(&[DONE, refused]).await;
    let etcd = etcd(&[&machine.url], None);
    assert_eq!(commit(&etcd).await, Ok(Committed::Done(Revision(7))));
    assert_eq!(commit(&etcd).await, Ok(Committed::Refused));
    for (status, body) in [
        (200, "{}"),
        (200, r#"{"header":{}}"#),
        (200, r#"{"header":{"revision":"soon"}}"#),
        (200, r#"{"succeeded":false}"#),
        (200, "<html>"),
        (200, ""),
        (204, ""),
        (302, refused),
        (409, refused),
        (502, "Bad Gateway"),
        (503, r#"{"error":"etcdserver: no leader","code":14}"#),
    ] {
        let machine = Machine::start(vec![(status, body.to_owned())]).await;
        let answer = commit(&self::etcd(&[&machine.url], None)).await;
        assert!(is_unreachable(&answer), "{status} {body}: {answer:?}");
    }
}

#[tokio::test]
async fn only_what_etcd_says_in_known_words_is_told_as_unable() {
    for (text, is_unable) in [
        ("etcdserver: mvcc: database space exceeded", true),
        ("etcdserver: permission denied", true),
        ("etcdserver: user name is empty", true),
        ("etcdserver: too many operations in txn request", true),
        ("etcdserver: request timed out", false),
        ("etcdserver: leader changed", false),
        ("etcdserver: too many requests", false),
        ("etcdserver: something else", false),
        ("permission denied", false),
    ] {
        for field in ["error", "message"] {
            let body = format!(r#"{{"{field}":"{text}","code":9}}"#);
            let machine = Machine::start(vec![(400, body)]).await;
            let answer = commit(&etcd(&[&machine.url], None)).await;
            assert_eq!(!is_unreachable(&answer), is_unable, "{text}: {answer:?}");
            assert!(answer.unwrap_err().to_string().contains(text));
        }
    }
}

#[tokio::test]
async fn a_commit_that_may_have_arrived_is_not_sent_again_and_the_next_machine_is_asked_from_then_on()
 {
    let (silent, other) = (Machine::gives(&[]).await, Machine::gives(&[DONE]).await);
    let etcd = etcd(&[&silent.url, &other.url], None);
    let answer = commit(&etcd).await;
    assert!(is_unreachable(&answer) && answer.unwrap_err().to_string().contains("timed out"));
    assert_eq!((silent.asked().len(), other.asked().len()), (1, 0));
    assert_eq!(commit(&etcd).await, Ok(Committed::Done(Revision(7))));
    assert_eq!((silent.asked().len(), other.asked().len()), (1, 1));
}

#[tokio::test]
async fn a_commit_that_did_not_leave_goes_to_the_next_machine() {
    let other = Machine::gives(&[DONE]).await;
    let etcd = etcd(&[&nobody().await, &nobody().await, &other.url], None);
    assert_eq!(commit(&etcd).await, Ok(Committed::Done(Revision(7))));
    let nobody = self::etcd(&[&nobody().await], None);
    assert!(is_unreachable(&commit(&nobody).await));
}

#[tokio::test]
async fn a_read_is_asked_of_each_machine_until_one_answers() {
    let silent = Machine::gives(&[]).await;
    let leaderless = r#"{"error":"etcdserver: no leader","code":14}"#.to_owned();
    let leaderless = Machine::start(vec![(503, leaderless)]).await;
    let other = Machine::gives(&[EMPTY]).await;
    let etcd = etcd(&[&silent.url, &leaderless.url, &other.url], None);
    assert_eq!(read(&etcd).await.unwrap().revision, Revision(7));
    assert_eq!((silent.asked().len(), leaderless.asked().len(), other.asked().len()), (1, 1, 1));
}

#[tokio::test]
async fn a_token_that_etcd_has_forgotten_is_renewed_once() {
    let invalid = (401, r#"{"error":"etcdserver: invalid auth token","code":16}"#.to_owned());
    let given = |token: &str| (200, format!(r#"{{"header":{{}},"token":"{token}"}}"#));
    let done = (200, DONE.to_owned());
    let answers = vec![
        given("one"),
        done.clone(),
        invalid.clone(),
        given("two"),
        done,
        invalid.clone(),
        given("three"),
        invalid,
    ];
    let machine = Machine::start(answers).await;
    let etcd = etcd(&[&machine.url], Some(("me", "hush-hush")));
    assert_eq!(commit(&etcd).await, Ok(Committed::Done(Revision(7))));
    assert_eq!(commit(&etcd).await, Ok(Committed::Done(Revision(7))));
    assert!(is_unreachable(&commit(&etcd).await));
    let asked = machine.asked();
    let tokens: Vec<&str> = asked.iter().filter_map(|request| request.rsplit(' ').next()).collect();
    assert_eq!(tokens, ["", "one", "one", "", "two", "two", "", "three"]);
    let login = r#"/v3/auth/authenticate {"name":"me","password":"hush-hush"} "#;
    assert_eq!(asked[0], login);
}

#[tokio::test]
async fn a_login_that_gets_no_answer_is_tried_at_the_next_machine_though_a_commit_waits() {
    let (silent, other) = (Machine::gives(&[]).await, Machine::gives(&[TOKEN_GIVEN, DONE]).await);
    let etcd = etcd(&[&silent.url, &other.url], Some(("me", "hush-hush")));
    assert_eq!(commit(&etcd).await, Ok(Committed::Done(Revision(7))));
}

#[tokio::test]
async fn neither_password_nor_token_is_shown_though_etcd_quotes_it() {
    let quoting = "etcdserver: permission denied: hush-hush, the-token.1";
    let error = (403, format!(r#"{{"error":"{quoting}","code":7}}"#));
    let token = (200, TOKEN_GIVEN.to_owned());
    let machine = Machine::start(vec![token, error.clone()]).await;
    let etcd = etcd(&[&machine.url], Some(("me", "hush-hush")));
    let shown = commit(&etcd).await.unwrap_err().to_string();
    assert_eq!(shown, "the engine refuses: etcdserver: permission denied: [secret], [secret]");
    let machine = Machine::start(vec![error]).await;
    let etcd = self::etcd(&[&machine.url], Some(("me", "hush-hush")));
    let shown = format!("{:?} {etcd:?}", commit(&etcd).await);
    assert!(!shown.contains("hush"), "{shown}");
}

#[tokio::test]
async fn a_page_that_is_too_large_is_read_in_smaller_ones() {
    let value = "A".repeat(REPLY_MAX);
    let key = |key: &str| format!(r#"{{"key":"{key}","create_revision":"2","mod_revision":"5"}}"#);
    let page = |kvs: &str, more: bool| {
        let found = format!(r#"{{"response_range":{{"kvs":[{kvs}],"more":{more}}}}}"#);
        format!(r#"{{"header":{{"revision":"9"}},"succeeded":true,"responses":[{found}]}}"#)
    };
    let large = page(&format!(r#"{{"key":"YQ==","value":"{value}"}}"#), true);
    let pages = [&large, &page(&key("YS8x"), true), &page(&key("YS8y"), false)];
    let machine = Machine::gives(&pages.map(String::as_str)).await;
    let etcd = etcd(&[&machine.url], None);
    let read = etcd.range(vec![Selection::Prefix("a/".to_owned())]).await.unwrap();
    let keys: Vec<&str> = read.entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!((keys.as_slice(), read.revision), (["a/1", "a/2"].as_slice(), Revision(9)));
    let asked = machine.asked();
    let limits = ["256", "128", "128"].map(|limit| format!(r#""limit":"{limit}""#));
    for (asked, limit) in asked.iter().zip(&limits) {
        assert!(asked.contains(limit), "{asked}");
    }
    assert!(!asked[1].contains("revision") && asked[2].contains(r#""revision":"9""#), "{asked:?}");
    assert!(asked[2].contains(r#""key":"YS8xAA==""#), "from behind a/1 on: {}", asked[2]);
}

#[tokio::test]
async fn all_is_read_anew_when_it_was_compacted_between_two_pages() {
    let kv = r#"{"key":"YS8x","create_revision":"2","mod_revision":"5"}"#;
    let first = format!(
        r#"{{"header":{{"revision":"9"}},"succeeded":true,"responses":[{{"response_range":{{"kvs":[{kv}],"more":true}}}}]}}"#
    );
    let compacted = format!(r#"{{"error":"{COMPACTED}","code":11}}"#);
    let machine =
        Machine::start(vec![(200, first), (400, compacted), (200, EMPTY.to_owned())]).await;
    let etcd = etcd(&[&machine.url], None);
    let read = etcd.range(vec![Selection::Prefix("a/".to_owned())]).await.unwrap();
    assert_eq!(read, Snapshot { entries: Vec::new(), revision: Revision(7) });
}

/// Its connection ends, what it would go on from was compacted, and then the data went back.
#[tokio::test]
async fn a_watch_goes_on_behind_what_it_told_or_begins_anew_and_hints_that_something_may_be_lost() {
    let created = |revision: i64| {
        format!(r#"{{"result":{{"header":{{"revision":"{revision}"}},"created":true}}}}"#)
    };
    let changed = r#"[{"kv":{"key":"YS8x","mod_revision":"11"}}]"#;
    let event = format!(r#"{{"result":{{"header":{{}},"events":{changed}}}}}"#);
    let compacted = r#"{"result":{"header":{},"canceled":true,"compact_revision":"15"}}"#;
    let answers = [
        format!("{}\n{event}\n", created(10)),
        format!("{}\n{compacted}\n", created(20)),
        format!("{}\n", created(20)),
        format!("{}\n", created(5)),
        format!("{}\n", created(5)),
    ];
    let machine = Machine::start(answers.map(|body| (200, body)).to_vec()).await;
    let mut hints = etcd(&[&machine.url], None).watch("a/".to_owned());
    let mut told = Vec::new();
    for _ in 0..4 {
        let hint = hints.recv().await.unwrap();
        told.push((hint.key, hint.revision.0));
    }
    let expected = [("a/", 10), ("a/1", 11), ("a/", 20), ("a/", 5)];
    assert_eq!(told, expected.map(|(key, revision)| (key.to_owned(), revision)));
    let begins = machine.asked().into_iter().take(5).map(|asked| {
        let from = asked.split(r#""start_revision":""#).nth(1)?.split('"').next()?.to_owned();
        Some(from)
    });
    let begins: Vec<Option<String>> = begins.collect();
    let begins: Vec<Option<&str>> = begins.iter().map(Option::as_deref).collect();
    assert_eq!(begins, [None, Some("12"), None, Some("21"), None]);
}
