//! What a token allows, or what is asked of the token service: actions on repositories, and the catalog.

use std::collections::BTreeMap;

/// More repositories than this do not fit one token: docker asks for one and its mount sources, nobody for dozens.
const MOST: usize = 32;
/// Characters of all names together, so that a token stays below the header bounds of every proxy in use.
const MOST_CHARACTERS: usize = 3 * 1024;

/// Actions on repositories by their names, and leave to list them. Bounded: what does not fit is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grants {
    repositories: BTreeMap<String, Rights>,
    /// Repositories may be listed.
    pub catalog: bool,
}

/// Actions on one repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Read content.
    pub pull: bool,
    /// Write content.
    pub push: bool,
    /// Remove content.
    pub delete: bool,
}

impl Grants {
    /// Adds actions on a repository; without any action, and beyond the bound, nothing is added.
    pub(crate) fn add(&mut self, repository: &str, rights: Rights) {
        if rights == Rights::default() {
            return;
        }
        if let Some(known) = self.repositories.get_mut(repository) {
            *known = known.or(rights);
            return;
        }
        let characters: usize = self.repositories.keys().map(String::len).sum();
        if self.repositories.len() < MOST && characters + repository.len() <= MOST_CHARACTERS {
            self.repositories.insert(repository.to_owned(), rights);
        }
    }

    /// The actions on a repository.
    pub(crate) fn on(&self, repository: &str) -> Rights {
        self.repositories
            .get(repository)
            .copied()
            .unwrap_or_default()
    }

    /// Every repository with its actions, by name.
    pub(crate) fn repositories(&self) -> impl Iterator<Item = (&str, Rights)> {
        self.repositories
            .iter()
            .map(|(name, rights)| (name.as_str(), *rights))
    }
}

impl Rights {
    /// All of them.
    pub(crate) const ALL: Self = Self {
        pull: true,
        push: true,
        delete: true,
    };

    /// What either has.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            pull: self.pull || other.pull,
            push: self.push || other.push,
            delete: self.delete || other.delete,
        }
    }

    /// What both have.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            pull: self.pull && other.pull,
            push: self.push && other.push,
            delete: self.delete && other.delete,
        }
    }

    /// Adds the action that a scope names; unknown words add nothing.
    pub(crate) fn add(&mut self, word: &str) {
        match word {
            "pull" => self.pull = true,
            "push" => self.push = true,
            "delete" => self.delete = true,
            "*" => *self = Self::ALL,
            _ => {}
        }
    }

    /// The words of scopes for what is there.
    pub(crate) fn words(self) -> Vec<&'static str> {
        [
            (self.pull, "pull"),
            (self.push, "push"),
            (self.delete, "delete"),
        ]
        .into_iter()
        .filter_map(|(there, word)| there.then_some(word))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_on_one_repository_add_up_and_no_action_is_no_entry() {
        let mut grants = Grants::default();
        let (mut pull, mut push) = (Rights::default(), Rights::default());
        pull.add("pull");
        push.add("push");
        push.add("fly");
        grants.add("a", pull);
        grants.add("a", push);
        grants.add("b", Rights::default());
        assert_eq!(grants.on("a").words(), ["pull", "push"]);
        assert_eq!(grants.repositories().count(), 1);
        assert_eq!(grants.on("b"), Rights::default());
    }

    #[test]
    fn k3_what_would_not_fit_a_token_is_left_out() {
        let mut grants = Grants::default();
        for n in 0..1000 {
            grants.add(&format!("r{n}"), Rights::ALL);
        }
        assert_eq!(grants.repositories().count(), MOST);
        let mut long = Grants::default();
        for n in 0..30 {
            long.add(&format!("{n}{}", "a".repeat(250)), Rights::ALL);
        }
        assert_eq!(long.repositories().count(), 12);
    }
}
