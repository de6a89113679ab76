//! The certificate that is made at first start.

use std::os::unix::fs::PermissionsExt as _;

use rustls::pki_types::pem::PemObject as _;

use crate::tls::{client_config, first};

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn start(folder: &Folder) -> Result<ServerTls, String> {
    let mut settings = settings(first::files(folder.as_ref()));
    settings.certificate = None;
    ServerTls::load(&settings, true, folder.as_ref(), &Challenges::default())
        .map(|(server, warnings)| {
            assert_eq!(warnings, []);
            server
        })
        .map_err(|faults| told(&faults))
}

fn now_plus(days: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(
        UnixTime::now().as_secs() + days * 86400,
    ))
}

#[tokio::test]
async fn the_first_start_makes_a_certificate_that_clients_can_trust() {
    let folder = Folder::new();
    let server = start(&folder).unwrap();
    let dir = folder.path("tls");
    assert_eq!(mode(&dir), 0o700);
    for key in ["ca.key", "server.key"] {
        assert_eq!(mode(&dir.join(key)), 0o600, "{key}");
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 4);
    assert_eq!(fs::read_dir(folder.as_ref()).unwrap().count(), 1);
    let client = client_config(Some(&dir.join("ca.crt")), None).unwrap();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for name in ["localhost", "127.0.0.1", "::1", "[::1]", host.trim()] {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (accepted, opened) = tokio::join!(server.accept(ours), client.connect(name, theirs));
        opened.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        accepted.unwrap();
    }
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (_, other) = tokio::join!(server.accept(ours), client.connect("other.test", theirs));
    assert!(other.is_err());
}

/// Theirs refuse 825 days and a second (and one that is valid at its last second, too, is valid for a second more).
#[test]
fn the_first_certificate_is_not_too_long_for_apples_clients() {
    let folder = Folder::new();
    start(&folder).unwrap();
    let der = CertificateDer::from_pem_file(folder.path("tls/server.crt")).unwrap();
    let certificate = crate::tls::x509::Certificate::parse(&der).unwrap();
    let (from, until) = (certificate.not_before, certificate.not_after);
    let [from, until] = [from, until].map(|time| time.to_unix_duration().as_secs());
    assert!(until - from < 825 * 86400, "{from} to {until}");
}

#[test]
fn c10_keys_that_everybody_could_read_are_set_right_and_named() {
    let folder = Folder::new();
    start(&folder).unwrap();
    let keys = ["ca.key", "server.key"].map(|name| folder.path("tls").join(name));
    for key in &keys {
        fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let mut settings = settings(first::files(folder.as_ref()));
    settings.certificate = None;
    let load = || {
        let (_, warnings) =
            ServerTls::load(&settings, true, folder.as_ref(), &Challenges::default()).unwrap();
        warnings
    };
    let warnings = load();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for (warning, key) in warnings.iter().zip(&keys) {
        assert_eq!(&warning.path, key);
        assert!(warning.text.contains("taken away"), "{warning:?}");
        assert_eq!(mode(key), 0o640);
    }
    assert_eq!(load(), []);
}

#[test]
fn it_is_kept_and_renewed_in_time() {
    let folder = Folder::new();
    start(&folder).unwrap();
    let read = |name: &str| fs::read(folder.path("tls").join(name)).unwrap();
    let names = ["ca.crt", "ca.key", "server.key"];
    let (certificate, rest) = (read("server.crt"), names.map(read));
    start(&folder).unwrap();
    first::ensure(folder.as_ref(), now_plus(823 - 32)).unwrap();
    assert_eq!(read("server.crt"), certificate);
    first::ensure(folder.as_ref(), now_plus(823 - 30)).unwrap();
    assert_ne!(read("server.crt"), certificate);
    assert_eq!(names.map(read), rest);
    let files = first::files(folder.as_ref());
    assert_eq!(mode(&files.certificate), 0o644);
}

#[test]
fn c10_a_half_made_folder_is_completed_or_named() {
    let table: [(&[&str], &str); 6] = [
        (&["server.crt", "server.key"], ""),
        (&["server.crt"], ""),
        (&["ca.key"], ""),
        (&["server.key"], "holds server.crt and not server.key"),
        (&["ca.key", "server.crt"], "holds ca.crt and not ca.key"),
        (
            &["ca.crt", "ca.key", "server.crt"],
            "holds server.key and not server.crt",
        ),
    ];
    for (missing, expected) in table {
        let folder = Folder::new();
        start(&folder).unwrap();
        for name in missing {
            fs::remove_file(folder.path("tls").join(name)).unwrap();
        }
        match start(&folder) {
            Ok(_) => assert_eq!(expected, "", "{missing:?}"),
            Err(faults) => {
                assert!(
                    !expected.is_empty() && faults.contains(expected),
                    "{missing:?}: {faults}"
                );
            }
        }
    }
}

#[test]
fn c10_what_a_crash_left_beside_is_swept_and_a_foreign_ca_is_named() {
    let folder = Folder::new();
    fs::create_dir(folder.path(".tls.new")).unwrap();
    folder.write(".tls.new/ca.key", "half");
    folder.write(".tls.new/left", "half");
    start(&folder).unwrap();
    assert!(!folder.path(".tls.new").exists());
    assert!(!folder.path("tls/left").exists());

    let foreign = Ca::new("foreign");
    folder.write("tls/ca.crt", foreign.pem());
    fs::remove_file(folder.path("tls/server.crt")).unwrap();
    let faults = start(&folder).unwrap_err();
    assert!(
        faults.contains("was not made by dockgate together with ca.key"),
        "{faults}"
    );

    let locked = Folder::new();
    locked.write("state", "a file");
    let mut settings = settings(first::files(locked.as_ref()));
    settings.certificate = None;
    let faults = ServerTls::load(
        &settings,
        true,
        &locked.path("state"),
        &Challenges::default(),
    )
    .unwrap_err();
    assert!(
        told(&faults).contains("cannot be made"),
        "{}",
        told(&faults)
    );
}
