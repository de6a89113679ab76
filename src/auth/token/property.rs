//! What holds of every token, ours and others'.

use std::sync::LazyLock;

use serde_json::Value;

use crate::peer::Address;
use crate::peer::Scheme;
use crate::route::asked;

use super::*;

const NOW: u64 = 1_800_000_000;
const SERVICE: &str = "registry.test";

/// A gate's keys, made for this run and forgotten.
static OURS: LazyLock<Option<Tokens>> = LazyLock::new(|| {
    let settings = config::Token {
        path: "/v2/token".into(),
        service: None,
        lifetime: Duration::from_secs(300),
        signing_key: None,
    };
    let folder = std::env::temp_dir().join(format!("dockgate-keys-{}", std::process::id()));
    std::fs::create_dir_all(&folder).ok()?;
    let loaded = Tokens::load(&settings, &folder, None);
    let _ = std::fs::remove_dir_all(&folder);
    Some(loaded.ok()?.0)
});

fn peer() -> Peer {
    Peer {
        address: Address::Unix,
        scheme: Scheme::Https,
        sni: None,
        tls_version: None,
        certificate: None,
        certificate_required: false,
        challenges_only: false,
    }
}

/// A token of a stranger's, a head and claims in two lines that we are made to sign, and scopes that we are asked for.
pub(crate) fn token(data: &[u8]) {
    let Some(ours) = &*OURS else {
        panic!("no keys: is the folder for temporary files writable?");
    };
    assert!(
        ours.verify_at(data, SERVICE, &peer(), NOW).is_none(),
        "a token that we never signed"
    );
    let mut lines = data.splitn(2, |b| *b == b'\n');
    let (head, claims) = (lines.next(), lines.next().unwrap_or_default());
    signed(ours, head.unwrap_or_default(), claims);
    if let Ok(text) = std::str::from_utf8(data) {
        issued(ours, text);
    }
}

/// Whatever our own key signed, it is believed only with our head, our claims and the right time.
fn signed(ours: &Tokens, head: &[u8], claims: &[u8]) {
    let keys = ours.keys.load();
    // The key id is not known to who writes the head.
    let head = String::from_utf8_lossy(head).replace("KID", &keys.kid);
    let parts = [
        URL_SAFE_NO_PAD.encode(&head),
        URL_SAFE_NO_PAD.encode(claims),
    ];
    let text = parts.join(".");
    let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &keys.signing, Algorithm::ES256);
    let Ok(signature) = signature else {
        panic!("the key does not sign");
    };
    let token = format!("{text}.{signature}");
    let Some(identity) = ours.verify_at(token.as_bytes(), SERVICE, &peer(), NOW) else {
        return;
    };
    let head: Value = serde_json::from_str(&head).unwrap_or_default();
    let claims: Value = serde_json::from_slice(claims).unwrap_or_default();
    let names: Vec<&String> = head
        .as_object()
        .into_iter()
        .flat_map(|o| o.keys())
        .collect();
    assert!(
        names
            .iter()
            .all(|n| ["alg", "kid", "typ"].contains(&n.as_str()))
    );
    assert_eq!(
        (&head["alg"], &claims["iss"]),
        (&"ES256".into(), &ISSUER.into())
    );
    assert_eq!(claims["aud"], SERVICE);
    assert!(
        claims["exp"]
            .as_u64()
            .is_some_and(|exp| exp.saturating_add(GRACE) >= NOW)
    );
    assert!(claims["nbf"].as_u64().is_some_and(|nbf| nbf <= NOW + GRACE));
    assert!(
        claims.get("cnf").is_none_or(Value::is_null),
        "without its certificate"
    );
    let user = identity.user.as_deref();
    assert!(user.is_none_or(|user| claims["sub"] == user && !user.is_empty()));
    assert!(identity.grants.is_some());
}

/// What was issued says the same when it is checked, and with any byte changed nothing.
fn issued(ours: &Tokens, text: &str) {
    let (user, scopes) = text.split_once('\n').unwrap_or(("", text));
    let grants = asked([scopes]);
    let identity = Identity {
        user: (!user.is_empty()).then(|| user.into()),
        ..Identity::default()
    };
    let Ok(token) = ours.issue_at(&identity, &grants, SERVICE, NOW) else {
        panic!("nothing was issued");
    };
    let read = ours.verify_at(token.as_bytes(), SERVICE, &peer(), NOW);
    if token.len() > MAX_TOKEN {
        return;
    }
    let Some(read) = read else {
        panic!("not believed: {token}");
    };
    assert_eq!(
        (&read.user, read.grants.as_deref()),
        (&identity.user, Some(&grants))
    );
    for other in ["", "registry.tes", "registry.test.example"] {
        assert!(
            ours.verify_at(token.as_bytes(), other, &peer(), NOW)
                .is_none()
        );
    }
    let late = NOW + 300 + GRACE + 1;
    assert!(
        ours.verify_at(token.as_bytes(), SERVICE, &peer(), late)
            .is_none()
    );
    let sum = text.bytes().map(usize::from).sum::<usize>();
    for at in [sum % token.len(), token.len() - 1 - sum % 4] {
        let mut changed = token.clone().into_bytes();
        if let Some(byte) = changed.get_mut(at) {
            *byte = if *byte == b'A' { b'B' } else { b'A' };
        }
        let believed = ours.verify_at(&changed, SERVICE, &peer(), NOW);
        assert!(believed.is_none(), "byte {at} of {token}");
    }
}
