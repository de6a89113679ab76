//! The same requests through nginx, as people have configured it, and through dockgate as `examples/` says, each before
//! a registry with the same content: status, headers and body are compared, and every difference that is meant stands
//! in a table with its reason. A difference that is not in the table fails the test, and so does a line of the table
//! that nothing needs any more.

mod compare;
mod fronts;
mod requests;
mod wanted;

use crate::support::peers::need;

use compare::compare;
use fronts::Fronts;

const PEERS: &[&str] = &["nginx", "docker-registry", "setpriv", "htpasswd"];

/// Seed 000: Basic authentication for everything, the registry knows nothing of TLS.
#[test]
fn dockgate_answers_as_the_nginx_of_the_azure_set_up() {
    if need(PEERS) {
        compare(&Fronts::azure(), wanted::AZURE);
    }
}

/// The recipe of the Docker documentation: as above, with the headers that registry:2 asks for.
#[test]
fn dockgate_answers_as_the_nginx_of_the_docker_documentation() {
    if need(PEERS) {
        compare(&Fronts::recipe(), wanted::RECIPE);
    }
}

/// Seed 002: a client certificate for everything.
#[test]
fn dockgate_answers_as_the_nginx_of_the_client_certificates() {
    if need(PEERS) {
        compare(&Fronts::certificates(), wanted::CERTIFICATES);
    }
}

/// Seed 004: everybody pulls, a password for everything else.
#[test]
fn dockgate_answers_as_the_nginx_of_public_pull() {
    if need(PEERS) {
        compare(&Fronts::public_pull(), wanted::PUBLIC_PULL);
    }
}
