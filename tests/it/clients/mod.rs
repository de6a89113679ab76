//! Real clients at the front door: each operation that people do, with a password and with a client certificate.
//!
//! The claims are what the clients do with a sound nginx in front of the registry, which is what people come from.
//! The same claims run against that nginx, so that it is known that they can be kept.

mod certificate;
mod front;
mod gate;
mod password;
mod reference;

use crate::support::{ctr, docker, peers};

/// What a front needs by itself.
const FRONT: &[&str] = &["docker-registry", "nginx", "htpasswd", "setpriv"];

fn need(programs: &[&str]) -> bool {
    peers::need_clients(&[FRONT, programs].concat())
}

/// All claims, against the front doors that these two functions open.
macro_rules! clients_at {
    ($name:ident, password: $password:path, certificate: $certificate:path) => {
        mod $name {
            use super::{certificate, ctr, docker, need, password};

            #[test]
            fn docker_works_with_a_password() {
                if need(docker::PROGRAMS) {
                    password::docker(&$password());
                }
            }

            #[test]
            fn podman_works_with_a_password() {
                if need(&["podman"]) {
                    password::podman(&$password());
                }
            }

            #[test]
            fn buildah_works_with_a_password() {
                if need(&["buildah"]) {
                    password::buildah(&$password());
                }
            }

            #[test]
            fn skopeo_works_with_a_password() {
                if need(&["skopeo"]) {
                    password::skopeo(&$password());
                }
            }

            #[test]
            fn containerd_works_with_a_password() {
                if need(ctr::PROGRAMS) {
                    password::containerd(&$password());
                }
            }

            #[test]
            fn docker_works_with_a_certificate() {
                if need(docker::PROGRAMS) {
                    certificate::docker(&$certificate());
                }
            }

            #[test]
            fn podman_works_with_a_certificate() {
                if need(&["podman"]) {
                    certificate::podman(&$certificate());
                }
            }

            #[test]
            fn buildah_works_with_a_certificate() {
                if need(&["buildah"]) {
                    certificate::buildah(&$certificate());
                }
            }

            #[test]
            fn skopeo_works_with_a_certificate() {
                if need(&["skopeo"]) {
                    certificate::skopeo(&$certificate());
                }
            }

            #[test]
            fn containerd_works_with_a_certificate() {
                if need(ctr::PROGRAMS) {
                    certificate::containerd(&$certificate());
                }
            }
        }
    };
}

clients_at!(
    at_the_reference,
    password: crate::clients::reference::password,
    certificate: crate::clients::reference::certificate
);

clients_at!(
    at_the_gate,
    password: crate::clients::gate::password,
    certificate: crate::clients::gate::certificate
);
