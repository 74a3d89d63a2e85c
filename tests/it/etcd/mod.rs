//! The engine over a real etcd: the conformance suite, and what befalls an etcd.
//!
//! Where etcd is not installed, these tests say so and pass.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

pub(crate) mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use channelkeeper::clock::SystemClock;
use channelkeeper::engine::conformance::{SUITE, hints_go_on_after};
use channelkeeper::engine::etcd::{Etcd, EtcdSettings};
use channelkeeper::engine::{Change, Committed, Engine, EngineError, Guard, Revision, Selection};
use channelkeeper::model::exchange::Request;
use channelkeeper::model::secret::Secret;
use channelkeeper::zoho::transport::{Http, Transport};
use serde_json::{Value, json};

use self::server::{Certificate, Server, installed};

/// One that waits longer than the daemon does: other tests keep the machine busy.
fn etcd(server: &Server, login: Option<(&str, &str)>, ca_file: Option<&Path>) -> Etcd {
    let login = login.map(|(user, password)| (user.to_owned(), Secret::new(password)));
    let settings = EtcdSettings { endpoints: &server.endpoints(), login, ca_file };
    Etcd::patient(settings, Arc::new(SystemClock::new()), PATIENCE).unwrap()
}

/// One as the daemon has it.
fn usual(server: &Server) -> Etcd {
    let settings = EtcdSettings { endpoints: &server.endpoints(), login: None, ca_file: None };
    Etcd::new(settings, Arc::new(SystemClock::new())).unwrap()
}

async fn conforms(etcd: &Etcd) {
    for (name, check) in SUITE {
        check(etcd, &format!("test/{name}/")).await;
    }
}

fn puts(key: &str, value: &[u8]) -> Vec<Change> {
    vec![Change::Put(key.to_owned(), value.to_vec())]
}

async fn put(etcd: &Etcd, key: &str) -> Result<Committed, EngineError> {
    etcd.commit(Vec::new(), puts(key, b"1")).await
}

/// While machines choose a new leader, nothing is answered for a moment.
async fn put_in_the_end(etcd: &Etcd, key: &str) {
    for _ in 0..TRIES_MAX {
        if put(etcd, key).await.is_ok() {
            return;
        }
    }
    panic!("{key} cannot be put: {:?}", put(etcd, key).await);
}

/// The latest revision, by a read, which is repeated while etcd comes back.
async fn etcd_revision(etcd: &Etcd) -> i64 {
    for _ in 0..TRIES_MAX {
        if let Ok(status) = etcd.status().await {
            return status.revision.0;
        }
    }
    panic!("no status: {:?}", etcd.status().await);
}

/// One of etcd's own requests, past the engine.
async fn admin(server: &Server, token: Option<&str>, path: &str, body: Value) -> Value {
    let http = Http::new(PATIENCE, PATIENCE, None).unwrap();
    let request = Request {
        method: "POST",
        base: server.endpoints()[0].clone(),
        path: path.to_owned(),
        query: Vec::new(),
        headers: token
            .map(|token| ("authorization".to_owned(), token.to_owned()))
            .into_iter()
            .collect(),
        body: body.to_string().into_bytes(),
    };
    let response = http.send(request).await.unwrap();
    let text = String::from_utf8_lossy(&response.body).into_owned();
    assert_eq!(response.status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn one_etcd_conforms() {
    let Some(program) = installed() else { return };
    let server = Server::one(&program, &[]);
    let etcd = etcd(&server, None, None);
    conforms(&etcd).await;
    let version = etcd.status().await.unwrap().version;
    assert!(version.starts_with("etcd 3."), "{version}");
}

#[tokio::test]
async fn three_machines_conform_and_one_that_stands_still_holds_nothing_up() {
    let Some(program) = installed() else { return };
    let server = Server::three(&program);
    conforms(&etcd(&server, None, None)).await;
    let etcd = usual(&server);
    hints_go_on_after(&etcd, "test/stopped/", async {
        server.stop(0);
        // It may have been the leader, and it was the machine that is asked.
        put_in_the_end(&etcd, "test/stopped/other").await;
    })
    .await;
    server.go_on(0);
}

#[tokio::test]
async fn a_killed_machine_of_three_is_passed_by_and_without_two_nothing_is_known() {
    let Some(program) = installed() else { return };
    let mut server = Server::three(&program);
    let etcd = usual(&server);
    put_in_the_end(&etcd, "test/a").await;
    server.kill(0);
    put_in_the_end(&etcd, "test/b").await;
    server.kill(1);
    let guard = vec![Guard::ModifiedAt("test/a".to_owned(), Revision(0))];
    for _ in 0..3 {
        let answer = etcd.commit(guard.clone(), puts("test/c", b"1")).await;
        assert!(matches!(answer, Err(EngineError::Unreachable(_))), "{answer:?}");
    }
    server.start_again(1);
    put_in_the_end(&etcd, "test/d").await;
    let etcd = self::etcd(&server, None, None);
    assert_eq!(etcd.commit(guard, puts("test/c", b"1")).await, Ok(Committed::Refused));
}

#[tokio::test]
async fn hints_go_on_after_etcd_was_started_again_and_compacted() {
    let Some(program) = installed() else { return };
    let mut server = Server::one(&program, &[]);
    let etcd = usual(&server);
    let befalls = async {
        server.kill(0);
        server.start_again(0);
        put_in_the_end(&etcd, "test/while").await;
        let revision = etcd_revision(&etcd).await;
        let body = json!({ "revision": revision.to_string() });
        admin(&server, None, "/v3/kv/compaction", body).await;
    };
    hints_go_on_after(&etcd, "test/", befalls).await;
}

#[tokio::test]
async fn a_user_reaches_its_prefix_and_nothing_else_and_its_password_is_not_shown() {
    let Some(program) = installed() else { return };
    let mut server = Server::one(&program, &["--bcrypt-cost=4"]);
    let ask = async |path: &str, body: Value| admin(&server, None, path, body).await;
    for user in ["root", "me"] {
        ask("/v3/auth/user/add", json!({ "name": user, "password": PASSWORD })).await;
        ask("/v3/auth/role/add", json!({ "name": user })).await;
        ask("/v3/auth/user/grant", json!({ "user": user, "role": user })).await;
    }
    // "test/" to "test0", in base64.
    let prefix = json!({ "permType": "READWRITE", "key": "dGVzdC8=", "range_end": "dGVzdDA=" });
    ask("/v3/auth/role/grant", json!({ "name": "me", "perm": prefix })).await;
    ask("/v3/auth/enable", json!({})).await;

    let mine = etcd(&server, Some(("me", PASSWORD)), None);
    conforms(&mine).await;
    let elsewhere = put(&mine, "elsewhere").await;
    let read = mine.range(vec![Selection::Prefix("else".to_owned())]).await;
    for (login, answer) in [
        ("its own", elsewhere.map(|_| ())),
        ("its own", read.map(|_| ())),
        ("none", put(&etcd(&server, None, None), "test/a").await.map(|_| ())),
        ("wrong", put(&etcd(&server, Some(("me", "hush-not")), None), "test/a").await.map(|_| ())),
    ] {
        let Err(EngineError::Unable(words)) = answer else { panic!("{login}: {answer:?}") };
        assert!(words.starts_with("etcdserver: ") && !words.contains("hush"), "{login}: {words}");
    }

    hints_go_on_after(&mine, "test/forgotten/", async {
        // Tokens are kept in its memory.
        server.kill(0);
        server.start_again(0);
    })
    .await;
    assert!(put(&mine, "test/after").await.is_ok());
}

#[tokio::test]
async fn an_etcd_that_a_private_ca_vouches_for_is_spoken_to_if_it_is_named() {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let Some(program) = installed() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "a CA of this test");
    std::fs::write(path("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    std::fs::write(path("own.pem"), own.pem()).unwrap();
    std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    let certificate = Certificate { certificate: &path("own.pem"), key: &path("key.pem") };
    let server = Server::with_tls(&program, &certificate);

    conforms(&etcd(&server, None, Some(&path("ca.pem")))).await;
    let untrusted = put(&etcd(&server, None, None), "test/a").await;
    let Err(EngineError::Unreachable(words)) = untrusted else { panic!("{untrusted:?}") };
    assert!(words.contains("UnknownIssuer"), "{words}");
}

#[tokio::test]
async fn a_full_etcd_says_so_gives_what_it_has_and_lets_it_be_removed() {
    let Some(program) = installed() else { return };
    let server = Server::one(&program, &["--quota-backend-bytes=4000000"]);
    let etcd = etcd(&server, None, None);
    let value = vec![7; 900_000];
    let mut answer = Ok(Committed::Refused);
    for number in 0..20 {
        answer = etcd.commit(Vec::new(), puts(&format!("test/{number}"), &value)).await;
        if answer.is_err() {
            break;
        }
    }
    let Err(EngineError::Unable(words)) = answer else { panic!("{answer:?}") };
    assert!(words.contains("space exceeded"), "{words}");
    assert_eq!(etcd.status().await.unwrap().alarms, ["NOSPACE"]);
    let all = || etcd.range(vec![Selection::Prefix("test/".to_owned())]);
    let there = all().await.unwrap().entries;
    assert!(!there.is_empty() && there.iter().all(|entry| entry.value == value));
    let gone = there.iter().map(|entry| Change::Delete(entry.key.clone())).collect();
    assert!(matches!(etcd.commit(Vec::new(), gone).await, Ok(Committed::Done(_))));
    assert_eq!(all().await.unwrap().entries, []);
}

const PASSWORD: &str = "hush-hush";
const PATIENCE: Duration = Duration::from_secs(10);
const TRIES_MAX: usize = 20;
