use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::super::keys::Keys;
use super::*;

#[test]
fn the_key_is_made_once_for_the_owner_alone_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = tokens(&folder);
    let path = folder.path().join("token.key");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(first.file(), path);
    let token = first
        .issue_at(&alice(), &grants(), "registry.test", NOW)
        .unwrap();
    assert!(believed(&tokens(&folder), &token));
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_token_of_the_key_before_lives_on_while_it_runs_and_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token.key");
    let running = tokens(&folder);
    let old = running.issue(&alice(), &grants(), "registry.test").unwrap();
    let is_good = |tokens: &Tokens, token: &str| {
        tokens
            .verify(token.as_bytes(), "registry.test", &peer(None))
            .is_ok()
    };
    fs::write(&path, "nonsense").unwrap();
    assert!(running.reload().is_err());
    assert!(is_good(&running, &old), "a broken file changes nothing");
    fs::remove_file(&path).unwrap();
    running.reload().unwrap();
    let new = running.issue(&alice(), &grants(), "registry.test").unwrap();
    assert!(is_good(&running, &old) && is_good(&running, &new));
    let restarted = tokens(&folder);
    assert!(is_good(&restarted, &old) && is_good(&restarted, &new));
    // Changed while no gate ran.
    fs::remove_file(&path).unwrap();
    let changed = tokens(&folder);
    assert!(is_good(&changed, &old) && is_good(&changed, &new));
    // Without the folder only the key itself counts.
    fs::remove_dir_all(folder.path().join("token-previous")).unwrap();
    let strict = tokens(&folder);
    assert!(!is_good(&strict, &old) && !is_good(&strict, &new));
}

#[test]
fn a_key_of_before_is_forgotten_when_its_tokens_have_died() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, _) = Keys::load(&settings(None), folder.path(), None, NOW).unwrap();
    fs::remove_file(folder.path().join("token.key")).unwrap();
    let (changed, _) = Keys::load(&settings(None), folder.path(), None, NOW + 10).unwrap();
    assert!(changed.find(&keys.kid, NOW + 370).is_some());
    assert!(changed.find(&keys.kid, NOW + 371).is_none());
    let (later, _) = Keys::load(&settings(None), folder.path(), None, NOW + 400).unwrap();
    assert!(later.find(&keys.kid, NOW + 300).is_none());
    assert_eq!(
        fs::read_dir(folder.path().join("token-previous"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn given_keys_are_read_in_both_forms_and_further_ones_are_believed() {
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str, kind: &[&str]| {
        let path = folder.path().join(name);
        let made = std::process::Command::new("openssl")
            .args(kind)
            .arg("-out")
            .arg(&path)
            .output();
        assert!(made.unwrap().status.success());
        path
    };
    let sec1 = key("sec1", &["ecparam", "-name", "prime256v1", "-genkey"]);
    let pkcs8 = key(
        "pkcs8",
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ],
    );
    let p384 = key(
        "p384",
        &["ecparam", "-name", "secp384r1", "-genkey", "-noout"],
    );
    let load = |path: &Path, state: &str| {
        Tokens::load(
            &settings(Some(path.to_path_buf())),
            &folder.path().join(state),
            None,
        )
    };
    let replicas = [load(&pkcs8, "a").unwrap().0, load(&pkcs8, "b").unwrap().0];
    let token = replicas[0]
        .issue_at(&alice(), &grants(), "registry.test", NOW)
        .unwrap();
    assert!(
        believed(&replicas[1], &token),
        "the same key on every replica"
    );
    let both = folder.path().join("both");
    fs::write(
        &both,
        [fs::read(&sec1).unwrap(), fs::read(&pkcs8).unwrap()].concat(),
    )
    .unwrap();
    let rolling = load(&both, "c").unwrap().0;
    assert!(believed(&rolling, &token), "a further key is believed");
    let token = rolling
        .issue_at(&alice(), &grants(), "registry.test", NOW)
        .unwrap();
    assert!(
        believed(&load(&sec1, "d").unwrap().0, &token),
        "the first key signs"
    );
    let empty = folder.path().join("empty");
    fs::write(&empty, "").unwrap();
    for wrong in [
        &p384,
        &empty,
        &folder.path().join("missing"),
        &folder.path().to_path_buf(),
    ] {
        let fault = load(wrong, "e").unwrap_err().to_string();
        assert!(fault.contains(wrong.to_str().unwrap()), "{fault}");
    }
}

#[test]
fn c10_a_key_that_everybody_can_read_is_warned_of_and_our_own_is_set_right() {
    let folder = tempfile::tempdir().unwrap();
    drop(tokens(&folder));
    let path = folder.path().join("token.key");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o646)).unwrap();
    let (_, warnings) = Tokens::load(&settings(Some(path.clone())), folder.path(), None).unwrap();
    assert_eq!(warnings, [Warning::KeyExposed { path: path.clone() }]);
    assert_eq!(mode(), 0o646, "one that was named is its owner's");
    let (_, warnings) = Tokens::load(&settings(None), folder.path(), None).unwrap();
    assert_eq!(warnings, [Warning::KeyWasExposed { path: path.clone() }]);
    assert_eq!(mode(), 0o640);
    let (_, warnings) = Tokens::load(&settings(None), folder.path(), None).unwrap();
    assert_eq!(warnings, []);
}
