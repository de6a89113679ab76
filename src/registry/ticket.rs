//! Ids of uploads. Each says whose the upload is, to who knows whom to ask for: nobody goes on with the upload of
//! somebody else, though both may push to the repository, and though all ids stand in the access log. What an id says
//! is the same in all ids of one owner, so that uploads can be counted which another process began.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::turns::Source;

/// The version of these UUIDs, for uses of one's own (RFC 9562, section 5.8). registry:2 makes random ones, version 4.
const VERSION: u128 = 0x8 << 76;
const VERSION_BITS: u128 = 0xf << 76;
/// The variant of all UUIDs of the RFC.
const VARIANT: u128 = 0b10 << 62;
const VARIANT_BITS: u128 = 0b11 << 62;

/// The first of the bits that say whose an upload is: set, it belongs to nobody, who came from an address.
const NOBODY: u64 = 1 << 61;

/// An id that was made here: 60 random bits, and 62 that say whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ticket(u128);

/// Whose an upload is: who goes on with it, and whose uploads are counted together. As much of that as an id holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner(u64);

impl Ticket {
    /// A new one for somebody.
    pub(super) fn new(owner: Owner) -> Result<Self, getrandom::Error> {
        let random = u128::from(getrandom::u64()?) << 64;
        let upper = random & !VERSION_BITS | VERSION;
        Ok(Self(upper | VARIANT | u128::from(owner.0)))
    }

    /// The one that is written like this; `None` for an id that was made elsewhere.
    pub(super) fn read(id: &str) -> Option<Self> {
        let hex: String = id.split('-').collect();
        let number = u128::from_str_radix(&hex, 16).ok()?;
        let ticket = Self(number);
        let made_here = number & VERSION_BITS == VERSION && number & VARIANT_BITS == VARIANT;
        (made_here && ticket.to_string() == id).then_some(ticket)
    }

    /// Whose it is.
    pub(super) fn owner(self) -> Owner {
        let lower = u64::try_from(self.0 & u128::from(u64::MAX) & !VARIANT_BITS);
        Owner(lower.unwrap_or_default())
    }

    /// What tells it from others of the same owner.
    pub(super) fn number(self) -> u64 {
        u64::try_from(self.0 >> 64).unwrap_or_default()
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        for (at, digit) in hex.chars().enumerate() {
            if matches!(at, 8 | 12 | 16 | 20) {
                out.write_str("-")?;
            }
            write!(out, "{digit}")?;
        }
        Ok(())
    }
}

impl Owner {
    /// Somebody with a name.
    pub(crate) fn user(name: &str) -> Self {
        Self(hash(name) & !NOBODY)
    }

    /// Nobody in particular: all of them are one, and each address has a count of its own.
    pub(crate) fn nobody(source: Source) -> Self {
        Self(hash(&source.to_string()) | NOBODY)
    }

    /// Whether it has proven nothing.
    pub(super) fn is_nobody(self) -> bool {
        self.0 & NOBODY != 0
    }
}

/// Whether an id may be somebody's: those who have proven nothing are one. An id that was made elsewhere names nobody.
pub(super) fn is_of(id: &str, owner: Owner) -> bool {
    let Some(of) = Ticket::read(id).map(Ticket::owner) else {
        return true;
    };
    of == owner || (of.is_nobody() && owner.is_nobody())
}

/// 62 bits that say nothing of the text to who does not guess it.
fn hash(text: &str) -> u64 {
    let hash = Sha256::digest(text);
    let first = hash.iter().take(8);
    first.fold(0, |number, byte| number << 8 | u64::from(*byte)) >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody(address: &str) -> Owner {
        Owner::nobody(Source::from(Some(address.parse().unwrap())))
    }

    #[test]
    fn n45_an_id_is_of_who_it_was_made_for_and_of_nobody_else() {
        let owners = [
            Owner::user(""),
            Owner::user("ann"),
            Owner::user("ann "),
            Owner::user("Ann"),
            Owner::user("bob"),
            Owner::user("192.0.2.1"),
            nobody("192.0.2.1"),
        ];
        for owner in owners {
            let id = Ticket::new(owner).unwrap().to_string();
            assert_ne!(id, Ticket::new(owner).unwrap().to_string());
            assert_eq!(id.as_bytes()[14], b'8', "{id}");
            assert!(
                matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'),
                "{id}"
            );
            for other in owners {
                assert_eq!(is_of(&id, other), owner == other, "{id} {other:?}");
            }
        }
    }

    #[test]
    fn an_id_of_nobody_is_of_nobody_at_any_address_and_tells_them_apart() {
        let id = |address| Ticket::new(nobody(address)).unwrap();
        let here = id("192.0.2.1");
        assert!(is_of(&here.to_string(), nobody("192.0.2.2")));
        assert_eq!(here.owner(), id("192.0.2.1").owner());
        assert_ne!(here.owner(), id("192.0.2.2").owner());
        assert_eq!(id("2001:db8::1").owner(), id("2001:db8::2").owner());
        assert!(here.owner().is_nobody());
        assert!(!Ticket::new(Owner::user("ann")).unwrap().owner().is_nobody());
    }

    #[test]
    fn what_is_written_is_read() {
        for owner in [Owner::user("ann"), nobody("192.0.2.1")] {
            let ticket = Ticket::new(owner).unwrap();
            assert_eq!(Ticket::read(&ticket.to_string()), Some(ticket));
            assert_eq!(ticket.owner(), owner);
        }
    }

    #[test]
    fn an_id_that_was_made_elsewhere_names_nobody() {
        for id in [
            "00000000-0000-4000-8000-000000000000",
            "00000000-0000-8000-0000-000000000000",
            "no-uuid",
            "",
            "+0000000-0000-8000-8000-000000000000",
            "00000000000080008000000000000000",
        ] {
            assert!(is_of(id, Owner::user("ann")), "{id}");
        }
        let of_another = "00000000-0000-8000-8000-000000000000";
        assert!(!is_of(of_another, Owner::user("ann")));
    }
}
