//! `_catalog` and `tags/list` in front of a registry that does them by halves: registry:2 sorts no tags and does not
//! page them, and knows nothing of who may see which repository.
//!
//! Its lists are read as they stream, page after page; what is held is the page that the client gets and nothing
//! else. Tags are sorted by bytes. Repositories stay in the registry's own order, because the `last` of the next
//! page is handed on to it. What no request could ask for (malformed names) is left out.

use std::collections::BTreeSet;

use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LINK, RANGE,
};
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::acl::Permit;
use crate::body::Body;
use crate::body::empty;
use crate::error::Error;
use crate::oci::{ListReader, Reference, Repositories, RepositoryName, Tags};
use crate::route::Paging;
use crate::route::linked_query;
use crate::route::page_query;
use crate::upstream;
use crate::upstream::Head;
use crate::upstream::Upstream;

use super::forward::{bring_back, request_headers};
use super::page::{REPOSITORIES, TAGS, page};
use super::{Call, Visible};

/// What the upstream is asked for at once; registry:2 refuses more with 400.
const UPSTREAM_PAGE: usize = 1000;

/// The requests that one listing may cost the upstream: a million repositories.
const MAX_REQUESTS: usize = 1000;

/// What one listing may read from the upstream. It is not held, only looked at.
const MAX_BYTES: u64 = 64 << 20;

/// Headers that would make the upstream's answer another one than the whole list in plain JSON.
const VARYING: [http::HeaderName; 7] = [
    ACCEPT_ENCODING,
    RANGE,
    IF_RANGE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
];

/// An answer, and the status of the upstream for the log.
type Answered = Result<(Response<Body>, Option<u16>), Error>;

/// The page of tags that the client asks for.
pub(super) async fn tags(
    upstream: &Upstream,
    _permit: Permit,
    call: Call<'_>,
    name: &RepositoryName,
) -> Answered {
    let paging = Paging::parse(call.route.query.as_deref())?;
    let size = paging.n.unwrap_or(TAGS);
    let mut reader = Reader::new(upstream, &call, "tags");
    // One more than the page has, to know whether it is the last one.
    let mut found = BTreeSet::new();
    let mut query = String::new();
    loop {
        let keep = |tag: String| {
            if paging.last.as_ref().is_some_and(|last| tag <= *last) || !is_tag(&tag) {
                return;
            }
            found.insert(tag);
            if found.len() > size + 1 {
                found.pop_last();
            }
        };
        query = match reader.page(&query, keep).await? {
            Page::Read(Some(next)) if next != query => next,
            Page::Read(Some(_)) => return Err(unusable("its list of tags does not move on")),
            Page::Read(None) => break,
            Page::Refused(answer) => return refused(answer, &call, upstream).await,
        };
    }
    let mut tags: Vec<String> = found.into_iter().collect();
    let more = tags.len() > size;
    tags.truncate(size);
    let document = Tags {
        name: name.as_str(),
        tags: &tags,
    };
    let next = tags.last().filter(|_| more);
    Ok((
        page(&call, &document, next.map(|last| (size, last.as_str()))),
        Some(reader.status),
    ))
}

fn is_tag(text: &str) -> bool {
    matches!(Reference::parse(text), Ok(Reference::Tag(_)))
}

/// The page of repositories that the client asks for, as far as it may see them.
pub(super) async fn catalog(
    upstream: &Upstream,
    _permit: Permit,
    call: Call<'_>,
    visible: Visible<'_>,
) -> Answered {
    let paging = Paging::parse(call.route.query.as_deref())?;
    // It goes to the upstream, so it must be a name.
    let last = paging.last.as_deref().map(RepositoryName::parse);
    let last = last.transpose().map_err(crate::route::Fault::Invalid)?;
    let size = paging.n.unwrap_or(REPOSITORIES);
    let mut reader = Reader::new(upstream, &call, "repositories");
    // One more than the page has, to know whether it is the last one; none for a page of none.
    let wanted = if size == 0 { 0 } else { size + 1 };
    let mut names = match reader
        .repositories(last.as_ref().map(RepositoryName::as_str), wanted, visible)
        .await?
    {
        Found::Names(names) => names,
        Found::Refused(answer) => return refused(answer, &call, upstream).await,
    };
    let status = reader.status;
    let more = names.len() > size;
    names.truncate(size);
    let document = Repositories {
        repositories: &names,
    };
    let next = names.last().filter(|_| more);
    let next = next.map(|last| (size, last.as_str()));
    Ok((page(&call, &document, next), Some(status)))
}

/// The upstream's refusal, as it is.
pub(super) async fn refused(
    answer: Response<Body>,
    call: &Call<'_>,
    upstream: &Upstream,
) -> Answered {
    let status = answer.status().as_u16();
    let mut answer = bring_back(answer, call, upstream).await?;
    if call.method == Method::HEAD {
        *answer.body_mut() = empty();
    }
    Ok((answer, Some(status)))
}

fn unusable(what: &'static str) -> Error {
    upstream::Error::BadAnswer { what, source: None }.into()
}

/// What came of one request to the upstream.
enum Page {
    /// Names, and the query of the next page where there is one.
    Read(Option<String>),
    /// No list.
    Refused(Response<Body>),
}

/// What came of a walk through the upstream's catalog.
pub(super) enum Found {
    /// As many as were wanted, fewer at the end of the catalog.
    Names(Vec<String>),
    /// No list.
    Refused(Response<Body>),
}

/// Reads one list of the upstream, page after page.
pub(super) struct Reader<'a> {
    upstream: &'a Upstream,
    /// What every page is asked for with; its target is that of the whole list.
    head: Head,
    key: &'static str,
    requests: usize,
    bytes: u64,
    /// The last status of the upstream.
    pub(super) status: u16,
}

impl<'a> Reader<'a> {
    fn new(upstream: &'a Upstream, call: &Call<'_>, key: &'static str) -> Self {
        let path = call.route.path();
        Self::at(path, upstream, call, key)
    }

    /// For the catalog, whatever the client's own path.
    pub(super) fn of_catalog(upstream: &'a Upstream, call: &Call<'_>) -> Self {
        let path = crate::route::Target::Catalog.path();
        Self::at(path, upstream, call, "repositories")
    }

    fn at(path: String, upstream: &'a Upstream, call: &Call<'_>, key: &'static str) -> Self {
        let mut headers = request_headers(call, upstream);
        for name in VARYING {
            headers.remove(name);
        }
        Self {
            upstream,
            head: Head {
                method: Method::GET,
                path_and_query: path,
                headers,
                source: call.origin.address.into(),
            },
            key,
            requests: 0,
            bytes: 0,
            status: 0,
        }
    }

    /// The first `wanted` repositories after `last` for which `keep` holds.
    pub(super) async fn repositories(
        &mut self,
        last: Option<&str>,
        wanted: usize,
        keep: Visible<'_>,
    ) -> Result<Found, Error> {
        let mut names = Vec::new();
        let mut after = last.map(str::to_owned);
        // Small at first, because the registry looks into a folder for each name; larger where little is visible.
        let mut size = Some(wanted.clamp(1, UPSTREAM_PAGE));
        let mut query = page_query(size, last);
        while names.len() < wanted {
            let mut catalog = Catalog {
                begin: names.len(),
                names: &mut names,
                wanted,
                after: after.as_deref(),
                seen: None,
                keep,
            };
            let page = self.page(&query, |name| catalog.take(name)).await?;
            let seen = catalog.seen;
            let next = match page {
                Page::Read(None) => break,
                Page::Read(Some(next)) => next,
                Page::Refused(answer)
                    if answer.status() == StatusCode::BAD_REQUEST && size.is_some() =>
                {
                    // Its `catalog.maxentries` is smaller; without a number it gives what it likes.
                    size = None;
                    query = page_query(None, after.as_deref());
                    continue;
                }
                Page::Refused(answer) => return Ok(Found::Refused(answer)),
            };
            size = size.map(|size| (size * 4).min(UPSTREAM_PAGE));
            let next = continued(&next, size)?;
            if next == query || seen.is_none() {
                return Err(unusable("its list of repositories does not move on"));
            }
            (query, after) = (next, seen);
        }
        Ok(Found::Names(names))
    }

    /// Asks for one page, and hands its names to `each`.
    async fn page(&mut self, query: &str, mut each: impl FnMut(String)) -> Result<Page, Error> {
        self.requests += 1;
        if self.requests > MAX_REQUESTS {
            return Err(unusable("its list has more pages than can be read"));
        }
        let mut head = self.head.clone();
        if !query.is_empty() {
            head.path_and_query = format!("{}?{query}", head.path_and_query);
        }
        let answer = self.upstream.send(&|| head.clone(), None).await?;
        self.status = answer.status().as_u16();
        if answer.status() != StatusCode::OK {
            return Ok(Page::Refused(answer));
        }
        if answer.headers().contains_key(CONTENT_ENCODING) {
            return Err(unusable("its list is encoded, which was not asked for"));
        }
        let links = answer.headers().get_all(LINK);
        let next = links
            .iter()
            .filter_map(|link| link.to_str().ok())
            .find_map(|link| linked_query(link, &self.head.path_and_query))
            .map(str::to_owned);
        let mut reader = ListReader::new(self.key);
        let mut body = answer.into_body();
        if body.size_hint().lower() > MAX_BYTES {
            return Err(unusable("its list is larger than can be read"));
        }
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| unusable("its list broke off"))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.bytes += data.len() as u64;
            if self.bytes > MAX_BYTES {
                return Err(unusable("its list is larger than can be read"));
            }
            let fed = reader.feed(&data, &mut each);
            fed.map_err(|_| unusable("its list is malformed"))?;
        }
        let finished = reader.finish();
        finished.map_err(|_| unusable("its list is malformed"))?;
        Ok(Page::Read(next))
    }
}

/// The query to go on with: where the upstream pages by names, with a size of ours; else as it says.
fn continued(next: &str, size: Option<usize>) -> Result<String, Error> {
    let last = crate::route::value(Some(next), "last")?;
    let others = next.split('&').any(|pair| {
        let key = pair.split_once('=').map_or(pair, |(key, _)| key);
        !matches!(key, "n" | "last")
    });
    Ok(match last {
        Some(last) if !others => page_query(size, Some(&last)),
        _ => next.to_owned(),
    })
}

/// The names of one page of the catalog, on their way to the client.
struct Catalog<'a> {
    names: &'a mut Vec<String>,
    /// What is behind this stood on pages before.
    begin: usize,
    wanted: usize,
    /// The page comes after this name.
    after: Option<&'a str>,
    /// The last name of the page, visible or not.
    seen: Option<String>,
    keep: Visible<'a>,
}

impl Catalog<'_> {
    fn take(&mut self, name: String) {
        if self.after == Some(name.as_str()) {
            // A registry that knows no `last` begins anew: what stood before it was listed before.
            self.names.truncate(self.begin);
        } else if self.after.is_none_or(|after| !is_behind(&name, after))
            && self.names.len() < self.wanted
            && RepositoryName::parse(&name).is_ok_and(|name| (self.keep)(&name))
        {
            self.names.push(name.clone());
        }
        self.seen = Some(name);
    }
}

/// Whether `name` comes before `last` in both orders that registries have: by bytes, and folder by folder, which is
/// registry:2's (`a/b` before `a-b`).
fn is_behind(name: &str, last: &str) -> bool {
    let folders = |name: &str| -> Vec<u8> {
        let byte = |b| if b == b'/' { 0 } else { b };
        name.bytes().map(byte).collect()
    };
    name < last && folders(name) < folders(last)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use http::HeaderValue;
    use hyper::Request;
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use proptest::prelude::*;
    use tokio::net::TcpListener;

    use crate::body::full;
    use crate::config;
    use crate::response::json;
    use crate::route::next_link;

    use super::*;

    /// A registry's catalog with its habits.
    #[derive(Clone, Debug)]
    struct Habits {
        /// In its own order.
        names: Vec<String>,
        /// It knows `n` and `last`; else it gives everything each time.
        pages: bool,
        /// Without a number it gives this many.
        default: usize,
        /// More than this many are refused.
        most: usize,
    }

    impl Habits {
        fn answer(&self, query: Option<&str>) -> Response<Body> {
            let last = crate::route::value(query, "last").unwrap();
            let n = crate::route::value(query, "n").unwrap();
            let n = n.map(|n| n.parse::<usize>().unwrap());
            if self.pages && n.is_some_and(|n| n > self.most) {
                return json(StatusCode::BAD_REQUEST, "{}");
            }
            let n = n.unwrap_or(self.default);
            let (begin, n) = if self.pages {
                let begin = last.map_or(0, |last| {
                    self.names.iter().position(|name| *name == last).unwrap() + 1
                });
                (begin, n)
            } else {
                (0, self.names.len())
            };
            let end = (begin + n).min(self.names.len());
            let text = serde_json::json!({ "repositories": &self.names[begin..end] });
            let mut answer = json(StatusCode::OK, text.to_string());
            if end < self.names.len() {
                let link = next_link("/v2/_catalog", n, &self.names[end - 1]);
                answer.headers_mut().insert(LINK, link.parse().unwrap());
            }
            answer
        }
    }

    /// Serves `answer` until the runtime ends, and counts.
    async fn serve(
        answer: impl Fn(&Request<Incoming>) -> Response<Body> + Send + Sync + 'static,
    ) -> (Upstream, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counted, answer) = (Arc::clone(&counted), Arc::clone(&answer));
                let service = service_fn(move |request| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    std::future::ready(Ok::<_, Infallible>(answer(&request)))
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        let settings = config::Upstream {
            url: config::UpstreamUrl::Http {
                host: "127.0.0.1".into(),
                port,
            },
            ca: None,
            client_certificate: None,
            authorization: config::Authorization::Strip,
            max_connections: 4,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(10),
        };
        let upstream = Upstream::load(&settings, crate::metrics::Upstream::default());
        (upstream.unwrap(), requests)
    }

    fn reader(upstream: &Upstream) -> Reader<'_> {
        Reader {
            upstream,
            head: Head {
                method: Method::GET,
                path_and_query: "/v2/_catalog".into(),
                headers: http::HeaderMap::new(),
                source: None.into(),
            },
            key: "repositories",
            requests: 0,
            bytes: 0,
            status: 0,
        }
    }

    /// All pages of `n`, as a client gets them that follows every link.
    async fn follow(upstream: &Upstream, n: usize, visible: Visible<'_>) -> Vec<Vec<String>> {
        let mut pages: Vec<Vec<String>> = Vec::new();
        loop {
            assert!(pages.len() < 100, "the links do not end");
            let last = pages.last().and_then(|page| page.last()).cloned();
            let mut reader = reader(upstream);
            let found = reader.repositories(last.as_deref(), n + 1, visible).await;
            let Ok(Found::Names(mut names)) = found else {
                panic!("refused");
            };
            let more = names.len() > n;
            names.truncate(n);
            pages.push(names);
            if !more {
                return pages;
            }
        }
    }

    fn folders(name: &str) -> String {
        name.replace('/', "\0")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn following_the_links_yields_every_visible_name_once_and_in_order(
            names in proptest::collection::btree_set("[ab]([-/.][ab]){0,3}", 0..25),
            hidden in any::<u32>(),
            n in 1_usize..6,
            by_folders in any::<bool>(),
            pages in any::<bool>(),
            (default, most) in (1_usize..9, 1_usize..30),
        ) {
            let mut names: Vec<String> = names.into_iter().collect();
            if by_folders {
                names.sort_by_key(|name| folders(name));
            }
            let is_visible = |at: usize| hidden >> (at % 32) & 1 == 0;
            let expected: Vec<String> = names
                .iter()
                .enumerate()
                .filter(|(at, _)| is_visible(*at))
                .map(|(_, name)| name.clone())
                .collect();
            let visible = |name: &RepositoryName| expected.iter().any(|v| v == name.as_str());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let habits = Habits { names: names.clone(), pages, default, most };
            let found = runtime.block_on(async {
                let (upstream, _) = serve(move |r| habits.answer(r.uri().query())).await;
                follow(&upstream, n, &visible).await
            });
            let full = found.iter().rev().skip(1).all(|page| page.len() == n);
            prop_assert!(full, "a page with a link is full: {found:?}");
            prop_assert_eq!(found.concat(), expected);
        }
    }

    #[tokio::test]
    async fn a_large_catalog_with_little_to_see_costs_few_requests() {
        let names: Vec<String> = (0..9000).map(|at| format!("r{at:05}")).collect();
        let habits = Habits {
            names,
            pages: true,
            default: 100,
            most: 1000,
        };
        let (upstream, requests) = serve(move |r| habits.answer(r.uri().query())).await;
        let visible = |name: &RepositoryName| name.as_str().ends_with("8999");
        assert_eq!(follow(&upstream, 2, &visible).await, [["r08999"]]);
        assert!(requests.load(Ordering::Relaxed) < 20);
    }

    async fn fault_of(
        answer: impl Fn(&Request<Incoming>) -> Response<Body> + Send + Sync + 'static,
    ) {
        let (upstream, requests) = serve(answer).await;
        let found = reader(&upstream).repositories(None, 5, &|_| true).await;
        let fault = upstream::Error::BadAnswer {
            what: "",
            source: None,
        };
        let is_bad = matches!(&found, Err(Error::Upstream(e))
            if std::mem::discriminant(e) == std::mem::discriminant(&fault));
        assert!(is_bad);
        assert!(requests.load(Ordering::Relaxed) <= MAX_REQUESTS);
    }

    #[tokio::test]
    async fn a_registry_that_never_comes_to_an_end_is_given_up() {
        let linked = |text: String, last: &str| {
            let mut answer = json(StatusCode::OK, text);
            let link = next_link("/v2/_catalog", 9, last);
            answer.headers_mut().insert(LINK, link.parse().unwrap());
            answer
        };
        // The same page again and again; pages without names; new pages for ever; one page for ever.
        fault_of(move |_| linked(r#"{"repositories":["a"]}"#.into(), "a")).await;
        fault_of(move |_| linked(r#"{"repositories":[]}"#.into(), "a")).await;
        let count = AtomicUsize::new(0);
        fault_of(move |_| {
            let name = format!("-{}", count.fetch_add(1, Ordering::Relaxed));
            linked(format!(r#"{{"repositories":["{name}"]}}"#), &name)
        })
        .await;
        fault_of(|_| {
            let chunks = std::iter::repeat_n(bytes::Bytes::from(vec![b' '; 1 << 16]), 1 << 12);
            let frames = chunks.map(|c| Ok(http_body::Frame::data(c)));
            let stream = futures_util::stream::iter(frames);
            Response::new(http_body_util::StreamBody::new(stream).boxed_unsync())
        })
        .await;
    }

    #[tokio::test]
    async fn half_a_list_is_never_passed_on_as_a_whole_one() {
        fault_of(|_| Response::new(full(r#"{"repositories":["a""#))).await;
        fault_of(|_| Response::new(full("<html>"))).await;
        fault_of(|_| {
            let mut answer = Response::new(full(r#"{"repositories":["a"]}"#));
            let encoding = HeaderValue::from_static("gzip");
            answer.headers_mut().insert(CONTENT_ENCODING, encoding);
            answer
        })
        .await;
    }

    #[test]
    fn a_name_is_behind_another_only_where_both_orders_agree() {
        assert!(is_behind("a", "b"));
        assert!(is_behind("a/b", "a/c"));
        assert!(!is_behind("a/b", "a-b"));
        assert!(!is_behind("a-b", "a/b"));
        assert!(!is_behind("b", "a"));
    }
}
