//! Whether a client certificate that was good at the handshake still is: connections live long, and files change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::pki_types::{CertificateDer, UnixTime};

use super::judgement::Refusal;
use super::server::ServerTls;

/// A verified chain that can be judged again while its connection lives.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    tls: ServerTls,
    pub(super) chain: Arc<[CertificateDer<'static>]>,
    judged: Arc<Judged>,
}

/// The last good judgement: under which state, and from when until when it holds.
#[derive(Debug, Default)]
struct Judged {
    generation: AtomicU64,
    since: AtomicU64,
    until: AtomicU64,
}

impl Standing {
    pub(super) fn new(tls: ServerTls, chain: Vec<CertificateDer<'static>>) -> Self {
        Self {
            tls,
            chain: chain.into(),
            // no state has generation 0, so the first check judges
            judged: Arc::default(),
        }
    }

    /// Asks whether the certificate holds now. Three loads and a look at the clock, unless the client CA or a list changed,
    /// a date was passed or the clock was set back; then the chain is verified again.
    ///
    /// # Errors
    ///
    /// It was revoked, or has expired, is not valid yet, or its CA is gone: the connection must be closed.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let state = self.tls.state();
        let now = UnixTime::now();
        let since = self.judged.since.load(Ordering::Relaxed);
        let until = self.judged.until.load(Ordering::Relaxed);
        if self.judged.generation.load(Ordering::Relaxed) == state.generation
            && (since..until).contains(&now.as_secs())
        {
            return Ok(());
        }
        let Some((leaf, intermediates)) = self.chain.split_first() else {
            return Ok(());
        };
        let Some(trust) = &state.trust else {
            return Err(Refusal::of(leaf, "client certificates are off now"));
        };
        let until = trust
            .verify(leaf, intermediates, now)
            .map_err(|refused| refused.0)?;
        // the dates first: a reader that sees the new generation with an old date judges once more, no harm done
        self.judged.since.store(now.as_secs(), Ordering::Relaxed);
        self.judged.until.store(until.as_secs(), Ordering::Relaxed);
        self.judged
            .generation
            .store(state.generation, Ordering::Release);
        Ok(())
    }
}
