//! The last good desired state, over restarts and crashes.

use tempfile::TempDir;

use super::*;
use crate::model::record::Record;
use crate::model::secret::Fingerprint;
use crate::model::version::WEEK;
use crate::testing::{self, acme, hours, id, record, spec};

fn open(dir: &TempDir) -> Store {
    Store::open(dir.path(), hours(0)).unwrap().store
}

pub(super) const SECRETS: [&str; 3] = ["s3cret-of-client", "s3cret-refresh", "s3cret-channel"];

pub(super) fn secret(origin: &Origin) -> Result<Secret, String> {
    let value = match origin {
        Origin::Env(_) => SECRETS[0],
        Origin::File(_) => SECRETS[1],
        Origin::Credential(_) | Origin::Command(_) => SECRETS[2],
        Origin::Plain => return Err("asked for a plain string".to_owned()),
    };
    Ok(Secret::from_origin(value, origin.clone()))
}

pub(super) fn desired() -> Desired {
    let account = Account {
        name: acme(),
        product: Product::Bigin,
        version: ApiVersion::V2_1,
        api_url: "https://www.zohoapis.eu".to_owned(),
        accounts_url: "https://accounts.zoho.eu".to_owned(),
        credentials: Credentials {
            client_id: "1000.ABC".to_owned(),
            client_secret: secret(&Origin::Env("CLIENT".into())).unwrap(),
            refresh_token: secret(&Origin::File("/run/refresh".into())).unwrap(),
        },
        policy: Policy {
            mode: Mode::NoDisable,
            removed: Removed::Expire,
            batch_max: 33,
            lifetime_max: WEEK,
            credits_per_day: Some(52_500),
        },
    };
    let condition = |matching| {
        let nested = Selection::of_fields(Match::All, ["C".into(), "D".into()]);
        let fields = ["A", "B"].map(|name| Selection::Field(name.into()));
        let selection = Selection::group(matching, fields.into_iter().chain(nested)).unwrap();
        Condition { module: "Deals".into(), selection }
    };
    let spec = |number| Spec {
        notify_url: NotifyUrl::new("https://hooks.example.com/zoho?a=b"),
        token: Some(secret(&Origin::Credential("channel".into())).unwrap()),
        rotation: (number % 2 == 0)
            .then(|| Rotation::new(secret(&Origin::File("/run/key".into())).unwrap(), WEEK)),
        renew_before: Some(Duration::from_secs(7)),
        notify_on_related_action: false,
        return_affected_field_values: true,
        conditions: vec![condition(Match::Any), condition(Match::All)],
        mode: Mode::Observe,
        ..testing::spec(number)
    };
    let specs = (1..=450).map(|number| (id(number), Arc::new(spec(number)))).collect();
    let alerts = Alerts {
        webhook: Some(secret(&Origin::Command(vec!["vault".into(), "get".into()])).unwrap()),
        grace: Duration::from_secs(1),
        ..Alerts::default()
    };
    let http = Http {
        public: true,
        hosts: vec!["status.example.com".to_owned()],
        token: Some(secret(&Origin::File("http".into())).unwrap()),
    };
    let hooks = crate::model::hooks::Hooks {
        on: crate::model::hooks::HookEvent::ALL.into(),
        run: vec!["/usr/local/bin/told".to_owned(), "-v".to_owned()],
        url: Some(secret(&Origin::File("hook".into())).unwrap()),
        ..Default::default()
    };
    let cluster = ClusterSettings {
        name: "prod".to_owned(),
        engine: vec!["https://etcd.example.com:2379".to_owned()],
        login: Some(Login {
            user: "channelkeeper".to_owned(),
            password: secret(&Origin::File("etcd".into())).unwrap(),
        }),
        node: Some("host-1".to_owned()),
        serial: Some(42),
        without_engine: WithoutEngine::Stop,
    };
    let settings = Settings {
        cluster: Some(cluster),
        hooks,
        ca_file: Some("/etc/ca.pem".into()),
        listen: None,
        http,
        alerts,
        ..Settings::default()
    };
    Desired {
        settings,
        accounts: [(account.name.clone(), AccountDesired::new(account, specs))].into(),
    }
}

fn restored(store: &Store) -> Restored {
    store.restore_desired(&secret).unwrap().unwrap()
}

#[tokio::test]
async fn a_desired_state_comes_back_with_its_secrets() {
    let dir = TempDir::new().unwrap();
    assert!(open(&dir).restore_desired(&secret).unwrap().is_none());
    assert!(open(&dir).keep_desired(&desired()).await.unwrap());
    let Restored { desired: back, unusable, unalerted, unopened, unjoined } = restored(&open(&dir));
    assert_eq!((back, unusable.len(), unalerted.len()), (desired(), 0, 0));
    assert_eq!((unopened, unjoined), (None, None));
}

#[tokio::test]
async fn an_unchanged_state_is_not_written_and_a_changed_secret_is_a_change() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    assert!(store.keep_desired(&desired()).await.unwrap());
    assert!(!store.keep_desired(&desired()).await.unwrap());
    let mut changed = desired();
    let account = changed.accounts.values_mut().next().unwrap();
    account.account.credentials.client_secret =
        Secret::from_origin("another", Origin::Env("CLIENT".into()));
    assert!(store.keep_desired(&changed).await.unwrap());
    assert!(!store.keep_desired(&changed).await.unwrap());
    let generations: std::collections::BTreeSet<Vec<u8>> =
        store.desired.keys("").unwrap().iter().map(|key| key[..20].to_vec()).collect();
    assert_eq!(generations.len(), 1);
}

#[tokio::test]
async fn what_is_declared_ends_what_was_asked_for_and_is_over() {
    let store = Store::temporary().unwrap();
    let acme = acme();
    let recorded = |number| (id(number), Some(record(&spec(number))));
    store.write_records(&acme, &[450, 451].map(recorded).into()).await.unwrap();
    let mut smaller = desired();
    smaller.accounts.values_mut().next().unwrap().specs.remove(&id(450));
    store.keep_desired(&smaller).await.unwrap();
    store.allow_removals(&acme, [1, 450, 451].map(id).into()).await.unwrap();
    assert_eq!(store.wishes(&acme).unwrap().removals, [450, 451].map(id).into());
    store.adopt(&acme, id(1), Fingerprint(7)).await.unwrap();
    store.adopt(&acme, id(450), Fingerprint(7)).await.unwrap();
    assert_eq!(store.wishes(&acme).unwrap().adoptions, [(id(1), Fingerprint(7))].into());

    store.keep_desired(&desired()).await.unwrap();
    assert_eq!(store.wishes(&acme).unwrap().removals, [id(451)].into(), "450 is declared again");
    smaller.accounts.values_mut().next().unwrap().specs.remove(&id(1));
    store.keep_desired(&smaller).await.unwrap();
    assert!(store.wishes(&acme).unwrap().adoptions.is_empty());
}

/// "a/" comes after "a-b/", although "a" comes before "a-b".
#[tokio::test]
async fn accounts_whose_names_begin_alike_are_written_in_the_order_of_their_keys() {
    let store = Store::temporary().unwrap();
    let mut alike = desired();
    let AccountDesired { account, specs, .. } = alike.accounts.pop_first().unwrap().1;
    for name in ["a", "a-b", "a_b", "ab"].map(|name| name.parse::<AccountName>().unwrap()) {
        let account = Account { name: name.clone(), ..account.clone() };
        alike.accounts.insert(name, AccountDesired::new(account, specs.clone()));
    }
    let keys: Vec<String> = entries_of(&alike).map(|(key, _)| key).collect();
    assert!(keys.is_sorted());
    assert!(store.keep_desired(&alike).await.unwrap());
    assert!(!store.keep_desired(&alike).await.unwrap(), "it is what is there");
    assert_eq!(restored(&store).desired, alike);
}

#[tokio::test]
async fn a_crash_before_the_pointer_leaves_the_old_state_whole_and_leftovers_go() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.keep_desired(&desired()).await.unwrap();
    let (whole, prefix) = (desired(), keys::generation(2));
    let half =
        entries_of(&whole).take(3).map(|(key, entry)| (format!("{prefix}{key}"), Some(entry)));
    store.desired.write(half).unwrap();
    drop(store);
    let store = open(&dir);
    assert_eq!(restored(&store).desired, desired());
    let mut smaller = desired();
    smaller.accounts.values_mut().next().unwrap().specs.clear();
    assert!(store.keep_desired(&smaller).await.unwrap());
    assert_eq!(restored(&store).desired, smaller);
    assert_eq!(store.desired.keys("").unwrap().len(), 2);
}

/// A channel that got lost would look like one that was taken out of the config, and be disabled.
#[tokio::test]
async fn a_desired_state_that_is_not_what_was_written_is_not_restored_and_a_good_config_mends_it() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.keep_desired(&desired()).await.unwrap();
    let lost = store
        .desired
        .keys("")
        .unwrap()
        .into_iter()
        .find(|key| String::from_utf8_lossy(key).contains("/channel/"));
    store.desired.remove(lost.into_iter().collect()).unwrap();
    let error = store.restore_desired(&secret).unwrap_err().to_string();
    assert!(
        error.contains("desired/0000") && error.contains("with a config that can be used"),
        "{error}"
    );
    assert!(store.keep_desired(&desired()).await.unwrap());
    assert_eq!(restored(&store).desired, desired());
}

/// A desired state that another version wrote is whole, although this version knows other keys.
#[tokio::test]
async fn a_desired_state_with_keys_of_another_version_is_restored() {
    let store = Store::temporary().unwrap();
    store.keep_desired(&desired()).await.unwrap();
    let entries: Vec<(Vec<u8>, serde_json::Value)> = store.desired.scan("").unwrap();
    let entries: Vec<(String, serde_json::Value)> = entries
        .into_iter()
        .map(|(key, mut entry)| {
            let said = entry.as_object_mut().unwrap().values_mut().next().unwrap();
            said.as_object_mut().unwrap().insert("zebra".to_owned(), serde_json::json!(7));
            (String::from_utf8(key).unwrap(), entry)
        })
        .collect();
    let mut over = Over::default();
    entries.iter().for_each(|(key, entry)| over.add(key.as_bytes(), entry.to_string().as_bytes()));
    store.desired.write(entries.into_iter().map(|(key, entry)| (key, Some(entry)))).unwrap();
    store
        .meta
        .write([(CURRENT.to_owned(), Some(Current { generation: 1, over: over.finish() }))])
        .unwrap();
    assert_eq!(restored(&store).desired, desired());
}

#[tokio::test]
async fn a_plain_secret_makes_its_account_unusable_and_says_so() {
    let store = Store::temporary().unwrap();
    let mut plain = desired();
    let account = plain.accounts.values_mut().next().unwrap();
    account.account.credentials.client_secret = Secret::new(SECRETS[0]);
    store.keep_desired(&plain).await.unwrap();
    let Restored { desired: back, unusable, .. } = restored(&store);
    assert!(back.accounts.is_empty());
    let why = &unusable[&acme()];
    assert_eq!(
        why,
        "client_secret was a plain string in the config, which is never stored: mend the config, or give the secret by \
         reference ({ file = .. }, { env = .. }, { credential = .. }, { command = .. })"
    );
}

#[tokio::test]
async fn a_secret_that_cannot_be_fetched_is_named() {
    let store = Store::temporary().unwrap();
    store.keep_desired(&desired()).await.unwrap();
    let no_credential = |origin: &Origin| match origin {
        Origin::Credential(name) => Err(format!("no credential {name}")),
        Origin::Env(_) | Origin::File(_) | Origin::Command(_) | Origin::Plain => secret(origin),
    };
    let Restored { desired: back, unusable, .. } =
        store.restore_desired(&no_credential).unwrap().unwrap();
    assert!(back.accounts.is_empty());
    assert_eq!(unusable[&acme()], "the token of channel c1: no credential channel");
}

#[tokio::test]
async fn no_secret_is_in_any_file() {
    let dir = TempDir::new().unwrap();
    let mut mixed = desired();
    let account = mixed.accounts.values_mut().next().unwrap();
    account.account.credentials.refresh_token = Secret::new(SECRETS[1]);
    let store = open(&dir);
    store.keep_desired(&mixed).await.unwrap();
    drop(store);
    let mut bytes = Vec::new();
    let mut folders = vec![dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                bytes.extend(std::fs::read(path).unwrap());
            }
        }
    }
    // Leaves are deflated in the files.
    let store = open(&dir);
    for tree in store.trees() {
        let entries: Vec<(Vec<u8>, serde_json::Value)> = tree.scan("").unwrap();
        bytes.extend(entries.into_iter().flat_map(|(_, value)| value.to_string().into_bytes()));
    }
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("https://accounts.zoho.eu"));
    for secret in SECRETS {
        assert!(!holds(secret), "{secret}");
    }
}

/// Otherwise a person who makes its file unreadable would open them.
#[tokio::test]
async fn without_the_token_of_the_health_endpoints_they_are_to_stay_closed() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    store.keep_desired(&desired()).await.unwrap();
    let no_file = |origin: &Origin| match origin {
        Origin::File(_) => Err("gone".to_owned()),
        Origin::Env(_) | Origin::Credential(_) | Origin::Command(_) | Origin::Plain => {
            secret(origin)
        }
    };
    let back = store.restore_desired(&no_file).unwrap().unwrap();
    assert_eq!(back.unopened.as_deref(), Some("the token of [http]: gone"));
    // Nor does a daemon become one that is alone.
    assert_eq!(back.unjoined.as_deref(), Some("the password of [cluster]: gone"));
    let cluster = back.desired.settings.cluster.unwrap();
    assert_eq!(cluster.login.unwrap().password.expose(), "");
}

#[tokio::test]
async fn a_channel_that_is_declared_no_longer_is_known_while_it_is_ours() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let earlier = desired();
    store.keep_desired(&earlier).await.unwrap();
    let mut later = earlier;
    let account = later.accounts.values_mut().next().unwrap();
    let name = account.account.name.clone();
    let (id, spec) = account.specs.pop_first().unwrap();

    // Nobody's: its removal is nothing to wait for.
    let mut read = later.clone();
    store.remember_former(&mut read, &secret).unwrap();
    assert_eq!(read, later);

    let record = |spec: &Spec| {
        let url = spec.notify_url.fingerprint();
        (spec.id, Some(Record::new(spec.id, spec.name.clone(), url)))
    };
    let mut others = later.accounts[&name].specs.values();
    let declared = others.next().expect("another one stays declared");
    store.set_channels(&name, &[], &[record(&spec), record(declared)].into()).unwrap();
    // Over any number of configs without it, as long as it is ours.
    for _ in 0..3 {
        let mut read = later.clone();
        store.remember_former(&mut read, &secret).unwrap();
        assert_eq!(read.accounts[&name].former.keys().collect::<Vec<_>>(), [&id]);
        assert_eq!(read.accounts[&name].former[&id].notify_url, spec.notify_url);
        store.keep_desired(&read).await.unwrap();
        let restored = store.restore_desired(&secret).unwrap().unwrap().desired;
        assert_eq!(restored.accounts[&name].former, read.accounts[&name].former);
    }
    let unfetched = |_: &Origin| Err("there is no such file".to_owned());
    let mut read = later.clone();
    store.remember_former(&mut read, &unfetched).unwrap();
    assert_eq!(read.accounts[&name].former.is_empty(), spec.token.is_some());

    store.set_channels(&name, &[], &[(id, None)].into()).unwrap();
    let mut read = later.clone();
    store.remember_former(&mut read, &secret).unwrap();
    store.keep_desired(&read).await.unwrap();
    assert_eq!(
        store.restore_desired(&secret).unwrap().unwrap().desired.accounts[&name].former,
        [].into()
    );
}
