//! Real clients at the front door: each operation that people do, with a password and with a client certificate.
//!
//! The claims are what the clients do with a sound nginx in front of the registry, which is what people come from.
//! The same claims run against that nginx, so that it is known that they can be kept.

mod certificate;
mod clocks;
mod front;
mod gate;
mod matrix;
mod password;
mod public;
mod reference;

use crate::support::{clock, ctr, docker, peers};

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

/// Who may and who may not, with every client.
macro_rules! by_rules {
    ($name:ident, $fronts:ident) => {
        mod $name {
            use super::gate::$fronts::matrix as front;
            use super::{ctr, docker, matrix, need};

            #[test]
            fn docker_does_what_each_person_may() {
                if need(docker::PROGRAMS) {
                    matrix::docker(&front());
                }
            }

            #[test]
            fn podman_does_what_each_person_may() {
                if need(&["podman"]) {
                    matrix::podman(&front());
                }
            }

            #[test]
            fn buildah_does_what_each_person_may() {
                if need(&["buildah"]) {
                    matrix::buildah(&front());
                }
            }

            #[test]
            fn skopeo_does_what_each_person_may() {
                if need(&["skopeo"]) {
                    matrix::skopeo(&front());
                }
            }

            #[test]
            fn containerd_does_what_each_person_may() {
                if need(ctr::PROGRAMS) {
                    matrix::containerd(&front());
                }
            }
        }
    };
}

by_rules!(by_rules, before);
by_rules!(embedded_by_rules, embedded);

/// Whose clock is right does not matter, and a token that is over is no end.
mod off_the_clock {
    use super::{clock, clocks, ctr, docker, need};

    #[test]
    fn docker_works_ten_minutes_off() {
        if need(&[clock::PROGRAMS, docker::PROGRAMS].concat()) {
            clocks::apart(clocks::DOCKER);
        }
    }

    #[test]
    fn podman_works_ten_minutes_off() {
        if need(&[clock::PROGRAMS, &["podman"]].concat()) {
            clocks::apart(clocks::PODMAN);
        }
    }

    #[test]
    fn buildah_works_ten_minutes_off() {
        if need(&[clock::PROGRAMS, &["buildah"]].concat()) {
            clocks::apart(clocks::BUILDAH);
        }
    }

    #[test]
    fn skopeo_works_ten_minutes_off() {
        if need(&[clock::PROGRAMS, &["skopeo"]].concat()) {
            clocks::apart(clocks::SKOPEO);
        }
    }

    #[test]
    fn containerd_works_ten_minutes_off() {
        if need(&[clock::PROGRAMS, ctr::PROGRAMS].concat()) {
            clocks::apart(clocks::CONTAINERD);
        }
    }

    #[test]
    fn a_push_that_takes_longer_than_its_token_lives_is_finished() {
        let more: &[&str] = &["podman", "skopeo"];
        if need(&[clock::PROGRAMS, docker::PROGRAMS, more].concat()) {
            clocks::longer_than_a_token();
        }
    }
}
