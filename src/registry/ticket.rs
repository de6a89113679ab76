//! Ids of uploads. Each says whose the upload is, to who knows whom to ask for: nobody goes on with the upload of
//! somebody else, though both may push to the repository, and though all ids stand in the access log.

use sha2::{Digest as _, Sha256};

/// The version of these UUIDs, for uses of one's own (RFC 9562, section 5.8). registry:2 makes random ones, version 4.
const VERSION: u128 = 0x8 << 76;
const VERSION_BITS: u128 = 0xf << 76;
/// The variant of all UUIDs of the RFC.
const VARIANT: u128 = 0b10 << 62;
const VARIANT_BITS: u128 = 0b11 << 62;

/// A new id for somebody: 60 random bits, and 62 of a hash of them and the name.
pub(super) fn ticket(owner: &str) -> Result<String, getrandom::Error> {
    let random = u128::from(getrandom::u64()?) << 64;
    Ok(written(signed(random, owner)))
}

/// Whether an id may be somebody's. One that was made elsewhere names nobody.
pub(super) fn is_of(id: &str, owner: &str) -> bool {
    let Some(number) = read(id) else {
        return true;
    };
    number & VERSION_BITS != VERSION || number == signed(number, owner)
}

/// The upper half of a number, and what makes it an id of this owner.
fn signed(number: u128, owner: &str) -> u128 {
    let upper = ((number >> 64) << 64) & !VERSION_BITS | VERSION;
    let hash = Sha256::new()
        .chain_update(upper.to_be_bytes())
        .chain_update(owner)
        .finalize();
    let lower = hash
        .iter()
        .take(8)
        .fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    upper | lower & !VARIANT_BITS | VARIANT
}

fn written(number: u128) -> String {
    let hex = format!("{number:032x}");
    let mut text = String::with_capacity(36);
    for (at, digit) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

/// The number of a UUID in the form that is written here.
fn read(id: &str) -> Option<u128> {
    let hex: String = id.split('-').collect();
    let number = u128::from_str_radix(&hex, 16).ok()?;
    (written(number) == id).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n45_an_id_is_of_who_it_was_made_for_and_of_nobody_else() {
        let owners = ["", "ann", "ann ", "Ann", "bob"];
        for owner in owners {
            let id = ticket(owner).unwrap();
            assert_ne!(id, ticket(owner).unwrap());
            assert_eq!(id.as_bytes()[14], b'8', "{id}");
            assert!(
                matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'),
                "{id}"
            );
            for other in owners {
                assert_eq!(is_of(&id, other), owner == other, "{id} {other}");
            }
        }
    }

    #[test]
    fn an_id_that_was_made_elsewhere_names_nobody() {
        for id in [
            "00000000-0000-4000-8000-000000000000",
            "no-uuid",
            "",
            "+0000000-0000-8000-8000-000000000000",
            "00000000000080008000000000000000",
        ] {
            assert!(is_of(id, "ann"), "{id}");
        }
        assert!(!is_of("00000000-0000-8000-8000-000000000000", "ann"));
    }
}
