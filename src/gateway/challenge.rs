//! How clients are asked for credentials: exactly one line, which every client understands (RFC 9110 section 11.6.1).

use http::HeaderValue;

use crate::auth::Tokens;
use crate::config::Config;
use crate::error::Challenge;
use crate::header::Origin;

/// Writes the line.
#[derive(Debug)]
pub(super) struct Challenger {
    basic: HeaderValue,
    token_path: String,
}

/// What the request was about, as far as the line tells it.
#[derive(Debug, Default)]
pub(super) struct About {
    /// The scope that a token needs.
    pub scope: Option<String>,
    /// It was the token service that was asked; it wants the password itself.
    pub token_service: bool,
}

impl Challenger {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            basic: basic(&config.auth.realm),
            token_path: config.token.path.clone(),
        }
    }

    /// Basic, or Bearer where there is a token service and the client named us by a host: the realm must be absolute,
    /// and is on the scheme, host and port that the client itself used.
    ///
    /// A client can make us name another host only to itself.
    pub(super) fn line(
        &self,
        tokens: Option<&Tokens>,
        origin: &Origin,
        about: &About,
        why: Challenge,
    ) -> HeaderValue {
        let host = origin.host.as_ref().and_then(|host| host.to_str().ok());
        let (Some(tokens), Some(host), false) = (tokens, host, about.token_service) else {
            return self.basic.clone();
        };
        let mut line = format!(
            "Bearer realm=\"{}://{host}{}\",service=\"{}\"",
            origin.scheme.as_str(),
            self.token_path,
            tokens.service(Some(host))
        );
        if let Some(scope) = &about.scope {
            line.push_str(&format!(",scope=\"{scope}\""));
        }
        line.push_str(match why {
            Challenge::Credentials => "",
            Challenge::InvalidToken => ",error=\"invalid_token\"",
            Challenge::InsufficientScope => ",error=\"insufficient_scope\"",
        });
        HeaderValue::from_str(&line).unwrap_or_else(|_| self.basic.clone())
    }
}

/// RFC 7617 section 2, with the charset that its section 2.1 defines; quotes and backslashes of the realm are escaped.
fn basic(realm: &str) -> HeaderValue {
    let realm: String = realm
        .chars()
        .flat_map(|c| {
            matches!(c, '"' | '\\')
                .then_some('\\')
                .into_iter()
                .chain([c])
        })
        .collect();
    HeaderValue::from_str(&format!("Basic realm=\"{realm}\", charset=\"UTF-8\""))
        .unwrap_or(HeaderValue::from_static("Basic realm=\"Registry\""))
}
