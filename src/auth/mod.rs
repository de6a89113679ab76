//! Who is asking: passwords against a password file, client certificates as the handshake verified them.
//!
//! Knows header values as bytes and no HTTP types; what follows from an identity is `acl`'s, and what a refusal looks
//! like to a client is `error`'s. Basic authentication is RFC 7617.

mod basic;
mod delay;
mod groups;
pub(crate) mod htpasswd;
mod queue;
mod remember;
mod token;

use std::fmt;
use std::hash::RandomState;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use crate::config;
use crate::identity::Identity;
use crate::peer::{Address, Peer};

use basic::Credentials;
use delay::Delays;
use htpasswd::{Hash, MAX_FILE, Passwords, Problem};
use queue::{Queue, Source};
use remember::Memory;

pub(crate) use basic::bearer;
pub(crate) use delay::FailedLogins;
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
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// Why nobody in particular could be made out, and the request is not anonymous either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The header is no Basic credentials; no password was looked at.
    #[error("the authorization header is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// An authentication scheme that is not spoken here; to be answered like a wrong password.
    #[error("the authorization scheme is not supported")]
    Scheme,
    /// The token is none of ours, is damaged, has expired, or is for somebody or something else.
    #[error("the token is not valid, or no longer; ask for a new one")]
    Token,
    /// There is no such user, or it is not the password. Which of the two is not told to anybody.
    #[error("user name or password is wrong")]
    Wrong,
    /// Too many passwords are waiting to be checked.
    #[error("too many passwords are being checked")]
    Busy {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The check itself broke: our fault, not the client's.
    #[error("the password check failed")]
    Failed,
}

/// What is wrong with an authorization header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// More than one header.
    #[error("it is sent more than once")]
    Repeated,
    /// A header without a value.
    #[error("it is empty")]
    Empty,
    /// Not base64.
    #[error("the credentials are not base64")]
    Base64,
    /// No colon between name and password.
    #[error("there is no colon between user name and password")]
    NoColon,
    /// A NUL in the password, which `crypt()` takes for its end.
    #[error("the password holds a NUL")]
    Nul,
    /// A control character in the name, which RFC 7617 section 2 forbids.
    #[error("the user name holds a control character")]
    Control,
    /// Longer than any password file can hold.
    #[error("the credentials are too long")]
    TooLong,
}

/// Why there is no password file to check against.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It is not there, or not for us to read.
    #[error(
        "cannot read the password file {path:?}; make it with `dockgate htpasswd -c {path:?} NAME`, or correct `auth.htpasswd`"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A folder, pipe or device.
    #[error("the password file {path:?} is not a regular file; correct `auth.htpasswd`")]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Larger than what is held in memory.
    #[error(
        "the password file {path:?} is larger than {} MiB; correct `auth.htpasswd`, or remove users",
        MAX_FILE >> 20
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// On reload: lines, and not one that can be used.
    #[error(
        "not one line of the password file {path:?} can be used, so the users of before stay; correct it, or empty it to lock everybody out"
    )]
    Garbage {
        /// The file.
        path: PathBuf,
        /// What is wrong with its lines.
        warnings: Vec<Warning>,
    },
    /// The group file.
    #[error("cannot read the group file {path:?}; correct `auth.groups`")]
    ReadGroups {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The key that signs tokens.
    #[error("the token key {path:?} {why}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is no key, and none could be made.
    #[error(
        "cannot make the token key {path:?}; let `state_dir` be writable, or name a key in `token.signing_key`"
    )]
    MakeKey {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system has no randomness.
    #[error("the system gives no random bytes for a key")]
    Random(#[source] getrandom::Error),
}

/// Something in a password file that is not as it should be; the rest of it works. Never holds a hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Warning {
    /// One line.
    #[error("{path:?}, line {line}: {problem}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: u32,
        /// What is wrong with it and what to do.
        problem: Problem,
    },
    /// More lines than are worth printing.
    #[error("{path:?}: {count} more lines cannot be used")]
    MoreLines {
        /// The file.
        path: PathBuf,
        /// How many.
        count: usize,
    },
    /// A line of the group file.
    #[error(
        "{path:?}, line {line}: no colon; a line is GROUP: USER USER, and a comment begins with #"
    )]
    GroupLine {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: u32,
    },
    /// Everybody on the machine can read the key.
    #[error(
        "{path:?} may be read by everybody on this machine, who can then make tokens; take that right away: chmod o= {path:?}"
    )]
    KeyExposed {
        /// The file.
        path: PathBuf,
    },
    /// The keys of before cannot be kept.
    #[error(
        "{path:?} cannot be kept ({why}): tokens are refused after the key was changed and the gate restarted, and clients must ask for new ones"
    )]
    Previous {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Nobody can log in.
    #[error(
        "{path:?} holds no user, so no password fits; add one with `dockgate htpasswd {path:?} NAME`"
    )]
    NoUser {
        /// The file.
        path: PathBuf,
    },
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
        let passwords = self.passwords.load_full();
        let (user, password) = (credentials.user(), credentials.password());
        let candidate = passwords.find(user).ok_or(Refusal::Wrong)?;
        let attempt = self.memory.digest(user, password, candidate);
        let source = Source::from(address);
        match self.memory.known(&attempt).await {
            Some(true) => return name_of(user),
            Some(false) => {
                self.delays.repeated(user, source).await;
                return Err(Refusal::Wrong);
            }
            None => {}
        }
        let login = self.delays.begin(user, source).await?;
        let check = async {
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
        if !self.memory.verdict(attempt, check).await? {
            return Err(Refusal::Wrong);
        }
        name_of(user)
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

    use base64::Engine;
    use tempfile::TempDir;

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
        Authenticator::load(&auth, &limits)
    }

    fn peer(last: u8) -> Peer {
        Peer {
            address: Address::Ip((Ipv4Addr::new(192, 0, 2, last), 4000).into()),
            scheme: Scheme::Https,
            sni: None,
            certificate: None,
            certificate_required: false,
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
    async fn a_right_password_names_the_user_and_all_others_are_refused_alike() {
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
    async fn without_a_password_file_every_password_is_wrong() {
        let (authenticator, warnings) = load(None).unwrap();
        assert_eq!(warnings, []);
        assert!(authenticator.files().is_empty());
        let anonymous = authenticator.authenticate(&[], &peer(1)).await;
        assert!(anonymous.unwrap().is_anonymous());
        let refused = ask(&authenticator, "ann", "secret", &peer(1)).await;
        assert_eq!(refused, Err(Refusal::Wrong));
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_named_with_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let missing = load(Some(folder.path().join("missing"))).err().unwrap();
        assert!(missing.to_string().contains("missing"));
        assert!(std::error::Error::source(&missing).is_some());
        let no_file = load(Some(folder.path().into())).err().unwrap();
        assert!(matches!(no_file, Error::NotAFile { .. }));
    }

    #[tokio::test]
    async fn a_reload_forgets_what_was_verified_before() {
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
    async fn a_bad_new_file_leaves_the_users_of_before_and_an_empty_one_does_not() {
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
    async fn a_warning_never_holds_the_hash() {
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
    async fn a_remembered_password_waits_for_no_place() {
        let desk = Desk::new(&[ANN, BOB].concat());
        assert!(desk.lets_in("ann", "secret").await);
        assert!(is_decided_at_once(&desk, "ann", "secret").await);
        assert!(!is_decided_at_once(&desk, "bob", "builder").await);
        assert!(desk.lets_in("bob", "builder").await);
    }

    #[tokio::test]
    async fn an_address_that_guesses_is_told_to_come_back_and_others_are_served() {
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
        while guesses.iter().filter(|guess| guess.is_finished()).count() < 24 {
            tokio::task::yield_now().await;
        }
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
    async fn a_guesser_keeps_nobody_out_who_knows_the_password_elsewhere_or_was_let_in_before() {
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
    async fn a_reload_forgets_even_when_nothing_changed() {
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
