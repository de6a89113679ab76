//! Which settings of registry:2 mean what here.

use crate::config::source::shown;

/// What a path of registry:2's configuration means.
pub(super) enum Meaning {
    /// A setting of ours.
    Setting(Carried),
    /// Read together with others.
    Elsewhere,
    /// Says nothing that a client or an operator would miss.
    Harmless,
    /// To pass over it would open what it closes.
    Hole(&'static str),
    /// Passed over, with a warning.
    NotCarried,
}

/// A setting of ours, and how its value is told.
pub(super) struct Carried {
    /// Behind `DOCKGATE_`.
    pub(super) name: &'static str,
    pub(super) told: fn(&str) -> Result<String, String>,
}

/// Their names of storages, and ours.
pub(super) const STORAGES: [(&str, &str); 9] = [
    ("filesystem", "filesystem"),
    ("inmemory", "memory"),
    ("s3", "s3"),
    ("s3aws", "s3"),
    ("azure", "azure"),
    ("gcs", "gcs"),
    ("swift", "swift"),
    ("oss", "oss"),
    ("cloudfront", "cloudfront"),
];

/// Values that pass as they are.
fn same(value: &str) -> Result<String, String> {
    Ok(value.to_owned())
}

/// Go's words for truth, which YAML has too.
fn flag(value: &str) -> Result<String, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "t" | "yes" | "on" => Ok("true".into()),
        "false" | "0" | "f" | "no" | "off" => Ok("false".into()),
        _ => Err(format!("{} is neither true nor false", shown(value))),
    }
}

fn inverted(value: &str) -> Result<String, String> {
    let value = flag(value)?;
    Ok(if value == "true" { "false" } else { "true" }.into())
}

fn level(value: &str) -> Result<String, String> {
    match value {
        "panic" | "fatal" => Ok("error".into()),
        "warning" => Ok("warn".into()),
        other => Ok(other.to_owned()),
    }
}

fn format(value: &str) -> Result<String, String> {
    // logstash's is JSON too.
    Ok(if value == "text" { "text" } else { "json" }.into())
}

fn version(value: &str) -> Result<String, String> {
    match value {
        "tls1.3" => Ok("1.3".into()),
        // Older ones are not spoken.
        "tls1.0" | "tls1.1" | "tls1.2" => Ok("1.2".into()),
        _ => Err(format!(
            "{} is not a version of TLS; write tls1.2 or tls1.3",
            shown(value)
        )),
    }
}

/// Go writes `1h0m0s`, which is read here as well.
fn wait(value: &str) -> Result<String, String> {
    Ok(value.to_owned())
}

/// The settings that are carried one to one.
type Row = (
    &'static str,
    &'static str,
    fn(&str) -> Result<String, String>,
);

const SETTINGS: [Row; 43] = [
    ("log.level", "LOG_LEVEL", level),
    ("loglevel", "LOG_LEVEL", level),
    ("log.formatter", "LOG_FORMAT", format),
    ("log.accesslog.disabled", "LOG_ACCESS", inverted),
    ("http.draintimeout", "TIMEOUTS_DRAIN", wait),
    ("http.http2.disabled", "LISTENER_0_HTTP2", inverted),
    ("http.tls.minimumtls", "LISTENER_0_TLS_MIN_VERSION", version),
    ("auth.htpasswd.realm", "AUTH_REALM", same),
    ("auth.htpasswd.path", "AUTH_HTPASSWD", same),
    ("storage.delete.enabled", "REGISTRY_DELETE", flag),
    ("storage.redirect.disable", "REGISTRY_REDIRECT", inverted),
    (
        "storage.maintenance.readonly.enabled",
        "REGISTRY_READ_ONLY",
        flag,
    ),
    ("storage.maintenance.readonly", "REGISTRY_READ_ONLY", flag),
    (
        "storage.maintenance.uploadpurging.age",
        "REGISTRY_UPLOAD_EXPIRY",
        wait,
    ),
    (
        "storage.filesystem.rootdirectory",
        "REGISTRY_FILESYSTEM_ROOTDIRECTORY",
        same,
    ),
    ("storage.s3.bucket", "REGISTRY_S3_BUCKET", same),
    ("storage.s3.region", "REGISTRY_S3_REGION", same),
    (
        "storage.s3.regionendpoint",
        "REGISTRY_S3_REGIONENDPOINT",
        same,
    ),
    ("storage.s3.accesskey", "REGISTRY_S3_ACCESSKEY", same),
    ("storage.s3.secretkey", "REGISTRY_S3_SECRETKEY", same),
    ("storage.s3.sessiontoken", "REGISTRY_S3_SESSIONTOKEN", same),
    (
        "storage.s3.forcepathstyle",
        "REGISTRY_S3_FORCEPATHSTYLE",
        flag,
    ),
    ("storage.s3.secure", "REGISTRY_S3_SECURE", flag),
    ("storage.s3.skipverify", "REGISTRY_S3_SKIPVERIFY", flag),
    ("storage.s3.encrypt", "REGISTRY_S3_ENCRYPT", flag),
    ("storage.s3.keyid", "REGISTRY_S3_KEYID", same),
    ("storage.s3.storageclass", "REGISTRY_S3_STORAGECLASS", same),
    ("storage.s3.chunksize", "REGISTRY_S3_CHUNKSIZE", same),
    (
        "storage.s3.rootdirectory",
        "REGISTRY_S3_ROOTDIRECTORY",
        same,
    ),
    (
        "storage.azure.accountname",
        "REGISTRY_AZURE_ACCOUNTNAME",
        same,
    ),
    (
        "storage.azure.accountkey",
        "REGISTRY_AZURE_ACCOUNTKEY",
        same,
    ),
    ("storage.azure.container", "REGISTRY_AZURE_CONTAINER", same),
    ("storage.azure.realm", "REGISTRY_AZURE_REALM", same),
    (
        "storage.azure.rootdirectory",
        "REGISTRY_AZURE_ROOTDIRECTORY",
        same,
    ),
    (
        "storage.azure.credentials.clientid",
        "REGISTRY_AZURE_CREDENTIALS_CLIENTID",
        same,
    ),
    (
        "storage.azure.credentials.tenantid",
        "REGISTRY_AZURE_CREDENTIALS_TENANTID",
        same,
    ),
    (
        "storage.azure.credentials.secret",
        "REGISTRY_AZURE_CREDENTIALS_SECRET",
        same,
    ),
    ("storage.gcs.bucket", "REGISTRY_GCS_BUCKET", same),
    ("storage.gcs.keyfile", "REGISTRY_GCS_KEYFILE", same),
    (
        "storage.gcs.rootdirectory",
        "REGISTRY_GCS_ROOTDIRECTORY",
        same,
    ),
    ("storage.s3.usedualstack", "", flag),
    ("storage.s3.accelerate", "", flag),
    ("storage.s3.v4auth", "", flag),
];

/// Said by nearly every file, and without effect on what clients and operators see here.
const HARMLESS: [&str; 22] = [
    "version",
    "log.fields",
    "http.secret",
    "http.relativeurls",
    "http.headers.X-Content-Type-Options",
    "storage.cache",
    "storage.maintenance.uploadpurging.enabled",
    "storage.maintenance.uploadpurging.interval",
    "storage.maintenance.uploadpurging.dryrun",
    "storage.filesystem.maxthreads",
    "storage.s3.multipartcopychunksize",
    "storage.s3.multipartcopymaxconcurrency",
    "storage.s3.multipartcopythresholdsize",
    "storage.s3.useragent",
    "storage.s3.loglevel",
    "storage.gcs.chunksize",
    "storage.gcs.maxconcurrency",
    "storage.azure.max_retries",
    "storage.azure.retry_delay",
    "storage.azure.credentials.type",
    "health",
    "catalog",
];

/// Passing over these would leave something open, or be another thing than what was asked for.
const HOLES: [(&str, &str); 8] = [
    (
        "auth.token",
        "tokens of another service are not checked here; write auth.htpasswd, from which dockgate makes tokens itself",
    ),
    ("auth.silly", "is no protection; write auth.htpasswd"),
    (
        "http.tls.letsencrypt",
        "is not carried; name a certificate and a key, or certificates would be missing",
    ),
    (
        "proxy",
        "a mirror of another registry is not carried; remove the section to serve a registry of your own",
    ),
    (
        "storage.swift",
        "is not carried; Swift speaks S3 too: write storage.s3 with its regionendpoint",
    ),
    (
        "storage.oss",
        "is not carried; the service speaks S3 too: write storage.s3 with its regionendpoint",
    ),
    (
        "storage.cloudfront",
        "is not carried; write the storage that lies behind it",
    ),
    ("middleware", "is not carried; remove the section"),
];

/// What is read together with others.
const ELSEWHERE: [&str; 8] = [
    "http.addr",
    "http.net",
    "http.tls.certificate",
    "http.tls.key",
    "http.tls.clientcas",
    "storage.inmemory",
    "storage.filesystem",
    "auth.htpasswd",
];

/// What a path means. `s3aws` is another name of `s3`.
pub(super) fn meaning(path: &str) -> Meaning {
    let path = path.replacen("storage.s3aws", "storage.s3", 1);
    let found = SETTINGS.iter().find(|(theirs, ..)| *theirs == path);
    if let Some((_, name, told)) = found {
        if name.is_empty() {
            return Meaning::Harmless;
        }
        return Meaning::Setting(Carried { name, told: *told });
    }
    let is = |known: &str| {
        let rest = path.strip_prefix(known);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if let Some((_, why)) = HOLES.iter().find(|(known, _)| is(known)) {
        return Meaning::Hole(why);
    }
    if HARMLESS.iter().any(|known| is(known)) {
        return Meaning::Harmless;
    }
    let table = [
        "storage.s3",
        "storage.azure",
        "storage.gcs",
        "storage.delete",
        "storage",
        "auth",
        "http",
    ];
    if ELSEWHERE.iter().any(|known| is(known)) || table.contains(&path.as_str()) {
        return Meaning::Elsewhere;
    }
    Meaning::NotCarried
}

/// Whether the path belongs to the drivers of `storage` or the kinds of `auth`, of which there is one.
pub(super) fn is_kind(section: &str, path: &str) -> bool {
    let Some(rest) = path
        .strip_prefix(section)
        .and_then(|rest| rest.strip_prefix('.'))
    else {
        return false;
    };
    let kind = rest.split('.').next().unwrap_or_default();
    match section {
        "storage" => STORAGES.iter().any(|(theirs, _)| *theirs == kind),
        _ => true,
    }
}

/// The path that a variable speaks of: known ones by their name, others by guess.
pub(super) fn path_of(rest: &str) -> String {
    let rest = rest.replacen("STORAGE_S3AWS_", "STORAGE_S3_", 1);
    let known = SETTINGS.iter().map(|(path, ..)| *path);
    let known = known
        .chain(HARMLESS)
        .chain(ELSEWHERE)
        .chain(["http.tls.clientcas.0", "http.tls.clientcas.1"]);
    let name = |path: &str| path.replace(['.', '-'], "_").to_uppercase();
    known
        .into_iter()
        .find(|path| name(path) == rest)
        .map_or_else(|| rest.to_lowercase().replace('_', "."), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_paths_in_capitals() {
        for (name, path) in [
            ("HTTP_ADDR", "http.addr"),
            ("HTTP_TLS_CLIENTCAS_0", "http.tls.clientcas.0"),
            ("STORAGE_S3_REGIONENDPOINT", "storage.s3.regionendpoint"),
            ("STORAGE_AZURE_MAX_RETRIES", "storage.azure.max_retries"),
            ("AUTH_TOKEN_REALM", "auth.token.realm"),
        ] {
            assert_eq!(path_of(name), path);
        }
    }

    #[test]
    fn what_protects_is_never_passed_over() {
        for path in [
            "auth.token.realm",
            "auth.silly",
            "proxy.remoteurl",
            "http.tls.letsencrypt.email",
        ] {
            assert!(matches!(meaning(path), Meaning::Hole(_)), "{path}");
        }
        assert!(matches!(
            meaning("notifications.endpoints.0.url"),
            Meaning::NotCarried
        ));
        assert!(matches!(
            meaning("http.headers.Access-Control-Allow-Origin.0"),
            Meaning::NotCarried
        ));
    }
}
