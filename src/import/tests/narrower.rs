//! What nginx refuses for some paths, methods or clients alone, and in its less known ways.

use crate::config::RuleAction;

use super::*;

const P: &str = "proxy_pass http://r:5000;";

/// `P` and `A` are what stands behind `proxy_pass` and what asks for a password.
fn spelled(text: &str) -> String {
    let text = text
        .replace(" A ", &format!(" {PASSWORD} "))
        .replace(" P ", &format!(" {P} "));
    format!("server {{ {TLS} {text} }}")
}

#[test]
fn nothing_comes_in_that_nginx_refused_for_some_requests() {
    for text in [
        // What a narrower location demands beside passwords.
        "ssl_client_certificate ca; ssl_verify_client optional; location /v2/ { P } \
         location /v2/private/ { if ($ssl_client_verify != SUCCESS) { return 403; } P }",
        "listen 80; location /v2/ { P } location /v2/private/ { if ($scheme = http) { return 403; } P }",
        "location /v2/ { P } location /v2/private/ { if ($http_user_agent !~ agent) { return 403; } P }",
        "location /v2/ { P } location /v2/private/ { rewrite ^ /denied last; P }",
        "location /v2/ { P } location /v2/private/ { proxy_pass http://other:5000; }",
        // What an expression leaves to the locations around it.
        "location / { A P } location ~ ^/v2/(?!private/) { P }",
        "location /v2 { A P } location ~ ^/v2/.+/(manifests|blobs|tags|referrers)/ { P }",
        "location = /v2/ { P } location ~ ^/v2/.+/(manifests|blobs)/ { P } location / { return 403; }",
        "location ~ ^/v2/(?!private/) { P }",
        "location /v2/team/ { P }",
        "location / { A P } location /v2/app/ { P } location /v2/team/ { P }",
        "location /v2/ { A P location ~ ^/v2/(?!private/) { auth_basic off; P } }",
        "location /v2/ { A P location ~ /(manifests|blobs|tags|referrers)/ { auth_basic off; P } }",
        // What is no way to the registry.
        "location /v2/private/ { root /var/empty; } location /v2/ { P }",
        "location /v2/private/ { return 200 x; P } location /v2/ { P }",
        "location /v2/private/ { } location /v2/ { P }",
        "location /v2/private/ { internal; } location /v2/ { P }",
        // Expressions that are asked though they do not seem to be.
        "location / { P location ^~ /v2/ { P } } location ~ ^/v2/secret/ { A P }",
        "location ^~ /v2/ { P } location /v2/team/ { P } location ~ secret { A P }",
        "location /v2/ { P } location ~ /\\.?private/ { A P }",
        "location /v2/ { P } location ~ ^(.*)/\\.?private/ { A P }",
        "location /v2/ { P } location ~ \"/\\.{0}private/\" { A P }",
        "location /v2/ { P } location ~ \"/\\.|private\" { A P }",
        "location /v2/ { P } location ~* ^/V2/PRIVATE { A P }",
        // Lines whose names alone say little.
        "location /v2/ { proxy_method GET; P }",
        "proxy_method GET; location /v2/ { P }",
        "location /v2/ { proxy_pass_request_body off; P }",
        "location /v2/ { limit_except GET HEAD { A } proxy_method GET; P }",
        "location /v2/ { try_files /nonexistent =403; P }",
        "location /v2/ { stub_status; P }",
        "location /v2/ { if ($http_user_agent ~ .*) { return 403; } P }",
        "set $logins a; if ($http_host = x) { set $logins b; } \
         location /v2/ { auth_basic r; auth_basic_user_file $logins; P }",
    ] {
        let text = spelled(text);
        let faults = import_with(&text, |_| {}).unwrap_err();
        assert!(
            faults.contains("more open") && faults.contains("--partial"),
            "{text}: {faults}"
        );
    }
}

#[test]
fn what_leads_elsewhere_is_refused_altogether() {
    for (text, said) in [
        (
            "location /v2/ { limit_except GET { proxy_pass http://127.0.0.1:9; } P }",
            "sends some methods elsewhere",
        ),
        (
            "rewrite /secret/ /denied last; location /denied { return 403; } location /v2/ { P }",
            "changes paths",
        ),
        (
            "location /v2/ { rewrite /secret/ /denied break; P }",
            "changes paths",
        ),
    ] {
        let text = spelled(text);
        let faults = import_with(&text, |request| request.partial = true).unwrap_err();
        assert!(faults.contains(said), "{text}: {faults}");
    }
}

#[test]
fn an_address_that_is_not_allowed_needs_the_password() {
    for (rules, asked) in [
        ("allow 10.99.0.1;", true),
        ("allow unix:;", true),
        ("allow 10.0.0.0/8; allow 192.0.2.1;", true),
        ("allow 10.0.0.0/8; deny all;", true),
        ("deny 10.0.0.1; allow all;", true),
        ("allow all;", false),
        ("allow 10.0.0.0/8; allow all;", false),
    ] {
        for location in [
            format!("satisfy any; {rules} A P "),
            format!("satisfy any; {rules} limit_except GET HEAD {{ A }} P "),
        ] {
            let text = spelled(&format!("location /v2/ {{ {location} }}"));
            // In part: what only some addresses may do without a password is another matter.
            let imported = import_with(&text, |request| request.partial = true).unwrap();
            let config = loaded(&imported).config;
            let pushes = |actions: &[RuleAction]| actions.contains(&RuleAction::Push);
            let open = config.auth.htpasswd.is_none()
                || config.rules.iter().any(|rule| pushes(&rule.actions));
            assert_eq!(!open, asked, "{text}: {}", imported.text);
        }
    }
    // Nothing else says no, so that nginx lets in whom no line names.
    let text = spelled("location /v2/ { satisfy any; allow 10.0.0.1; P }");
    assert!(config(&text).has_public());
}

#[test]
fn what_nginx_let_in_still_comes_in() {
    for text in [
        "location / { A P } location ~ ^/v2/ { A P }",
        "location / { root /x; location ~ y { index z; } } location /v2/ { A P }",
        "location /v2/ { A P } location ~ /\\.ht { deny all; } location ~ ^/static/ { root /x; }",
        "location ^~ /v2/ { A P } location ~ \\.php$ { fastcgi_pass x; }",
        "location / { A P location ^~ /v2/ { P } }",
        "location /v2/ { A P } location = /v2/ { return 200 x; }",
        "location /v2/ { A P } location /v2/team/ { P }",
        "location / { A P } location /v2/ { A proxy_pass http://r:5000/v2/; }",
        "location = / { rewrite ^ /ui/ last; } rewrite ^/$ /ui/ last; location /v2/ { A P }",
        "location /v2/ { limit_except GET HEAD { deny all; } proxy_method GET; A P }",
        "location /v2/ { proxy_method $request_method; A P }",
        "access_log x combined if=$loggable; if ($http_user_agent ~ x) { set $loggable 0; } location /v2/ { A P }",
    ] {
        let config = config(&spelled(text));
        assert!(!config.has_public(), "{text}");
    }
}

#[test]
fn a_list_that_the_registry_does_not_give_is_hidden() {
    let text = spelled("location = /v2/_catalog { return 200 '{}'; } location /v2/ { A P }");
    let config = config(&text);
    assert!(
        config
            .rules
            .iter()
            .all(|rule| !rule.actions.contains(&RuleAction::Catalog))
    );
    assert!(!config.rules.is_empty());
}

#[test]
fn there_is_an_end_to_the_number_of_blocks() {
    let locations = (0..500).map(|n| format!(" location /v2/p{n}/ {{ A P }}"));
    let locations = locations.collect::<Vec<_>>().concat();
    let all = format!("{locations} location /v2/ {{ A P }}");
    let servers = "server { listen 80; return 404; } ".repeat(500);
    for (what, text) in [
        ("location", spelled(&all)),
        (
            "server",
            format!("{servers}{}", spelled("location /v2/ { A P }")),
        ),
    ] {
        let faults = import_with(&text, |request| request.partial = true).unwrap_err();
        assert!(
            faults.contains("more than 500 blocks") && faults.contains(what),
            "{faults}"
        );
    }
}
