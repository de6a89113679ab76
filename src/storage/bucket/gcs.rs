//! Opening a bucket of Google Cloud Storage.

use std::sync::Arc;

use object_store::StaticCredentialProvider;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};

use crate::config;
use crate::tls;

use super::super::OpenError;
use super::super::error::Source;
use super::backend::{self, Backend};
use super::line::Line;

/// The file that Google's own programs take their credentials from.
const CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";

pub(super) fn open(config: &config::Gcs) -> Result<Backend, OpenError> {
    build(config).map_err(OpenError::Bucket)
}

fn build(config: &config::Gcs) -> Result<Backend, Source> {
    if config.bucket.is_empty() {
        return Err("the setting `bucket` is missing".into());
    }
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&config.bucket)
        .with_retry(backend::retries())
        .with_http_connector(Line::new(tls::verified_client()?));
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_base_url(endpoint.trim_end_matches('/'));
    }
    let key_file = config
        .key_file
        .as_ref()
        .map(|path| path.display().to_string());
    builder = match (key_file, &config.endpoint, std::env::var(CREDENTIALS)) {
        (Some(path), ..) => builder.with_service_account_path(path),
        // An emulator asks for nothing, and must not be told who we are.
        (None, Some(_), _) => builder.with_skip_signature(true).with_credentials(Arc::new(
            StaticCredentialProvider::new(GcpCredential {
                bearer: String::new(),
            }),
        )),
        (None, None, Ok(path)) if !path.is_empty() => builder.with_application_credentials(path),
        (None, None, _) => builder,
    };
    let store = Arc::new(builder.build()?);
    let place = match &config.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => "Google Cloud Storage".to_owned(),
    };
    let place = format!("the bucket `{}` of {place}", config.bucket);
    Ok(Backend::cloud(&store, place, &config.root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_that_is_missing_is_named() {
        let config = config::Gcs {
            bucket: "images".into(),
            key_file: Some("/nowhere/key.json".into()),
            ..config::Gcs::default()
        };
        let error = build(&config).unwrap_err();
        let mut said = error.to_string();
        let mut next = error.source();
        while let Some(error) = next {
            said.push_str(&error.to_string());
            next = error.source();
        }
        assert!(said.contains("/nowhere/key.json"), "{said}");
    }
}
