//! What holds of every credential and every file of them.

use super::basic;
use super::groups;
use super::htpasswd::{BASE64, MAX_NAME, MAX_PASSWORD};

use base64::Engine as _;

pub(crate) use super::htpasswd::property::file as htpasswd;
pub(crate) use super::token::property::token;

/// The `Authorization` lines of a request: who comes out of them goes in as them.
pub(crate) fn authorization(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|b| *b == b'\n').collect();
    let _ = basic::bearer(&lines);
    let claimed = basic::claimed(&lines);
    let Ok(Some(found)) = basic::parse(&lines) else {
        return;
    };
    assert_eq!(lines.len(), 1);
    let (user, password) = (found.user(), found.password());
    assert!(!user.is_empty() && !user.contains(&b':'));
    assert!(user.len() <= MAX_NAME && password.len() <= MAX_PASSWORD);
    assert_eq!(claimed, Some(String::from_utf8_lossy(user).into_owned()));
    let header = format!("Basic {}", BASE64.encode([user, b":", password].concat()));
    let again = basic::parse(&[header.as_bytes()]);
    let same = |c: &basic::Credentials| (c.user(), c.password()) == (user, password);
    assert!(matches!(&again, Ok(Some(c)) if same(c)), "{header}");
}

/// A group file: a user is in a group where a line says so, and nowhere else.
pub(crate) fn groups(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (of, _) = groups::parse(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let says = |line: &str, user: &str, group: &str| {
        let line = line.trim();
        let (name, users) = line.split_once(':').unwrap_or_default();
        !line.starts_with('#')
            && name.trim() == group
            && users.split_whitespace().any(|one| one == user)
    };
    for (user, groups) in of.iter().take(50) {
        assert!(!user.is_empty() && !groups.is_empty());
        for group in groups.iter() {
            let twice = groups.iter().filter(|other| *other == group).count() > 1;
            let said = text.lines().any(|line| says(line, user, group));
            assert!(said && !twice && !group.is_empty(), "{user} in {group}");
        }
    }
    for line in text.lines().take(50) {
        let (group, users) = line.split_once(':').unwrap_or_default();
        for user in users.split_whitespace().take(20) {
            let group = group.trim();
            if !group.is_empty() && says(line, user, group) {
                let is_in = of
                    .get(user)
                    .is_some_and(|g| g.iter().any(|g| **g == *group));
                assert!(is_in, "{user} not in {group}");
            }
        }
    }
}
