//! `if`: which clients, methods and schemes nginx turns away.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::Config;

use super::location::matches;
use super::report::{Fate, Report};
use super::scope::Scope;
use super::tree::Directive;

/// What the conditions of a server and its location come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    /// What is refused, or demanded.
    pub effects: BTreeSet<Effect>,
    /// Expressions of user agents that are turned away.
    pub agents: Vec<String>,
}

/// One thing that a condition comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    /// Docker before 1.6 is turned away.
    NoOldDocker,
    /// Reading is refused.
    NoReading,
    /// Writing is refused.
    NoWriting,
    /// Deleting is refused.
    NoDeleting,
    /// Who shows no good certificate is refused.
    Certificate,
    /// Who comes without TLS is sent away.
    HttpsOnly,
}

impl Conditions {
    /// Whether it is among them.
    pub(super) fn have(&self, effect: Effect) -> bool {
        self.effects.contains(&effect)
    }
}

/// `($variable OP value)`
struct Test<'a> {
    variable: &'a str,
    operator: &'a str,
    value: &'a str,
}

/// What happens where the condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// An answer of 400 or more, or none at all.
    Refuse,
    /// An answer that sends the client elsewhere.
    Redirect,
    /// Another answer, or another place to send the request to.
    Answer,
    /// Nothing that decides.
    Nothing,
}

/// Reads the conditions of these lines; what is not understood and may refuse somebody is noted as opening.
pub(super) fn read(lines: &[&Directive], scope: &Scope<'_>, report: &mut Report) -> Conditions {
    let mut found = Conditions::default();
    for line in lines.iter().filter(|line| line.name == "if") {
        one(line, scope, &mut found, report);
        for child in line.children() {
            let fate = report_of(line, report);
            report.rest(child, &fate);
        }
    }
    found
}

/// The inside of an `if` shares its fate, and is not complained of a second time.
fn report_of(line: &Directive, report: &Report) -> Fate {
    let mut entries = Vec::new();
    report.entries(std::slice::from_ref(line), &mut entries);
    let own = entries.into_iter().find(|entry| entry.place == line.place);
    own.map(|entry| entry.fate)
        .filter(|fate| !fate.is_loss())
        .unwrap_or_else(|| {
            Fate::NoEffect("belongs to the if around it, which is not carried".into())
        })
}

fn one(line: &Directive, scope: &Scope<'_>, found: &mut Conditions, report: &mut Report) {
    let action = action(line, scope);
    let test = test(line);
    let variable = test.as_ref().map_or("", |test| test.variable);
    match (variable, &test, action) {
        (_, _, Action::Nothing) => report.left(
            line,
            "dockgate has no conditions; what it does inside decides about nobody",
        ),
        ("$http_user_agent", Some(test), Action::Refuse) => agent(line, test, found, report),
        ("$request_method", Some(test), Action::Refuse) => method(line, test, found, report),
        ("$ssl_client_verify", Some(test), Action::Refuse) if refuses_without_certificate(test) => {
            found.effects.insert(Effect::Certificate);
            report.carried(line, "listener.tls.client_auth = \"required\"");
        }
        ("$scheme" | "$https" | "$server_port", Some(test), Action::Redirect | Action::Refuse)
            if is_plain(test) =>
        {
            found.effects.insert(Effect::HttpsOnly);
            report.stricter(
                line,
                "dockgate does not redirect; the listeners without TLS are left out",
            );
        }
        ("$host" | "$http_host" | "$server_name", _, Action::Redirect | Action::Refuse) => {
            report.left(line, "every host name is answered");
        }
        _ => report.opens(
            line,
            "dockgate has no such condition; it may keep somebody out, or lead elsewhere",
        ),
    }
}

fn action(line: &Directive, scope: &Scope<'_>) -> Action {
    const HARMLESS: [&str; 14] = [
        "set",
        "add_header",
        "access_log",
        "expires",
        "gzip",
        "break",
        "proxy_set_header",
        "more_set_headers",
        "more_clear_headers",
        "limit_rate",
        "limit_rate_after",
        "log_not_found",
        "charset",
        "default_type",
    ];
    for child in line.children() {
        let code = child.arg(0);
        match (child.name.as_str(), code.parse::<u16>()) {
            ("return", Ok(300..=399)) => return Action::Redirect,
            ("return", Ok(400..)) => return Action::Refuse,
            ("return", Err(_)) if code.starts_with("http") || code.starts_with('$') => {
                return Action::Redirect;
            }
            ("rewrite", _)
                if matches!(child.arg(2), "permanent" | "redirect")
                    || child.arg(1).contains("://") =>
            {
                return Action::Redirect;
            }
            ("set", _) if may_decide_later(child, scope) => return Action::Answer,
            (name, _) if HARMLESS.contains(&name) => {}
            _ => return Action::Answer,
        }
    }
    Action::Nothing
}

/// A variable that is set under a condition is there to be asked about later, unless it is one of the log's.
fn may_decide_later(set: &Directive, scope: &Scope<'_>) -> bool {
    let name = set.arg(0).trim_start_matches('$');
    let mut logged = false;
    for line in scope.levels().iter().flatten() {
        // The first word of set is what it gives a value to.
        let mut words = line.args.iter().skip(usize::from(line.name == "set"));
        if !words.any(|word| mentions(word, name)) {
            continue;
        }
        match line.name.as_str() {
            "access_log" => logged = true,
            "log_format" => {}
            _ => return true,
        }
    }
    !logged
}

/// Whether a text holds this variable.
fn mentions(text: &str, name: &str) -> bool {
    text.split('$').skip(1).any(|part| {
        let part = part.strip_prefix('{').unwrap_or(part);
        let rest = part.strip_prefix(name);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    })
}

fn test(line: &Directive) -> Option<Test<'_>> {
    let mut words: Vec<&str> = line.args.iter().map(String::as_str).collect();
    let first = words.first_mut()?;
    *first = first.strip_prefix('(')?;
    if words.last() == Some(&")") {
        words.pop();
    } else {
        let last = words.last_mut()?;
        *last = last.strip_suffix(')')?;
    }
    words.retain(|word| !word.is_empty() || line.args.len() > 2);
    if words.first() == Some(&"") {
        words.remove(0);
    }
    match words.as_slice() {
        [variable, operator, value] => Some(Test {
            variable,
            operator,
            value,
        }),
        [variable, operator] => Some(Test {
            variable,
            operator,
            value: "",
        }),
        _ => None,
    }
}

fn agent(line: &Directive, test: &Test<'_>, found: &mut Conditions, report: &mut Report) {
    let value = test.value;
    let exact = || format!("^{}$", regex::escape(value));
    let pattern = match test.operator {
        "~" => value.to_owned(),
        "~*" => format!("(?i){value}"),
        "=" => exact(),
        "!~" => format!("^(?!.*(?:{value}))"),
        "!~*" => format!("(?i)^(?!.*(?:{value}))"),
        "!=" => format!("^(?!{})", exact()),
        _ => {
            report.opens(line, "is no comparison of a user agent that dockgate has");
            return;
        }
    };
    if test.operator == "~" && is_about_old_docker(value) {
        found.effects.insert(Effect::NoOldDocker);
        report.carried(line, "clients.reject_old_docker = true");
        return;
    }
    let written = toml::Value::Array(vec![pattern.clone().into()]);
    let trial = format!("[clients]\nreject_user_agents = {written}\n");
    match Config::parse(&trial, Path::new("/"), &[]) {
        Ok(_) => {
            report.carried(line, "clients.reject_user_agents");
            found.agents.push(pattern);
        }
        Err(_) => report.opens(
            line,
            "is an expression that dockgate does not understand, or one that turns everybody away",
        ),
    }
}

/// The rule of the recipe that everybody copied, in the spellings that mean the same.
fn is_about_old_docker(expression: &str) -> bool {
    let bare = expression.replace("\\/", "/");
    let bare = bare
        .strip_suffix(".*$")
        .or(bare.strip_suffix(".*"))
        .unwrap_or(&bare);
    bare == r"^(docker/1\.(3|4|5(?!\.[0-9]-dev))|Go )"
}

fn method(line: &Directive, test: &Test<'_>, found: &mut Conditions, report: &mut Report) {
    let refused = |method: &str| match test.operator {
        "=" => Some(method == test.value),
        "!=" => Some(method != test.value),
        "~" => matches(test.value, method),
        "!~" => matches(test.value, method).map(|hit| !hit),
        "~*" => matches(&format!("(?i){}", test.value), method),
        "!~*" => matches(&format!("(?i){}", test.value), method).map(|hit| !hit),
        _ => None,
    };
    // Half of a way to write is none; so one of its methods stands for all.
    let any = |methods: &[&str]| -> Option<bool> {
        let judged: Option<Vec<bool>> = methods.iter().map(|method| refused(method)).collect();
        judged.map(|judged| judged.contains(&true))
    };
    let judged = (
        any(&["GET", "HEAD"]),
        any(&["POST", "PUT", "PATCH"]),
        any(&["DELETE"]),
    );
    let (Some(read), Some(write), Some(delete)) = judged else {
        report.opens(line, "its expression is not understood");
        return;
    };
    for (refused, effect) in [
        (read, Effect::NoReading),
        (write, Effect::NoWriting),
        (delete, Effect::NoDeleting),
    ] {
        if refused {
            found.effects.insert(effect);
        }
    }
    if read || write || delete {
        report.carried(line, "a [[rule]] without these actions");
    } else {
        report.same(line, "other methods are answered 405");
    }
}

fn refuses_without_certificate(test: &Test<'_>) -> bool {
    match (test.operator, test.value) {
        ("!=" | "!~" | "!~*", value) => value.trim_matches(['^', '$']) == "SUCCESS",
        ("=", "NONE") => true,
        _ => false,
    }
}

fn is_plain(test: &Test<'_>) -> bool {
    matches!(
        (test.variable, test.operator, test.value),
        ("$scheme", "=" | "~" | "~*", "http")
            | ("$scheme", "!=", "https")
            | ("$https", "=", "")
            | ("$https", "!=", "on")
            | ("$server_port", "=", "80")
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tree::{Numbers, parse};
    use super::*;

    fn found(text: &str) -> (Conditions, String) {
        let list = parse(&Arc::from("f"), text, &mut Numbers::default()).unwrap();
        let mut report = Report::default();
        let lines: Vec<_> = list.iter().collect();
        let found = read(&lines, &Scope::of(lines.clone()), &mut report);
        let mut entries = Vec::new();
        report.entries(&list, &mut entries);
        let said: Vec<String> = entries.iter().map(ToString::to_string).collect();
        (found, said.join("\n"))
    }

    #[test]
    fn the_recipes_rule_is_known_and_other_agents_are_expressions() {
        let rule = r#"if ($http_user_agent ~ "^(docker\/1\.(3|4|5(?!\.[0-9]-dev))|Go ).*$" ) { return 404; }"#;
        let (conditions, _) = found(rule);
        assert!(conditions.have(Effect::NoOldDocker) && conditions.agents.is_empty());
        // As one container has it: its slip means that it never turned anybody away, and it never will.
        let (conditions, _) = found(&rule.replace(".*$", r".*\$"));
        assert!(!conditions.have(Effect::NoOldDocker));
        let slip = r"^(docker\/1\.(3|4|5(?!\.[0-9]-dev))|Go ).*\$";
        assert_eq!(conditions.agents, [slip]);
        for (test, agent) in [
            ("~* curl", "(?i)curl"),
            ("= \"\"", "^$"),
            ("= a.b", "^a\\.b$"),
            ("!~ ^docker", "^(?!.*(?:^docker))"),
        ] {
            let (conditions, said) =
                found(&format!("if ($http_user_agent {test}) {{ return 403; }}"));
            assert_eq!(conditions.agents, [agent], "{said}");
        }
        let (conditions, said) = found("if ($http_user_agent ~ .*) { return 403; }");
        assert!(
            conditions.agents.is_empty() && said.contains("more open"),
            "{said}"
        );
    }

    #[test]
    fn methods_certificates_and_schemes_that_are_refused_are_understood() {
        use Effect::{Certificate, HttpsOnly, NoDeleting, NoWriting};
        for (text, effects) in [
            (
                "if ($request_method !~ ^(GET|HEAD)$) { return 403; }",
                &[NoWriting, NoDeleting][..],
            ),
            (
                "if ($request_method = DELETE) { return 405; }",
                &[NoDeleting],
            ),
            (
                "if ($ssl_client_verify != SUCCESS) { return 403; }",
                &[Certificate],
            ),
            (
                "if ($scheme = http) { return 301 https://$host$request_uri; }",
                &[HttpsOnly],
            ),
        ] {
            let found: Vec<Effect> = found(text).0.effects.into_iter().collect();
            assert_eq!(found, effects, "{text}");
        }
    }

    #[test]
    fn a_condition_that_may_keep_somebody_out_is_never_passed_over() {
        for text in [
            "if ($remote_addr ~ ^10) { return 403; }",
            "if ($http_x_token != geheim) { return 401; }",
            "if ($bad) { return 403; }",
            "if ($ssl_client_verify = SUCCESS) { return 403; }",
            "if ($http_user_agent ~ x) { set $deny 1; }",
            "if ($request_method ~ \"(\") { return 403; }",
            "if (!-f /x) { return 503; }",
            "if ($http_user_agent ~ x) { proxy_pass http://other; }",
        ] {
            let (conditions, said) = found(text);
            assert_eq!(conditions, Conditions::default(), "{text}");
            assert!(said.contains("more open"), "{text}: {said}");
            assert!(!said.contains("geheim"), "{said}");
        }
        for text in [
            "if ($http_user_agent ~ x) { access_log off; }",
            "if ($http_user_agent ~ x) { set $loud 0; } access_log a combined if=$loud;",
        ] {
            let (_, said) = found(text);
            assert!(!said.contains("more open"), "{said}");
        }
        for text in [
            "if ($http_host = x) { set $logins b; } auth_basic_user_file $logins;",
            "if ($http_host = x) { set $log b; } access_log ${log}; proxy_pass http://$log;",
            "if ($http_host = x) { set $log b; } access_log $logs;",
        ] {
            let (_, said) = found(text);
            assert!(said.contains("more open"), "{text}: {said}");
        }
    }
}
