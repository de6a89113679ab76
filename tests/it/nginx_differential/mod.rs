//! The same requests through nginx, as people have configured it, and through dockgate as `examples/` says, each before
//! a registry with the same content: status, headers and body are compared, and every difference that is meant stands
//! in a table with its reason. A difference that is not in the table fails the test, and so does a line of the table
//! that nothing needs any more.

mod compare;
mod fronts;
mod requests;
mod wanted;

use crate::support::peers::need;

use compare::Comparison;
use fronts::Fronts;

#[test]
fn dockgate_answers_as_nginx_did_but_for_what_is_written_down() {
    if !need(&["nginx", "docker-registry", "setpriv", "htpasswd"]) {
        return;
    }
    let mut comparison = Comparison::new(wanted::WANTED);
    for fronts in [
        Fronts::azure(),
        Fronts::container(),
        Fronts::recipe(),
        Fronts::documentation(),
        Fronts::certificates(),
        Fronts::public_pull(),
    ] {
        comparison.run(&fronts);
    }
    comparison.end();
}

/// Of the differences that are meant, an import has those that no setting can take back.
#[test]
fn what_is_imported_from_nginxs_lines_answers_as_they_did() {
    if !need(&["nginx", "docker-registry", "setpriv", "htpasswd"]) {
        return;
    }
    let mut comparison = Comparison::new(wanted::IMPORTED).allowing(wanted::WANTED);
    for fronts in Fronts::imports() {
        comparison.run(&fronts());
    }
    comparison.end();
}
