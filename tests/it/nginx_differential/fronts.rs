//! nginx and dockgate in the same place, each before a registry of its own with the same content.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::certs::{Authority, Pair};
use crate::support::examples::adapted;
use crate::support::exchange::Wire;
use crate::support::gate::Gate;
use crate::support::nginx::Nginx;
use crate::support::passwords;
use crate::support::program::dockgate;
use crate::support::registry::Registry;

use super::requests::{self, PASSWORD, USER};

/// Both fronts. They listen on the same address, so that only their ports tell them apart.
pub struct Fronts {
    /// As the table of differences calls them.
    pub name: &'static str,
    site: Site,
    /// nginx, with the registry behind it.
    nginx: (Nginx, Registry),
    /// dockgate, with the registry behind it.
    gate: (Gate, Registry),
}

/// One of the two, as a client sees it.
pub struct Front<'a> {
    pub name: &'static str,
    pub address: SocketAddr,
    site: &'a Site,
}

/// What both are made of.
struct Site {
    authority: Authority,
    stranger: Authority,
    server: Pair,
    client: Pair,
    htpasswd: PathBuf,
    /// The configuration is about client certificates.
    certificates: bool,
}

impl Site {
    fn new(certificates: bool) -> Self {
        let authority = Authority::new("the CA of the test");
        let server = authority.server();
        let client = authority.client(USER);
        let htpasswd = server.key.with_file_name("htpasswd");
        passwords::write(&htpasswd, USER, PASSWORD);
        Self {
            stranger: Authority::new("the CA of somebody else"),
            authority,
            server,
            client,
            htpasswd,
            certificates,
        }
    }

    fn fronts(
        self,
        name: &'static str,
        http: &str,
        toml: impl FnOnce(&Self, &str) -> String,
    ) -> Fronts {
        let registries = [Registry::start(), Registry::start()];
        for registry in &registries {
            requests::fill(&Wire::plain(port_of(registry.url())));
        }
        let [behind_nginx, behind_gate] = registries;
        let http = self.filled(http, behind_nginx.url());
        let nginx = Nginx::start(Ipv4Addr::LOCALHOST, &http);
        let gate = Gate::start(&toml(&self, behind_gate.url()));
        Fronts {
            name,
            site: self,
            nginx: (nginx, behind_nginx),
            gate: (gate, behind_gate),
        }
    }
}

impl Site {
    /// The configuration with our files and this registry.
    fn filled(&self, http: &str, upstream: &str) -> String {
        let registry = upstream.strip_prefix("http://").unwrap();
        [
            ("CERTIFICATE", text(&self.server.certificate)),
            ("PRIVATE_KEY", text(&self.server.key)),
            ("CLIENT_CA", text(self.authority.ca())),
            ("HTPASSWD", text(&self.htpasswd)),
            ("UPSTREAM", upstream),
            ("REGISTRY", registry),
        ]
        .iter()
        .fold(http.to_owned(), |http, (name, value)| {
            http.replace(name, value)
        })
    }

    /// nginx with these lines, and dockgate with what it makes of the same lines by itself.
    fn imported(self, name: &'static str, http: &str) -> Fronts {
        self.fronts(name, http, |site, upstream| {
            let lines = site.filled(http, upstream).replace("LISTEN", "127.0.0.1:0");
            imported(&format!("events {{}}\nhttp {{\n{lines}\n}}\n"))
        })
    }
}

/// What `dockgate import` makes of an nginx.conf.
#[track_caller]
fn imported(conf: &str) -> String {
    let dir = TempDir::with_prefix("dockgate-import-").unwrap();
    let file = dir.path().join("nginx.conf");
    fs::write(&file, conf).unwrap();
    let output = dockgate()
        .args(["import", "nginx"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{conf}\n{said}");
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn port_of(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

impl Front<'_> {
    /// How to speak to it as somebody it knows, as somebody it does not, or as nobody.
    pub fn wire(&self, who: requests::Who) -> Wire {
        let site = self.site;
        let foreign = site.stranger.client(USER);
        let client = match who {
            _ if !site.certificates => None,
            requests::Who::Nobody => None,
            requests::Who::User => Some(&site.client),
            requests::Who::Stranger => Some(&foreign),
        };
        Wire::tls(self.address, site.authority.ca(), client)
    }

    /// Credentials are a certificate, and no password.
    pub fn wants_certificates(&self) -> bool {
        self.site.certificates
    }
}

impl Fronts {
    pub fn nginx(&self) -> Front<'_> {
        Front {
            name: "nginx",
            address: self.nginx.0.address(),
            site: &self.site,
        }
    }

    pub fn gate(&self) -> Front<'_> {
        Front {
            name: "dockgate",
            address: self.gate.0.address(),
            site: &self.site,
        }
    }

    pub fn azure() -> Self {
        Site::new(false).fronts("azure", AZURE, |site, upstream| {
            adapted(
                "azure-basic-auth/proxy.toml",
                &[
                    ("0.0.0.0:443", "127.0.0.1:0"),
                    ("/certs/public.cert", text(&site.server.certificate)),
                    ("/certs/private.key", text(&site.server.key)),
                    ("/etc/nginx/auth/registry.password", text(&site.htpasswd)),
                    ("http://localhost:5000", upstream),
                ],
            )
        })
    }

    pub fn recipe() -> Self {
        Site::new(false).fronts("recipe", RECIPE, |site, upstream| {
            let external = |name: &str| format!("/etc/nginx/external/{name}");
            adapted(
                "ssh-tunnel-and-http/proxy.toml",
                &[
                    ("0.0.0.0:443", "127.0.0.1:0"),
                    (&external("cert.pem"), text(&site.server.certificate)),
                    (&external("key.pem"), text(&site.server.key)),
                    (&external("docker-registry.htpasswd"), text(&site.htpasswd)),
                    ("http://registry:5000", upstream),
                ],
            )
        })
    }

    pub fn certificates() -> Self {
        Site::new(true).fronts("certificates", CERTIFICATES, |site, upstream| {
            let certs = |name: &str| format!("/opt/registry/certs/{name}");
            adapted(
                "client-certificates/proxy.toml",
                &[
                    ("0.0.0.0:443", "127.0.0.1:0"),
                    (&certs("server.cert"), text(&site.server.certificate)),
                    (&certs("server.key"), text(&site.server.key)),
                    (&certs("client-ca.cert"), text(site.authority.ca())),
                    ("http://localhost:5000", upstream),
                ],
            )
        })
    }

    pub fn container() -> Self {
        Site::new(false).fronts("container", CONTAINER, |site, upstream| {
            let nginx = |name: &str| format!("/etc/nginx/{name}");
            adapted(
                "container-variables/proxy.toml",
                &[
                    ("0.0.0.0:443", "127.0.0.1:0"),
                    (
                        &nginx("ssl/docker-registry.crt"),
                        text(&site.server.certificate),
                    ),
                    (&nginx("ssl/docker-registry.key"), text(&site.server.key)),
                    (&nginx(".htpasswd"), text(&site.htpasswd)),
                    ("http://docker-registry:5000", upstream),
                ],
            )
        })
    }

    pub fn documentation() -> Self {
        Site::new(false).fronts("recipe", DOCS, |site, upstream| {
            let folder = |name: &str| format!("/etc/nginx/conf.d/{name}");
            adapted(
                "nginx-recipe/proxy.toml",
                &[
                    ("0.0.0.0:443", "127.0.0.1:0"),
                    (&folder("domain.crt"), text(&site.server.certificate)),
                    (&folder("domain.key"), text(&site.server.key)),
                    (&folder("nginx.htpasswd"), text(&site.htpasswd)),
                    ("http://registry:5000", upstream),
                ],
            )
        })
    }

    pub fn public_pull() -> Self {
        Site::new(false).fronts("public pull", PUBLIC_PULL, |site, upstream| {
            adapted(
                "public-pull/proxy.toml",
                &[
                    ("0.0.0.0:443", "127.0.0.1:0"),
                    (
                        "/etc/ssl/certs/example.com.pem",
                        text(&site.server.certificate),
                    ),
                    ("/etc/ssl/private/example.com.key", text(&site.server.key)),
                    (
                        "/etc/nginx/conf.d/docker.registry.htpasswd",
                        text(&site.htpasswd),
                    ),
                    ("http://127.0.0.1:8082", upstream),
                ],
            )
        })
    }
}

impl Fronts {
    /// Every set-up again, and dockgate with what it makes of nginx's own lines.
    pub fn imports() -> [fn() -> Self; 6] {
        [
            || Site::new(false).imported("azure", AZURE),
            || Site::new(false).imported("container", CONTAINER),
            || Site::new(true).imported("certificates", CERTIFICATES),
            || Site::new(false).imported("group", GROUP),
            || Site::new(false).imported("public pull", PUBLIC_PULL),
            || Site::new(false).imported("recipe", DOCS),
        ]
    }
}

// The configurations as people have them, but for addresses and files: capitals stand for ours. `ssl on` is gone from
// nginx since 1.25 and says the same as `listen ... ssl`. The protocols and ciphers that some of them name are left
// out: no client of today speaks RC4, and neither nginx here nor dockgate would.

const AZURE: &str = r#"
    server {
        listen LISTEN ssl;
        ssl_certificate CERTIFICATE;
        ssl_certificate_key PRIVATE_KEY;
        add_header Strict-Transport-Security "max-age=31536000; includeSubdomains";
        proxy_set_header Host $http_host;
        proxy_set_header X-Real-IP $remote_addr;
        client_max_body_size 0;
        add_header 'Docker-Distribution-Api-Version' 'registry/2.0' always;
        chunked_transfer_encoding on;
        location / {
            auth_basic "Restricted";
            auth_basic_user_file HTPASSWD;
            proxy_pass UPSTREAM;
        }
        location /_ping { auth_basic off; proxy_pass UPSTREAM; }
        location /v1/_ping { auth_basic off; proxy_pass UPSTREAM; }
    }
"#;

const RECIPE: &str = r#"
    map $upstream_http_docker_distribution_api_version $docker_distribution_api_version { '' 'registry/2.0'; }
    server {
        listen LISTEN ssl;
        ssl_certificate CERTIFICATE;
        ssl_certificate_key PRIVATE_KEY;
        client_max_body_size 0;
        chunked_transfer_encoding on;
        location /v2/ {
            if ($http_user_agent ~ "^(docker\/1\.(3|4|5(?!\.[0-9]-dev))|Go ).*$" ) { return 404; }
            auth_basic "Registry realm";
            auth_basic_user_file HTPASSWD;
            add_header 'Docker-Distribution-Api-Version' $docker_distribution_api_version always;
            proxy_pass UPSTREAM;
            proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_read_timeout 900;
        }
    }
"#;

/// The container that is told by variables where the registry is.
const CONTAINER: &str = r#"
    server {
        listen LISTEN ssl;
        server_name registry.test;
        add_header Docker-Distribution-Api-Version registry/2.0 always;
        ssl_certificate CERTIFICATE;
        ssl_certificate_key PRIVATE_KEY;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Original-URI $request_uri;
        proxy_set_header Docker-Distribution-Api-Version registry/2.0;
        proxy_read_timeout 300s;
        proxy_send_timeout 300s;
        client_max_body_size 0;
        location / {
            auth_basic "Restricted";
            auth_basic_user_file HTPASSWD;
            proxy_pass UPSTREAM;
        }
        location /v1/_ping { auth_basic off; return 200 'V2 registry'; }
    }
"#;

/// The other container: as `AZURE`, with a group of one server.
const GROUP: &str = r#"
    server_tokens off;
    upstream docker-registry { server REGISTRY; }
    server {
        listen LISTEN ssl default_server;
        ssl_certificate CERTIFICATE;
        ssl_certificate_key PRIVATE_KEY;
        ssl_protocols TLSv1 TLSv1.1 TLSv1.2;
        add_header Strict-Transport-Security "max-age=31536000; includeSubdomains";
        proxy_set_header Host       $http_host;
        proxy_set_header X-Real-IP  $remote_addr;
        client_max_body_size 0;
        chunked_transfer_encoding on;
        location / {
            auth_basic              "Restricted";
            auth_basic_user_file    HTPASSWD;
            proxy_pass http://docker-registry;
        }
        location /_ping { auth_basic off; proxy_pass http://docker-registry; }
        location /v1/_ping { auth_basic off; proxy_pass http://docker-registry; }
    }
"#;

/// The recipe as the documentation has it, with its group and its map.
const DOCS: &str = r#"
    upstream docker-registry { server REGISTRY; }
    map $upstream_http_docker_distribution_api_version $docker_distribution_api_version { '' 'registry/2.0'; }
    server {
        listen LISTEN ssl;
        server_name registry.test;
        ssl_certificate CERTIFICATE;
        ssl_certificate_key PRIVATE_KEY;
        ssl_protocols TLSv1.1 TLSv1.2;
        ssl_prefer_server_ciphers on;
        ssl_session_cache shared:SSL:10m;
        client_max_body_size 0;
        chunked_transfer_encoding on;
        location /v2/ {
            if ($http_user_agent ~ "^(docker\/1\.(3|4|5(?!\.[0-9]-dev))|Go ).*$" ) { return 404; }
            auth_basic "Registry realm";
            auth_basic_user_file HTPASSWD;
            add_header 'Docker-Distribution-Api-Version' $docker_distribution_api_version always;
            proxy_pass                          http://docker-registry;
            proxy_set_header  Host              $http_host;
            proxy_set_header  X-Real-IP         $remote_addr;
            proxy_set_header  X-Forwarded-For   $proxy_add_x_forwarded_for;
            proxy_set_header  X-Forwarded-Proto $scheme;
            proxy_read_timeout                  900;
        }
    }
"#;

const CERTIFICATES: &str = r"
    server {
        listen LISTEN ssl;
        keepalive_timeout 70;
        client_max_body_size 0;
        ssl_certificate CERTIFICATE;
        ssl_certificate_key PRIVATE_KEY;
        ssl_client_certificate CLIENT_CA;
        ssl_verify_client on;
        location / { proxy_pass UPSTREAM; }
    }
";

const PUBLIC_PULL: &str = r#"
    map $upstream_http_docker_distribution_api_version $docker_distribution_api_version { '' 'registry/2.0'; }
    server {
        listen LISTEN ssl;
        ssl_certificate CERTIFICATE;
        ssl_certificate_key PRIVATE_KEY;
        location ^~ /v2/ {
            proxy_pass UPSTREAM/v2/;
            proxy_set_header X-Nginx-Proxy true;
            client_max_body_size 0;
            chunked_transfer_encoding on;
            if ($http_user_agent ~ "^(docker\/1\.(3|4|5(?!\.[0-9]-dev))|Go ).*$" ) { return 404; }
            limit_except GET HEAD {
                auth_basic "Registry realm";
                auth_basic_user_file HTPASSWD;
            }
            add_header 'Docker-Distribution-Api-Version' $docker_distribution_api_version always;
            proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_read_timeout 900;
        }
    }
"#;
