//! Names of log fields, one list for the log and the access log. Units stand in the names.
//!
//! Beside the names below, which the JSON access log writes, events use `listener` (an address), `file`, `line`, `tls.sni`,
//! `upstream.addr`, `error` (the chain of causes) and `lines` (a count of lost log lines); those of an authority's
//! certificate `names`, `directory`, `expires`, `left_h`, `retry_in_s` and `for_s`.

/// When the answer ended, UTC, RFC 3339 with milliseconds.
pub(crate) const TIME: &str = "time";
/// IP address of the client, or `unix:`.
pub(crate) const PEER_ADDRESS: &str = "peer.addr";
/// User name.
pub(crate) const USER: &str = "user";
/// Request method.
pub(crate) const METHOD: &str = "http.method";
/// Path and query, secrets redacted.
pub(crate) const TARGET: &str = "http.target";
/// Protocol version.
pub(crate) const VERSION: &str = "http.version";
/// `Host` or `:authority`.
pub(crate) const HOST: &str = "http.host";
/// Status sent to the client, a number.
pub(crate) const STATUS: &str = "http.status";
/// `Referer`, secrets redacted.
pub(crate) const REFERER: &str = "http.referer";
/// `User-Agent`.
pub(crate) const USER_AGENT: &str = "http.user_agent";
/// Bytes of the answer's body, a number.
pub(crate) const BYTES_SENT: &str = "body.bytes_sent";
/// Bytes of the request's body, a number.
pub(crate) const BYTES_RECEIVED: &str = "body.bytes_received";
/// Milliseconds from the request's head to the end of the answer, a number with three decimals.
pub(crate) const DURATION_MS: &str = "duration_ms";
/// Repository name.
pub(crate) const REPOSITORY: &str = "repository";
/// `pull`, `push`, `delete`, `catalog`.
pub(crate) const ACTION: &str = "action";
/// Who answered: `upstream`, or `registry` for the embedded one.
pub(crate) const BACKEND: &str = "backend";
/// Status of the registry behind us, a number.
pub(crate) const UPSTREAM_STATUS: &str = "upstream.status";
/// Id of the request, which a 5xx answer shows too.
pub(crate) const REQUEST_ID: &str = "request.id";
/// Reason code of a refusal or a fault.
pub(crate) const REASON: &str = "reason";
/// Common name of the client certificate.
pub(crate) const CERTIFICATE: &str = "tls.certificate";
/// TLS version.
pub(crate) const TLS: &str = "tls.version";

/// All names of the JSON access log.
#[cfg(test)]
pub(super) const ALL: [&str; 21] = [
    TIME,
    PEER_ADDRESS,
    USER,
    METHOD,
    TARGET,
    VERSION,
    HOST,
    STATUS,
    REFERER,
    USER_AGENT,
    BYTES_SENT,
    BYTES_RECEIVED,
    DURATION_MS,
    REPOSITORY,
    ACTION,
    BACKEND,
    UPSTREAM_STATUS,
    REQUEST_ID,
    REASON,
    CERTIFICATE,
    TLS,
];
