//! Who may do what. The only room that can make a [`Permit`], and no handler runs without one.
//!
//! Knows identities and routes, no HTTP and no files. What is not allowed here is refused: a new action has no right
//! until it is written into [`Acl::authorize`].

use crate::config::Anonymous;
use crate::config::Auth;
use crate::config::Satisfy;
use crate::identity::Identity;
use crate::peer::Peer;
use crate::route::Access;
use crate::route::Action;

/// The policy in force.
#[derive(Clone, Debug)]
pub(crate) struct Acl {
    anonymous: Anonymous,
    satisfy: Satisfy,
    passwords: bool,
}

/// Leave to do the one thing that was asked; only [`Acl::authorize`] makes it.
#[derive(Debug)]
pub(crate) struct Permit {
    _made_here: (),
}

/// Why something may not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// A password would help.
    #[error("authentication required: log in first")]
    Unauthenticated,
    /// Only a client certificate helps, and the handshake brought none.
    #[error("a client certificate is required")]
    CertificateRequired,
}

impl Acl {
    /// The policy that the configuration describes.
    pub(crate) fn new(auth: &Auth) -> Self {
        Self {
            anonymous: auth.anonymous,
            satisfy: auth.satisfy,
            passwords: auth.htpasswd.is_some(),
        }
    }

    /// What no password can mend, to be asked before one is checked: a missing certificate where one is required.
    ///
    /// # Errors
    /// It is missing.
    pub(crate) fn admit(peer: &Peer, access: &Access<'_>) -> Result<(), Denied> {
        if access.action != Action::Public
            && peer.certificate_required
            && peer.certificate.is_none()
        {
            return Err(Denied::CertificateRequired);
        }
        Ok(())
    }

    /// Leave for `identity` to do what `access` says, over the connection of `peer`.
    ///
    /// # Errors
    /// Says which proof of identity is missing.
    pub(crate) fn authorize(
        &self,
        identity: &Identity,
        peer: &Peer,
        access: &Access<'_>,
    ) -> Result<Permit, Denied> {
        let permit = Permit { _made_here: () };
        if access.action == Action::Public {
            return Ok(permit);
        }
        if peer.certificate_required && identity.certificate.is_none() {
            return Err(Denied::CertificateRequired);
        }
        if self.is_open(access.action) || self.is_satisfied(identity) {
            return Ok(permit);
        }
        if !self.passwords || (self.satisfy == Satisfy::All && identity.user.is_some()) {
            return Err(Denied::CertificateRequired);
        }
        Err(Denied::Unauthenticated)
    }

    /// What anybody may do, by `auth.anonymous`.
    fn is_open(&self, action: Action) -> bool {
        match (self.anonymous, action) {
            (_, Action::Public)
            | (Anonymous::Pull, Action::Enter | Action::Pull | Action::Catalog) => true,
            (Anonymous::Pull, Action::Push | Action::Delete)
            | (
                Anonymous::None,
                Action::Enter | Action::Pull | Action::Push | Action::Delete | Action::Catalog,
            ) => false,
        }
    }

    fn is_satisfied(&self, identity: &Identity) -> bool {
        match self.satisfy {
            Satisfy::Any => !identity.is_anonymous(),
            Satisfy::All => identity.user.is_some() && identity.certificate.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::identity::ClientCertificate;
    use crate::peer::Address;
    use crate::peer::Scheme;

    fn acl(anonymous: Anonymous, satisfy: Satisfy, passwords: bool) -> Acl {
        Acl {
            anonymous,
            satisfy,
            passwords,
        }
    }

    fn ask(acl: &Acl, who: &Identity, required: bool, action: Action) -> Result<(), Denied> {
        let peer = Peer {
            address: Address::Unix,
            scheme: Scheme::Https,
            sni: None,
            certificate: who.certificate.clone(),
            certificate_required: required,
        };
        let access = Access {
            action,
            repository: None,
            mount_source: None,
        };
        acl.authorize(who, &peer, &access).map(|_| ())
    }

    fn user() -> Identity {
        Identity {
            user: Some("alice".into()),
            certificate: None,
        }
    }

    fn certificate() -> Identity {
        Identity {
            user: None,
            certificate: Some(Arc::new(ClientCertificate::default())),
        }
    }

    const ALL: [Action; 5] = [
        Action::Enter,
        Action::Pull,
        Action::Push,
        Action::Delete,
        Action::Catalog,
    ];

    #[test]
    fn nobody_does_anything_by_default_but_ping() {
        let acl = acl(Anonymous::None, Satisfy::Any, true);
        for action in ALL {
            assert_eq!(
                ask(&acl, &Identity::anonymous(), false, action),
                Err(Denied::Unauthenticated)
            );
            assert_eq!(ask(&acl, &user(), false, action), Ok(()));
            assert_eq!(ask(&acl, &certificate(), false, action), Ok(()));
        }
        assert_eq!(
            ask(&acl, &Identity::anonymous(), true, Action::Public),
            Ok(())
        );
    }

    #[test]
    fn anonymous_pull_reads_and_never_writes() {
        let acl = acl(Anonymous::Pull, Satisfy::Any, true);
        for (action, open) in ALL.into_iter().zip([true, true, false, false, true]) {
            assert_eq!(
                ask(&acl, &Identity::anonymous(), false, action).is_ok(),
                open,
                "{action:?}"
            );
        }
    }

    #[test]
    fn a_required_certificate_is_asked_of_everyone_even_for_public_content() {
        let acl = acl(Anonymous::Pull, Satisfy::Any, true);
        for who in [Identity::anonymous(), user()] {
            assert_eq!(
                ask(&acl, &who, true, Action::Pull),
                Err(Denied::CertificateRequired)
            );
        }
        assert_eq!(ask(&acl, &certificate(), true, Action::Push), Ok(()));
    }

    #[test]
    fn satisfy_all_wants_both_proofs_and_names_the_missing_one() {
        let acl = acl(Anonymous::None, Satisfy::All, true);
        assert_eq!(
            ask(&acl, &user(), false, Action::Pull),
            Err(Denied::CertificateRequired)
        );
        assert_eq!(
            ask(&acl, &certificate(), false, Action::Pull),
            Err(Denied::Unauthenticated)
        );
        let both = Identity {
            certificate: certificate().certificate,
            ..user()
        };
        assert_eq!(ask(&acl, &both, false, Action::Push), Ok(()));
    }

    #[test]
    fn where_no_password_can_help_none_is_asked_for() {
        let acl = acl(Anonymous::None, Satisfy::Any, false);
        assert_eq!(
            ask(&acl, &Identity::anonymous(), false, Action::Pull),
            Err(Denied::CertificateRequired)
        );
    }
}
