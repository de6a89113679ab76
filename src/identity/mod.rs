//! Who is asking: nobody in particular, a user with a password, the bearer of a client certificate, or both; in person
//! or through a token.
//!
//! Made by `auth`, judged by `acl`, reported by `telemetry`; nothing here knows how an identity was proven.

mod grants;

use std::sync::Arc;

pub(crate) use grants::{Grants, Rights};

/// Who is behind one request, after authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The user name whose password was right, now or when the token was made.
    pub user: Option<Arc<str>>,
    /// The client certificate that the handshake verified.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// The groups that the user is in, by the group file.
    pub groups: Arc<[Arc<str>]>,
    /// What the token allows that the request came with: never more than this, whoever holds it. `None`: the request
    /// brought its credentials themselves, or none.
    pub grants: Option<Arc<Grants>>,
}

impl Identity {
    /// Nobody in particular.
    pub(crate) fn anonymous() -> Self {
        Self::default()
    }

    /// True when nothing was proven.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.user.is_none() && self.certificate.is_none()
    }

    /// The name for logs and for the upstream: the user, else the certificate's name.
    pub(crate) fn name(&self) -> Option<&str> {
        match (&self.user, &self.certificate) {
            (Some(user), _) => Some(user),
            (None, Some(certificate)) => Some(certificate.name()),
            (None, None) => None,
        }
    }
}

/// What a verified client certificate says of its bearer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// The subject's last common name, where it has one.
    pub common_name: Option<String>,
    /// DNS names of the subject alternative name.
    pub dns: Vec<String>,
    /// E-mail addresses of the subject alternative name.
    pub emails: Vec<String>,
    /// URIs of the subject alternative name.
    pub uris: Vec<String>,
    /// The whole subject, as RFC 4514 writes it.
    pub subject: String,
    /// The serial number in hexadecimal, without leading zeros.
    pub serial: String,
    /// SHA-256 of the DER bytes, lower-case hexadecimal.
    pub fingerprint: String,
}

impl ClientCertificate {
    /// The common name, else the first alternative name, else the fingerprint.
    pub(crate) fn name(&self) -> &str {
        self.common_name
            .as_ref()
            .or_else(|| self.dns.first())
            .or_else(|| self.emails.first())
            .or_else(|| self.uris.first())
            .unwrap_or(&self.fingerprint)
    }
}
