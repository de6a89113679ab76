//! `DOCKGATE_` variables: which there are, and which of them nobody meant for us.

use super::fault::{Place, nearest};
use super::source::{Source, Variable, Variables};

const PREFIX: &str = "DOCKGATE_";

/// The variables that are, or claim to be, settings.
pub(super) fn variables(environment: &[(String, String)]) -> Variables {
    let ours = environment
        .iter()
        .filter(|(name, _)| name.starts_with(PREFIX));
    ours.map(|(name, value)| {
        let (label, value) = (name.clone(), value.clone());
        (name.clone(), Variable { value, label })
    })
    .collect()
}

/// Faults for the variables that nobody asked for, warnings for those that an orchestrator sets by itself.
pub(super) fn finish(source: &Source<'_>, keys: &[String]) {
    let asked = source.asked_variables.borrow();
    let unread = source
        .variables
        .iter()
        .filter(|(name, _)| !asked.contains(*name));
    for (name, variable) in unread {
        let place = Place::Variable(name.clone());
        if is_noise(name, &variable.value) {
            let text = "is not a setting but what a container platform sets for a service of this name; ignored";
            source.warn(place, name, text);
            continue;
        }
        let known = names(name, keys);
        let meant = nearest(name, known.iter().map(String::as_str));
        source.fault(
            place,
            name,
            match meant {
                Some(meant) if meant == name => gap(name),
                Some(meant) => format!("is not a setting; did you mean {meant}?"),
                None => "is not a setting; docs/configuration.md lists them all".into(),
            },
        );
    }
}

/// The name is right and was not read: its number goes on where nothing came before.
fn gap(name: &str) -> String {
    format!("is never reached: the numbers in {name} begin with 0 and leave none out")
}

/// What each key is called in the environment, numbered as `like` is.
fn names(like: &str, keys: &[String]) -> Vec<String> {
    let numbers: Vec<&str> = like.split('_').filter(|part| is_number(part)).collect();
    let mut names = Vec::new();
    for key in keys {
        let name = format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase());
        if !numbers.is_empty() {
            names.push(numbered(&name, &numbers));
        }
        names.push(name);
    }
    names
}

/// Puts the numbers behind the arrays of tables, in their order.
fn numbered(name: &str, numbers: &[&str]) -> String {
    let mut numbers = numbers.iter();
    let parts = name.split('_').map(|part| match part {
        "LISTENER" | "CERTIFICATES" | "RULE" => numbers
            .next()
            .map_or_else(|| part.to_owned(), |number| format!("{part}_{number}")),
        part => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("_")
}

/// Whether Kubernetes or `docker run --link` set this variable, because a service is called `dockgate` or
/// `dockgate-something`.
pub(super) fn is_noise(name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return false;
    };
    // A service called `dockgate-NAME` has its variables behind `NAME_`.
    let rest = format!("_{rest}");
    let is_url = value
        .split_once("://")
        .is_some_and(|(scheme, _)| matches!(scheme, "tcp" | "udp" | "sctp"));
    rest.ends_with("_SERVICE_HOST")
        || rest.ends_with("_SERVICE_PORT")
        || rest.contains("_SERVICE_PORT_")
        || (rest.ends_with("_PORT") && is_url)
        || rest
            .split_once("_PORT_")
            .is_some_and(|(_, port)| is_linked_port(port))
        || (rest == "_NAME" && value.starts_with('/'))
        || rest.starts_with("_ENV_")
}

/// `443_TCP`, `443_TCP_ADDR`, `443_TCP_PORT`, `443_TCP_PROTO`.
fn is_linked_port(text: &str) -> bool {
    let mut parts = text.split('_');
    let number = parts.next().is_some_and(is_number);
    let protocol = parts
        .next()
        .is_some_and(|part| matches!(part, "TCP" | "UDP" | "SCTP"));
    let what = parts
        .next()
        .is_none_or(|part| matches!(part, "ADDR" | "PORT" | "PROTO" | "START" | "END"));
    number && protocol && what
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_platforms_set_is_told_from_settings() {
        for (name, value, noise) in [
            ("DOCKGATE_SERVICE_HOST", "10.0.0.7", true),
            ("DOCKGATE_SERVICE_PORT", "443", true),
            ("DOCKGATE_SERVICE_PORT_HTTPS", "443", true),
            ("DOCKGATE_PORT", "tcp://10.0.0.7:443", true),
            ("DOCKGATE_PORT", "443", false),
            ("DOCKGATE_PORT_443_TCP", "tcp://10.0.0.7:443", true),
            ("DOCKGATE_PORT_443_TCP_ADDR", "10.0.0.7", true),
            ("DOCKGATE_PORT_443_TCP_PROTO", "tcp", true),
            ("DOCKGATE_BLUE_SERVICE_HOST", "10.0.0.7", true),
            ("DOCKGATE_BLUE_PORT_443_TCP_PORT", "443", true),
            ("DOCKGATE_NAME", "/web/dockgate", true),
            ("DOCKGATE_ENV_PATH", "/bin", true),
            ("DOCKGATE_NAME", "ann", false),
            ("DOCKGATE_UPSTREAM_URI", "http://a", false),
            ("DOCKGATE_LISTENER_0_PORT", "443", false),
        ] {
            assert_eq!(is_noise(name, value), noise, "{name}={value}");
        }
    }

    #[test]
    fn names_carry_the_numbers_of_the_one_they_are_compared_with() {
        let keys = [
            "listener.tls.certificates.key".to_owned(),
            "log.level".to_owned(),
        ];
        let names = names("DOCKGATE_LISTENER_1_TLS_CERTIFICATES_2_KEI", &keys);
        assert!(
            names.contains(&"DOCKGATE_LISTENER_1_TLS_CERTIFICATES_2_KEY".into()),
            "{names:?}"
        );
        assert!(names.contains(&"DOCKGATE_LOG_LEVEL".into()), "{names:?}");
    }
}
