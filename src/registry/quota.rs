//! How many uploads everybody has open: nobody fills the store with beginnings of blobs.
//!
//! Ids say whose an upload is, so nothing has to be written down: what this process begins and ends it counts itself,
//! and what another one began, earlier or beside it, a sweep sees in the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Error;
use super::ticket::{Owner, Ticket};

/// For all who have proven nothing, together, times what one of them may have: addresses are cheap.
const NOBODYS: usize = 10;

/// For everybody together; some tens of bytes are held for each.
const ALL: usize = 1 << 20;

/// The look that an upload is never forgotten by, because somebody has its place in hand.
const IN_HAND: u64 = u64::MAX;

/// Uploads that are open; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Uploads(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    /// Of each owner: the upload's number, and the look at the store since when it is known to be there.
    by_owner: HashMap<Owner, HashMap<u64, u64>>,
    nobodys: usize,
    all: usize,
    /// Looks at the store that were begun.
    look: u64,
}

/// The place of one upload, free again when this is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Place {
    uploads: Uploads,
    /// `None`: it is left to its upload.
    ticket: Option<Ticket>,
}

impl Uploads {
    /// A place for an upload that is to be begun.
    ///
    /// # Errors
    /// [`Error::TooManyUploads`] where its owner has `most` of them open.
    pub(super) fn take(&self, ticket: Ticket, most: usize) -> Result<Place, Error> {
        let mut open = self.open();
        open.has_room_for(ticket.owner(), most)?;
        open.insert(ticket, IN_HAND);
        drop(open);
        let uploads = self.clone();
        let ticket = Some(ticket);
        Ok(Place { uploads, ticket })
    }

    /// The upload is not in the store any more.
    pub(super) fn free(&self, id: &str) {
        if let Some(ticket) = Ticket::read(id) {
            self.open().remove(ticket);
        }
    }

    /// A look at all uploads of the store begins.
    pub(super) fn begin_look(&self) {
        self.open().look += 1;
    }

    /// The look comes by an upload. To be told before the store is asked whether it is still there: so who ends it
    /// meanwhile ends it here too.
    pub(super) fn seen(&self, id: &str) {
        if let Some(ticket) = Ticket::read(id) {
            let mut open = self.open();
            let look = open.look;
            open.insert(ticket, look);
        }
    }

    /// The look has come by all of the store: what it did not see, and what was not begun since, another process has
    /// ended.
    pub(super) fn end_look(&self) {
        let mut open = self.open();
        let look = open.look;
        for uploads in open.by_owner.values_mut() {
            uploads.retain(|_, seen| *seen >= look);
        }
        open.by_owner.retain(|_, uploads| !uploads.is_empty());
        let count = |only: fn(Owner) -> bool| {
            let of = open.by_owner.iter().filter(|(owner, _)| only(**owner));
            of.map(|(_, uploads)| uploads.len()).sum()
        };
        (open.all, open.nobodys) = (count(|_| true), count(Owner::is_nobody));
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The upload is in the store, and stays there until it is ended by its id.
    pub(super) fn stay(mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let mut open = self.uploads.open();
        let look = open.look;
        if let Some(seen) = open.seen(ticket) {
            *seen = look;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.uploads.open().remove(ticket);
        }
    }
}

impl Open {
    fn has_room_for(&self, owner: Owner, most: usize) -> Result<(), Error> {
        let own = self.by_owner.get(&owner).map_or(0, HashMap::len);
        let full = |whose, open| Err(Error::TooManyUploads { whose, open });
        match (owner.is_nobody(), own >= most) {
            (false, true) => full("this user has", own),
            (true, true) => full("clients of this address without a name have", own),
            (true, false) if self.nobodys >= most.saturating_mul(NOBODYS) => {
                full("clients without a name have", self.nobodys)
            }
            _ if self.all >= ALL => full("all clients together have", self.all),
            _ => Ok(()),
        }
    }

    fn seen(&mut self, ticket: Ticket) -> Option<&mut u64> {
        self.by_owner
            .get_mut(&ticket.owner())?
            .get_mut(&ticket.number())
    }

    fn insert(&mut self, ticket: Ticket, look: u64) {
        let owner = ticket.owner();
        if let Some(seen) = self.seen(ticket) {
            *seen = look.max(*seen);
            return;
        }
        if self.all >= ALL {
            return;
        }
        let own = self.by_owner.entry(owner).or_default();
        own.insert(ticket.number(), look);
        self.all += 1;
        self.nobodys += usize::from(owner.is_nobody());
    }

    fn remove(&mut self, ticket: Ticket) {
        let owner = ticket.owner();
        let Some(own) = self.by_owner.get_mut(&owner) else {
            return;
        };
        if own.remove(&ticket.number()).is_none() {
            return;
        }
        if own.is_empty() {
            self.by_owner.remove(&owner);
        }
        self.all = self.all.saturating_sub(1);
        self.nobodys = self.nobodys.saturating_sub(usize::from(owner.is_nobody()));
    }
}
