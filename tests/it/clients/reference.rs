//! nginx with the configurations that people run: what the claims are measured on.

use super::front::{Front, Refusal, Site};
use crate::support::nginx::Nginx;
use crate::support::peers;

/// A password for everything: the first recipe on the net, and the `X-Forwarded-Proto` without which the registry
/// sends the clients to `http://` and no push works.
pub fn password() -> Front {
    let site = Site::new();
    let (certificate, key) = (site.server.certificate.display(), site.server.key.display());
    let (htpasswd, upstream) = (site.htpasswd.display(), site.url());
    let http = format!(
        r#"server {{
        listen LISTEN ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        add_header Strict-Transport-Security "max-age=31536000; includeSubdomains";
        proxy_set_header Host $http_host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        client_max_body_size 0;
        add_header Docker-Distribution-Api-Version registry/2.0 always;
        chunked_transfer_encoding on;
        location / {{
            auth_basic "Restricted";
            auth_basic_user_file {htpasswd};
            proxy_pass {upstream};
        }}
        location /_ping {{ auth_basic off; proxy_pass {upstream}; }}
        location /v1/_ping {{ auth_basic off; proxy_pass {upstream}; }}
    }}"#
    );
    let nginx = Nginx::start(peers::ADDRESS, &http);
    site.behind(nginx.address().port(), Refusal::default(), nginx)
}

/// A client certificate for everything.
pub fn certificate() -> Front {
    let site = Site::new();
    let (certificate, key) = (site.server.certificate.display(), site.server.key.display());
    let (ca, upstream) = (site.authority.ca().display(), site.url());
    let http = format!(
        r"server {{
        listen LISTEN ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_client_certificate {ca};
        ssl_verify_client on;
        client_max_body_size 0;
        chunked_transfer_encoding on;
        location / {{
            proxy_pass {upstream};
            proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_read_timeout 900;
        }}
    }}"
    );
    let nginx = Nginx::start(peers::ADDRESS, &http);
    let refusal = Refusal {
        docker: "error parsing HTTP 400 response body",
        docker_login: "400 Bad Request",
        image_push: "invalid status code from registry 400",
        image_pull: "invalid status code from registry 400",
        ctr: "400 Bad Request",
    };
    site.behind(nginx.address().port(), refusal, nginx)
}
