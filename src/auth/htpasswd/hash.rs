//! One hash as it stands behind the colon: which format it is, and whether a password fits it.

use std::fmt;
use std::str;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use yescrypt::{Mode, Params, yescrypt};

use super::md5crypt::{self, Magic};
use super::problem::Problem;
use super::shacrypt::{self, DEFAULT_ROUNDS, MAX_ROUNDS, MIN_ROUNDS, Sha};
use super::{crypt64, des};

/// The most expensive bcrypt that is accepted: cost 14 is about a second for each check, and each step doubles it.
/// Apache's tool writes up to 17 and the format knows 31 (two days), which would let anybody who can connect keep
/// every core busy with a handful of wrong passwords.
pub(crate) const MAX_BCRYPT_COST: u32 = 14;

/// bcrypt never looks at a byte beyond this one; a longer password is refused rather than cut.
pub(crate) const MAX_BCRYPT_PASSWORD: usize = 72;

/// The most memory that one yescrypt check may take: twice what `mkpasswd` and Debian's `passwd` choose. Checks run
/// side by side, so this times `limits.password_checks` is what a flood of wrong passwords makes us hold.
pub(crate) const MAX_YESCRYPT_MEMORY: u64 = 32 << 20;

/// yescrypt's params are a few characters, and its salts at most 64 bytes.
const MAX_YESCRYPT_FIELD: usize = 86;

/// Standard alphabet, with or without padding.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A hash in one of the formats that nginx and Apache write.
pub(crate) enum Hash<'a> {
    /// `$2a$`, `$2b$` and `$2y$`: the whole line.
    Bcrypt(&'a str),
    /// `$1$` and `$apr1$`.
    Md5 {
        /// Which of the two.
        magic: Magic,
        /// At most eight bytes.
        salt: &'a [u8],
        /// Encoded.
        digest: &'a [u8],
    },
    /// `$5$` and `$6$`.
    ShaCrypt {
        /// Which of the two.
        sha: Sha,
        /// Explicit or the default.
        rounds: u32,
        /// At most sixteen bytes.
        salt: &'a [u8],
        /// Encoded.
        digest: &'a [u8],
    },
    /// `{SHA}` (without salt) and `{SSHA}`.
    Sha1 {
        /// The digest and then the salt.
        bytes: Vec<u8>,
    },
    /// `{PLAIN}`: the password itself.
    Plain(&'a [u8]),
    /// `$y$`
    Yescrypt {
        /// N and r.
        params: Params,
        /// Decoded.
        salt: Vec<u8>,
        /// Decoded, 32 bytes.
        digest: Vec<u8>,
    },
    /// Thirteen characters of traditional crypt.
    Des {
        /// Two characters.
        salt: [u8; 2],
        /// Eleven characters.
        digest: &'a [u8],
    },
}

impl fmt::Debug for Hash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'a> Hash<'a> {
    /// Reads what stands between the first colon of a line and the second, or its end.
    ///
    /// # Errors
    /// What is wrong with it, where no password could or should be checked against it.
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, Problem> {
        if let Some(password) = text.strip_prefix(b"{PLAIN}") {
            return Ok(Self::Plain(password));
        }
        let text = text.trim_ascii_end();
        match text {
            [] => Err(Problem::NoHash),
            [b'$', ..] => Self::parse_modular(text),
            [b'{', ..] => Self::parse_ldap(text),
            [first, second, digest @ ..]
                if text.len() == des::ENCODED && crypt64::is_text(text) =>
            {
                let salt = [*first, *second];
                Ok(Self::Des { salt, digest })
            }
            _ => Err(Problem::NotAHash),
        }
    }

    fn parse_modular(text: &'a [u8]) -> Result<Self, Problem> {
        let mut fields = text.splitn(3, |byte| *byte == b'$').skip(1);
        let (Some(mark), Some(rest)) = (fields.next(), fields.next()) else {
            return Err(Problem::NotAHash);
        };
        match mark {
            b"2y" | b"2b" | b"2a" => parse_bcrypt(text),
            b"2x" => Err(Problem::Bcrypt2x),
            b"1" => parse_md5(rest, Magic::Crypt),
            b"apr1" => parse_md5(rest, Magic::Apache),
            b"5" => parse_sha_crypt(rest, Sha::Sha256),
            b"6" => parse_sha_crypt(rest, Sha::Sha512),
            b"y" => parse_yescrypt(rest),
            other => Err(unsupported(other)),
        }
    }

    fn parse_ldap(text: &'a [u8]) -> Result<Self, Problem> {
        let (kind, encoded) = match text {
            [b'{', b'S', b'H', b'A', b'}', encoded @ ..] => ("{SHA}", encoded),
            [b'{', b'S', b'S', b'H', b'A', b'}', encoded @ ..] => ("{SSHA}", encoded),
            _ => return Err(Problem::NotAHash),
        };
        let damaged = Problem::Damaged { kind };
        let bytes = BASE64.decode(encoded).map_err(|_| damaged)?;
        let digest = <Sha1 as Digest>::output_size();
        let fits = match kind {
            "{SHA}" => bytes.len() == digest,
            _ => bytes.len() >= digest,
        };
        if fits {
            Ok(Self::Sha1 { bytes })
        } else {
            Err(damaged)
        }
    }

    /// True when the password is the one that was hashed. Takes as long as the hash is expensive; the comparison
    /// itself takes the same time wherever the first difference is. A password with a NUL fits nothing: `crypt()`
    /// ends there, so `secret\0anything` would fit `secret`.
    pub(crate) fn matches(&self, password: &[u8]) -> bool {
        if password.contains(&0) {
            return false;
        }
        match self {
            Self::Bcrypt(text) => {
                password.len() <= MAX_BCRYPT_PASSWORD
                    && bcrypt::verify(password, text).unwrap_or(false)
            }
            Self::Md5 {
                magic,
                salt,
                digest,
            } => same(&md5crypt::digest(password, salt, *magic), digest),
            Self::ShaCrypt {
                sha,
                rounds,
                salt,
                digest,
            } => shacrypt::digest(*sha, password, salt, *rounds)
                .is_some_and(|computed| same(&computed, digest)),
            Self::Sha1 { bytes } => {
                let length = <Sha1 as Digest>::output_size();
                bytes
                    .split_at_checked(length)
                    .is_some_and(|(digest, salt)| {
                        same(
                            &Sha1::new_with_prefix(password)
                                .chain_update(salt)
                                .finalize(),
                            digest,
                        )
                    })
            }
            // Digests have one length, so the time does not tell the password's.
            Self::Plain(plain) => same(&Sha256::digest(password), &Sha256::digest(plain)),
            Self::Yescrypt {
                params,
                salt,
                digest,
            } => {
                let mut computed = [0_u8; YESCRYPT_DIGEST];
                yescrypt(password, salt, params, &mut computed).is_ok() && same(&computed, digest)
            }
            Self::Des { salt, digest } => {
                des::digest(password, *salt).is_some_and(|computed| same(&computed, digest))
            }
        }
    }
}

/// Length of yescrypt's digest in bytes, and encoded.
const YESCRYPT_DIGEST: usize = 32;
const YESCRYPT_ENCODED: usize = 43;

fn same(computed: &[u8], stored: &[u8]) -> bool {
    computed.ct_eq(stored).into()
}

/// Fixed texts alone: nothing of the line is printed.
fn unsupported(mark: &[u8]) -> Problem {
    const KNOWN: [(&[u8], &str); 9] = [
        (b"gy", "$gy$ (gost-yescrypt)"),
        (b"7", "$7$ (scrypt)"),
        (b"sha1", "$sha1$ (sha1crypt)"),
        (b"md5", "$md5$ (SunMD5)"),
        (b"3", "$3$ (NT hash)"),
        (b"argon2id", "$argon2id$"),
        (b"argon2i", "$argon2i$"),
        (b"argon2d", "$argon2d$"),
        (b"2", "$2$ (the first bcrypt)"),
    ];
    KNOWN
        .iter()
        .find(|(known, _)| *known == mark || (*known == b"md5" && mark.starts_with(b"md5,")))
        .map_or(Problem::NotAHash, |(_, kind)| Problem::Unsupported { kind })
}

fn parse_bcrypt(text: &[u8]) -> Result<Hash<'_>, Problem> {
    let damaged = Problem::Damaged { kind: "bcrypt" };
    let [b'$', b'2', _, b'$', tens, ones, b'$', rest @ ..] = text else {
        return Err(damaged);
    };
    if !tens.is_ascii_digit() || !ones.is_ascii_digit() || rest.len() != 53 {
        return Err(damaged);
    }
    let cost = u32::from(tens - b'0') * 10 + u32::from(ones - b'0');
    if cost < 4 {
        return Err(damaged);
    }
    if cost > MAX_BCRYPT_COST {
        return Err(Problem::BcryptCost { cost });
    }
    let text = str::from_utf8(text).map_err(|_| damaged)?;
    text.parse::<bcrypt::HashParts>().map_err(|_| damaged)?;
    Ok(Hash::Bcrypt(text))
}

/// Salt and digest, where they are as crypt writes them: it cuts a long salt before it prints the line, so a line with
/// a longer one fits no password.
fn salt_and_digest(rest: &[u8], max_salt: usize, encoded: usize) -> Option<(&[u8], &[u8])> {
    let dollar = rest.iter().position(|byte| *byte == b'$')?;
    let (salt, digest) = (rest.get(..dollar)?, rest.get(dollar + 1..)?);
    let sound = salt.len() <= max_salt && digest.len() == encoded && crypt64::is_text(digest);
    sound.then_some((salt, digest))
}

fn parse_md5(rest: &[u8], magic: Magic) -> Result<Hash<'_>, Problem> {
    let kind = magic.prefix();
    let (salt, digest) = salt_and_digest(rest, md5crypt::MAX_SALT, md5crypt::ENCODED)
        .ok_or(Problem::Damaged { kind })?;
    Ok(Hash::Md5 {
        magic,
        salt,
        digest,
    })
}

fn parse_sha_crypt(rest: &[u8], sha: Sha) -> Result<Hash<'_>, Problem> {
    let kind = sha.prefix();
    let damaged = Problem::Damaged { kind };
    let (rounds, rest) = match rest.strip_prefix(b"rounds=") {
        None => (DEFAULT_ROUNDS, rest),
        Some(rest) => {
            let dollar = rest.iter().position(|byte| *byte == b'$').ok_or(damaged)?;
            let (number, rest) = rest.split_at_checked(dollar).ok_or(damaged)?;
            (parse_rounds(number, kind)?, rest.get(1..).ok_or(damaged)?)
        }
    };
    let (salt, digest) = salt_and_digest(rest, shacrypt::MAX_SALT, sha.encoded()).ok_or(damaged)?;
    Ok(Hash::ShaCrypt {
        sha,
        rounds,
        salt,
        digest,
    })
}

/// Digits without a leading zero, as libc wants them.
fn parse_rounds(number: &[u8], kind: &'static str) -> Result<u32, Problem> {
    if !number.iter().all(u8::is_ascii_digit) || !matches!(number.first(), Some(b'1'..=b'9')) {
        return Err(Problem::Damaged { kind });
    }
    // Ten digits and more do not fit, and are too many in any case.
    let rounds = str::from_utf8(number)
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(u32::MAX);
    match rounds {
        ..MIN_ROUNDS => Err(Problem::FewRounds { kind }),
        MIN_ROUNDS..=MAX_ROUNDS => Ok(rounds),
        _ => Err(Problem::ManyRounds { kind }),
    }
}

/// The crate's own parser takes an empty digest, which every password would fit, and does not bound memory: so the line
/// is taken apart here, and only the raw function is called.
fn parse_yescrypt(rest: &[u8]) -> Result<Hash<'_>, Problem> {
    let damaged = Problem::Damaged { kind: "$y$" };
    let rest = str::from_utf8(rest).map_err(|_| damaged)?;
    let mut fields = rest.split('$');
    let (Some(written), Some(salt), Some(digest), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(damaged);
    };
    if written.len() > MAX_YESCRYPT_FIELD
        || salt.len() > MAX_YESCRYPT_FIELD
        || digest.len() != YESCRYPT_ENCODED
    {
        return Err(damaged);
    }
    let parsed: Params = written.parse().map_err(|_| damaged)?;
    let memory = parsed
        .n()
        .checked_mul(u64::from(parsed.r()))
        .and_then(|blocks| blocks.checked_mul(128));
    if memory.is_none_or(|memory| memory > MAX_YESCRYPT_MEMORY) {
        return Err(Problem::YescryptMemory);
    }
    // What crypt's gensalt writes has no parallelism, no extra time and no ROM. A crafted line could ask for hours.
    let params = Params::new(Mode::default(), parsed.n(), parsed.r(), 1).map_err(|_| damaged)?;
    if params.to_string() != written {
        return Err(Problem::Unsupported {
            kind: "$y$ (with parallelism, time or ROM parameters)",
        });
    }
    let salt = crypt64::decode(salt.as_bytes()).ok_or(damaged)?;
    let digest = crypt64::decode(digest.as_bytes()).ok_or(damaged)?;
    Ok(Hash::Yescrypt {
        params,
        salt,
        digest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &[u8] = b"password";

    /// Written by `openssl passwd`, `htpasswd` and perl's crypt.
    const VECTORS: [&str; 9] = [
        "$1$xxxxxxxx$UYCIxa628.9qXjpQCjM4a.",
        "$apr1$xxxxxxxx$dxHfLAsjHkDRmG83UXe8K0",
        "$5$xxxxxxxx$hP8Y3v5H039Gm6oEwYeXGQOqaUqXVrVPKrFK.zAzZPA",
        "$6$xxxxxxxx$wqnb6MLqmjMU5Hx4wQ0qsgf/VWMnStSJlbRMy5buT2fPUnVASxaE4zm2JBuj6ISxoGFOWhZODdzl2VyW/Ltzz.",
        "abJnggxhB/yWI",
        "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC",
        "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g",
        "{PLAIN}password",
        "$2y$04$6yaRU6iEYTqMi0wX6QBnDeImf9tLeJ4Ur/3dTjZgs5OhaPIE6z1Fq",
    ];

    #[test]
    fn every_format_takes_its_password_and_no_other() {
        for text in VECTORS {
            let hash = Hash::parse(text.as_bytes()).unwrap();
            assert!(hash.matches(PASSWORD), "{text}");
            assert!(!hash.matches(b"Password"), "{text}");
            assert!(!hash.matches(b""), "{text}");
            assert!(!hash.matches(b"password\0"), "{text}");
        }
    }

    #[test]
    fn no_format_survives_being_cut_short() {
        for text in VECTORS {
            for length in 0..text.len() {
                let cut = &text.as_bytes()[..length];
                let fits = Hash::parse(cut).is_ok_and(|hash| hash.matches(PASSWORD));
                assert!(!fits, "{text} cut to {length}");
            }
        }
    }

    #[test]
    fn no_format_survives_a_changed_last_but_one_character() {
        for text in VECTORS {
            let mut bytes = text.as_bytes().to_vec();
            let place = bytes.len() - 3;
            bytes[place] = if bytes[place] == b'a' { b'b' } else { b'a' };
            let fits = Hash::parse(&bytes).is_ok_and(|hash| hash.matches(PASSWORD));
            assert!(!fits, "{text}");
        }
    }

    #[test]
    fn c6_expensive_hashes_are_refused_by_name() {
        let salt = "6yaRU6iEYTqMi0wX6QBnDeImf9tLeJ4Ur/3dTjZgs5OhaPIE6z1Fq";
        for (cost, problem) in [
            ("15", Some(Problem::BcryptCost { cost: 15 })),
            ("31", Some(Problem::BcryptCost { cost: 31 })),
            ("14", None),
            ("03", Some(Problem::Damaged { kind: "bcrypt" })),
            ("+5", Some(Problem::Damaged { kind: "bcrypt" })),
        ] {
            let line = format!("$2y${cost}${salt}");
            assert_eq!(Hash::parse(line.as_bytes()).err(), problem, "{cost}");
        }
        let digest = "hP8Y3v5H039Gm6oEwYeXGQOqaUqXVrVPKrFK.zAzZPA";
        for (rounds, problem) in [
            ("999999999", Some(Problem::ManyRounds { kind: "$5$" })),
            ("1000001", Some(Problem::ManyRounds { kind: "$5$" })),
            ("99999999999", Some(Problem::ManyRounds { kind: "$5$" })),
            ("1000000", None),
            ("656000", None),
            ("999", Some(Problem::FewRounds { kind: "$5$" })),
            ("05000", Some(Problem::Damaged { kind: "$5$" })),
            ("", Some(Problem::Damaged { kind: "$5$" })),
        ] {
            let line = format!("$5$rounds={rounds}$salt${digest}");
            assert_eq!(Hash::parse(line.as_bytes()).err(), problem, "{rounds}");
        }
    }

    #[test]
    fn c6_a_yescrypt_line_cannot_ask_for_memory_or_time_without_bound() {
        let tail = "F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC";
        for (params, accepted) in [
            ("j9T", true),
            ("jAT", true),
            ("jBT", false),
            ("jzzzzzzz", false),
            ("j9T/.", false),
            ("j9T01", false),
            ("jrzzzzzzzzzz", false),
            ("", false),
        ] {
            let line = format!("$y${params}${tail}");
            assert_eq!(Hash::parse(line.as_bytes()).is_ok(), accepted, "{params}");
        }
        assert!(Hash::parse(b"$y$j9T$F5Jx5fExrKuPp53xLKQ..1$").is_err());
    }

    #[test]
    fn c6_formats_that_are_not_read_are_told_apart() {
        for (text, words) in [
            ("$2x$10$abc", "$2x$"),
            ("$argon2id$v=19$m=65536,t=3,p=4$abc$def", "$argon2id$"),
            ("$gy$j9T$abc$def", "gost"),
            ("$md5,rounds=904$abc$$def", "SunMD5"),
            ("secret", "not a hash"),
            ("$nonsense", "not a hash"),
            ("{MD5}abc", "not a hash"),
            ("{SSHA}abc", "{SSHA} hash is damaged"),
            ("", "empty"),
            ("!", "not a hash"),
        ] {
            let problem = Hash::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(problem.contains(words), "{text}: {problem}");
        }
    }

    #[test]
    fn n20_the_73rd_byte_against_bcrypt_is_refused_and_not_cut() {
        let text = bcrypt::hash([b'a'; 72], 4).unwrap();
        let hash = Hash::parse(text.as_bytes()).unwrap();
        assert!(hash.matches(&[b'a'; 72]));
        assert!(!hash.matches(&[b'a'; 73]));
    }
}
