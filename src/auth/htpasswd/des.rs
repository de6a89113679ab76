//! The traditional 13-character crypt: 25 rounds of a salted DES over a block of zeros (FIPS 46, Unix V7).
//!
//! Only the low seven bits of the first eight characters of a password count. It is read because old files have it
//! and nginx takes it. One bit is one byte here: slow beside real DES code and still far below a millisecond.

use zeroize::Zeroize;

use super::crypt64;

/// Length of salt and digest together.
pub(super) const ENCODED: usize = 13;

/// Initial permutation (FIPS 46 tables; bits are counted from one).
const IP: [u8; 64] = [
    58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4, 62, 54, 46, 38, 30, 22, 14, 6,
    64, 56, 48, 40, 32, 24, 16, 8, 57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3, 61,
    53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
];

/// Final permutation, the inverse of the initial one.
const FP: [u8; 64] = [
    40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31, 38, 6, 46, 14, 54, 22, 62, 30,
    37, 5, 45, 13, 53, 21, 61, 29, 36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11, 51, 19, 59, 27,
    34, 2, 42, 10, 50, 18, 58, 26, 33, 1, 41, 9, 49, 17, 57, 25,
];

/// Expansion of the right half; the salt swaps entries of it.
const E: [u8; 48] = [
    32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17, 16, 17, 18,
    19, 20, 21, 20, 21, 22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1,
];

/// Permutation after the substitution.
const P: [u8; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19,
    13, 30, 6, 22, 11, 4, 25,
];

/// Choice of the key's bits: first C, then D.
const PC1: [u8; 56] = [
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60,
    52, 44, 36, 63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29,
    21, 13, 5, 28, 20, 12, 4,
];

/// Choice of a round key's bits.
const PC2: [u8; 48] = [
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52,
    31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];

/// How far C and D turn before each round.
const SHIFTS: [usize; 16] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];

/// The substitution boxes, row by row.
const S: [[u8; 64]; 8] = [
    [
        14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12,
        11, 9, 5, 3, 8, 4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9,
        1, 7, 5, 11, 3, 14, 10, 0, 6, 13,
    ],
    [
        15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1,
        10, 6, 9, 11, 5, 0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15,
        4, 2, 11, 6, 7, 12, 0, 5, 14, 9,
    ],
    [
        10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5,
        14, 12, 11, 15, 1, 13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6,
        9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12,
    ],
    [
        7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2,
        12, 1, 10, 14, 9, 10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1,
        13, 8, 9, 4, 5, 11, 12, 7, 2, 14,
    ],
    [
        2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15,
        10, 3, 9, 8, 6, 4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14,
        2, 13, 6, 15, 0, 9, 10, 4, 5, 3,
    ],
    [
        12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13,
        14, 0, 11, 3, 8, 9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5,
        15, 10, 11, 14, 1, 7, 6, 0, 8, 13,
    ],
    [
        4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5,
        12, 2, 15, 8, 6, 1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4,
        10, 7, 9, 5, 0, 15, 14, 2, 3, 12,
    ],
    [
        13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6,
        11, 0, 14, 9, 2, 7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10,
        8, 13, 15, 12, 9, 0, 3, 5, 6, 11,
    ],
];

/// The eleven characters behind the salt; `None` when the salt is not of crypt's alphabet.
pub(super) fn digest(password: &[u8], salt: [u8; 2]) -> Option<Vec<u8>> {
    let expansion = salted_expansion(salt)?;
    let mut keys = round_keys(password);
    let mut block = [0_u8; 64];
    for _ in 0..25 {
        block = encrypt(block, &keys, &expansion);
    }
    keys.zeroize();
    let mut text = Vec::with_capacity(ENCODED - salt.len());
    for six in block.chunks(6) {
        let bits = (0..6).fold(0, |bits, i| bits << 1 | six.get(i).copied().unwrap_or(0));
        text.push(crypt64::letter(u32::from(bits)));
    }
    Some(text)
}

/// Each set bit of the salt's twelve swaps one entry of the first half with its partner in the second.
fn salted_expansion(salt: [u8; 2]) -> Option<[u8; 48]> {
    let mut expansion = E;
    for (half, character) in salt.into_iter().enumerate() {
        let bits = crypt64::value(character)?;
        for bit in 0..6 {
            if bits >> bit & 1 == 1 {
                expansion.swap(6 * half + bit, 6 * half + bit + 24);
            }
        }
    }
    Some(expansion)
}

fn round_keys(password: &[u8]) -> [[u8; 48]; 16] {
    let mut key = [0_u8; 64];
    for (byte, bits) in password.iter().zip(key.chunks_mut(8)) {
        for (place, bit) in bits.iter_mut().take(7).enumerate() {
            *bit = byte >> (6 - place) & 1;
        }
    }
    let mut chosen = permute(&key, &PC1);
    key.zeroize();
    let keys = SHIFTS.map(|shift| {
        let (c, d) = chosen.split_at_mut(28);
        c.rotate_left(shift);
        d.rotate_left(shift);
        permute(&chosen, &PC2)
    });
    chosen.zeroize();
    keys
}

fn encrypt(block: [u8; 64], keys: &[[u8; 48]; 16], expansion: &[u8; 48]) -> [u8; 64] {
    let mixed = permute(&block, &IP);
    let mut left = [0_u8; 32];
    let mut right = [0_u8; 32];
    left.copy_from_slice(&mixed[..32]);
    right.copy_from_slice(&mixed[32..]);
    for key in keys {
        let mut next = feistel(&right, key, expansion);
        for (bit, old) in next.iter_mut().zip(left) {
            *bit ^= old;
        }
        left = right;
        right = next;
    }
    let mut swapped = [0_u8; 64];
    swapped[..32].copy_from_slice(&right);
    swapped[32..].copy_from_slice(&left);
    permute(&swapped, &FP)
}

fn feistel(right: &[u8; 32], key: &[u8; 48], expansion: &[u8; 48]) -> [u8; 32] {
    let mut input = permute(right, expansion);
    for (bit, key) in input.iter_mut().zip(key) {
        *bit ^= key;
    }
    let mut output = [0_u8; 32];
    for (number, table) in S.iter().enumerate() {
        let six = &input[6 * number..6 * number + 6];
        let row = six[0] << 1 | six[5];
        let column = six[1] << 3 | six[2] << 2 | six[3] << 1 | six[4];
        let value = table[usize::from(row << 4 | column)];
        for place in 0..4 {
            output[4 * number + place] = value >> (3 - place) & 1;
        }
    }
    permute(&output, &P)
}

/// Bits chosen by a table that counts from one. Every table above stays inside its input.
fn permute<const N: usize>(bits: &[u8], table: &[u8; N]) -> [u8; N] {
    table.map(|place| bits[usize::from(place) - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// perl's crypt over libxcrypt.
    #[test]
    fn known_vectors() {
        assert_eq!(digest(b"password", *b"ab").unwrap(), b"JnggxhB/yWI");
    }

    #[test]
    fn only_eight_characters_of_seven_bits_count() {
        assert_eq!(digest(b"12345678", *b"./"), digest(b"123456789", *b"./"));
        assert_eq!(digest(b"\xb1", *b"zZ"), digest(b"1", *b"zZ"));
        assert_ne!(digest(b"1", *b"zZ"), digest(b"1", *b"zY"));
    }

    #[test]
    fn a_salt_outside_the_alphabet_is_refused() {
        assert_eq!(digest(b"password", *b"a!"), None);
    }
}
