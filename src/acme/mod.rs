//! Certificates from an authority (RFC 8555): when one is due, and how it is had.
//!
//! Knows nothing of listeners: names are proven through `tls::Challenges` and [`Tokens`], which others answer from, and
//! the certificate is put where the configuration says, whence it is taken up like any other file. Returns what went
//! wrong and does not log it.

mod account;
mod authority;
mod error;
mod jws;
mod order;
mod plan;
mod store;
mod tokens;

pub(crate) use error::Error;
pub(crate) use order::Obtained;
pub(crate) use plan::Outlook;
pub(crate) use tokens::Tokens;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::config;
use crate::tls::Challenges;
use crate::tls::Issued;
use crate::tls::client_config;

use account::Binding;
use authority::Authority;
use plan::Plan;
use store::Store;

/// From the first question to the certificate on the disk; authorities take seconds, and queues of theirs minutes.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Keeps one certificate in date.
#[derive(Debug)]
pub(crate) struct Keeper {
    section: Arc<config::Acme>,
    store: Store,
    challenges: Challenges,
    tokens: Tokens,
    plan: Plan,
}

impl Keeper {
    /// For this section; names are proven through `challenges` and `tokens`.
    pub(crate) fn new(section: Arc<config::Acme>, challenges: Challenges, tokens: Tokens) -> Self {
        Self {
            store: Store::new(&section),
            section,
            challenges,
            tokens,
            plan: Plan::default(),
        }
    }

    /// Reads the files that the section names, for their faults.
    ///
    /// # Errors
    /// Every file that cannot be used.
    pub(crate) fn check(section: &config::Acme) -> Result<(), Vec<Error>> {
        let mut faults = Vec::new();
        if let Some(ca) = &section.directory_ca {
            let tls = client_config(Some(ca), None);
            faults.extend(tls.err().unwrap_or_default().into_iter().map(Error::Tls));
        }
        faults.extend(Binding::load(section).err());
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults)
        }
    }

    /// What it is for.
    pub(crate) fn section(&self) -> &config::Acme {
        &self.section
    }

    /// When the next certificate is due, by the one that is there and what the authority says of it. What is wrong with
    /// the file is told beside.
    pub(crate) async fn outlook(&mut self) -> (Outlook, Option<Error>) {
        let (issued, fault) = match self.store.certificate().await {
            Ok(issued) => (issued, None),
            Err(fault) => (None, Some(fault)),
        };
        let held = self.store.held_back().await;
        let issued = issued.filter(|issued| self.covers(issued));
        if let Some(issued) = &issued
            && self.plan.wants_to_ask(issued)
        {
            // A service that is not there is no fault: without an answer the lifetime decides.
            let told = timeout(LONGEST, self.renewal_window(issued)).await;
            self.plan.take(told.ok().and_then(Result::ok).flatten());
        }
        (self.plan.outlook(issued.as_ref(), held), fault)
    }

    /// Has a certificate issued and puts it on the disk.
    ///
    /// # Errors
    /// What stands in the way; [`Error::advice`] says what to do.
    pub(crate) async fn obtain(&mut self) -> Result<Obtained, Error> {
        let result = timeout(LONGEST, self.order()).await;
        let result = result.unwrap_or(Err(Error::TooLong(LONGEST)));
        if let Err(error) = &result
            && let Some(wait) = error.retry_after()
        {
            // A restart is no reason to ask sooner than the authority wants. What cannot be noted is waited for all the
            // same, by whoever gets the error.
            let _ = self.store.hold_back(wait).await;
        }
        result
    }

    async fn order(&self) -> Result<Obtained, Error> {
        order::obtain(self).await
    }

    async fn authority(&self) -> Result<Authority, Error> {
        let section = Arc::clone(&self.section);
        let tls = store::blocking(move || {
            client_config(section.directory_ca.as_deref(), None).map_err(Error::of_tls)
        });
        Ok(Authority::new(&self.section.directory, tls.await?))
    }

    async fn renewal_window(&self, issued: &Issued) -> Result<Option<plan::Window>, Error> {
        let Some(id) = plan::certificate_id(issued) else {
            return Ok(None);
        };
        let authority = self.authority().await?;
        authority
            .renewal_window(&format!("{}.{}", id.0, id.1))
            .await
    }

    fn covers(&self, issued: &Issued) -> bool {
        let has = |name| issued.names.contains(name);
        self.section.names.iter().all(has)
    }
}
