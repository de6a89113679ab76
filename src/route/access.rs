//! Which right a route needs. Exhaustive: a new target does not compile until its right is written here.

use crate::oci::Code;
use crate::oci::RepositoryName;
use crate::peer::Peer;

use super::{Fault, Route, Target, Verb};

/// What is done to a repository, in the words of rules and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Anyone may, authenticated or not.
    Public,
    /// To be let in at all: the version check.
    Enter,
    /// Read content.
    Pull,
    /// Write content, uploads in progress included.
    Push,
    /// Remove content.
    Delete,
    /// List repositories.
    Catalog,
    /// Be given a token: anybody may ask, and gets what is allowed.
    Token,
}

impl Action {
    /// The word for rules, answers and the access log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Enter => "enter",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Catalog => "catalog",
            Self::Token => "token",
        }
    }
}

/// The right that a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access<'a> {
    /// What is to be done.
    pub action: Action,
    /// To which repository, where there is one.
    pub repository: Option<&'a RepositoryName>,
    /// The repository that a mount reads from: `pull` is needed there.
    pub mount_source: Option<&'a RepositoryName>,
    /// A mount that names no source: from wherever the registry has the blob.
    pub mounts_from_anywhere: bool,
    /// The code of the answer when what is asked for is not there.
    pub missing: Code,
}

impl Route {
    /// Whether it is about content, and not answered by the gate itself.
    pub(crate) fn reaches_a_registry(&self) -> bool {
        !matches!(
            self.target,
            Target::Ping | Target::Token(_) | Target::Proof(_)
        )
    }

    /// Whether the token service is asked.
    pub(crate) fn is_for_tokens(&self) -> bool {
        matches!(self.target, Target::Token(_))
    }

    /// Whether the peer's listener answers it at all.
    ///
    /// # Errors
    /// It is a listener for an authority's questions alone.
    pub(crate) fn is_for(&self, peer: &Peer) -> Result<(), Fault> {
        if peer.challenges_only && !matches!(self.target, Target::Proof(_)) {
            return Err(Fault::Elsewhere);
        }
        Ok(())
    }

    /// The right that this route needs.
    pub(crate) fn access(&self) -> Access<'_> {
        let reads = matches!(self.verb, Verb::Get | Verb::Head);
        let (action, repository) = match &self.target {
            Target::Ping | Target::Proof(_) => (Action::Public, None),
            Target::Token(_) => (Action::Token, None),
            Target::Root | Target::Version => (Action::Enter, None),
            Target::Catalog | Target::Search => (Action::Catalog, None),
            Target::Tags(name) | Target::Referrers(name, _) => (Action::Pull, Some(name)),
            Target::Manifest(name, _) | Target::Blob(name, _) if reads => {
                (Action::Pull, Some(name))
            }
            Target::Manifest(name, _) | Target::Blob(name, _) if self.verb == Verb::Delete => {
                (Action::Delete, Some(name))
            }
            Target::Manifest(name, _)
            | Target::Blob(name, _)
            | Target::UploadStart(name, _)
            | Target::Upload(name, _) => (Action::Push, Some(name)),
        };
        let mount = match &self.target {
            Target::UploadStart(_, mount) => mount.as_ref(),
            _ => None,
        };
        let missing = match &self.target {
            Target::Manifest(..) => Code::ManifestUnknown,
            Target::Blob(..) => Code::BlobUnknown,
            _ => Code::NameUnknown,
        };
        Access {
            action,
            repository,
            mount_source: mount.and_then(|mount| mount.from.as_ref()),
            mounts_from_anywhere: mount.is_some_and(|mount| mount.from.is_none()),
            missing,
        }
    }
}
