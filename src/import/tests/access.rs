//! Who is let in.

use crate::config::Anonymous;
use crate::config::Authorization;
use crate::config::ClientAuth;
use crate::config::RuleAction;
use crate::config::Satisfy;
use crate::config::Who;

use super::*;

#[test]
fn passwords_are_asked_for_as_nginx_asked() {
    let read_only = |who: &str, text: &str| {
        let config = config(text);
        let [rule] = config.rules.as_slice() else {
            panic!("{:?}", config.rules)
        };
        let expected = if who == "anonymous" {
            Who::Anonymous
        } else {
            Who::Authenticated
        };
        assert_eq!(rule.who, [expected], "{text}");
        assert_eq!(
            rule.actions,
            [RuleAction::Pull, RuleAction::Catalog],
            "{text}"
        );
    };
    for location in [
        PASSWORD.to_owned(),
        format!("{PASSWORD} allow all;"),
        format!("{PASSWORD} satisfy any;"),
        format!("{PASSWORD} satisfy any; deny all;"),
        format!("{PASSWORD} satisfy any; allow 10.0.0.0/8; deny all;"),
        format!("{PASSWORD} satisfy any; auth_request /auth;"),
        format!("{PASSWORD} limit_except GET {{ auth_basic y; auth_basic_user_file pushers; }}"),
    ] {
        let config = config(&server("", &location));
        let pushers = location.contains("pushers");
        let file = if pushers {
            "/etc/nginx/pushers"
        } else {
            "/etc/nginx/users"
        };
        assert_eq!(config.auth.htpasswd, Some(file.into()), "{location}");
        assert_eq!(config.auth.anonymous, Anonymous::None, "{location}");
        assert!(config.rules.is_empty(), "{location}");
    }
    let public = config(&server(
        "",
        &format!("limit_except GET HEAD {{ {PASSWORD} }}"),
    ));
    assert_eq!(public.auth.anonymous, Anonymous::Pull);
    // docker could pull nothing without a login if passwords went on to the registry.
    assert_eq!(
        public.upstream().unwrap().authorization,
        Authorization::Strip
    );
    let inherited = config(&server(
        PASSWORD,
        "limit_except POST PUT PATCH DELETE GET { deny all; }",
    ));
    assert_eq!(inherited.auth.realm, "x");
    read_only(
        "authenticated",
        &server(PASSWORD, "limit_except GET HEAD { deny all; }"),
    );
    read_only(
        "anonymous",
        &server("", "limit_except GET HEAD { deny all; }"),
    );
    read_only(
        "anonymous",
        &server("", "if ($request_method !~ ^(GET|HEAD)$) { return 403; }"),
    );
    let open = import(&server("", ""));
    let rules = loaded(&open).config.rules;
    assert_eq!(rules[0].who, [Who::Anonymous]);
    assert!(
        open.notes.iter().any(|note| note.contains("asks nobody")),
        "{:?}",
        open.notes
    );
    let off = import(&server(PASSWORD, "auth_basic off;"));
    assert_eq!(loaded(&off).config.auth.htpasswd, None);
}

#[test]
fn client_certificates_are_asked_for_as_nginx_asked() {
    const CA: &str = "ssl_client_certificate ca;";
    let of = |text: &str| {
        let config = config(text);
        let tls = config.listeners[0].tls.clone().unwrap();
        (
            tls.client_auth,
            config.auth.satisfy,
            config.auth.htpasswd.is_some(),
        )
    };
    for (words, location, expected) in [
        (
            "ssl_verify_client on;",
            "",
            (ClientAuth::Required, Satisfy::Any, false),
        ),
        (
            "ssl_verify_client on;",
            PASSWORD,
            (ClientAuth::Required, Satisfy::All, true),
        ),
        (
            "ssl_verify_client on; satisfy any;",
            PASSWORD,
            (ClientAuth::Required, Satisfy::All, true),
        ),
        // Half of the requests would do with a certificate; all of them need both.
        (
            "ssl_verify_client on;",
            "limit_except GET { auth_basic x; auth_basic_user_file u; }",
            (ClientAuth::Required, Satisfy::All, true),
        ),
        // Who has none is let in, so it is no proof of anything.
        (
            "ssl_verify_client optional;",
            PASSWORD,
            (ClientAuth::Off, Satisfy::Any, true),
        ),
        (
            "ssl_verify_client optional_no_ca;",
            PASSWORD,
            (ClientAuth::Off, Satisfy::Any, true),
        ),
        (
            "ssl_verify_client optional; if ($ssl_client_verify != SUCCESS) { return 403; }",
            "",
            (ClientAuth::Required, Satisfy::Any, false),
        ),
    ] {
        assert_eq!(
            of(&server(&format!("{CA} {words}"), location)),
            expected,
            "{words}"
        );
    }
    let listed = config(&server(
        "ssl_client_certificate ca; ssl_verify_client on; ssl_crl list.pem;",
        "",
    ));
    let tls = listed.listeners[0].tls.clone().unwrap();
    assert_eq!(tls.client_crl, Some("/etc/nginx/list.pem".into()));
}

#[test]
fn what_would_let_in_more_is_refused_and_closed_where_nothing_else_guards() {
    for (in_server, location) in [
        ("allow 10.0.0.0/8; deny all;", ""),
        ("allow 10.0.0.0/8; deny all;", PASSWORD),
        ("", "auth_request /auth;"),
        ("", "access_by_lua_block { ngx.exit(403) }"),
        ("auth_ldap x;", PASSWORD),
        ("if ($remote_addr ~ ^10) { return 403; }", PASSWORD),
        ("location /v2/private/ { deny all; }", PASSWORD),
        ("location ~ secret { return 403; }", PASSWORD),
        (
            "location /v2/team/ { auth_basic x; auth_basic_user_file team; proxy_pass http://localhost:5000; }",
            PASSWORD,
        ),
        (
            "location /v2/team/ { auth_basic x; auth_basic_user_file team; proxy_pass http://localhost:5000; }",
            "",
        ),
        ("frobnicate on;", ""),
    ] {
        let text = server(in_server, location);
        let faults = import_with(&text, |_| {}).unwrap_err();
        assert!(
            faults.contains("more open") && faults.contains("--partial"),
            "{text}: {faults}"
        );
        assert!(
            faults.starts_with("/etc/nginx/conf.d/registry.conf:1:"),
            "{faults}"
        );
        let partial = import_with(&text, |request| request.partial = true).unwrap();
        let config = loaded(&partial).config;
        let guarded = config.auth.htpasswd.is_some() || !config.has_public();
        let narrow = in_server.starts_with("location") || in_server.starts_with("frob");
        assert!(guarded || narrow, "{}", partial.text);
        assert!(
            partial.text.contains("NOT CARRIED, more open"),
            "{}",
            partial.text
        );
    }
}

#[test]
fn a_list_that_nobody_may_see_is_hidden_by_rules() {
    let text = server("location = /v2/_catalog { deny all; }", PASSWORD);
    let rules = config(&text).rules;
    assert_eq!(
        rules[0].actions,
        [RuleAction::Pull, RuleAction::Push, RuleAction::Delete]
    );
}

#[test]
fn the_entrance_may_ask_for_a_login_where_reading_does_not() {
    let text = server(
        &format!("location = /v2/ {{ {PASSWORD} proxy_pass http://localhost:5000; }}"),
        &format!("limit_except GET HEAD {{ {PASSWORD} }}"),
    );
    assert_eq!(config(&text).auth.anonymous, Anonymous::Pull);
}
