//! The base64 of crypt(3): its own alphabet, and the least significant six bits first.

/// The alphabet, by value.
const ALPHABET: [u8; 64] = *b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Appends the low `6 * characters` bits of `value`.
pub(super) fn push(out: &mut Vec<u8>, mut value: u32, characters: usize) {
    for _ in 0..characters {
        out.push(letter(value));
        value >>= 6;
    }
}

/// Three bytes as four characters, the first byte being the most significant.
pub(super) fn push_triple(out: &mut Vec<u8>, [high, middle, low]: [u8; 3], characters: usize) {
    push(out, u32::from_be_bytes([0, high, middle, low]), characters);
}

/// The character of the low six bits of `value`.
pub(super) fn letter(value: u32) -> u8 {
    let index = value.to_le_bytes()[0] & 0x3f;
    ALPHABET[usize::from(index)]
}

/// The six bits of one character.
pub(super) fn value(character: u8) -> Option<u8> {
    let value = match character {
        b'.' => 0,
        b'/' => 1,
        b'0'..=b'9' => character - b'0' + 2,
        b'A'..=b'Z' => character - b'A' + 12,
        b'a'..=b'z' => character - b'a' + 38,
        _ => return None,
    };
    Some(value)
}

/// True when every byte belongs to the alphabet.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| value(*byte).is_some())
}

/// yescrypt's packing: groups of four characters are three bytes, least significant first; bits left over are zero.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for character in group.iter().rev() {
            bits = bits << 6 | u32::from(value(*character)?);
        }
        let whole = group.len() * 6 / 8;
        if whole == 0 || bits >> (8 * whole) != 0 {
            return None;
        }
        bytes.extend_from_slice(bits.to_le_bytes().get(..whole)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_values_are_inverse() {
        for number in 0..64_u8 {
            assert_eq!(value(letter(u32::from(number))), Some(number));
        }
        assert_eq!((0..=255).filter_map(value).count(), 64);
    }

    #[test]
    fn left_over_bits_must_be_zero() {
        assert_eq!(decode(b"").unwrap(), b"");
        assert_eq!(decode(b"zzzz").unwrap(), [0xff, 0xff, 0xff]);
        assert_eq!(decode(b"z1").unwrap(), [0xff]);
        assert_eq!(decode(b"z5"), None);
        assert_eq!(decode(b"z"), None);
        assert_eq!(decode(b"zz:z"), None);
    }
}
