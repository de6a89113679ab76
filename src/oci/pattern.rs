//! Patterns for repository names, as rules write them.

/// A pattern: `*` stands for any characters within one part of the name, `**` for any number of whole parts, none
/// included; at the end it stands for at least one, so that `public/**` is what lies below `public`.
///
/// Matched in one pass over the name without going back, whatever the pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// What stands between the `**`; each run of parts is looked for once, from left to right.
    runs: Vec<Vec<Part>>,
    /// The pattern ends in `**`, which takes at least one part.
    open: bool,
}

/// One part between slashes: the texts between its `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part(Vec<Box<str>>);

impl Pattern {
    /// Reads a pattern; every text is one.
    pub(crate) fn new(text: &str) -> Self {
        let mut runs = vec![Vec::new()];
        let mut open = false;
        for part in text.split('/') {
            open = part == "**";
            if !open {
                if let Some(run) = runs.last_mut() {
                    run.push(Part(part.split('*').map(Box::from).collect()));
                }
            } else if runs.len() == 1 || runs.last().is_some_and(|run| !run.is_empty()) {
                // Several in a row are one.
                runs.push(Vec::new());
            }
        }
        Self { runs, open }
    }

    /// Whether it is `**`, which stands for every name.
    pub(crate) fn is_everything(&self) -> bool {
        self.open && self.runs.iter().all(Vec::is_empty)
    }

    /// Whether the name is one of those that the pattern stands for.
    pub(crate) fn matches(&self, name: &str) -> bool {
        // The first part decides about most names, without taking them apart.
        if let Some(Part(texts)) = self.runs.first().and_then(|run| run.first())
            && !texts.first().is_none_or(|head| name.starts_with(&**head))
        {
            return false;
        }
        let parts: Vec<&str> = name.split('/').collect();
        match self.runs.as_slice() {
            [] => false,
            [only] => only.len() == parts.len() && is_run(only, &parts),
            [first, middle @ .., last] => {
                let kept = usize::from(self.open);
                let Some((head, rest)) = parts.split_at_checked(first.len()) else {
                    return false;
                };
                let Some(at) = rest.len().checked_sub(last.len().max(kept)) else {
                    return false;
                };
                let (mut rest, tail) = rest.split_at(at);
                if !is_run(first, head) || !(last.is_empty() || is_run(last, tail)) {
                    return false;
                }
                middle.iter().all(|run| {
                    match rest.windows(run.len().max(1)).position(|w| is_run(run, w)) {
                        Some(at) => {
                            rest = rest.get(at + run.len()..).unwrap_or_default();
                            true
                        }
                        None => false,
                    }
                })
            }
        }
    }
}

fn is_run(run: &[Part], parts: &[&str]) -> bool {
    run.iter()
        .zip(parts)
        .all(|(Part(texts), part)| is_like(texts, part))
}

/// Whether `text` is a text that `*` stands in for: every piece between the stars is looked for once, as far left as
/// it goes.
pub(crate) fn is_like_text(pattern: &str, text: &str) -> bool {
    let texts: Vec<Box<str>> = pattern.split('*').map(Box::from).collect();
    is_like(&texts, text)
}

fn is_like(texts: &[Box<str>], text: &str) -> bool {
    let (first, middle, last) = match texts {
        [] => return text.is_empty(),
        [only] => return **only == *text,
        [first, middle @ .., last] => (first, middle, last),
    };
    let Some(mut rest) = text.strip_prefix(&**first) else {
        return false;
    };
    for piece in middle {
        let Some((_, behind)) = rest.split_once(&**piece) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(&**last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_a_part_and_two_cross() {
        for (pattern, yes, no) in [
            (
                "a/b",
                &["a/b"][..],
                &["a", "a/b/c", "a/bb", "aa/b", "b/a/b"][..],
            ),
            (
                "public/**",
                &["public/a", "public/a/b"],
                &["public", "publicity/a", "x/public/a"],
            ),
            ("**", &["a", "a/b/c"], &[]),
            ("**/**/**", &["a", "a/b", "a/b/c/d"], &[]),
            ("*", &["a", "abc"], &["a/b"]),
            ("*/*", &["a/b"], &["a", "a/b/c"]),
            (
                "**/app",
                &["app", "x/app", "x/y/app"],
                &["x/app/y", "xapp", "app/x"],
            ),
            (
                "a/**/b",
                &["a/b", "a/x/b", "a/x/y/b"],
                &["a", "b", "ab", "a/b/x", "a/xb"],
            ),
            (
                "a/**/b/**/c",
                &["a/b/c", "a/b/b/c", "a/x/b/y/z/c"],
                &["a/c", "a/c/b", "a/b", "a/b/x"],
            ),
            (
                "team-*/app",
                &["team-a/app", "team-/app"],
                &["team-a/x/app", "team/app"],
            ),
            ("*a*b*", &["ab", "xaxbx", "aab"], &["ba", "a", "a/b"]),
            ("a*a", &["aa", "aba"], &["a", "ab", "ba"]),
            ("a/**/*", &["a/b", "a/b/c"], &["a"]),
            ("a/**/**", &["a/b", "a/b/c"], &["a", "b/c"]),
            ("", &[], &["a"]),
        ] {
            let compiled = Pattern::new(pattern);
            for name in yes {
                assert!(compiled.matches(name), "{pattern} is not {name}");
            }
            for name in no {
                assert!(!compiled.matches(name), "{pattern} is {name}");
            }
        }
    }

    #[test]
    fn r6_a_hostile_pattern_costs_no_more_than_its_length() {
        let pattern = Pattern::new(&["**/*a*a*a*b"; 40].join("/"));
        let name = ["aaaaa"; 42].join("/");
        for _ in 0..10_000 {
            assert!(!pattern.matches(&name));
        }
        let text = "a".repeat(255);
        for _ in 0..10_000 {
            assert!(!is_like_text(
                &"*a".repeat(200).replace("*a*a", "*a*ab"),
                &text
            ));
        }
    }

    proptest::proptest! {
        /// Held against the obvious and slow definition.
        #[test]
        fn patterns_mean_what_the_definition_says(
            pattern in "(\\*\\*|[ab*]{1,3})(/(\\*\\*|[ab*]{1,3})){0,4}",
            name in "[ab]{1,3}(/[ab]{1,3}){0,4}",
        ) {
            // A part of two stars and more is not one that rules can have, but for `**` itself.
            let fine = pattern.split('/').all(|part| part == "**" || !part.contains("**"));
            proptest::prop_assume!(fine);
            let parts: Vec<&str> = pattern.split('/').collect();
            let names: Vec<&str> = name.split('/').collect();
            proptest::prop_assert_eq!(Pattern::new(&pattern).matches(&name), slow(&parts, &names));
        }
    }

    fn slow(pattern: &[&str], name: &[&str]) -> bool {
        match pattern {
            [] => name.is_empty(),
            rest if rest.iter().all(|p| *p == "**") => !name.is_empty(),
            ["**", rest @ ..] => (0..=name.len()).any(|n| slow(rest, &name[n..])),
            [part, rest @ ..] => name
                .split_first()
                .is_some_and(|(head, tail)| letters(part, head) && slow(rest, tail)),
        }
    }

    fn letters(pattern: &str, text: &str) -> bool {
        match pattern.chars().next() {
            None => text.is_empty(),
            Some('*') => (0..=text.len()).any(|n| letters(&pattern[1..], &text[n..])),
            Some(c) => text.starts_with(c) && letters(&pattern[1..], &text[1..]),
        }
    }
}
