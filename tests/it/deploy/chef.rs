//! The example for Chef. No Chef is to be had here; Ruby reads it, and its template is filled in.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::here;
use crate::support::certs::Authority;
use crate::support::passwords;
use crate::support::peers::need;
use crate::support::process::run;
use crate::support::program::dockgate;

#[test]
fn ruby_reads_the_cookbook() {
    if !need(&["ruby"]) {
        return;
    }
    for file in ["metadata.rb", "attributes/default.rb", "recipes/default.rb"] {
        run(Command::new("ruby")
            .arg("-wc")
            .arg(here("deploy/chef").join(file)))
        .succeeds("it is Ruby")
        .says("Syntax OK", "it is Ruby");
    }
}

#[test]
fn the_template_becomes_a_sound_configuration() {
    if !need(&["ruby"]) {
        return;
    }
    let dir = TempDir::with_prefix("dockgate-chef-").unwrap();
    let authority = Authority::new("chef");
    let pair = authority.server();
    passwords::write(&dir.path().join("htpasswd"), "alice", "secret");
    for upstream in ["nil", "'http://localhost:5000'"] {
        let script = format!(
            "require 'erb'\n@settings = {{'address' => '0.0.0.0:443', 'certificate' => '{}', 'upstream' => {upstream}}}\n\
             @htpasswd = 'htpasswd'\nputs ERB.new(File.read(ARGV[0]), trim_mode: '-').result(binding)",
            pair.certificate.display()
        );
        let filled = run(Command::new("ruby")
            .arg("-e")
            .arg(script)
            .arg(here("deploy/chef/templates/proxy.toml.erb")))
        .succeeds("the template is filled in");
        let toml = filled.stdout.replace("/var/lib/dockgate", "state");
        assert_eq!(toml.contains("[upstream]"), upstream != "nil");
        fs::write(dir.path().join("proxy.toml"), toml).unwrap();
        run(dockgate()
            .current_dir(dir.path())
            .env("DOCKGATE_LISTENER_TLS_KEY", &pair.key)
            .arg("check"))
        .succeeds("dockgate check")
        .says("no faults", "it is sound");
    }
}
