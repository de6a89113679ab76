//! `[auth]` and `[clients]`: who may come in, and which programs are turned away.

use super::section::Section;
use super::source::shown;
use super::types::{
    Anonymous, Auth, Backend, Challenge, ClientAuth, Clients, Config, Listener, Satisfy,
};

const REALM: &str = "Registry";

impl Config {
    /// An embedded registry of which nobody said who may come in is good for nobody: it gets a password file below
    /// `state_dir`, which is made at first start.
    pub(super) fn let_a_first_user_in(&mut self) {
        let asks = |listener: &Listener| {
            let tls = listener.tls.as_ref();
            tls.is_some_and(|tls| tls.client_auth != ClientAuth::Off)
        };
        let nobody_said = self.auth.htpasswd.is_none()
            && self.rules.is_empty()
            && !self.listeners.iter().any(asks);
        if nobody_said && matches!(self.backend, Backend::Registry(_)) {
            self.auth.htpasswd = Some(self.state_dir.join("htpasswd"));
            self.first_user = true;
        }
    }
}

pub(super) fn read(section: &Section<'_>) -> Auth {
    Auth {
        realm: section
            .parsed("realm", realm)
            .unwrap_or_else(|| REALM.into()),
        htpasswd: section.path("htpasswd"),
        anonymous: section
            .choice(
                "anonymous",
                &[("none", Anonymous::None), ("pull", Anonymous::Pull)],
            )
            .unwrap_or_default(),
        satisfy: section
            .choice("satisfy", &[("any", Satisfy::Any), ("all", Satisfy::All)])
            .unwrap_or_default(),
        groups: section.path("groups"),
        challenge: section
            .choice(
                "challenge",
                &[
                    ("auto", Challenge::Auto),
                    ("basic", Challenge::Basic),
                    ("bearer", Challenge::Bearer),
                ],
            )
            .unwrap_or_default(),
    }
}

/// RFC 9110 section 5.6.4: a quoted string. What would need escapes in it is refused: clients disagree about them.
fn realm(text: &str) -> Result<String, String> {
    let fits = |c: char| c == ' ' || (c.is_ascii_graphic() && c != '"' && c != '\\');
    if text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} holds more than ASCII letters, digits, spaces and signs other than \" and \\, and clients disagree about the rest",
        shown(text)
    ))
}

pub(super) fn clients(section: &Section<'_>) -> Clients {
    let mut patterns = Vec::new();
    for (pattern, place) in section.list("reject_user_agents") {
        match check_pattern(&pattern) {
            Ok(()) => patterns.push(pattern),
            Err(text) => section.item_fault("reject_user_agents", place, text),
        }
    }
    Clients {
        reject_old_docker: section.boolean("reject_old_docker").unwrap_or(true),
        reject_user_agents: patterns,
    }
}

/// What only the engine with look-around understands. It takes much for literal that the other one refuses as a slip
/// (`a{2,1}`), so it is asked about nothing else.
const LOOK_AROUND: [&str; 5] = ["(?=", "(?!", "(?<=", "(?<!", "(?>"];

/// Patterns without look-around run in linear time; the others compile in the engine that has it.
fn check_pattern(pattern: &str) -> Result<(), String> {
    // Clients that any registry must serve: if all of them match, the pattern is not what was meant.
    const AGENTS: [&str; 3] = ["", "docker/28.0.1 go/go1.23", "containers/5.34.2"];
    let matches_all = match regex::Regex::new(pattern) {
        Ok(regex) => Ok(AGENTS.iter().all(|agent| regex.is_match(agent))),
        Err(_) if LOOK_AROUND.iter().any(|look| pattern.contains(look)) => {
            fancy_regex::Regex::new(pattern)
                .map(|regex| {
                    AGENTS
                        .iter()
                        .all(|agent| regex.is_match(agent).unwrap_or(false))
                })
                .map_err(|why| why.to_string())
        }
        Err(why) => Err(why.to_string()),
    };
    match matches_all {
        Ok(false) => Ok(()),
        Ok(true) => Err(format!(
            "{} matches every client, so nobody could come in",
            shown(pattern)
        )),
        Err(why) => {
            // The engines draw the pattern with a pointer below it; the last line is the reason.
            let why = why.lines().last().unwrap_or_default();
            let why = why.trim().trim_start_matches("error: ");
            Err(format!(
                "{} is not a regular expression: {why}",
                shown(pattern)
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_may_look_ahead_and_must_leave_somebody() {
        for fine in [
            "^curl/",
            r"^docker\/1\.(3|4|5(?!\.[0-9]-dev))",
            "^$",
            r"(?i)bot\b",
        ] {
            assert_eq!(check_pattern(fine), Ok(()), "{fine}");
        }
        for wrong in ["(", "*", "a{2,1}", "", ".*", "x|"] {
            assert!(check_pattern(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_realm_fits_between_quotes() {
        for fine in ["Registry", "Registry realm", "a,b=c"] {
            assert!(realm(fine).is_ok(), "{fine}");
        }
        for wrong in ["a\"b", "a\\b", "a\r\nb", "Müller"] {
            assert!(realm(wrong).is_err(), "{wrong}");
        }
    }
}
