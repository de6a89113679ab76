//! Clients that are turned away by their user agent.

use http::HeaderMap;
use http::header::USER_AGENT;

use crate::config::Clients;

/// A pattern that needs more steps than this on one user agent does not match; no pattern can be made to hang.
const BACKTRACK_LIMIT: usize = 10_000;

/// A user agent is judged by this many bytes; real ones have some two hundred.
const JUDGED: usize = 1024;

/// The rules in force.
#[derive(Debug)]
pub(super) struct UserAgents {
    reject_old_docker: bool,
    patterns: Vec<fancy_regex::Regex>,
}

/// A pattern that does not compile.
#[derive(Debug, thiserror::Error)]
#[error("clients.reject_user_agents: {pattern:?} is no regular expression")]
pub(crate) struct PatternError {
    pattern: String,
    #[source]
    source: Box<fancy_regex::Error>,
}

impl UserAgents {
    pub(super) fn new(clients: &Clients) -> Result<Self, PatternError> {
        let compile = |pattern: &String| {
            fancy_regex::RegexBuilder::new(pattern)
                .backtrack_limit(BACKTRACK_LIMIT)
                .build()
                .map_err(|source| PatternError {
                    pattern: pattern.clone(),
                    source: Box::new(source),
                })
        };
        Ok(Self {
            reject_old_docker: clients.reject_old_docker,
            patterns: clients
                .reject_user_agents
                .iter()
                .map(compile)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether the client is turned away.
    pub(super) fn reject(&self, headers: &HeaderMap) -> bool {
        let Some(agent) = headers.get(USER_AGENT) else {
            return false;
        };
        let bytes = agent.as_bytes();
        let agent = String::from_utf8_lossy(bytes.get(..JUDGED).unwrap_or(bytes));
        (self.reject_old_docker && is_old_docker(&agent))
            || self
                .patterns
                .iter()
                .any(|p| p.is_match(&*agent).unwrap_or(false))
    }
}

/// Docker before 1.6 cannot speak the v2 protocol: `docker/1.3`, `1.4`, `1.5` (but development builds `1.5.N-dev`),
/// and still older ones, whose ping says `Go 1.1 package http`.
fn is_old_docker(agent: &str) -> bool {
    if agent.starts_with("Go ") {
        return true;
    }
    let Some(rest) = agent.strip_prefix("docker/1.") else {
        return false;
    };
    let version = rest.split(' ').next().unwrap_or_default();
    let (minor, patch) = version.split_once('.').unwrap_or((version, ""));
    let minor: String = minor.chars().take_while(char::is_ascii_digit).collect();
    match minor.as_str() {
        "3" | "4" => true,
        "5" => {
            let digits = patch.trim_start_matches(|c: char| c.is_ascii_digit());
            digits.len() == patch.len() || !digits.starts_with("-dev")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn rejected(rules: &UserAgents, agent: &'static str) -> bool {
        rules.reject(&HeaderMap::from_iter([(
            USER_AGENT,
            HeaderValue::from_static(agent),
        )]))
    }

    fn rules(reject_old_docker: bool, patterns: &[&str]) -> Result<UserAgents, PatternError> {
        UserAgents::new(&Clients {
            reject_old_docker,
            reject_user_agents: patterns.iter().map(ToString::to_string).collect(),
        })
    }

    #[test]
    fn docker_before_1_6_is_told_from_all_that_came_after() {
        let rules = rules(true, &[]).unwrap();
        for agent in [
            "docker/1.3.1",
            "docker/1.3",
            "docker/1.4.1 go/go1.3",
            "docker/1.5.0",
            "docker/1.5",
            "docker/1.5.0-rc1",
            "Go 1.1 package http",
        ] {
            assert!(rejected(&rules, agent), "{agent}");
        }
        for agent in [
            "docker/1.5.0-dev",
            "docker/1.5.1-dev go/go1.4",
            "docker/1.6.0",
            "docker/1.13.1",
            "docker/1.30.0",
            "docker/20.10.24+dfsg1 go/go1.19.8 git-commit/5d6db84",
            "Go-http-client/1.1",
            "containerd/1.6.20~ds1",
            "skopeo/1.9.3",
            "curl/7.88.1",
        ] {
            assert!(!rejected(&rules, agent), "{agent}");
        }
    }

    #[test]
    fn configured_patterns_may_look_ahead() {
        let rules = rules(false, &["^docker/1\\.5(?!\\.[0-9]-dev)", "BadBot"]).unwrap();
        assert!(rejected(&rules, "docker/1.5.0"));
        assert!(!rejected(&rules, "docker/1.5.0-dev"));
        assert!(rejected(&rules, "x BadBot y"));
        assert!(!rejected(&rules, "docker/1.3.1"));
    }

    #[test]
    fn a_pattern_cannot_be_made_to_hang() {
        let rules = rules(false, &["^(a+)+(?!x)$"]).unwrap();
        assert!(!rejected(
            &rules,
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"
        ));
    }
}
