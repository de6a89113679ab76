//! Which `location` nginx chooses, and which may have a say in requests of the registry API.

use super::scope::Scope;
use super::tree::Directive;

/// Paths of every endpoint of the registry API.
const PROBES: [&str; 9] = [
    "/v2/team/app/manifests/latest",
    "/v2/",
    "/v2/_catalog",
    "/v2/app/tags/list",
    "/v2/app/manifests/sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "/v2/team/app/blobs/sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "/v2/team/app/blobs/uploads/",
    "/v2/app/blobs/uploads/0f8fad5b-d9cb-469f-a165-70867728950e",
    "/v2/app/referrers/sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
];

/// How every path of the API begins.
const API: &str = "/v2/";

/// What a location says about paths.
#[derive(Clone, Debug)]
pub(super) enum Kind<'a> {
    /// `= /path`
    Exact(&'a str),
    /// `/path` or `^~ /path`; whether expressions are asked as well.
    Prefix(&'a str, bool),
    /// `~ expression`, as one that ignores case where it is to.
    Expression(String),
    /// `@name`, which no request has as its path.
    Named,
}

/// What the line of a location says.
pub(super) fn kind(location: &Directive) -> Kind<'_> {
    let first = location.arg(0);
    let (sign, rest) = match location.args.as_slice() {
        [sign, path] => (sign.as_str(), path.as_str()),
        // nginx takes both without a space in between.
        _ => ["^~", "~*", "=", "~"]
            .into_iter()
            .find_map(|sign| Some((sign, first.strip_prefix(sign)?)))
            .unwrap_or(("", first)),
    };
    match sign {
        "=" => Kind::Exact(rest),
        "^~" => Kind::Prefix(rest, false),
        "~" => Kind::Expression(rest.to_owned()),
        "~*" => Kind::Expression(format!("(?i){rest}")),
        _ if rest.starts_with('@') => Kind::Named,
        _ => Kind::Prefix(rest, true),
    }
}

/// The locations of a level.
fn locations<'a>(list: &[&'a Directive]) -> Vec<&'a Directive> {
    let found = list.iter().filter(|d| d.name == "location");
    found.copied().collect()
}

/// The location that most of the registry's paths lead to, as the chain of blocks down to it.
pub(super) fn main<'a>(server: &Scope<'a>) -> Option<Vec<&'a Directive>> {
    let found = |path: &str| chosen(server.own(), path).0;
    let chains: Vec<Vec<&Directive>> = PROBES.iter().map(|path| found(path)).collect();
    let ends = |chain: &[&Directive]| chain.last().map(|d| d.id);
    let votes = |chain: &[&Directive]| chains.iter().filter(|c| ends(c) == ends(chain)).count();
    let mut best: Option<&Vec<&Directive>> = None;
    for chain in chains.iter().filter(|chain| !chain.is_empty()) {
        if best.is_none_or(|best| votes(chain) > votes(best)) {
            best = Some(chain);
        }
    }
    best.cloned()
}

/// Locations beside the main one that decide about some paths of the registry API, with the chain of blocks to each.
pub(super) fn narrower<'a>(server: &Scope<'a>, main: &[&'a Directive]) -> Vec<Vec<&'a Directive>> {
    let whole = main.iter().all(|d| takes_all(d));
    let level = locations(server.own());
    let no_expressions = whole && are_never_asked(&level, main);
    let mut found = Vec::new();
    let alive = |chain: &[&'a Directive], level: Vec<&'a Directive>| -> Vec<Vec<&'a Directive>> {
        let longest = longest(&level);
        let chains = level.into_iter().filter(|d| is_alive(d, longest)).map(|d| {
            let mut chain = chain.to_vec();
            chain.push(d);
            chain
        });
        chains.collect()
    };
    let mut open = alive(&[], level);
    while let Some(chain) = open.pop() {
        let Some(last) = chain.last().copied() else {
            continue;
        };
        let touches = match kind(last) {
            Kind::Exact(path) => path.starts_with(API),
            // What the main one leaves goes to the shorter ones.
            Kind::Prefix(path, _) => path.starts_with(API) || !whole,
            Kind::Expression(_) if no_expressions && chain.len() == 1 => continue,
            Kind::Expression(_) => true,
            Kind::Named => false,
        };
        open.extend(alive(
            &chain,
            locations(&last.children().iter().collect::<Vec<_>>()),
        ));
        // The blocks around the main one get nothing where that takes all.
        let is_main = if whole {
            main.iter().any(|d| d.id == last.id)
        } else {
            main.last().is_some_and(|d| d.id == last.id)
        };
        if touches && !is_main {
            found.push(chain);
        }
    }
    found.sort_by_key(|chain| chain.last().map(|d| d.id));
    found
}

/// Whether some paths of the registry API lead to the main location, and others to none at all.
pub(super) fn leaves_some_to_none(server: &Scope<'_>, main: &[&Directive]) -> bool {
    let leaves = main.first().is_some_and(|d| !takes_all(d));
    leaves && !locations(server.own()).into_iter().any(takes_all)
}

/// Whether no request of the API asks the expressions of the outermost level: `^~` counts at its own level alone.
fn are_never_asked(level: &[&Directive], main: &[&Directive]) -> bool {
    let Some(first) = main.first() else {
        return false;
    };
    let asks =
        |d: &&Directive| matches!(kind(d), Kind::Prefix(path, true) if path.starts_with(API));
    matches!(kind(first), Kind::Prefix(_, false))
        && !level.iter().any(|d| d.id != first.id && asks(d))
}

/// The length of the longest prefix of a level that all paths of the API have.
fn longest(level: &[&Directive]) -> usize {
    let lengths = level.iter().filter_map(|d| match kind(d) {
        Kind::Prefix(path, _) if API.starts_with(path) => Some(path.len()),
        _ => None,
    });
    lengths.max().unwrap_or_default()
}

/// Whether a request of the API may come to a location of a level with this longest prefix.
fn is_alive(location: &Directive, longest: usize) -> bool {
    match kind(location) {
        Kind::Exact(path) => path.starts_with(API),
        Kind::Prefix(path, _) => {
            path.starts_with(API) || (API.starts_with(path) && path.len() == longest)
        }
        Kind::Expression(expression) => may_touch(&expression),
        Kind::Named => false,
    }
}

/// Whether a location fits every path of the API.
fn takes_all(location: &Directive) -> bool {
    match kind(location) {
        Kind::Prefix(path, _) => API.starts_with(path),
        Kind::Expression(expression) => fits_all(&expression),
        Kind::Exact(_) | Kind::Named => false,
    }
}

/// Whether an expression is one of the few that fit every path of the API, beyond doubt.
fn fits_all(expression: &str) -> bool {
    let bare = expression
        .strip_prefix("(?i)")
        .map_or_else(|| expression.to_owned(), str::to_ascii_lowercase);
    let plain = bare.replace("\\/", "/");
    let end = ["(.*)$", ".*$", "(.*)", ".*"]
        .iter()
        .find_map(|end| plain.strip_suffix(end));
    let begin = end.unwrap_or(&plain);
    let literal = begin.strip_prefix('^').unwrap_or(begin);
    API.starts_with(literal)
}

/// Whether an expression may match a path of the registry API; what is not understood may.
pub(super) fn may_touch(expression: &str) -> bool {
    let bare = expression.strip_prefix("(?i)").unwrap_or(expression);
    let one = !bare.contains('|');
    // No part of a repository's name, no tag and no digest begins with a dot; but a dot may be optional.
    let behind_dot = ["/\\.", "^/\\.", "^(.*)/\\."]
        .iter()
        .find_map(|begin| bare.strip_prefix(begin));
    if one && behind_dot.is_some_and(|rest| !rest.starts_with(['?', '*', '{'])) {
        return false;
    }
    let Some(anchored) = bare.strip_prefix('^').filter(|_| one) else {
        return true;
    };
    let mut literal = String::new();
    let mut chars = anchored.chars().peekable();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some(c) if !c.is_alphanumeric() => c,
                _ => break,
            },
            // This is the whole path.
            '$' if chars.peek().is_none() => return literal.starts_with(API),
            c if ".[]()*+?{}$^".contains(c) => break,
            c => c,
        };
        if matches!(chars.peek(), Some('*' | '?' | '{')) {
            break;
        }
        literal.push(c.to_ascii_lowercase());
    }
    literal.starts_with(API) || API.starts_with(&literal)
}

/// Whether a location is about the registry's API by its own words.
pub(super) fn names_the_api(chain: &[&Directive]) -> bool {
    chain
        .iter()
        .any(|d| d.args.iter().any(|arg| arg.contains("v2")))
}

/// The chain of blocks that a path leads to; whether that is final.
fn chosen<'a>(list: &[&'a Directive], path: &str) -> (Vec<&'a Directive>, bool) {
    let locations = locations(list);
    let mut best: Option<(&Directive, usize, bool)> = None;
    for location in &locations {
        match kind(location) {
            Kind::Exact(exact) if exact == path => return (vec![location], true),
            Kind::Prefix(prefix, expressions)
                if path.starts_with(prefix)
                    && best.is_none_or(|(_, length, _)| prefix.len() > length) =>
            {
                best = Some((location, prefix.len(), expressions));
            }
            _ => {}
        }
    }
    let mut chain = Vec::new();
    let mut expressions = true;
    if let Some((location, _, more)) = best {
        expressions = more;
        let (below, done) = inside(location, path);
        if done {
            return (below, true);
        }
        chain = below;
    }
    if expressions {
        for location in &locations {
            if let Kind::Expression(expression) = kind(location)
                && matches(&expression, path) == Some(true)
            {
                return (inside(location, path).0, true);
            }
        }
    }
    (chain, false)
}

fn inside<'a>(location: &'a Directive, path: &str) -> (Vec<&'a Directive>, bool) {
    let below: Vec<&Directive> = location.children().iter().collect();
    let (below, done) = chosen(&below, path);
    let chain = std::iter::once(location).chain(below).collect();
    (chain, done)
}

/// Whether an expression matches a text; `None` where our engine does not understand it.
pub(super) fn matches(expression: &str, text: &str) -> Option<bool> {
    // Steps of the engine with look-around; the texts are short.
    const STEPS: usize = 100_000;
    let compiled = fancy_regex::RegexBuilder::new(expression)
        .backtrack_limit(STEPS)
        .build();
    compiled.ok()?.is_match(text).ok()
}

/// Whether an expression matches some path of the registry API; what is not understood does.
pub(super) fn matches_some(expression: &str) -> bool {
    let one = |path: &&str| matches(expression, path).unwrap_or(true);
    may_touch(expression) || PROBES.iter().any(one)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tree::{Numbers, parse};
    use super::*;

    fn main_of(text: &str) -> (Vec<String>, Vec<String>) {
        let list = parse(&Arc::from("f"), text, &mut Numbers::default()).unwrap();
        let scope = Scope::of(list.iter().collect());
        let called = |chain: &[&Directive]| chain.last().unwrap().args.join(" ");
        let main = main(&scope).unwrap_or_default();
        let narrower = narrower(&scope, &main);
        let narrower = narrower.iter().map(|chain| called(chain)).collect();
        (main.iter().map(|d| d.args.join(" ")).collect(), narrower)
    }

    #[test]
    fn the_registrys_location_is_the_one_that_nginx_would_choose() {
        for (text, main, narrower) in [
            ("location / {}", "/", ""),
            ("location / {} location /v2/ {}", "/v2/", ""),
            (
                "location /v2/ {} location /v2 {} location /v {}",
                "/v2/",
                "",
            ),
            (
                "location = / {} location /v1/ {} location /v2/ {}",
                "/v2/",
                "",
            ),
            (
                "location /v2/ {} location /v2/private/ {}",
                "/v2/",
                "/v2/private/",
            ),
            (
                "location / {} location = /v2/_catalog {}",
                "/",
                "= /v2/_catalog",
            ),
            ("location / {} location ~ ^/v2/ {}", "~ ^/v2/", ""),
            ("location / {} location ~* ^/V2/ {}", "~* ^/V2/", ""),
            ("location ^~ /v2/ {} location ~ secret {}", "^~ /v2/", ""),
            ("location /v2/ {} location ~ secret {}", "/v2/", "~ secret"),
            (
                "location /v2/ {} location ~ /\\.ht {} location ~ ^/v1/ {}",
                "/v2/",
                "",
            ),
            ("location / { location /v2/ {} }", "/,/v2/", ""),
            ("location ^~/v2/ {} location =/x {}", "^~/v2/", ""),
            ("location @up {} location /app/ {}", "", ""),
            ("location / {} location ~ ( {}", "/", "~ ("),
            (
                "location / {} location ~ ^\\/v2\\/.*$ {}",
                "~ ^\\/v2\\/.*$",
                "",
            ),
            // What an expression leaves goes to the longest prefix, or to the block around it.
            (
                "location / {} location /v2 {} location ~ ^/v2/(?!x/) {}",
                "~ ^/v2/(?!x/)",
                "/v2",
            ),
            (
                "location / {} location /v2/app/ {} location /v2/team/ {} location ~ /(_catalog|)$ {}",
                "/v2/app/",
                "/,/v2/team/,~ /(_catalog|)$",
            ),
            (
                "location /v2/ { location ~ ^/v2/(?!x/) {} }",
                "/v2/,~ ^/v2/(?!x/)",
                "/v2/",
            ),
            // ^~ counts at its own level, and for its own paths.
            (
                "location / { location ^~ /v2/ {} } location ~ secret {}",
                "/,^~ /v2/",
                "~ secret",
            ),
            (
                "location ^~ /v2/ {} location /v2/x/ {} location ~ secret {}",
                "^~ /v2/",
                "/v2/x/,~ secret",
            ),
            // Nothing of the API comes to these.
            (
                "location / { location ~ y {} } location /app/ { location ~ y {} } location /v2/ {}",
                "/v2/",
                "",
            ),
        ] {
            let (found, more) = main_of(text);
            assert_eq!(found.join(","), main, "{text}");
            assert_eq!(more.join(","), narrower, "{text}");
        }
    }

    #[test]
    fn an_expression_touches_the_api_unless_it_cannot() {
        for (expression, touches) in [
            ("^/v1/", false),
            ("^/v2/private", true),
            ("^/(v1|v2)/", true),
            ("^/v", true),
            ("\\.php$", true),
            ("/\\.ht", false),
            ("^/static/.*$", false),
            ("^/v1/|x", true),
            ("^/w?v2/", true),
            ("/\\.?private/", true),
            ("/\\.*private/", true),
            ("/\\.{0}private/", true),
            ("^(.*)/\\.?private/", true),
            ("^(.*)/\\.git", false),
            ("^/$", false),
            ("^/v2/$", true),
        ] {
            assert_eq!(may_touch(expression), touches, "{expression}");
        }
    }
}
