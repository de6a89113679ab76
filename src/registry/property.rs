//! What holds of every state of a digest that a store may hold.

use sha2::{Digest as _, Sha256};

use super::digester::{Digester, digests};

/// A state as it is, one whose check fits whatever stands before it, and the bytes themselves put down and taken up.
pub(crate) fn state(data: &[u8]) {
    let body = [b"dockgat\x01", data].concat();
    let check = Sha256::digest(&body);
    for state in [data.to_vec(), [&body[..], &check[..8]].concat()] {
        // Bytes of a block that nobody has filled yet mean nothing, so a state need not come out as it went in.
        if let Some(read) = Digester::load(&state) {
            let again = Digester::load(&read.save()).map(Digester::finish);
            assert_eq!(again, Some(read.finish()));
        }
    }
    let mut digester = Digester::new();
    let mut taken = 0;
    for piece in data.chunks(37) {
        digester.update(piece);
        taken += piece.len() as u64;
        let Some(read) = Digester::load(&digester.save()) else {
            panic!("a state of {taken} bytes is not taken up again");
        };
        digester = read;
        assert_eq!(digester.length(), taken);
    }
    assert_eq!(digester.finish().sha256, digests(data).sha256);
}
