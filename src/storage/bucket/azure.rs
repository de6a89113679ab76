//! Opening a container of Azure Blob Storage.

use std::sync::Arc;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use crate::config;
use crate::tls;

use super::super::OpenError;
use super::super::error::Source;
use super::backend::{self, Backend};
use super::line::Line;

/// The domain of the public cloud.
const REALM: &str = "core.windows.net";

/// What the environment says of an identity where the configuration has no key: that of a Kubernetes service account,
/// or of a service principal. Without any of it the identity of the machine is asked for.
const CREDENTIALS: [&str; 5] = [
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
];

/// Where some services (App Service, Functions) give out the identity of the machine.
const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";

pub(super) fn open(config: &config::Azure) -> Result<Backend, OpenError> {
    build(config).map_err(OpenError::Bucket)
}

fn build(config: &config::Azure) -> Result<Backend, Source> {
    for (value, name) in [
        (&config.account, "accountname"),
        (&config.container, "container"),
    ] {
        if value.is_empty() {
            return Err(format!("the setting `{name}` is missing").into());
        }
    }
    let (endpoint, emulated) = endpoint(&config.account, config.realm.as_deref());
    let builder = MicrosoftAzureBuilder::new()
        .with_account(&config.account)
        .with_container_name(&config.container)
        .with_endpoint(endpoint.clone())
        .with_allow_http(true)
        .with_disable_tagging(true)
        .with_retry(backend::retries())
        .with_http_connector(Line::new(tls::verified_client()?));
    let store = Arc::new(credentials(builder, config).build()?);
    let place = format!("the container `{}` of {endpoint}", config.container);
    Ok(Backend {
        // Azurite takes no notice of where to begin.
        start_after: !emulated,
        ..Backend::cloud(&store, place, &config.root)
    })
}

fn credentials(
    mut builder: MicrosoftAzureBuilder,
    config: &config::Azure,
) -> MicrosoftAzureBuilder {
    if let Some(key) = &config.key {
        return builder.with_access_key(key.expose_text());
    }
    for name in CREDENTIALS {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty());
        let key = name.to_ascii_lowercase().parse::<AzureConfigKey>();
        if let (Some(value), Ok(key)) = (value, key) {
            builder = builder.with_config(key, value);
        }
    }
    if let Ok(endpoint) = std::env::var(IDENTITY_ENDPOINT) {
        builder = builder.with_msi_endpoint(endpoint);
    }
    for (key, value) in [
        (AzureConfigKey::ClientId, &config.client_id),
        (AzureConfigKey::AuthorityId, &config.tenant_id),
    ] {
        if let Some(value) = value {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(secret) = &config.secret {
        builder = builder.with_config(AzureConfigKey::ClientSecret, secret.expose_text());
    }
    builder
}

/// Where the account is, and whether that is an emulator, whose addresses begin with the account.
fn endpoint(account: &str, realm: Option<&str>) -> (String, bool) {
    let realm = realm.filter(|realm| !realm.is_empty()).unwrap_or(REALM);
    if realm.contains("://") {
        (format!("{}/{account}", realm.trim_end_matches('/')), true)
    } else {
        (format!("https://{account}.blob.{realm}"), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn other_clouds_and_emulators_have_their_addresses() {
        for (realm, wanted) in [
            (None, "https://me.blob.core.windows.net"),
            (Some(""), "https://me.blob.core.windows.net"),
            (
                Some("core.chinacloudapi.cn"),
                "https://me.blob.core.chinacloudapi.cn",
            ),
            (Some("http://127.0.0.1:10000/"), "http://127.0.0.1:10000/me"),
        ] {
            assert_eq!(endpoint("me", realm).0, wanted);
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let config = config::Azure {
            account: "me".into(),
            container: "images".into(),
            key: Some(Secret::new("czNjcjN0LWtleQ==")),
            ..config::Azure::default()
        };
        let backend = build(&config).unwrap();
        let printed = format!("{backend:?}");
        assert!(!printed.contains("czNjcjN0"), "{printed}");
    }
}
