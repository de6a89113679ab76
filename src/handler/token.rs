//! The token service: a token for whoever asks, that says what of the asked is allowed (distribution's
//! specifications of token authentication, the plain one and the one after `OAuth2`).

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use zeroize::Zeroizing;

use crate::acl::Acl;
use crate::acl::Permit;
use crate::auth::Refusal;
use crate::auth::Tokens;
use crate::body::Body;
use crate::body::ClientFault;
use crate::error::Error;
use crate::error::TokenFault;
use crate::identity::Grants;
use crate::response;
use crate::route::Route;
use crate::route::Verb;
use crate::route::asked;
use crate::route::form;

use super::Call;

/// What a request to the token service says, beside its head.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The rights that are wanted.
    pub grants: Grants,
    /// User name and password of a form.
    pub credentials: Option<(String, Zeroizing<String>)>,
}

/// What is needed to answer it.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// Makes the token.
    pub tokens: &'a Tokens,
    /// Says what may be granted.
    pub acl: &'a Acl,
    /// The rights that are wanted.
    pub grants: Grants,
    /// What the token is to be good for.
    pub service: String,
}

impl Asked {
    /// Reads the query, or the form in the body, of a request to the token service.
    ///
    /// # Errors
    /// The form does not come, is none, or wants what is not offered.
    pub(crate) async fn read(
        route: &Route,
        headers: &HeaderMap,
        body: &mut Option<Body>,
    ) -> Result<Self, Error> {
        if route.verb != Verb::Post {
            let pairs = form(route.query.as_deref().unwrap_or_default());
            let scopes: Vec<String> = pairs
                .filter(|(k, _)| k == "scope")
                .map(|(_, v)| v)
                .collect();
            return Ok(Self {
                grants: asked(scopes.iter().map(String::as_str)),
                credentials: None,
            });
        }
        if !is_form(headers) {
            return Err(TokenFault::ContentType.into());
        }
        let bytes = match body.take() {
            Some(body) => Zeroizing::new(Box::pin(whole(body)).await?),
            None => Zeroizing::default(),
        };
        Ok(Self::of_form(&bytes)?)
    }

    fn of_form(bytes: &[u8]) -> Result<Self, TokenFault> {
        let text = std::str::from_utf8(bytes).map_err(|_| TokenFault::Form)?;
        let (mut grant, mut user, mut password) = (None, None, None);
        let mut scopes = Vec::new();
        for (key, value) in form(text) {
            let once = match key.as_str() {
                "scope" => {
                    scopes.push(value);
                    continue;
                }
                "grant_type" => &mut grant,
                "username" => &mut user,
                "password" => &mut password,
                _ => continue,
            };
            if once.replace(Zeroizing::new(value)).is_some() {
                return Err(TokenFault::Form);
            }
        }
        if grant.as_deref().map(String::as_str) != Some("password") {
            return Err(TokenFault::Grant);
        }
        let credentials = user.map(|mut user| {
            let password = password.unwrap_or_default();
            (std::mem::take(&mut *user), password)
        });
        Ok(Self {
            grants: asked(scopes.iter().map(String::as_str)),
            credentials,
        })
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| {
            kind.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}

/// The whole body; it was bounded when the request was let in.
async fn whole(body: Body) -> Result<Vec<u8>, ClientFault> {
    let gone = |error: crate::body::BoxError| match error.downcast::<ClientFault>() {
        Ok(fault) => *fault,
        Err(_) => ClientFault::Gone,
    };
    Ok(body.collect().await.map_err(gone)?.to_bytes().to_vec())
}

/// A token for whoever asks: somebody in particular, or nobody.
pub(super) fn issue(_: Permit, call: &Call<'_>) -> Result<Response<Body>, Error> {
    let wanted = call.token.as_ref().ok_or(Refusal::Failed)?;
    let granted = wanted.acl.grants(call.identity, &wanted.grants);
    let token = wanted
        .tokens
        .issue(call.identity, &granted, &wanted.service)?;
    let document = json!({
        "token": token,
        "access_token": token,
        "expires_in": wanted.tokens.lifetime().as_secs(),
    });
    let mut response = response::json(StatusCode::OK, document.to_string());
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Option<(String, String)>, usize), TokenFault> {
        let asked = Asked::of_form(text.as_bytes())?;
        let credentials = asked
            .credentials
            .map(|(user, password)| (user, (*password).clone()));
        Ok((credentials, asked.grants.repositories().count()))
    }

    #[test]
    fn a_form_says_who_asks_for_what() {
        let ctr = "client_id=containerd-client&grant_type=password&password=correct%3A+horse%26%2B&scope=repository%3Aa%3Apull+repository%3Ab%3Apull%2Cpush&service=s&username=al%40x";
        let expected = Some(("al@x".to_owned(), "correct: horse&+".to_owned()));
        assert_eq!(read(ctr), Ok((expected, 2)));
        assert_eq!(
            read("grant_type=password&scope=repository:a:pull&scope=repository:b:pull"),
            Ok((None, 2))
        );
    }

    #[test]
    fn k4_forms_that_say_two_things_or_ask_for_another_grant_are_refused() {
        for (text, fault) in [
            ("", TokenFault::Grant),
            ("username=a&password=b", TokenFault::Grant),
            (
                "grant_type=refresh_token&refresh_token=x",
                TokenFault::Grant,
            ),
            ("grant_type=client_credentials", TokenFault::Grant),
            (
                "grant_type=password&username=a&username=b",
                TokenFault::Form,
            ),
            (
                "grant_type=password&grant_type=refresh_token",
                TokenFault::Form,
            ),
            (
                "grant_type=password&password=a&password=b&username=x",
                TokenFault::Form,
            ),
        ] {
            assert_eq!(read(text), Err(fault), "{text}");
        }
    }
}
