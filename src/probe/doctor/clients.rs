//! Which files the clients on this machine read for a registry.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::tls::{Shown, Trust};

use crate::probe::target::Target;

/// A configuration file of a client is shorter.
const LONGEST: u64 = 1 << 20;

/// A client and the folders in which it looks for a registry's CA, below `/`.
const FOLDERS: [(&str, &[&str]); 3] = [
    ("docker", &["etc/docker/certs.d"]),
    ("podman", &["etc/containers/certs.d", "etc/docker/certs.d"]),
    ("containerd", &["etc/containerd/certs.d"]),
];

/// Who on this machine trusts a certificate by a file of its own.
#[derive(Debug, Default)]
pub(super) struct Believers {
    /// Client and file.
    pub trusting: Vec<(&'static str, PathBuf)>,
    /// Client and file that is there and vouches for somebody else.
    pub other: Vec<(&'static str, PathBuf)>,
}

/// Looks into the clients' own folders for this registry.
pub(super) fn believers(root: &Path, target: &Target, shown: &Shown) -> Believers {
    let mut believers = Believers::default();
    for (client, folders) in FOLDERS {
        for folder in folders {
            for file in files(&folder_of(root, folder, target)) {
                match shown.trust(&target.host, Some(&file)) {
                    Ok(Trust::Trusted) => believers.trusting.push((client, file)),
                    _ => believers.other.push((client, file)),
                }
            }
        }
    }
    believers
}

/// Where docker and podman would read a CA for this registry.
pub(super) fn advice(target: &Target) -> String {
    let place = target.authority();
    format!(
        "docker reads /etc/docker/certs.d/{place}/ca.crt, podman \
         /etc/containers/certs.d/{place}/ca.crt, containerd the `ca` of \
         /etc/containerd/certs.d/{place}/hosts.toml"
    )
}

fn folder_of(root: &Path, folder: &str, target: &Target) -> PathBuf {
    root.join(folder).join(target.authority())
}

/// The CAs of a folder: `*.crt`, and what a hosts.toml names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "crt"))
        .collect();
    let hosts = read(&folder.join("hosts.toml")).and_then(|text| text.parse::<toml::Table>().ok());
    let named = hosts.as_ref().and_then(|table| table.get("ca"));
    let named = match named {
        Some(toml::Value::Array(several)) => several.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    let named = named.into_iter().filter_map(toml::Value::as_str);
    files.extend(named.map(|path| folder.join(path)));
    files.sort();
    files.dedup();
    files
}

/// Whether docker's daemon was told that this registry is insecure.
pub(super) fn is_insecure(root: &Path, target: &Target) -> bool {
    let text = read(&root.join("etc/docker/daemon.json")).unwrap_or_default();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let listed = document
        .get("insecure-registries")
        .and_then(|list| list.as_array());
    listed.is_some_and(|list| {
        let names = [target.authority(), target.place(), target.host.clone()];
        list.iter()
            .filter_map(serde_json::Value::as_str)
            .any(|entry| {
                let network = entry.parse::<ipnet::IpNet>().ok();
                names.iter().any(|name| name == entry)
                    || network
                        .zip(target.ip())
                        .is_some_and(|(n, ip)| n.contains(&ip))
            })
    })
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = fs::File::open(path).ok()?;
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_own_files_are_found_where_they_read_them() {
        let root = tempfile::tempdir().unwrap();
        let target = Target::parse("https://r.example:5000").unwrap();
        let folder = folder_of(root.path(), "etc/containerd/certs.d", &target);
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(files(&folder), [""; 0].map(PathBuf::from));
        fs::write(folder.join("ca.crt"), "").unwrap();
        fs::write(folder.join("client.cert"), "").unwrap();
        fs::write(
            folder.join("hosts.toml"),
            "ca = [\"/etc/ca.pem\", \"own.pem\"]\n",
        )
        .unwrap();
        let found = [
            PathBuf::from("/etc/ca.pem"),
            folder.join("ca.crt"),
            folder.join("own.pem"),
        ];
        assert_eq!(files(&folder), found);
    }

    #[test]
    fn an_insecure_registry_is_one_that_docker_was_told_of() {
        let root = tempfile::tempdir().unwrap();
        let target = Target::parse("http://10.1.2.3:5000").unwrap();
        assert!(!is_insecure(root.path(), &target));
        fs::create_dir_all(root.path().join("etc/docker")).unwrap();
        for (list, insecure) in [
            (r#"["10.1.2.3:5000"]"#, true),
            (r#"["10.0.0.0/8"]"#, true),
            (r#"["10.1.2.3:5001", "r.example"]"#, false),
        ] {
            let text = format!("{{\"insecure-registries\": {list}}}");
            fs::write(root.path().join("etc/docker/daemon.json"), text).unwrap();
            assert_eq!(is_insecure(root.path(), &target), insecure, "{list}");
        }
    }
}
