//! A desired state on its way from one machine to another.

use super::super::tests::{SECRETS, desired, secret};
use super::*;
use crate::model::desired::AccountDesired;
use crate::testing::acme;

#[test]
fn another_machine_has_it_as_it_was_but_for_what_is_its_own() {
    let desired = desired();
    let published = Published::of(&desired);
    let own = Desired {
        settings: Settings { status_file: Some("/run/own".into()), ..Settings::default() },
        ..Desired::default()
    };
    let restored = published.restore(&own, &secret).unwrap();
    assert_eq!(restored.desired.accounts, desired.accounts);
    let Settings { listen, http, ca_file, status_file, cluster, .. } = own.settings;
    let wanted = Settings { listen, http, ca_file, status_file, cluster, ..desired.settings };
    assert_eq!(restored.desired.settings, wanted);
    assert!(restored.unusable.is_empty(), "{:?}", restored.unusable);
}

#[test]
fn it_holds_no_secret() {
    let published = Published::of(&desired());
    for declaration in published.declarations() {
        let text = declaration.text().unwrap();
        assert!(SECRETS.iter().all(|secret| !text.contains(secret)), "{text}");
    }
}

#[test]
fn its_name_is_of_what_is_declared_and_not_of_secrets_or_of_the_machine() {
    let name_of = |change: fn(&mut Desired)| {
        let mut desired = desired();
        change(&mut desired);
        Published::of(&desired).hash()
    };
    let name = name_of(|_| {});
    let rotated = name_of(|desired| {
        let account = &mut desired.accounts.get_mut(&acme()).unwrap().account;
        let origin = account.credentials.client_secret.origin().clone();
        account.credentials.client_secret = Secret::from_origin("another", origin);
    });
    assert_eq!(rotated, name, "a secret that was changed where it comes from");
    assert_eq!(name_of(|desired| desired.settings.listen = None), name);
    assert_eq!(name_of(|desired| desired.settings.cluster = None), name);
    assert_ne!(name_of(|desired| desired.settings.audit = "0 0 * * * *".to_owned()), name);
    assert_ne!(name_of(|desired| desired.accounts.clear()), name);
    let without_one = name_of(|desired| {
        let AccountDesired { specs, .. } = desired.accounts.get_mut(&acme()).unwrap();
        specs.pop_first();
    });
    assert_ne!(without_one, name);
}

#[test]
fn a_secret_that_stands_in_the_config_is_found_in_the_other_machine_s_own() {
    let of = |value: &str| {
        let mut desired = desired();
        let account = &mut desired.accounts.get_mut(&acme()).unwrap().account;
        account.credentials.refresh_token = Secret::new(value);
        desired
    };
    struct Known(BTreeMap<Fingerprint, Secret>);
    impl super::super::Fetching for Known {
        fn fetch(&self, origin: &Origin) -> Result<Secret, String> {
            secret(origin)
        }
        fn known(&self, fingerprint: Fingerprint) -> Option<Secret> {
            self.0.get(&fingerprint).cloned()
        }
    }
    let published = Published::of(&of("in the file"));
    let with = |own: &Desired| published.restore(own, &Known(plain_secrets(own))).unwrap();
    let same = with(&of("in the file"));
    assert_eq!(
        same.desired.accounts[&acme()].account.credentials.refresh_token.expose(),
        "in the file"
    );
    let other = with(&of("of another file"));
    assert!(other.desired.accounts.is_empty());
    assert!(other.unusable[&acme()].contains("refresh_token"), "{:?}", other.unusable);
}

#[test]
fn a_part_that_is_not_what_was_published_is_not_used() {
    let Published { settings, .. } = Published::of(&desired());
    let Declaration { hash, bytes } = settings;
    assert!(Declaration::read(&hash, bytes.clone()).is_ok());
    let cut = bytes[..bytes.len() / 2].to_vec();
    assert_eq!(Declaration::read(&hash, cut), Err(DeclarationError::Damaged));
    let other = Declaration::of(std::iter::empty());
    assert_eq!(Declaration::read(&hash, other.bytes), Err(DeclarationError::Damaged));
    let text = Declaration { hash: name_of("{}\n"), bytes: deflated("{\"Later\":1}\n") };
    assert!(matches!(text.entries(), Err(DeclarationError::Unknown)));
}

fn deflated(text: &str) -> Vec<u8> {
    let mut deflated = ZlibEncoder::new(Vec::new(), Compression::default());
    deflated.write_all(text.as_bytes()).unwrap();
    deflated.finish().unwrap()
}
