//! The paging of lists: `n` and `last` of a request, and the `Link` that leads to the next page (distribution-spec
//! v1.1 end-8b, RFC 8288).

use crate::oci::{Code, Invalid};

use super::Fault;
use super::query::decode;

/// The largest page that a client may ask for; who asks for more gets this and a `Link`, as the specification allows.
const MAX_PAGE: usize = 1000;

/// Which part of a list a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paging {
    /// At most so many names, where the client says so: 0 to 1000.
    pub n: Option<usize>,
    /// Those after this name.
    pub last: Option<String>,
}

impl Paging {
    /// What a query says. As for registry:2, an empty value is none, and of two the first counts.
    ///
    /// # Errors
    /// `n` is not a number, or `last` is not UTF-8.
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, Fault> {
        Ok(Self {
            n: value(query, "n")?.map(|n| number(&n)).transpose()?,
            last: value(query, "last")?,
        })
    }
}

/// A parameter of a query, decoded; an empty one is none.
///
/// # Errors
/// It is not UTF-8.
pub(crate) fn value(query: Option<&str>, name: &str) -> Result<Option<String>, Fault> {
    let pairs = query.unwrap_or_default().split('&');
    let found = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| decode(key).as_deref() == Some(name));
    match found.map(|(_, value)| decode(value)) {
        Some(None) => Err(Fault::BadPath("the query is not UTF-8")),
        Some(value) => Ok(value.filter(|text| !text.is_empty())),
        None => Ok(None),
    }
}

/// A count, the largest page at most.
///
/// # Errors
/// It is negative or not a number.
fn number(text: &str) -> Result<usize, Fault> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::Invalid(Invalid {
            code: Code::PaginationNumberInvalid,
            message: "n is the number of names on a page: 0 or more, in decimal digits",
        }));
    }
    // Digits that do not fit are a very large number.
    Ok(text.parse().unwrap_or(MAX_PAGE).min(MAX_PAGE))
}

/// The query that asks for `n` names after `last`.
pub(crate) fn page_query(n: Option<usize>, last: Option<&str>) -> String {
    let n = n.map(|n| format!("n={n}"));
    let last = last.map(|last| format!("last={}", encode(last)));
    let both: Vec<String> = n.into_iter().chain(last).collect();
    both.join("&")
}

/// The value of a `Link` header to the page of `n` names after `last`.
pub(crate) fn next_link(path: &str, n: usize, last: &str) -> String {
    let query = page_query(Some(n), Some(last));
    format!("<{path}?{query}>; rel=\"next\"")
}

/// The same for a list that keeps to a filter.
pub(crate) fn next_filtered_link(path: &str, n: usize, last: &str, filter: (&str, &str)) -> String {
    let query = page_query(Some(n), Some(last));
    let (key, value) = filter;
    format!("<{path}?{key}={}&{query}>; rel=\"next\"", encode(value))
}

/// The query behind the `next` of a `Link` header to another page of `path`; the target may be relative or absolute.
pub(crate) fn linked_query<'a>(link: &'a str, path: &str) -> Option<&'a str> {
    link.split('<').skip(1).find_map(|link| {
        let (target, parameters) = link.split_once('>')?;
        let is_next = parameters
            .split([';', ','])
            .any(|p| matches!(p.trim(), "rel=next" | "rel=\"next\""));
        let (address, query) = target.split_once('?')?;
        (is_next && address.ends_with(path)).then_some(query)
    })
}

/// Percent-encodes what is not `unreserved` in RFC 3986 section 2.3.
fn encode(text: &str) -> String {
    use std::fmt::Write as _;

    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(query: &str) -> Result<Paging, Fault> {
        Paging::parse(Some(query))
    }

    #[test]
    fn a_page_is_what_the_query_says_and_never_more_than_a_thousand() {
        let page = |n, last: Option<&str>| {
            Ok(Paging {
                n,
                last: last.map(str::to_owned),
            })
        };
        assert_eq!(Paging::parse(None), page(None, None));
        assert_eq!(parse("n=&last=&x=y"), page(None, None));
        assert_eq!(parse("n=2&last=t%2Fm"), page(Some(2), Some("t/m")));
        assert_eq!(parse("last=a+b&n=0&n=7"), page(Some(0), Some("a b")));
        for large in ["1001", "1000000000", "99999999999999999999999"] {
            assert_eq!(parse(&format!("n={large}")), page(Some(1000), None));
        }
    }

    #[test]
    fn a_count_that_is_none_is_refused_with_its_own_code() {
        for n in ["-1", "abc", "1.5", "+1", "0x10", "%32%2E", "１"] {
            let fault = parse(&format!("n={n}")).unwrap_err();
            let code = match fault {
                Fault::Invalid(invalid) => invalid.code.as_str(),
                other => panic!("{n}: {other:?}"),
            };
            assert_eq!(code, "PAGINATION_NUMBER_INVALID", "{n}");
        }
        assert!(matches!(parse("last=%ff"), Err(Fault::BadPath(_))));
    }

    #[test]
    fn the_next_page_is_found_in_links_as_registries_write_them() {
        for link in [
            r#"</v2/_catalog?last=t%2Fm&n=2>; rel="next""#,
            "<http://127.0.0.1:5000/v2/_catalog?last=t%2Fm&n=2>; rel=next",
            r#"</v2/_catalog?n=1>; rel="prev", </v2/_catalog?last=t%2Fm&n=2>; rel="next""#,
        ] {
            let query = linked_query(link, "/v2/_catalog");
            assert_eq!(query, Some("last=t%2Fm&n=2"), "{link}");
        }
        for link in [
            "",
            "/v2/_catalog?n=1",
            "</v2/_catalog?n=1",
            r#"</v2/other?n=1>; rel="next""#,
            r#"</v2/_catalog?n=1>; rel="prev""#,
        ] {
            assert_eq!(linked_query(link, "/v2/_catalog"), None, "{link}");
        }
    }

    proptest! {
        #[test]
        fn a_link_leads_to_the_page_that_it_names(n in 0..MAX_PAGE, last in "\\PC{1,30}") {
            let link = next_link("/v2/a/tags/list", n, &last);
            let query = linked_query(&link, "/v2/a/tags/list").unwrap();
            prop_assert_eq!(parse(query), Ok(Paging { n: Some(n), last: Some(last) }));
        }
    }
}
