//! Lists of tags and repositories, and search (end-8, `_catalog`, `/v1/search`).

use http::Response;

use crate::body::Body;
use crate::error::Error;
use crate::oci::{Repositories, RepositoryName, Tags};
use crate::registry::Registry;
use crate::route::Paging;

use super::super::page::{REPOSITORIES, TAGS, page};
use super::super::search::Term;
use super::Call;

/// The page of tags that the client asks for.
pub(super) async fn tags(
    registry: &Registry,
    call: &Call<'_>,
    name: &RepositoryName,
) -> Result<Response<Body>, Error> {
    let paging = Paging::parse(call.route.query.as_deref())?;
    let size = paging.n.unwrap_or(TAGS);
    // One more than the page has, to know whether it is the last one.
    let mut tags = registry
        .tags(name, paging.last.as_deref(), size + 1)
        .await?;
    let more = tags.len() > size;
    tags.truncate(size);
    let document = Tags {
        name: name.as_str(),
        tags: &tags,
    };
    let next = tags.last().filter(|_| more);
    Ok(page(
        call,
        &document,
        next.map(|last| (size, last.as_str())),
    ))
}

/// The page of repositories that the client asks for, as far as it may see them.
pub(super) async fn catalog(registry: &Registry, call: &Call<'_>) -> Result<Response<Body>, Error> {
    let paging = Paging::parse(call.route.query.as_deref())?;
    // As in front of another registry: what no repository is called, no page can come after.
    let last = paging.last.as_deref().map(RepositoryName::parse);
    let last = last.transpose().map_err(crate::route::Fault::Invalid)?;
    let size = paging.n.unwrap_or(REPOSITORIES);
    let pullable = call.acl.pullable(call.identity);
    let visible = |name: &RepositoryName| pullable.contains(name.as_str());
    // One more than the page has, to know whether it is the last one; none for a page of none.
    let wanted = if size == 0 { 0 } else { size + 1 };
    let last = last.as_ref().map(RepositoryName::as_str);
    let mut names = registry.catalog(last, wanted, &visible).await?;
    let more = names.len() > size;
    names.truncate(size);
    let document = Repositories {
        repositories: &names,
    };
    let next = names.last().filter(|_| more);
    Ok(page(
        call,
        &document,
        next.map(|last| (size, last.as_str())),
    ))
}

/// The first `n` repositories whose name contains `q`.
pub(super) async fn search(registry: &Registry, call: &Call<'_>) -> Result<Response<Body>, Error> {
    let term = match Term::of(call)? {
        Ok(term) => term,
        Err(answer) => return Ok(answer),
    };
    let pullable = call.acl.pullable(call.identity);
    let found = |name: &RepositoryName| term.is_in(name) && pullable.contains(name.as_str());
    let names = registry.catalog(None, term.most, &found).await?;
    Ok(term.found(call, &names))
}
