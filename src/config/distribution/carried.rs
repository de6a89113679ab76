//! Which settings of registry:2 mean what here.

use super::super::source::shown;

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
    pub(super) told: Told,
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

/// How a value is told in our words.
#[derive(Clone, Copy)]
pub(super) enum Told {
    /// As it is; waits are written alike.
    Same,
    /// True or false.
    Flag,
    /// The other way around.
    Inverted,
    Level,
    Format,
    TlsVersion,
}

impl Told {
    pub(super) fn tell(self, value: &str) -> Result<String, String> {
        let told = match self {
            Self::Same => value,
            Self::Flag => flag(value, "true", "false")?,
            Self::Inverted => flag(value, "false", "true")?,
            Self::Level => match value {
                "panic" | "fatal" => "error",
                "warning" => "warn",
                other => other,
            },
            // logstash's is JSON too.
            Self::Format => match value {
                "text" => "text",
                _ => "json",
            },
            Self::TlsVersion => match value {
                "tls1.3" => "1.3",
                // Older ones are not spoken.
                "tls1.0" | "tls1.1" | "tls1.2" => "1.2",
                _ => {
                    return Err(format!(
                        "{} is not a version of TLS; write tls1.2 or tls1.3",
                        shown(value)
                    ));
                }
            },
        };
        Ok(told.to_owned())
    }
}

/// Go's words for truth, which YAML has too.
fn flag<'w>(value: &str, yes: &'w str, no: &'w str) -> Result<&'w str, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "t" | "yes" | "on" => Ok(yes),
        "false" | "0" | "f" | "no" | "off" => Ok(no),
        _ => Err(format!("{} is neither true nor false", shown(value))),
    }
}

/// The settings that are carried one to one.
type Row = (&'static str, &'static str, Told);

const SETTINGS: [Row; 43] = [
    ("log.level", "LOG_LEVEL", Told::Level),
    ("loglevel", "LOG_LEVEL", Told::Level),
    ("log.formatter", "LOG_FORMAT", Told::Format),
    ("log.accesslog.disabled", "LOG_ACCESS", Told::Inverted),
    ("http.draintimeout", "TIMEOUTS_DRAIN", Told::Same),
    ("http.http2.disabled", "LISTENER_0_HTTP2", Told::Inverted),
    (
        "http.tls.minimumtls",
        "LISTENER_0_TLS_MIN_VERSION",
        Told::TlsVersion,
    ),
    ("auth.htpasswd.realm", "AUTH_REALM", Told::Same),
    ("auth.htpasswd.path", "AUTH_HTPASSWD", Told::Same),
    ("storage.delete.enabled", "REGISTRY_DELETE", Told::Flag),
    (
        "storage.redirect.disable",
        "REGISTRY_REDIRECT",
        Told::Inverted,
    ),
    (
        "storage.maintenance.readonly.enabled",
        "REGISTRY_READ_ONLY",
        Told::Flag,
    ),
    (
        "storage.maintenance.readonly",
        "REGISTRY_READ_ONLY",
        Told::Flag,
    ),
    (
        "storage.maintenance.uploadpurging.age",
        "REGISTRY_UPLOAD_EXPIRY",
        Told::Same,
    ),
    (
        "storage.filesystem.rootdirectory",
        "REGISTRY_FILESYSTEM_ROOTDIRECTORY",
        Told::Same,
    ),
    ("storage.s3.bucket", "REGISTRY_S3_BUCKET", Told::Same),
    ("storage.s3.region", "REGISTRY_S3_REGION", Told::Same),
    (
        "storage.s3.regionendpoint",
        "REGISTRY_S3_REGIONENDPOINT",
        Told::Same,
    ),
    ("storage.s3.accesskey", "REGISTRY_S3_ACCESSKEY", Told::Same),
    ("storage.s3.secretkey", "REGISTRY_S3_SECRETKEY", Told::Same),
    (
        "storage.s3.sessiontoken",
        "REGISTRY_S3_SESSIONTOKEN",
        Told::Same,
    ),
    (
        "storage.s3.forcepathstyle",
        "REGISTRY_S3_FORCEPATHSTYLE",
        Told::Flag,
    ),
    ("storage.s3.secure", "REGISTRY_S3_SECURE", Told::Flag),
    (
        "storage.s3.skipverify",
        "REGISTRY_S3_SKIPVERIFY",
        Told::Flag,
    ),
    ("storage.s3.encrypt", "REGISTRY_S3_ENCRYPT", Told::Flag),
    ("storage.s3.keyid", "REGISTRY_S3_KEYID", Told::Same),
    (
        "storage.s3.storageclass",
        "REGISTRY_S3_STORAGECLASS",
        Told::Same,
    ),
    ("storage.s3.chunksize", "REGISTRY_S3_CHUNKSIZE", Told::Same),
    (
        "storage.s3.rootdirectory",
        "REGISTRY_S3_ROOTDIRECTORY",
        Told::Same,
    ),
    (
        "storage.azure.accountname",
        "REGISTRY_AZURE_ACCOUNTNAME",
        Told::Same,
    ),
    (
        "storage.azure.accountkey",
        "REGISTRY_AZURE_ACCOUNTKEY",
        Told::Same,
    ),
    (
        "storage.azure.container",
        "REGISTRY_AZURE_CONTAINER",
        Told::Same,
    ),
    ("storage.azure.realm", "REGISTRY_AZURE_REALM", Told::Same),
    (
        "storage.azure.rootdirectory",
        "REGISTRY_AZURE_ROOTDIRECTORY",
        Told::Same,
    ),
    (
        "storage.azure.credentials.clientid",
        "REGISTRY_AZURE_CREDENTIALS_CLIENTID",
        Told::Same,
    ),
    (
        "storage.azure.credentials.tenantid",
        "REGISTRY_AZURE_CREDENTIALS_TENANTID",
        Told::Same,
    ),
    (
        "storage.azure.credentials.secret",
        "REGISTRY_AZURE_CREDENTIALS_SECRET",
        Told::Same,
    ),
    ("storage.gcs.bucket", "REGISTRY_GCS_BUCKET", Told::Same),
    ("storage.gcs.keyfile", "REGISTRY_GCS_KEYFILE", Told::Same),
    (
        "storage.gcs.rootdirectory",
        "REGISTRY_GCS_ROOTDIRECTORY",
        Told::Same,
    ),
    ("storage.s3.usedualstack", "", Told::Flag),
    ("storage.s3.accelerate", "", Told::Flag),
    ("storage.s3.v4auth", "", Told::Flag),
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
        "is not carried from this file; write a proxy.toml with the table [acme], or name a certificate and a key",
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
const ELSEWHERE: [&str; 11] = [
    "http.addr",
    "http.debug.addr",
    "http.debug.prometheus.enabled",
    "http.debug.prometheus.path",
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
