//! Who is asking: passwords against a password file, client certificates as the handshake verified them.
//!
//! Knows header values as bytes and no HTTP types; what follows from an identity is `acl`'s, and what a refusal looks
//! like to a client is `error`'s. Basic authentication is RFC 7617.

mod basic;
mod delay;
mod fault;
mod groups;
pub(crate) mod htpasswd;
#[cfg(any(test, fuzzing))]
pub(crate) mod property;
mod queue;
mod remember;
mod token;

use std::fmt;
use std::hash::RandomState;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use crate::config;
use crate::identity::Identity;
use crate::metrics::{Check, Logins};
use crate::peer::{Address, Peer};
use crate::turns::Source;

use basic::Credentials;
use delay::Delays;
use htpasswd::{Candidate, Hash, Passwords};
use queue::Queue;
use remember::{Digest, Memory};

pub(crate) use basic::bearer;
pub(crate) use delay::FailedLogins;
pub(crate) use fault::{Error, Malformed, Refusal, Warning};
pub(crate) use groups::Groups;
pub(crate) use token::Tokens;

/// Proves who is asking.
pub(crate) struct Authenticator {
    file: Option<PathBuf>,
    passwords: ArcSwap<Passwords>,
    /// Decides whose hash stands in for an unknown user; the same over reloads.
    keyed: RandomState,
    memory: Memory,
    queue: Queue,
    delays: Delays,
    checks: usize,
    logins: Logins,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// The user name that a request claims to have, proven or not: for the log, and for nothing else.
pub(crate) fn claimed_name(authorization: &[&[u8]]) -> Option<String> {
    basic::claimed(authorization)
}

impl Authenticator {
    /// Reads the password file where one is configured; without one, every password is wrong.
    ///
    /// # Errors
    /// The file cannot be read, which is a fault of the configuration. Lines that cannot be used are warnings.
    pub(crate) fn load(
        auth: &config::Auth,
        limits: &config::Limits,
        logins: Logins,
    ) -> Result<(Self, Vec<Warning>), Error> {
        let keyed = RandomState::new();
        let (passwords, warnings) = match &auth.htpasswd {
            Some(path) => Passwords::read(path, &keyed)?,
            None => (Passwords::none(), Vec::new()),
        };
        let authenticator = Self {
            file: auth.htpasswd.clone(),
            passwords: ArcSwap::from_pointee(passwords),
            keyed,
            memory: Memory::new()?,
            queue: Queue::new(limits.password_checks),
            delays: Delays::new(),
            checks: limits.password_checks,
            logins,
        };
        Ok((authenticator, warnings))
    }

    /// Reads the file again, and forgets all verdicts when it is good. Reads from disk: not for an async thread.
    ///
    /// # Errors
    /// The file cannot be read, or holds lines of which not one can be used; the last good state stays in force. An
    /// empty file is taken at its word: nobody can log in.
    pub(crate) fn reload(&self) -> Result<Vec<Warning>, Error> {
        let Some(path) = &self.file else {
            return Ok(Vec::new());
        };
        let (passwords, warnings) = Passwords::read(path, &self.keyed)?;
        if passwords.is_garbage() {
            let path = path.clone();
            return Err(Error::Garbage { path, warnings });
        }
        self.passwords.store(Arc::new(passwords));
        self.memory.forget();
        Ok(warnings)
    }

    /// Whether it would come out the same from these settings, so that it can be kept with all that it remembers.
    pub(crate) fn is_made_of(&self, auth: &config::Auth, limits: &config::Limits) -> bool {
        self.file == auth.htpasswd && self.checks == limits.password_checks
    }

    /// The files to watch.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.file
            .as_deref()
            .map(Path::to_path_buf)
            .into_iter()
            .collect()
    }

    /// Who sends this request: `authorization` is the values of all its `Authorization` headers.
    ///
    /// Without any, and with the empty name and password of `Basic Og==`, it is whoever the client certificate names,
    /// or nobody in particular.
    ///
    /// # Errors
    /// The credentials are malformed or wrong, or there is no room to check them. An unknown user costs what a known
    /// one with a wrong password does.
    pub(crate) async fn authenticate(
        &self,
        authorization: &[&[u8]],
        peer: &Peer,
    ) -> Result<Identity, Refusal> {
        let user = match basic::parse(authorization)? {
            // Clients send a login that they once stored to a gate that asks for certificates alone (nginx without
            // `auth_basic` does not look at it either).
            _ if self.file.is_none() => None,
            None => None,
            Some(credentials) => Some(self.verify(&credentials, peer.address).await?),
        };
        let certificate = peer.certificate.clone();
        Ok(Identity {
            user,
            certificate,
            ..Identity::default()
        })
    }

    /// Who logs in with this name and password over this connection, as a form says them. Both empty is nobody in
    /// particular.
    ///
    /// # Errors
    /// As for [`Self::authenticate`].
    pub(crate) async fn log_in(
        &self,
        user: &str,
        password: &str,
        peer: &Peer,
    ) -> Result<Identity, Refusal> {
        let user = match basic::of(user, password)? {
            None => None,
            Some(credentials) => Some(self.verify(&credentials, peer.address).await?),
        };
        Ok(Identity {
            user,
            certificate: peer.certificate.clone(),
            ..Identity::default()
        })
    }

    async fn verify(
        &self,
        credentials: &Credentials,
        address: Address,
    ) -> Result<Arc<str>, Refusal> {
        let check = self.judge(credentials, address).await;
        let check = check.inspect_err(|refusal| {
            self.logins.checked(match refusal {
                Refusal::Busy { .. } => Check::Refused,
                _ => Check::Failed,
            });
        })?;
        self.logins.checked(check);
        match check {
            Check::Right | Check::RememberedRight => name_of(credentials.user()),
            _ => {
                self.logins.failed();
                Err(Refusal::Wrong)
            }
        }
    }

    async fn judge(&self, credentials: &Credentials, address: Address) -> Result<Check, Refusal> {
        let passwords = self.passwords.load_full();
        let (user, password) = (credentials.user(), credentials.password());
        let Some(candidate) = passwords.find(user) else {
            return Ok(Check::Wrong);
        };
        let attempt = self.memory.digest(user, password, candidate);
        let source = Source::from(address);
        match self.memory.known(&attempt).await {
            Some(true) => Ok(Check::RememberedRight),
            Some(false) => {
                Box::pin(self.delays.repeated(user, source)).await;
                Ok(Check::RememberedWrong)
            }
            // In a box, so that those who are remembered carry no room for it.
            None => Box::pin(self.compute(credentials, candidate, attempt, source)).await,
        }
    }

    /// The verdict on an attempt that is not remembered.
    async fn compute(
        &self,
        credentials: &Credentials,
        candidate: Candidate<'_>,
        attempt: Digest,
        source: Source,
    ) -> Result<Check, Refusal> {
        let (user, password) = (credentials.user(), credentials.password());
        let login = self.delays.begin(user, source).await?;
        // An equal attempt at the same time waits for the first one's verdict.
        let computed = AtomicBool::new(false);
        let check = async {
            computed.store(true, Ordering::Relaxed);
            let _checking = login.turn().await?;
            let place = self.queue.enter(source).await?;
            let hash = Zeroizing::new(candidate.hash.to_vec());
            let password = Zeroizing::new(password.to_vec());
            let work = move || {
                let right = Hash::parse(&hash).is_ok_and(|hash| hash.matches(&password));
                // Held by the work and not by the request: a client that goes away frees no core.
                drop(place);
                right
            };
            let right = tokio::task::spawn_blocking(work).await;
            let right = right.map_err(|_| Refusal::Failed)? && candidate.known;
            if right {
                login.right().await;
            } else {
                login.wrong().await;
            }
            Ok(right)
        };
        let right = self.memory.verdict(attempt, check).await?;
        Ok(match (right, computed.into_inner()) {
            (true, true) => Check::Right,
            (true, false) => Check::RememberedRight,
            (false, true) => Check::Wrong,
            (false, false) => Check::RememberedWrong,
        })
    }

    /// Whether the right password lets somebody in under this name.
    pub(crate) fn knows(&self, user: &str) -> bool {
        let passwords = self.passwords.load();
        passwords
            .find(user.as_bytes())
            .is_some_and(|found| found.known)
    }

    /// Failed logins to tell the operator of, each burst at its first attempt and at each tenfold.
    pub(crate) fn failed_logins(&self) -> Vec<FailedLogins> {
        self.delays.news()
    }

    /// Wrong passwords since the start.
    pub(crate) fn failed_login_count(&self) -> u64 {
        self.delays.total()
    }
}

/// Names of the file are UTF-8.
fn name_of(user: &[u8]) -> Result<Arc<str>, Refusal> {
    std::str::from_utf8(user)
        .map(Arc::from)
        .map_err(|_| Refusal::Wrong)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use base64::Engine;
    use tempfile::TempDir;
    use tokio::time::timeout;

    use crate::identity::ClientCertificate;
    use crate::peer::Scheme;

    use super::*;

    const ANN: &str = "ann:{PLAIN}secret\n";
    const BOB: &str = "bob:{PLAIN}builder\n";

    struct Desk {
        folder: TempDir,
        authenticator: Authenticator,
    }

    impl Desk {
        fn new(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("htpasswd"), text).unwrap();
            let (authenticator, _) = load(Some(folder.path().join("htpasswd"))).unwrap();
            Self {
                folder,
                authenticator,
            }
        }

        fn rewrite(&self, text: impl AsRef<[u8]>) -> Result<Vec<Warning>, Error> {
            fs::write(self.folder.path().join("htpasswd"), text).unwrap();
            self.authenticator.reload()
        }

        async fn ask(&self, user: &str, password: &str) -> Result<Identity, Refusal> {
            ask(&self.authenticator, user, password, &peer(1)).await
        }

        async fn lets_in(&self, user: &str, password: &str) -> bool {
            match self.ask(user, password).await {
                Ok(identity) => identity.user.as_deref() == Some(user),
                Err(refusal) => {
                    assert_eq!(refusal, Refusal::Wrong);
                    false
                }
            }
        }
    }

    fn load(htpasswd: Option<PathBuf>) -> Result<(Authenticator, Vec<Warning>), Error> {
        let auth = config::Auth {
            realm: "Registry".into(),
            htpasswd,
            anonymous: config::Anonymous::None,
            satisfy: config::Satisfy::Any,
            groups: None,
            challenge: config::Challenge::Auto,
        };
        let limits = config::Limits {
            connections: 10,
            header_size: 1000,
            manifest_size: 1000,
            body_size: None,
            password_checks: 1,
        };
        Authenticator::load(&auth, &limits, Logins::default())
    }

    fn peer(last: u8) -> Peer {
        Peer {
            address: Address::Ip((Ipv4Addr::new(192, 0, 2, last), 4000).into()),
            scheme: Scheme::Https,
            sni: None,
            tls_version: None,
            certificate: None,
            certificate_required: false,
            challenges_only: false,
        }
    }

    async fn ask(
        authenticator: &Authenticator,
        user: &str,
        password: &str,
        peer: &Peer,
    ) -> Result<Identity, Refusal> {
        let credentials = htpasswd::BASE64.encode(format!("{user}:{password}"));
        let header = format!("Basic {credentials}");
        authenticator.authenticate(&[header.as_bytes()], peer).await
    }

    #[tokio::test]
    async fn a1_a_right_password_names_the_user_and_all_others_are_refused_alike() {
        let desk = Desk::new(&[ANN, BOB].concat());
        assert!(desk.lets_in("ann", "secret").await);
        assert!(desk.lets_in("bob", "builder").await);
        for (user, password) in [
            ("ann", "builder"),
            ("ann", ""),
            ("Ann", "secret"),
            ("nobody", "secret"),
            ("", "secret"),
        ] {
            let refused = desk.ask(user, password).await;
            assert_eq!(refused, Err(Refusal::Wrong), "{user}");
        }
    }

    #[tokio::test]
    async fn nobody_may_enter_with_the_password_of_the_user_he_is_measured_by() {
        let desk = Desk::new(ANN);
        assert!(desk.lets_in("ann", "secret").await);
        assert!(!desk.lets_in("nobody", "secret").await);
        assert!(!desk.lets_in("nobody", "secret").await);
    }

    #[tokio::test]
    async fn a_certificate_is_kept_beside_a_password_and_without_one() {
        let desk = Desk::new(ANN);
        let certificate = Some(Arc::new(ClientCertificate::default()));
        let peer = Peer {
            certificate: certificate.clone(),
            ..peer(1)
        };
        let both = ask(&desk.authenticator, "ann", "secret", &peer)
            .await
            .unwrap();
        assert_eq!(both.user.as_deref(), Some("ann"));
        assert_eq!(both.certificate, certificate);
        for headers in [&[][..], &[&b"Basic Og=="[..]]] {
            let alone = desk.authenticator.authenticate(headers, &peer).await;
            let certificate = certificate.clone();
            let expected = Identity {
                certificate,
                ..Identity::default()
            };
            assert_eq!(alone, Ok(expected));
        }
        let wrong = ask(&desk.authenticator, "ann", "wrong", &peer).await;
        assert_eq!(wrong, Err(Refusal::Wrong));
    }

    #[tokio::test]
    async fn without_a_password_file_no_password_is_looked_at() {
        let (authenticator, warnings) = load(None).unwrap();
        assert_eq!(warnings, []);
        assert!(authenticator.files().is_empty());
        let anonymous = authenticator.authenticate(&[], &peer(1)).await;
        assert!(anonymous.unwrap().is_anonymous());
        let stored = ask(&authenticator, "ann", "secret", &peer(1)).await;
        assert!(stored.unwrap().is_anonymous());
        let peer = Peer {
            certificate: Some(Arc::new(ClientCertificate::default())),
            ..peer(1)
        };
        let stored = ask(&authenticator, "ann", "secret", &peer).await.unwrap();
        assert_eq!((stored.user, stored.certificate), (None, peer.certificate));
    }

    #[tokio::test]
    async fn c6_a_file_that_cannot_be_read_is_named_with_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let missing = load(Some(folder.path().join("missing"))).err().unwrap();
        assert!(missing.to_string().contains("missing"));
        assert!(std::error::Error::source(&missing).is_some());
        let no_file = load(Some(folder.path().into())).err().unwrap();
        assert!(matches!(no_file, Error::NotAFile { .. }));
    }

    #[tokio::test]
    async fn a5_a_reload_forgets_what_was_verified_before() {
        let desk = Desk::new(&[ANN, BOB].concat());
        assert!(desk.lets_in("ann", "secret").await);
        assert!(desk.lets_in("bob", "builder").await);
        assert!(!desk.lets_in("ann", "changed").await);
        desk.rewrite("ann:{PLAIN}changed\n").unwrap();
        assert!(!desk.lets_in("ann", "secret").await);
        assert!(desk.lets_in("ann", "changed").await);
        assert!(!desk.lets_in("bob", "builder").await);
    }

    #[tokio::test]
    async fn c6_c7_n59_a_bad_new_file_leaves_the_users_of_before_and_an_empty_one_does_not() {
        let desk = Desk::new(ANN);
        let garbage = desk.rewrite(b"\x7fELF\x01\xff\n\0\0").unwrap_err();
        assert!(matches!(garbage, Error::Garbage { .. }));
        assert!(desk.lets_in("ann", "secret").await);
        fs::remove_file(desk.folder.path().join("htpasswd")).unwrap();
        assert!(desk.authenticator.reload().is_err());
        assert!(desk.lets_in("ann", "secret").await);
        let warnings = desk.rewrite("# nobody\n").unwrap();
        assert!(matches!(warnings[..], [Warning::NoUser { .. }]));
        assert!(!desk.lets_in("ann", "secret").await);
    }

    #[tokio::test]
    async fn a6_a_warning_never_holds_the_hash() {
        let desk = Desk::new(ANN);
        let line = "bob:$argon2id$topsecret\ncid:$5$rounds=9$topsecret$x\ntopsecret\n";
        let warnings = desk.rewrite([ANN, line].concat()).unwrap();
        assert_eq!(warnings.len(), 3);
        for warning in warnings {
            let text = format!("{warning} {warning:?}");
            assert!(
                text.contains("htpasswd") && !text.contains("topsecret"),
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn a3_a_remembered_password_waits_for_no_place() {
        let desk = Desk::new(&[ANN, BOB].concat());
        assert!(desk.lets_in("ann", "secret").await);
        assert!(is_decided_at_once(&desk, "ann", "secret").await);
        assert!(!is_decided_at_once(&desk, "bob", "builder").await);
        assert!(desk.lets_in("bob", "builder").await);
    }

    #[tokio::test]
    async fn a3_n22_an_address_that_guesses_is_told_to_come_back_and_others_are_served() {
        let desk = Arc::new(Desk::new(&[ANN, BOB].concat()));
        let place = desk.authenticator.queue.enter(peer(9).address.into()).await;
        let mut guesses = Vec::new();
        let mut busy = 0;
        for number in 0..32 {
            let desk = Arc::clone(&desk);
            guesses.push(tokio::spawn(async move {
                let user = number.to_string();
                ask(&desk.authenticator, &user, "secret", &peer(1)).await
            }));
        }
        let told = async {
            while guesses.iter().filter(|guess| guess.is_finished()).count() < 24 {
                tokio::task::yield_now().await;
            }
        };
        // At once, and not when they have waited for as long as anybody may.
        timeout(Duration::from_secs(5), told).await.unwrap();
        let honest = tokio::spawn({
            let desk = Arc::clone(&desk);
            async move { ask(&desk.authenticator, "bob", "builder", &peer(2)).await }
        });
        tokio::task::yield_now().await;
        drop(place);
        for guess in guesses {
            match guess.await.unwrap() {
                Err(Refusal::Busy { retry_after }) => {
                    assert!(retry_after >= Duration::from_secs(1));
                    busy += 1;
                }
                other => assert_eq!(other, Err(Refusal::Wrong)),
            }
        }
        assert_eq!(busy, 24);
        assert!(honest.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a3_a_guesser_keeps_nobody_out_who_knows_the_password_elsewhere_or_was_let_in_before() {
        let desk = Desk::new(&[ANN, BOB].concat());
        assert!(desk.lets_in("bob", "builder").await);
        for number in 0..5 {
            assert!(!desk.lets_in("ann", &number.to_string()).await);
            assert!(!desk.lets_in("bob", &number.to_string()).await);
        }
        // The same wrong password once more is no further guess.
        assert!(is_decided_at_once(&desk, "ann", "4").await);
        assert!(is_decided_at_once(&desk, "bob", "builder").await);
        assert!(!is_decided_at_once(&desk, "ann", "5").await);
        let elsewhere = ask(&desk.authenticator, "ann", "secret", &peer(2)).await;
        assert!(elsewhere.is_ok());
        assert_eq!(desk.authenticator.failed_login_count(), 11);
        assert_eq!(desk.authenticator.failed_logins().len(), 2);
    }

    /// True when this attempt is decided without waiting for anything.
    async fn is_decided_at_once(desk: &Desk, user: &str, password: &str) -> bool {
        let place = desk.authenticator.queue.enter(peer(9).address.into()).await;
        assert!(place.is_ok());
        tokio::select! {
            biased;
            _ = desk.ask(user, password) => true,
            () = tokio::task::yield_now() => false,
        }
    }

    #[tokio::test]
    async fn a5_a_reload_forgets_even_when_nothing_changed() {
        let desk = Desk::new(ANN);
        assert!(desk.lets_in("ann", "secret").await);
        assert!(is_decided_at_once(&desk, "ann", "secret").await);
        desk.rewrite(ANN).unwrap();
        assert!(!is_decided_at_once(&desk, "ann", "secret").await);
    }

    #[tokio::test]
    async fn a_client_that_goes_away_frees_no_place_while_its_hash_is_computed() {
        let hash = bcrypt::hash("secret", 10).unwrap();
        let desk = Arc::new(Desk::new(&format!("ann:{hash}\n{BOB}")));
        let request = tokio::spawn({
            let desk = Arc::clone(&desk);
            async move { desk.ask("ann", "secret").await }
        });
        while !desk.authenticator.queue.is_busy() {
            tokio::task::yield_now().await;
        }
        request.abort();
        assert!(request.await.is_err());
        tokio::select! {
            biased;
            _ = desk.authenticator.queue.enter(peer(2).address.into()) => {
                panic!("the place was free while its core was not")
            }
            () = tokio::task::yield_now() => {}
        }
        assert!(desk.lets_in("bob", "builder").await);
    }
}
