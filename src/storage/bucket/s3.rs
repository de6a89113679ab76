//! Opening a bucket of S3, or of a store that speaks its protocol.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::{Attribute, AttributeValue, Attributes};

use crate::config;
use crate::tls;

use super::super::OpenError;
use super::super::error::Source;
use super::backend::{self, Backend, CHUNK as DEFAULT};
use super::copy::Copying;
use super::line::Line;
use super::requests::Requests;

/// The smallest part that S3 takes.
const LEAST: u64 = 5 * 1024 * 1024;

/// What the environment says of credentials where the configuration says nothing: keys, the role of a Kubernetes
/// service account, the role of an ECS task or EKS pod. Without any of it the role of the machine is asked for.
const CREDENTIALS: [&str; 11] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_METADATA_ENDPOINT",
];

pub(super) fn open(config: &config::S3) -> Result<Backend, OpenError> {
    build(config).map_err(OpenError::Bucket)
}

fn build(config: &config::S3) -> Result<Backend, Source> {
    if config.bucket.is_empty() {
        return Err("the setting `bucket` is missing".into());
    }
    let tls = if config.skip_verify {
        tls::unverified_client()?
    } else {
        tls::verified_client()?
    };
    let line = Line::new(tls);
    let endpoint = config
        .endpoint
        .as_deref()
        .map(|given| endpoint(given, config.secure));
    let path_style = config.path_style.unwrap_or(endpoint.is_some());
    let region = match &*config.region {
        "" => "us-east-1",
        region => region,
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&config.bucket)
        .with_region(region)
        .with_allow_http(true)
        .with_virtual_hosted_style_request(!path_style)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_disable_tagging(true)
        .with_retry(backend::retries())
        .with_http_connector(line.clone());
    if let Some(endpoint) = &endpoint {
        builder = builder.with_endpoint(if path_style {
            endpoint.clone()
        } else {
            with_bucket(endpoint, &config.bucket)
        });
    }
    let store = Arc::new(encryption(credentials(builder, config)?, config)?.build()?);
    let place = endpoint.unwrap_or_else(|| format!("S3 in {region}"));
    let place = format!("the bucket `{}` of {place}", config.bucket);
    Ok(Backend {
        copying: Copying::Parts(Requests {
            store: Arc::clone(&store),
            line,
            bucket: config.bucket.clone(),
        }),
        attributes: attributes(config),
        chunk: match config.chunk_size {
            0 => DEFAULT,
            size => size.max(LEAST),
        },
        ..Backend::cloud(&store, place, &config.root)
    })
}

fn credentials(
    mut builder: AmazonS3Builder,
    config: &config::S3,
) -> Result<AmazonS3Builder, Source> {
    match (&config.access_key, &config.secret_key) {
        (Some(key), Some(secret)) => {
            builder = builder
                .with_access_key_id(key)
                .with_secret_access_key(secret.expose_text());
            if let Some(token) = &config.session_token {
                builder = builder.with_token(token.expose_text());
            }
        }
        (None, None) => {
            for name in CREDENTIALS {
                let value = std::env::var(name).ok().filter(|value| !value.is_empty());
                let key = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>();
                if let (Some(value), Ok(key)) = (value, key) {
                    builder = builder.with_config(key, value);
                }
            }
        }
        _ => return Err("`accesskey` and `secretkey` go together".into()),
    }
    Ok(builder)
}

fn encryption(builder: AmazonS3Builder, config: &config::S3) -> Result<AmazonS3Builder, Source> {
    Ok(match (&config.kms_key, config.encrypt) {
        (Some(key), true) => builder.with_sse_kms_encryption(key),
        (None, true) => builder.with_config("aws_server_side_encryption".parse()?, "AES256"),
        (_, false) => builder,
    })
}

fn attributes(config: &config::S3) -> Attributes {
    let class = config.storage_class.as_deref();
    // `NONE` is registry:2's word for: say nothing.
    let class = class.filter(|class| !class.is_empty() && *class != "NONE" && *class != "STANDARD");
    class
        .map(|class| {
            (
                Attribute::StorageClass,
                AttributeValue::from(class.to_owned()),
            )
        })
        .into_iter()
        .collect()
}

/// An endpoint with its scheme.
fn endpoint(given: &str, secure: bool) -> String {
    let given = given.trim_end_matches('/');
    match (given.contains("://"), secure) {
        (true, _) => given.to_owned(),
        (false, true) => format!("https://{given}"),
        (false, false) => format!("http://{given}"),
    }
}

/// An endpoint whose host name begins with the bucket.
fn with_bucket(endpoint: &str, bucket: &str) -> String {
    endpoint.replacen("://", &format!("://{bucket}."), 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn config() -> config::S3 {
        config::S3 {
            bucket: "images".into(),
            region: "eu-central-1".into(),
            access_key: Some("AKIA".into()),
            secret_key: Some(Secret::new("s3cr3t")),
            ..config::S3::default()
        }
    }

    #[test]
    fn endpoints_are_completed() {
        assert_eq!(endpoint("minio:9000/", false), "http://minio:9000");
        assert_eq!(endpoint("minio:9000", true), "https://minio:9000");
        assert_eq!(endpoint("https://x.test", false), "https://x.test");
        assert_eq!(with_bucket("https://x.test:9", "b"), "https://b.x.test:9");
    }

    #[test]
    fn nothing_secret_is_printed() {
        let backend = build(&config()).unwrap();
        let printed = format!("{backend:?} {:?} {:?}", backend.copying, backend.attributes);
        assert!(!printed.contains("s3cr3t"), "{printed}");
        assert_eq!(backend.place, "the bucket `images` of S3 in eu-central-1");
    }

    #[test]
    fn half_a_key_is_refused() {
        let half = config::S3 {
            secret_key: None,
            ..config()
        };
        assert!(build(&half).is_err());
    }
}
