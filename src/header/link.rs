//! `Link` on its way from the upstream to the client (RFC 8288 section 3): lists lead to their next page by it.

use super::{Broken, Origin, rewrite};

/// One `Link` header for the client: the target of every link in it as [`rewrite`] puts a `Location`, without parameters
/// that hold a URL or name the upstream. `None` where it cannot be read: what nobody can read leads nowhere, and could
/// hold anything.
///
/// # Errors
/// As [`rewrite`], for the first target that cannot be passed on.
pub(crate) fn rewrite_links(
    value: &str,
    origin: &Origin,
    upstream: &str,
) -> Result<Option<String>, Broken> {
    let Some(links) = parse(value) else {
        return Ok(None);
    };
    let mut all = Vec::new();
    for Link { target, parameters } in links {
        let mut link = format!("<{}>", rewrite(target, origin, Some(upstream))?);
        for parameter in parameters {
            if !tells_an_address(parameter, upstream) {
                link.push_str("; ");
                link.push_str(parameter);
            }
        }
        all.push(link);
    }
    Ok((!all.is_empty()).then(|| all.join(", ")))
}

/// `anchor` is a URL, `rel` may be one, and a title may say anything.
fn tells_an_address(parameter: &str, upstream: &str) -> bool {
    let parameter = parameter.to_ascii_lowercase();
    parameter.contains("//") || parameter.contains(&upstream.to_ascii_lowercase())
}

struct Link<'a> {
    target: &'a str,
    parameters: Vec<&'a str>,
}

fn parse(value: &str) -> Option<Vec<Link<'_>>> {
    let mut links = Vec::new();
    let mut rest = value;
    loop {
        // A list may have empty elements (RFC 9110 section 5.6.1).
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(links);
        }
        let (target, after) = rest.strip_prefix('<')?.split_once('>')?;
        let mut parameters = Vec::new();
        rest = after.trim_start_matches([' ', '\t']);
        while let Some(after) = rest.strip_prefix(';') {
            let end = end_of_parameter(after)?;
            let (parameter, after) = after.split_at(end);
            let parameter = parameter.trim_matches([' ', '\t']);
            if !parameter.is_empty() {
                parameters.push(parameter);
            }
            rest = after;
        }
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
        links.push(Link { target, parameters });
    }
}

/// Where the next `;` or `,` stands that is not in quotes; `None` where quotes do not end.
fn end_of_parameter(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' | b',' if !quoted => return Some(at),
            _ => {}
        }
    }
    (!quoted).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::peer::Scheme;

    const UPSTREAM: &str = "localhost:5000";

    fn sent(value: &str) -> Result<Option<String>, Broken> {
        let origin = Origin {
            address: None,
            scheme: Scheme::Https,
            host: Some(HeaderValue::from_static("registry.test")),
            reported: None,
        };
        rewrite_links(value, &origin, UPSTREAM)
    }

    #[test]
    fn every_link_is_put_on_the_clients_address() {
        let two = "<http://localhost:5000/v2/_catalog?n=1>; rel=\"next\" , </v2/a>;rel=prev";
        let meant =
            "<https://registry.test/v2/_catalog?n=1>; rel=\"next\", </v2/a>; rel=prev".to_owned();
        assert_eq!(sent(two), Ok(Some(meant)));
        let title = "</v2/a>; title=\"a \\\" b, <http://x>; c\"; rel=next";
        assert_eq!(sent(title), Ok(Some("</v2/a>; rel=next".to_owned())));
        let plain = "</v2/a>; title=\"a \\\" b, c; d\"; rel=next";
        assert_eq!(sent(plain), Ok(Some(plain.to_owned())));
    }

    #[test]
    fn what_is_no_list_of_links_is_left_out_and_a_target_that_may_not_be_is_refused() {
        for value in [
            "",
            ", ,",
            "http://localhost:5000/v2/",
            "<http://localhost:5000/v2/",
            "</v2/a> x",
            "</v2/a>; title=\"http://localhost:5000",
            "</v2/a>, http://localhost:5000",
        ] {
            assert_eq!(sent(value), Ok(None), "{value}");
        }
        assert_eq!(
            sent("</v2/a>; rel=next, <javascript:x>"),
            Err(Broken::Malformed)
        );
        assert_eq!(
            sent("</v2/a>, <http://b.example/x>"),
            Err(Broken::ClearText)
        );
    }

    proptest! {
        #[test]
        fn no_address_of_the_upstream_comes_out(
            links in prop::collection::vec((
                "(HTTP|http|https)://(localhost|LocalHost):5000([/?][a-z0-9/?&=,;%.~-]{0,12})?|//localhost:5000(/[a-z,;]{0,4})?",
                prop::collection::vec(
                    "( )?(rel=next|rel=\"next prev\"|title=\"[ -!#-\\[\\]-~]{0,8}(localhost:5000)?\"|anchor=\"http://LOCALHOST:5000/\"|title=localhost:5000|)",
                    0..4,
                ),
            ), 0..5),
            between in prop::sample::select(vec![",", ", ", " ,\t", ",,"]),
        ) {
            let links: Vec<String> = links
                .into_iter()
                .map(|(target, parameters)| {
                    let parameters: Vec<_> = parameters.iter().map(|p| format!(";{p}")).collect();
                    format!("<{target}>{}", parameters.concat())
                })
                .collect();
            if let Ok(Some(text)) = sent(&links.join(between)) {
                prop_assert!(!text.to_ascii_lowercase().contains(UPSTREAM), "{text}");
                prop_assert_eq!(text.matches("https://registry.test").count(), links.len());
            }
        }
    }
}
