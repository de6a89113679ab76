mod keys;

use std::fs;

use tempfile::TempDir;

use crate::peer::Address;
use crate::peer::Scheme;

use super::*;

const NOW: u64 = 1_800_000_000;

fn settings(signing_key: Option<PathBuf>) -> config::Token {
    config::Token {
        path: "/v2/token".into(),
        service: None,
        lifetime: Duration::from_secs(300),
        signing_key,
    }
}

fn tokens(folder: &TempDir) -> Tokens {
    Tokens::load(&settings(None), folder.path(), None)
        .unwrap()
        .0
}

fn peer(certificate: Option<&str>) -> Peer {
    Peer {
        address: Address::Unix,
        scheme: Scheme::Https,
        sni: None,
        tls_version: None,
        certificate: certificate.map(|fingerprint| {
            Arc::new(ClientCertificate {
                common_name: Some("build".into()),
                fingerprint: fingerprint.into(),
                ..ClientCertificate::default()
            })
        }),
        certificate_required: false,
        challenges_only: false,
    }
}

fn alice() -> Identity {
    Identity {
        user: Some("alice".into()),
        ..Identity::default()
    }
}

fn grants() -> Grants {
    let mut grants = Grants::default();
    grants.add(
        "team/a",
        Rights {
            pull: true,
            push: true,
            delete: false,
        },
    );
    grants.catalog = true;
    grants
}

fn believed(tokens: &Tokens, token: &str) -> bool {
    tokens
        .verify_at(token.as_bytes(), "registry.test", &peer(None), NOW)
        .is_some()
}

/// A token with this head and these claims, signed by the gate's own key.
fn signed(tokens: &Tokens, head: &str, claims: &str) -> String {
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(head),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let keys = tokens.keys.load();
    let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &keys.signing, Algorithm::ES256);
    format!("{text}.{}", signature.unwrap())
}

fn claims(change: &[(&str, &str)]) -> String {
    let mut all = vec![
        ("iss", "\"dockgate\"".to_owned()),
        ("sub", "\"alice\"".to_owned()),
        ("aud", "\"registry.test\"".to_owned()),
        ("exp", (NOW + 300).to_string()),
        ("nbf", NOW.to_string()),
        ("iat", NOW.to_string()),
        ("jti", "\"x\"".to_owned()),
        ("access", "[]".to_owned()),
        ("amr", "[\"pwd\"]".to_owned()),
    ];
    for (key, value) in change {
        all.retain(|(known, _)| known != key);
        if !value.is_empty() {
            all.push((key, (*value).to_owned()));
        }
    }
    let all: Vec<String> = all.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
    format!("{{{}}}", all.join(","))
}

fn head(tokens: &Tokens) -> String {
    format!(
        "{{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"{}\"}}",
        tokens.keys.load().kid
    )
}

#[test]
fn what_was_issued_is_believed_as_it_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = tokens(&folder);
    let token = tokens
        .issue_at(&alice(), &grants(), "registry.test", NOW)
        .unwrap();
    let identity = tokens
        .verify_at(token.as_bytes(), "registry.test", &peer(None), NOW)
        .unwrap();
    assert_eq!(identity.user.as_deref(), Some("alice"));
    assert_eq!(identity.grants.as_deref(), Some(&grants()));
    let nobody = tokens.issue_at(
        &Identity::anonymous(),
        &Grants::default(),
        "registry.test",
        NOW,
    );
    let nobody = tokens
        .verify_at(
            nobody.unwrap().as_bytes(),
            "registry.test",
            &peer(None),
            NOW,
        )
        .unwrap();
    assert!(nobody.is_anonymous());
    assert_eq!(nobody.grants.as_deref(), Some(&Grants::default()));
}

#[test]
fn k1_a_token_has_its_time_and_a_minute_of_grace_at_both_ends() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = tokens(&folder);
    let token = tokens
        .issue_at(&alice(), &grants(), "registry.test", NOW)
        .unwrap();
    for (at, good) in [
        (NOW - 61, false),
        (NOW - 60, true),
        (NOW + 300, true),
        (NOW + 360, true),
        (NOW + 361, false),
        (NOW + 86400, false),
    ] {
        let found = tokens.verify_at(token.as_bytes(), "registry.test", &peer(None), at);
        assert_eq!(found.is_some(), good, "{at}");
    }
}

#[test]
fn k1_claims_of_others_and_incomplete_ones_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = tokens(&folder);
    let head = head(&tokens);
    assert!(believed(&tokens, &signed(&tokens, &head, &claims(&[]))));
    for change in [
        ("iss", "\"other\""),
        ("iss", ""),
        ("aud", "\"other.test\""),
        ("aud", ""),
        ("aud", "[\"registry.test\"]"),
        ("exp", ""),
        ("exp", "1"),
        ("exp", "\"9999999999\""),
        ("exp", "-1"),
        ("exp", "1e300"),
        ("nbf", "9999999999"),
        ("nbf", ""),
        ("sub", ""),
        ("sub", "{}"),
        ("access", "\"*\""),
        ("access", "[{\"type\":\"repository\"}]"),
    ] {
        let token = signed(&tokens, &head, &claims(&[change]));
        assert!(!believed(&tokens, &token), "{change:?}");
    }
    let twice = claims(&[]).replacen('{', "{\"sub\":\"root\",", 1);
    assert!(!believed(&tokens, &signed(&tokens, &head, &twice)));
    for not_a_table in ["", "[]", "null", "\"x\"", "{"] {
        assert!(!believed(&tokens, &signed(&tokens, &head, not_a_table)));
    }
}

#[test]
fn k1_heads_that_name_another_algorithm_or_key_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = tokens(&folder);
    let kid = tokens.keys.load().kid.clone();
    for head in [
        format!("{{\"alg\":\"none\",\"kid\":\"{kid}\"}}"),
        format!("{{\"alg\":\"HS256\",\"kid\":\"{kid}\"}}"),
        format!("{{\"alg\":\"ES384\",\"kid\":\"{kid}\"}}"),
        format!("{{\"alg\":\"es256\",\"kid\":\"{kid}\"}}"),
        format!("{{\"alg\":\"ES256\",\"alg\":\"ES256\",\"kid\":\"{kid}\"}}"),
        format!("{{\"alg\":\"ES256\",\"kid\":\"{kid}\",\"jku\":\"https://evil.test/\"}}"),
        format!("{{\"alg\":\"ES256\",\"kid\":\"{kid}\",\"x5u\":\"https://evil.test/\"}}"),
        format!("{{\"alg\":\"ES256\",\"kid\":\"{kid}\",\"jwk\":{{}}}}"),
        format!("{{\"alg\":\"ES256\",\"kid\":\"{kid}\",\"crit\":[\"exp\"]}}"),
        format!("{{\"alg\":\"ES256\",\"kid\":\"{kid}\",\"typ\":\"at+jwt\"}}"),
        "{\"alg\":\"ES256\",\"kid\":\"other\"}".to_owned(),
        "{\"alg\":\"ES256\",\"kid\":\"../../token.key\"}".to_owned(),
        "{\"alg\":\"ES256\"}".to_owned(),
        String::new(),
    ] {
        assert!(
            !believed(&tokens, &signed(&tokens, &head, &claims(&[]))),
            "{head}"
        );
    }
    // Signed by what everybody knows.
    let head = format!("{{\"alg\":\"HS256\",\"kid\":\"{kid}\"}}");
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(head),
        URL_SAFE_NO_PAD.encode(claims(&[]))
    );
    let public = fs::read(
        folder
            .path()
            .join("token-previous")
            .join(format!("{kid}.pem")),
    )
    .unwrap();
    let secret = jsonwebtoken::EncodingKey::from_secret(&public);
    let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &secret, Algorithm::HS256).unwrap();
    assert!(!believed(&tokens, &format!("{text}.{signature}")));
}

#[test]
fn k1_damaged_and_foreign_tokens_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = tokens(&folder);
    let token = tokens
        .issue_at(&alice(), &grants(), "registry.test", NOW)
        .unwrap();
    assert!(believed(&tokens, &token));
    for at in (0..token.len()).step_by(3) {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        // The last letter of a part holds bits that say nothing; a decoder that takes them is stricter still.
        assert!(!believed(&tokens, &changed), "letter {at}");
        assert!(!believed(&tokens, &token[..at]), "cut at {at}");
    }
    let [head, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("{token}");
    };
    for wrong in [
        format!("{head}.{claims}."),
        format!("{head}.{claims}"),
        format!("{head}{claims}{signature}"),
        format!("{token}.{signature}"),
        format!("{token}="),
        format!(" {token}"),
        "..".to_owned(),
        "a".repeat(64 * 1024),
        format!("{head}.{}.{signature}", "a".repeat(64 * 1024)),
    ] {
        assert!(!believed(&tokens, &wrong), "{wrong:.60}");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let (others, _) = Tokens::load(&settings(None), elsewhere.path(), None).unwrap();
    let foreign = others
        .issue_at(&alice(), &grants(), "registry.test", NOW)
        .unwrap();
    assert!(!believed(&tokens, &foreign));
}

#[test]
fn a_token_that_a_certificate_got_is_good_with_that_certificate_alone() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = tokens(&folder);
    let (mine, other) = (peer(Some(&"0f".repeat(32))), peer(Some(&"f0".repeat(32))));
    let build = Identity {
        certificate: mine.certificate.clone(),
        ..Identity::default()
    };
    let token = tokens
        .issue_at(&build, &grants(), "registry.test", NOW)
        .unwrap();
    let ask = |peer: &Peer| tokens.verify_at(token.as_bytes(), "registry.test", peer, NOW);
    let identity = ask(&mine).unwrap();
    assert_eq!((identity.name(), &identity.user), (Some("build"), &None));
    assert!(ask(&other).is_none() && ask(&peer(None)).is_none());
}

#[test]
fn the_service_is_the_host_name_without_its_port() {
    let folder = tempfile::tempdir().unwrap();
    let mut tokens = tokens(&folder);
    for (host, service) in [
        (Some("registry.test:5043"), "registry.test"),
        (Some("Registry.TEST"), "registry.test"),
        (Some("[::1]:443"), "[::1]"),
        (Some("[::1]"), "[::1]"),
        (None, "dockgate"),
    ] {
        assert_eq!(tokens.service(host), service);
    }
    tokens.settings.service = Some("mine".into());
    assert_eq!(tokens.service(Some("a:1")), "mine");
}
