//! Real clients at the front door: each operation that people do, with a password and with a client certificate.
//!
//! The claims are what the clients do with a sound nginx in front of the registry, which is what people come from.
//! The same claims run against that nginx, so that it is known that they can be kept.

mod certificate;
mod front;
mod gate;
mod password;
mod public;
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
    password: crate::clients::gate::before::password,
    certificate: crate::clients::gate::before::certificate
);

clients_at!(
    at_the_embedded_registry,
    password: crate::clients::gate::embedded::password,
    certificate: crate::clients::gate::embedded::certificate
);

/// What nginx cannot do for docker, podman, buildah and skopeo, so that there is no reference.
macro_rules! open_to_all {
    ($name:ident, $fronts:ident) => {
        mod $name {
            use super::gate::$fronts::{public as everybody, rules};
            use super::{ctr, docker, need, public};

            #[test]
            fn docker_pulls_without_a_login_and_pushes_with_one() {
                if need(docker::PROGRAMS) {
                    public::docker(&everybody());
                }
            }

            #[test]
            fn docker_is_held_to_the_rules() {
                if need(docker::PROGRAMS) {
                    public::docker_by_rules(&rules());
                }
            }

            #[test]
            fn podman_pulls_without_a_login_and_pushes_with_one() {
                if need(&["podman"]) {
                    public::podman(&everybody());
                    public::podman(&rules());
                }
            }

            #[test]
            fn buildah_pulls_without_a_password_and_pushes_with_one() {
                if need(&["buildah"]) {
                    public::buildah(&everybody());
                }
            }

            #[test]
            fn skopeo_reads_without_a_password_and_writes_with_one() {
                if need(&["skopeo"]) {
                    public::skopeo(&everybody());
                }
            }

            #[test]
            fn skopeo_is_held_to_the_rules() {
                if need(&["skopeo"]) {
                    public::skopeo_by_rules(&rules());
                }
            }

            #[test]
            fn containerd_pulls_without_a_password_and_pushes_with_one() {
                if need(ctr::PROGRAMS) {
                    public::containerd(&everybody());
                }
            }

            #[test]
            fn containerd_is_held_to_the_rules() {
                if need(ctr::PROGRAMS) {
                    public::containerd_by_rules(&rules());
                }
            }
        }
    };
}

open_to_all!(open_to_all, before);
open_to_all!(embedded_and_open_to_all, embedded);
