//! Sealed values: the access token of an account, which others may read where it lies.
//!
//! An engine is read by its operators, its backups and every machine of the cluster. Whoever has
//! the account's client secret and refresh token can make access tokens anyhow, so these two are
//! the key: HKDF with SHA-256 over both makes one, and ChaCha20-Poly1305 seals with it. The account
//! is bound to it, so that a sealed value is good for no other.
//!
//! Other credentials mean another key. What the former ones sealed cannot be read any more, and is
//! of no use either: a token belongs to its credentials.

use std::fmt;
use std::sync::Arc;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};

use crate::model::account::Credentials;
use crate::model::channel::AccountName;

/// Seals and opens what is secret of one account. Cheap to clone; it shows nothing of its key.
#[derive(Clone)]
pub struct Sealer(Option<Arc<LessSafeKey>>);

impl Sealer {
    /// By an account's credentials.
    pub fn of(credentials: &Credentials) -> Sealer {
        let Credentials { client_id: _, client_secret, refresh_token } = credentials;
        let (client, refresh) = (client_secret.expose(), refresh_token.expose());
        // The length keeps two pairs apart that read the same one after the other.
        let length = (client.len() as u64).to_be_bytes();
        let secret = [&length, client.as_bytes(), refresh.as_bytes()].concat();
        let pseudo_random = Salt::new(HKDF_SHA256, SALT).extract(&secret);
        let key = pseudo_random.expand(&[b"token"], &CHACHA20_POLY1305).map(UnboundKey::from);
        Sealer(key.ok().map(|key| Arc::new(LessSafeKey::new(key))))
    }

    /// Seals nothing and opens nothing: for whoever lacks an account's credentials.
    pub fn without_credentials() -> Sealer {
        Sealer(None)
    }

    /// True when it has credentials.
    pub(super) fn is_able(&self) -> bool {
        self.0.is_some()
    }

    /// Seals; `None` when the system gives no random numbers.
    pub(super) fn seal(&self, account: &AccountName, text: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = text.to_vec();
        let key = self.0.as_ref()?;
        let bound = Aad::from(account.as_str().as_bytes());
        let nonce_once = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce_once, bound, &mut sealed).ok()?;
        Some([&[FORM], nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed for this account by these credentials.
    pub(super) fn open(&self, account: &AccountName, sealed: &[u8]) -> Option<Vec<u8>> {
        let (form, rest) = sealed.split_first()?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).filter(|_| *form == FORM)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let bound = Aad::from(account.as_str().as_bytes());
        let mut text = text.to_vec();
        let opened: Result<&mut [u8], Unspecified> =
            self.0.as_ref()?.open_in_place(nonce, bound, &mut text);
        opened.ok().map(|opened| opened.to_vec())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

const SALT: &[u8] = b"channelkeeper: what is sealed in an engine";
/// How it is sealed: the first byte.
const FORM: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Secret;
    use crate::testing::acme;

    fn credentials(client: &str, refresh: &str) -> Credentials {
        Credentials {
            client_id: "id".to_owned(),
            client_secret: Secret::new(client),
            refresh_token: Secret::new(refresh),
        }
    }

    #[test]
    fn what_is_sealed_is_opened_by_the_same_credentials_for_the_same_account_alone() {
        let sealer = Sealer::of(&credentials("one", "two"));
        let sealed = sealer.seal(&acme(), b"1000.token").unwrap();
        let again = Sealer::of(&credentials("one", "two"));
        assert_eq!(again.open(&acme(), &sealed).unwrap(), b"1000.token");
        assert_eq!(sealer.open(&"acme2".parse().unwrap(), &sealed), None);
        for (client, refresh) in [("onet", "wo"), ("one", "Two"), ("", "onetwo")] {
            let other = Sealer::of(&credentials(client, refresh));
            assert_eq!(other.open(&acme(), &sealed), None, "{client} {refresh}");
        }
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(sealer.open(&acme(), &damaged), None, "{at}");
            assert_eq!(sealer.open(&acme(), &sealed[..at]), None, "{at}");
        }
    }

    #[test]
    fn nothing_of_it_shows_and_no_two_seals_are_alike() {
        let sealer = Sealer::of(&credentials("client-secret", "refresh-token"));
        assert_eq!(format!("{sealer:?}"), "Sealer");
        let [one, other] = [(); 2].map(|()| sealer.seal(&acme(), b"1000.token").unwrap());
        assert_ne!(one, other);
        assert!(!one.windows(5).any(|window| window == b"1000."));
    }
}
