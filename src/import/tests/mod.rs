//! Whole configurations of nginx, and what they come to.

mod access;
mod narrower;

use crate::config::Authorization;
use crate::config::Backend;
use crate::config::Loaded;

use super::include::tests::Memory;
use super::*;

const TLS: &str =
    "listen 443 ssl; ssl_certificate a.crt; ssl_certificate_key a.key; client_max_body_size 0;";

fn import_with(text: &str, change: impl FnOnce(&mut Request)) -> Result<Imported, String> {
    let memory = Memory::new(&[("/etc/nginx/conf.d/registry.conf", text)]);
    let mut request = Request {
        files: vec!["/etc/nginx/conf.d/registry.conf".into()],
        ..Request::default()
    };
    change(&mut request);
    nginx(&memory, &request).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        faults.join("\n")
    })
}

#[track_caller]
fn import(text: &str) -> Imported {
    import_with(text, |_| {}).unwrap_or_else(|faults| panic!("{text}:\n{faults}"))
}

#[track_caller]
fn config(text: &str) -> Config {
    loaded(&import(text)).config
}

fn loaded(imported: &Imported) -> Loaded {
    Config::parse(&imported.text, Path::new("/"), &[]).unwrap()
}

/// A server with TLS whose location of the API holds these lines.
fn server(server: &str, location: &str) -> String {
    format!(
        "server {{ {TLS} {server} location /v2/ {{ {location} proxy_pass http://localhost:5000; }} }}"
    )
}

const PASSWORD: &str = "auth_basic x; auth_basic_user_file users;";

/// What becomes of the line that contains this.
fn fate(imported: &Imported, directive: &str) -> Fate {
    let mut entries = imported.entries.iter();
    let entry = entries.find(|entry| entry.directive.contains(directive));
    entry
        .unwrap_or_else(|| panic!("no {directive}"))
        .fate
        .clone()
}

fn count(list: &[Directive]) -> usize {
    list.iter().map(|d| 1 + count(d.children())).sum()
}

#[test]
fn every_line_has_a_fate() {
    let text = format!(
        "user www; events {{ worker_connections 1; }} http {{ sendfile on; types {{ a b; }} map $a $b {{ c d; }}\n\
         upstream x {{ server a; keepalive 3; }} server {{ listen 80; return 301 https://$host$request_uri; }}\n\
         server {{ {TLS} server_name x; frobnicate on; location / {{ root /x; location ~ y {{ index z; }} }} location /v2/ {{\n\
         if ($http_user_agent ~ bot) {{ return 403; }} limit_except GET {{ {PASSWORD} }} proxy_pass http://x; }} }} }}\n\
         stream {{ server {{ listen 1; }} }}"
    );
    let list = tree::parse(&"f".into(), &text, &mut tree::Numbers::default()).unwrap();
    let imported = import(&text);
    assert_eq!(imported.entries.len(), count(&list), "{}", imported.text);
    for entry in &imported.entries {
        assert!(imported.text.contains(&format!("\n# {entry}\n")), "{entry}");
    }
    assert_eq!(
        fate(&imported, "frobnicate"),
        Fate::Left("is not known to dockgate; look up what it did for the registry".into())
    );
}

#[test]
fn what_nginx_did_by_default_is_written_down() {
    let imported = import(
        "server { listen 443 ssl; ssl_certificate a; ssl_certificate_key b; location / { auth_basic x; auth_basic_user_file u; proxy_pass http://r; } }",
    );
    let config = loaded(&imported).config;
    assert_eq!(config.limits.body_size, Some(1 << 20));
    assert_eq!(config.limits.manifest_size, 1 << 20);
    let upstream = config.upstream().unwrap();
    assert_eq!(upstream.read_timeout.as_secs(), 60);
    assert_eq!(upstream.authorization, Authorization::Forward);
    assert!(!config.clients.reject_old_docker && !config.listeners[0].http2);
    assert_eq!(config.headers.strict_transport_security, None);
    // Relative paths begin beside conf.d, at the folder of nginx.conf.
    assert_eq!(config.auth.htpasswd, Some("/etc/nginx/u".into()));
    let text = server(
        "",
        &format!("{PASSWORD} proxy_set_header Authorization \"\";"),
    );
    let stripped = loaded(&import(&text)).config;
    assert_eq!(
        stripped.upstream().unwrap().authorization,
        Authorization::Strip
    );
}

#[test]
fn what_cannot_be_done_at_all_is_refused_with_its_place() {
    for (text, said) in [
        (
            "server { listen 80; return 301 https://$host; }".to_owned(),
            "no location leads /v2/ to a registry",
        ),
        (
            "location / { root /x; }".to_owned(),
            "no location leads /v2/",
        ),
        (
            format!("server {{ {TLS} location /v2/ {{ {PASSWORD} proxy_pass h\u{1b}x://r; }} }}"),
            "h\\u{1b}x:// is not spoken to registries",
        ),
        (server("", "auth_basic x;"), "has no auth_basic_user_file"),
        (
            server("", "auth_basic x; auth_basic_user_file $host.users;"),
            "made of variables",
        ),
        (
            server("", "auth_basic x; auth_basic y; auth_basic_user_file u;"),
            "stands here a second time",
        ),
        (
            server("rewrite ^/v2/(.*)$ /other/$1 break;", PASSWORD),
            "changes paths",
        ),
        (
            format!("server {{ {TLS} location /v2/ {{ proxy_pass http://r/other/; }} }}"),
            "changes paths on the way",
        ),
        (
            format!("server {{ {TLS} location /v2/ {{ proxy_pass http://$where; }} }}"),
            "made of variables",
        ),
        (
            format!("server {{ {TLS} location /v2/ {{ proxy_pass http://a:geheim@r; }} }}"),
            "holds a user name",
        ),
        (
            "server { listen 443 ssl; location / { proxy_pass http://r; } }".to_owned(),
            "no ssl_certificate",
        ),
        (
            server("listen registry.example.com:443;", PASSWORD),
            "is a name",
        ),
        (
            server("ssl_verify_client on;", ""),
            "no ssl_client_certificate",
        ),
        (
            format!(
                "location /v2/ {{ proxy_pass http://r; }} {}",
                server("", "")
            ),
            "stands outside of a server",
        ),
        (
            format!(
                "{} {}",
                server("", PASSWORD),
                server(
                    "server_name b;",
                    "auth_basic x; auth_basic_user_file other;"
                )
            ),
            "--server NAME",
        ),
    ] {
        let faults = import_with(&text, |request| request.partial = true).unwrap_err();
        assert!(faults.contains(said), "{text}: {faults}");
        assert!(!faults.contains("geheim"), "{faults}");
    }
}

#[test]
fn servers_of_one_registry_become_listeners_and_certificates() {
    let one = |listen: &str, name: &str| {
        format!(
            "server {{ listen {listen}; server_name {name}; ssl_certificate {name}.crt; ssl_certificate_key {name}.key; \
             client_max_body_size 0; location / {{ {PASSWORD} proxy_pass http://r:5000; }} }}"
        )
    };
    let text = [
        one("443 ssl", "a"),
        one("443 ssl default_server", "b"),
        one("[::]:8443 ssl http2 proxy_protocol", "c"),
    ]
    .concat();
    let config = config(&text);
    let [first, second] = config.listeners.as_slice() else {
        panic!("{:?}", config.listeners)
    };
    let tls = first.tls.as_ref().unwrap();
    let files = tls.certificate.as_ref().unwrap();
    assert_eq!(
        files.certificate,
        Path::new("/etc/nginx/b.crt"),
        "the default one"
    );
    assert_eq!(tls.more.len(), 1);
    assert!(second.proxy_protocol && second.http2 && !first.http2);
    let named = import_with(&text, |request| request.server = Some("a".into())).unwrap();
    let tls = loaded(&named).config.listeners[0].tls.clone().unwrap();
    assert!(tls.more.is_empty());
    assert!(import_with(&text, |request| request.server = Some("z".into())).is_err());
}

#[test]
fn the_registrys_server_is_told_from_the_others() {
    let text = format!(
        "server {{ listen 80; server_name www; location / {{ proxy_pass http://www:80; }} }}\n\
         server {{ listen 80; server_name r; return 301 https://$host$request_uri; }}\n{}",
        server("", PASSWORD)
    );
    let imported = import(&text);
    assert_eq!(loaded(&imported).config.listeners.len(), 1);
    let said: Vec<String> = imported
        .entries
        .iter()
        .filter(|e| e.fate.is_loss())
        .map(ToString::to_string)
        .collect();
    assert!(
        said[0].contains("another site") && said[1].contains("sends clients elsewhere"),
        "{said:?}"
    );
}

#[test]
fn the_way_to_the_registry_is_found_through_groups_and_constants() {
    for (before, target, url) in [
        ("", "http://registry", "http://registry"),
        ("", "https://r:5000", "https://r:5000"),
        ("", "http://r:5000/v2/", "http://r:5000"),
        ("", "http://r:5000$request_uri", "http://r:5000"),
        ("", "http://unix:/run/r.sock", "unix:/run/r.sock"),
        ("", "http://unix:/run/r.sock:/v2/", "unix:/run/r.sock"),
        ("upstream g { server r:5000; }", "http://g", "http://r:5000"),
        ("upstream g { server r; }", "https://g", "https://r:80"),
        (
            "upstream g { server d down; server unix:/r; server b backup; }",
            "http://g",
            "unix:/r",
        ),
    ] {
        let text = format!(
            "{before} server {{ {TLS} set $port 5000; location /v2/ {{ {PASSWORD} proxy_pass {target}; }} }}"
        );
        assert!(
            import(&text).text.contains(&format!("\nurl = \"{url}\"\n")),
            "{text}"
        );
    }
    let text = format!(
        "server {{ {TLS} set $r registry:5000; location / {{ {PASSWORD} proxy_pass http://$r; }} }}"
    );
    assert!(
        import(&text)
            .text
            .contains("url = \"http://registry:5000\"")
    );
    let two = import(&format!(
        "upstream g {{ server a; server b; }} server {{ {TLS} location / {{ {PASSWORD} proxy_pass http://g; }} }}"
    ));
    assert!(matches!(fate(&two, "server b"), Fate::Left(_)));
}

#[test]
fn sizes_waits_headers_and_proxies_in_front_are_carried() {
    let text = server(
        "client_max_body_size 2g; client_header_timeout 10; keepalive_timeout 70s 60s; large_client_header_buffers 4 16k;\n\
         set_real_ip_from 10.1.2.3/8; set_real_ip_from 192.0.2.1; real_ip_header X-Forwarded-For; access_log off;\n\
         ssl_protocols TLSv1.3; add_header Strict-Transport-Security \"max-age=1\" always;"
            .replace("client_max_body_size 2g;", "")
            .as_str(),
        &format!("{PASSWORD} proxy_read_timeout 15m; proxy_connect_timeout 5;"),
    );
    let config = config(&text);
    assert_eq!(config.limits.body_size, None);
    assert_eq!(config.limits.header_size, 64 << 10);
    assert_eq!(config.timeouts.request_header.as_secs(), 10);
    assert_eq!(config.timeouts.idle.as_secs(), 70);
    let proxies: Vec<String> = config
        .headers
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(proxies, ["10.0.0.0/8", "192.0.2.1/32"]);
    assert_eq!(
        config.headers.strict_transport_security.unwrap(),
        "max-age=1"
    );
    assert_eq!(config.log.access, None);
    let Backend::Upstream(upstream) = config.backend else {
        panic!("the embedded registry")
    };
    assert_eq!(
        (
            upstream.read_timeout.as_secs(),
            upstream.connect_timeout.as_secs()
        ),
        (900, 5)
    );
}

#[test]
fn a_snippet_listens_nowhere_but_here() {
    let text = format!(
        "map $a $docker_distribution_api_version {{ '' registry/2.0; }} location ^~ /v2/ {{ {PASSWORD} client_max_body_size 0; proxy_pass http://127.0.0.1:8082/v2/; }}"
    );
    let imported = import(&text);
    let config = loaded(&imported).config;
    let [listener] = config.listeners.as_slice() else {
        panic!("{:?}", config.listeners)
    };
    assert_eq!(format!("{:?}", listener.address), "Tcp(127.0.0.1:5443)");
    assert!(
        imported.notes[0].contains("has no server block"),
        "{:?}",
        imported.notes
    );
}

#[test]
fn listeners_without_tls_say_so_and_those_that_only_redirect_are_left_out() {
    let plain = format!(
        "server {{ listen 5000; listen 127.0.0.1:5001; client_max_body_size 0; location / {{ {PASSWORD} proxy_pass http://r; }} }}"
    );
    let text = import(&plain).text;
    assert_eq!(text.matches("plaintext = true").count(), 1, "{text}");
    let both = server(
        "listen 80; if ($scheme = http) { return 301 https://$host$request_uri; }",
        PASSWORD,
    );
    assert_eq!(config(&both).listeners.len(), 1);
}

#[test]
fn secrets_are_not_repeated() {
    let text = server(
        "",
        &format!(
            "{PASSWORD} proxy_set_header Authorization \"Basic Z2VoZWlt\"; proxy_set_header X-Token geheim;"
        ),
    );
    let imported = import(&text);
    assert!(
        !imported.text.contains("Z2VoZWlt") && !imported.text.contains("geheim"),
        "{}",
        imported.text
    );
}
