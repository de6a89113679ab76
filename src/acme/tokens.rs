//! What proves to an authority that a name leads to us: documents by token (HTTP-01, RFC 8555 section 8.3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The documents that are to be answered now, by token. Cheap to share; empty but for the minutes in which a certificate
/// is had.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens(Arc<Mutex<HashMap<String, String>>>);

/// A document is answered until this is dropped.
#[derive(Debug)]
pub(super) struct Answering {
    tokens: Tokens,
    token: String,
}

impl Tokens {
    /// The document of a token, if it is one in progress.
    pub(crate) fn find(&self, token: &str) -> Option<String> {
        self.all().get(token).cloned()
    }

    pub(super) fn answer(&self, token: &str, document: &str) -> Answering {
        self.all().insert(token.to_owned(), document.to_owned());
        Answering {
            tokens: self.clone(),
            token: token.to_owned(),
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.tokens.all().remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_while_it_is_in_progress() {
        let tokens = Tokens::default();
        let answering = tokens.answer("token", "token.thumb");
        assert_eq!(tokens.find("token").as_deref(), Some("token.thumb"));
        assert_eq!(tokens.find("other"), None);
        drop(answering);
        assert_eq!(tokens.find("token"), None);
    }
}
