//! What the lines of nginx mean here that need no thought: by name alone, each with its reason.

use super::report::Fate;

/// Names that the other files of this room ask for. Where such a line is left over, another one counts in its place.
const ASKED_FOR: &str = "access_log add_header allow auth_basic auth_basic_user_file client_body_timeout \
    client_header_timeout client_max_body_size deny http2 if keepalive_timeout \
    large_client_header_buffers limit_except listen location proxy_connect_timeout proxy_pass \
    proxy_pass_request_headers proxy_read_timeout proxy_send_timeout proxy_set_header \
    proxy_ssl_certificate proxy_ssl_certificate_key proxy_ssl_trusted_certificate proxy_ssl_verify \
    real_ip_header real_ip_recursive satisfy server set_real_ip_from ssl ssl_certificate \
    ssl_certificate_key ssl_client_certificate ssl_crl ssl_password_file ssl_protocols \
    ssl_trusted_certificate ssl_verify_client upstream http events stream mail map geo types \
    split_clients include";

/// Names with spaces in between, or beginnings of names, and what is to be said of them.
type Known = (&'static str, &'static str);

/// dockgate does it too.
const SAME: &[Known] = &[
    ("server_name", "every host name is answered"),
    (
        "chunked_transfer_encoding proxy_http_version",
        "bodies may be chunked, both ways",
    ),
    (
        "proxy_buffering proxy_request_buffering proxy_max_temp_file_size proxy_buffers \
         proxy_buffer_size proxy_busy_buffers_size proxy_temp_path proxy_temp_file_write_size \
         client_body_buffer_size client_body_temp_path client_body_in_file_only \
         client_body_in_single_buffer fastcgi_buffering",
        "bodies stream through; no file is written",
    ),
    (
        "proxy_redirect port_in_redirect absolute_redirect server_name_in_redirect",
        "Location is always where the client came from",
    ),
    (
        "server_tokens more_clear_headers",
        "no answer tells which software made it",
    ),
    (
        "proxy_next_upstream proxy_next_upstream_tries proxy_next_upstream_timeout",
        "GET and HEAD are sent once more when a kept connection turns out to be closed",
    ),
    (
        "error_log",
        "messages go to standard error; log.level says how many",
    ),
    (
        "ignore_invalid_headers underscores_in_headers merge_slashes",
        "what could be read in two ways is refused",
    ),
    ("auth_delay", "wrong passwords slow down who guesses"),
    (
        "resolver resolver_timeout",
        "names are looked up by the system, anew for each connection",
    ),
];

/// It is about something that dockgate does not have.
const NO_EFFECT: &[Known] = &[
    (
        "client_header_buffer_size connection_pool_size request_pool_size output_buffers \
         postpone_output lingering_close lingering_time lingering_timeout \
         reset_timedout_connection send_timeout keepalive_requests keepalive_time \
         keepalive_disable msie_padding send_lowat tcp_nodelay tcp_nopush sendfile \
         sendfile_max_chunk aio aio_write directio directio_alignment read_ahead \
         variables_hash_max_size variables_hash_bucket_size server_names_hash_bucket_size \
         server_names_hash_max_size types_hash_max_size types_hash_bucket_size \
         map_hash_bucket_size map_hash_max_size proxy_headers_hash_max_size \
         proxy_headers_hash_bucket_size proxy_socket_keepalive http2_max_concurrent_streams \
         http2_chunk_size http2_recv_buffer_size http2_idle_timeout http2_max_requests \
         http2_push_preload http3 quic_retry",
        "tunes nginx itself",
    ),
    (
        "user pid lock_file daemon master_process worker_processes worker_rlimit_nofile \
         worker_rlimit_core worker_priority worker_cpu_affinity worker_shutdown_timeout \
         worker_connections multi_accept use accept_mutex accept_mutex_delay env load_module \
         pcre_jit thread_pool timer_resolution ssl_engine working_directory debug_connection",
        "is about nginx's processes",
    ),
    (
        "ssl_ciphers ssl_prefer_server_ciphers ssl_dhparam ssl_ecdh_curve ssl_conf_command",
        "suites are those with authenticated encryption, without finite-field Diffie-Hellman; none can be chosen",
    ),
    (
        "ssl_session_cache ssl_session_timeout ssl_session_tickets ssl_session_ticket_key \
         ssl_buffer_size ssl_handshake_timeout",
        "sessions are resumed by tickets, for twelve hours at most",
    ),
    (
        "ssl_verify_depth",
        "a chain is followed to the CAs of client_ca, past six others at most",
    ),
    ("ssl_early_data", "there is no early data"),
    (
        "log_format open_log_file_cache log_not_found log_subrequest rewrite_log",
        "log.access is \"combined\" or \"json\"",
    ),
    (
        "default_type charset override_charset etag if_modified_since max_ranges open_file_cache \
         open_file_cache_valid open_file_cache_min_uses open_file_cache_errors disable_symlinks \
         expires autoindex_exact_size autoindex_localtime source_charset",
        "is about files that nginx serves itself",
    ),
    (
        "set auth_request_set valid_referers js_import js_path js_set js_var",
        "dockgate has no variables; where one decides something, that line says so",
    ),
    (
        "root index alias try_files autoindex stub_status memcached_pass",
        "is about files that nginx serves itself",
    ),
    (
        "proxy_ignore_client_abort",
        "a request ends with its client",
    ),
    (
        "gunzip ssi sub_filter sub_filter_once image_filter addition_types brotli",
        "what a registry sends is not changed on its way",
    ),
    ("keepalive", "connections to the registry are kept open"),
];

/// It is left out, and nobody gets in by that.
const LEFT: &[Known] = &[
    (
        "ssl_stapling ssl_stapling_verify ssl_stapling_file ssl_stapling_responder",
        "revocation is not stapled; clients of registries do not ask for it",
    ),
    (
        "proxy_ssl_server_name proxy_ssl_name proxy_ssl_protocols proxy_ssl_ciphers \
         proxy_ssl_session_reuse proxy_ssl_verify_depth proxy_ssl_crl proxy_ssl_conf_command \
         proxy_ssl_password_file",
        "the registry is called by the name in upstream.url, and its certificate must be for that name",
    ),
    (
        "error_page proxy_intercept_errors recursive_error_pages",
        "errors are JSON, which clients of registries show",
    ),
    (
        "limit_req limit_req_zone limit_req_status limit_req_log_level limit_req_dry_run \
         limit_conn limit_conn_zone limit_conn_status limit_conn_log_level limit_conn_dry_run",
        "dockgate's own bounds by address are in docs/limits.md",
    ),
    (
        "limit_rate limit_rate_after proxy_limit_rate",
        "nothing is slowed down",
    ),
    (
        "proxy_hide_header proxy_pass_header proxy_ignore_headers proxy_cookie_path \
         proxy_cookie_domain more_set_headers add_trailer proxy_cookie_flags",
        "the registry's headers pass but for those of the connection",
    ),
    (
        "proxy_method proxy_set_body proxy_pass_request_body proxy_bind",
        "the registry gets the client's own request",
    ),
    ("mirror mirror_request_body", "requests are sent once"),
];

/// The same for families of names, by how they begin.
const NO_EFFECT_FAMILIES: &[Known] = &[
    (
        "gzip brotli_",
        "what a registry sends is compressed already, and is not changed on its way",
    ),
    (
        "fastcgi_ uwsgi_ scgi_ grpc_ perl_modules",
        "is about other programs behind nginx",
    ),
];

/// The same for families of names, by how they begin.
const LEFT_FAMILIES: &[Known] = &[
    ("proxy_cache proxy_store", "dockgate keeps no copies"),
    (
        "lua_ init_by_lua init_worker_by_lua log_by_lua header_filter_by_lua body_filter_by_lua",
        "dockgate runs no scripts",
    ),
];

/// What a line means that nothing else in this room asks for; `None`: its name is not known.
pub(super) fn of(name: &str) -> Option<Fate> {
    let exact = |table: &[Known]| found(table, |known| known == name);
    let family = |table: &[Known]| found(table, |known| name.starts_with(known));
    let same = exact(SAME).map(Fate::Same);
    let none = || exact(NO_EFFECT).or_else(|| family(NO_EFFECT_FAMILIES));
    let left = || exact(LEFT).or_else(|| family(LEFT_FAMILIES));
    same.or_else(|| none().map(Fate::NoEffect))
        .or_else(|| left().map(Fate::Left))
}

fn found(table: &[Known], fits: impl Fn(&str) -> bool) -> Option<String> {
    let row = table
        .iter()
        .find(|(names, _)| names.split_whitespace().any(&fits));
    row.map(|(_, why)| (*why).to_owned())
}

/// Whether other files of this room ask for lines of this name.
pub(super) fn is_asked_for(name: &str) -> bool {
    ASKED_FOR.split_whitespace().any(|known| known == name)
}

/// Whether a line of this name may keep somebody out whom nothing else keeps out.
pub(super) fn may_restrict(name: &str) -> bool {
    const SIGNS: [&str; 21] = [
        "auth",
        "access",
        "allow",
        "deny",
        "lua",
        "modsecurity",
        "security",
        "naxsi",
        "waf",
        "perl",
        "js_",
        "secure",
        "block",
        "test_cookie",
        "internal",
        "forbid",
        "ban",
        "token",
        "oidc",
        "ssl_ocsp",
        "kerberos",
    ];
    !is_asked_for(name) && of(name).is_none() && SIGNS.iter().any(|sign| name.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_keep_somebody_out_is_told_from_what_cannot() {
        for name in [
            "auth_request",
            "auth_ldap",
            "auth_gss",
            "auth_pam",
            "auth_jwt",
            "auth_digest",
            "access_by_lua_block",
            "access_by_lua_file",
            "rewrite_by_lua",
            "modsecurity",
            "internal",
            "secure_link",
            "js_access",
            "ssl_ocsp",
        ] {
            assert!(may_restrict(name), "{name}");
        }
        for name in [
            "access_log",
            "auth_basic",
            "auth_delay",
            "auth_request_set",
            "lua_shared_dict",
            "log_by_lua_block",
            "js_import",
            "server_tokens",
            "sendfile",
            "frobnicate",
        ] {
            assert!(!may_restrict(name), "{name}");
        }
        assert_eq!(of("frobnicate"), None);
    }
}
