//! Serial numbers.

use std::fmt;

use super::der::significant;
use super::error::Error;

/// Of random bytes: 159 bits that nobody guesses, in at most 20 octets (RFC 5280 section 4.1.2.2).
const LENGTH: usize = 20;

/// A serial number: its bytes without zeros in front.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Serial(Vec<u8>);

impl Serial {
    /// From the bytes of a certificate or a list.
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(significant(bytes).to_vec())
    }

    /// One that nobody has had.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn random() -> Result<Self, Error> {
        let mut bytes = [0; LENGTH];
        getrandom::fill(&mut bytes).map_err(Error::Random)?;
        // positive, and as long as it can be
        if let Some(first) = bytes.first_mut() {
            *first = (*first & 0x7f) | 0x40;
        }
        Ok(Self(bytes.to_vec()))
    }

    /// Reads hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut digits = text.bytes().rev().map(|byte| match byte {
            b'0'..=b'9' => byte - b'0',
            other => other.to_ascii_lowercase() - b'a' + 10,
        });
        let mut bytes = Vec::with_capacity(text.len().div_ceil(2));
        while let Some(low) = digits.next() {
            bytes.push(low | (digits.next().unwrap_or(0) << 4));
        }
        bytes.reverse();
        Some(Self::new(&bytes))
    }

    /// The bytes of the number.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The greater one of two.
    pub(super) fn greater(self, other: Self) -> Self {
        let rank = |serial: &Self| (serial.0.len(), serial.0.clone());
        if rank(&other) > rank(&self) {
            other
        } else {
            self
        }
    }

    /// The next number.
    pub(super) fn next(&self) -> Self {
        let mut bytes = vec![0];
        bytes.extend_from_slice(&self.0);
        for byte in bytes.iter_mut().rev() {
            let (sum, carried) = byte.overflowing_add(1);
            *byte = sum;
            if !carried {
                break;
            }
        }
        Self::new(&bytes)
    }
}

/// As `openssl ca` writes it: upper-case hexadecimal, an even number of digits.
impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("00");
        }
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_they_are_written() {
        for (text, written) in [
            ("0", "00"),
            ("00", "00"),
            ("1", "01"),
            ("01", "01"),
            ("0001", "01"),
            ("abc", "0ABC"),
            ("FF00", "FF00"),
        ] {
            assert_eq!(Serial::parse(text).unwrap().to_string(), written);
        }
        for text in ["", "-01", "0x1", "g", " 1"] {
            assert_eq!(Serial::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_next_number_is_one_more() {
        for (text, next) in [
            ("", "01"),
            ("01", "02"),
            ("FF", "0100"),
            ("01FFFF", "020000"),
        ] {
            let serial = Serial::parse(text).unwrap_or(Serial::new(&[]));
            assert_eq!(serial.next().to_string(), next);
        }
    }

    #[test]
    fn the_greater_number_is_not_the_one_with_the_greater_first_digit() {
        let number = |text| Serial::parse(text).unwrap();
        assert_eq!(number("0100").greater(number("FF")), number("0100"));
        assert_eq!(number("02").greater(number("03")), number("03"));
    }

    #[test]
    fn random_numbers_are_positive_long_and_different() {
        let numbers: Vec<Serial> = (0..64).map(|_| Serial::random().unwrap()).collect();
        for (at, number) in numbers.iter().enumerate() {
            assert_eq!(number.bytes().len(), 20);
            assert!(number.bytes()[0] & 0x80 == 0);
            assert!(!numbers[..at].contains(number));
        }
    }
}
