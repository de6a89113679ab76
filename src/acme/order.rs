//! One order, from the account to the certificate on the disk (RFC 8555 section 7.4).
//!
//! The key of the certificate is on the disk before the authority is asked for it, with the order's URL: an order that a
//! crash interrupts is gone on with.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType,
    Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use zeroize::Zeroizing;

use crate::config::AcmeChallenge;
use crate::tls;
use crate::tls::Issued;

use super::Keeper;
use super::account;
use super::authority::{Authority, NONCES};
use super::error::Error;
use super::plan::certificate_id;
use super::store::Begun;
use super::tokens;

/// How long an authority may take to look at the proofs, and then to sign.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(PATIENCE);

/// What came of it.
#[derive(Debug)]
pub(crate) enum Obtained {
    /// A certificate is on the disk.
    Issued(Issued),
    /// Another process over the same folder has put one there, or is about to.
    Elsewhere,
}

/// A name is being proven until this is dropped.
#[expect(dead_code, reason = "what counts is when it is dropped")]
enum Proof {
    Handshake(tls::Proving),
    Document(tokens::Answering),
}

pub(super) async fn obtain(keeper: &Keeper) -> Result<Obtained, Error> {
    let store = &keeper.store;
    let Some(_turn) = store.turn().await? else {
        return Ok(Obtained::Elsewhere);
    };
    let found = store.certificate().await.ok().flatten();
    let found = found.filter(|found| keeper.covers(found));
    if let Some(found) = &found
        && !keeper.plan.is_about(found)
    {
        return Ok(Obtained::Elsewhere);
    }
    let authority = keeper.authority().await?;
    let mut account = account::open(store, &authority, &keeper.section).await?;
    let (mut is_forgotten, mut tries) = (false, 1);
    loop {
        let error = match order(keeper, &authority, &account, found.as_ref()).await {
            Ok(issued) => return Ok(Obtained::Issued(issued)),
            Err(error) => error,
        };
        match error.kind() {
            Some("accountDoesNotExist") if !is_forgotten => {
                is_forgotten = true;
                account::forget(store).await?;
                account = account::open(store, &authority, &keeper.section).await?;
            }
            // The library has asked three times. The order is gone on with where it stands.
            Some("badNonce") if tries < NONCES => tries += 1,
            _ => return Err(error),
        }
    }
}

async fn order(
    keeper: &Keeper,
    authority: &Authority,
    account: &Account,
    replaced: Option<&Issued>,
) -> Result<Issued, Error> {
    let (mut order, key) = match resume(keeper, authority, account).await? {
        Some(begun) => begun,
        None => begin(keeper, authority, account, replaced).await?,
    };
    let names = keeper.section.names.clone();
    let done = match finish(keeper, authority, &mut order, &key).await {
        Ok(chain) => keeper.store.put_certificate(chain, key, names).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &done
        && !error.is_passing()
    {
        keeper.store.drop_order().await?;
    }
    done
}

/// The order of before, where the authority still knows it and it can still come to something.
async fn resume(
    keeper: &Keeper,
    authority: &Authority,
    account: &Account,
) -> Result<Option<(Order, Zeroizing<String>)>, Error> {
    let Some(begun) = keeper.store.order().await? else {
        return Ok(None);
    };
    let found = account
        .order(begun.url)
        .await
        .map_err(|e| authority.error(e));
    match found {
        Ok(mut order) => {
            if order.state().status != OrderStatus::Invalid {
                return Ok(Some((order, Zeroizing::new(begun.key))));
            }
        }
        Err(error) if error.is_passing() || error.kind() == Some("accountDoesNotExist") => {
            return Err(error);
        }
        Err(_) => {}
    }
    keeper.store.drop_order().await?;
    Ok(None)
}

async fn begin(
    keeper: &Keeper,
    authority: &Authority,
    account: &Account,
    before: Option<&Issued>,
) -> Result<(Order, Zeroizing<String>), Error> {
    let names = keeper.section.names.iter().cloned();
    let names: Vec<_> = names.map(Identifier::Dns).collect();
    let request = || {
        let request = NewOrder::new(&names);
        match &keeper.section.profile {
            Some(profile) => request.profile(profile),
            None => request,
        }
    };
    let replaces = match before.and_then(certificate_id) {
        Some((key, serial)) if authority.has_renewal_info().await? => Some(CertificateIdentifier {
            authority_key_identifier: key.into(),
            serial: serial.into(),
        }),
        _ => None,
    };
    let ordered = match replaces {
        None => account.new_order(&request()).await,
        Some(replaces) => {
            let ordered = account.new_order(&request().replaces(replaces)).await;
            match ordered.map_err(|e| authority.error(e)) {
                Ok(order) => Ok(order),
                Err(error) if error.is_passing() => return Err(error),
                // It may have been replaced before, in an order that came to nothing; that is a courtesy, no need.
                Err(_) => account.new_order(&request()).await,
            }
        }
    };
    let order = ordered.map_err(|e| authority.error(e))?;
    let key = KeyPair::generate().map_err(|error| Error::Crypto(error.to_string()))?;
    let begun = Begun {
        url: order.url().to_owned(),
        key: key.serialize_pem(),
    };
    keeper.store.save_order(&begun).await?;
    Ok((order, Zeroizing::new(begun.key)))
}

/// Proves the names, asks for the certificate, and waits for it.
async fn finish(
    keeper: &Keeper,
    authority: &Authority,
    order: &mut Order,
    key: &str,
) -> Result<String, Error> {
    let failed = |e| authority.error(e);
    if order.state().status == OrderStatus::Pending {
        let _proofs = prove(keeper, authority, order).await?;
        match order.poll_ready(&POLLS).await {
            Ok(OrderStatus::Ready) => {}
            Ok(_) => return Err(not_proven(keeper, authority, order, None).await),
            Err(error) => {
                return Err(not_proven(keeper, authority, order, Some(failed(error))).await);
            }
        }
    }
    if order.state().status == OrderStatus::Ready {
        let broken = |error: rcgen::Error| Error::Crypto(error.to_string());
        let names = keeper.section.names.clone();
        let mut params = CertificateParams::new(names).map_err(broken)?;
        params.distinguished_name = DistinguishedName::new();
        let key = KeyPair::from_pem(key).map_err(broken)?;
        let request = params.serialize_request(&key).map_err(broken)?;
        order.finalize_csr(request.der()).await.map_err(failed)?;
    }
    order.poll_certificate(&POLLS).await.map_err(failed)
}

/// Makes the proofs ready, for as long as they are held, and tells the authority to look.
async fn prove(
    keeper: &Keeper,
    authority: &Authority,
    order: &mut Order,
) -> Result<Vec<Proof>, Error> {
    let failed = |e| authority.error(e);
    let (kind, word) = match keeper.section.challenge {
        AcmeChallenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
        AcmeChallenge::Http01 => (ChallengeType::Http01, "http-01"),
    };
    let mut proofs = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let mut authorization = next.map_err(failed)?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let name = authorization.identifier().to_string();
        let Some(mut challenge) = authorization.challenge(kind.clone()) else {
            return Err(Error::NoSuchChallenge {
                name,
                challenge: word,
            });
        };
        let proof = challenge.key_authorization();
        proofs.push(match keeper.section.challenge {
            AcmeChallenge::TlsAlpn01 => {
                let shown = keeper.challenges.prove(&name, proof.digest().as_ref());
                Proof::Handshake(shown.map_err(Error::Tls)?)
            }
            AcmeChallenge::Http01 => {
                Proof::Document(keeper.tokens.answer(&challenge.token, proof.as_str()))
            }
        });
        if challenge.status == ChallengeStatus::Pending {
            challenge.set_ready().await.map_err(failed)?;
        }
    }
    Ok(proofs)
}

/// Which name the authority could not see the proof of, where it says so; else what went wrong before.
async fn not_proven(
    keeper: &Keeper,
    authority: &Authority,
    order: &mut Order,
    error: Option<Error>,
) -> Error {
    if error.as_ref().is_some_and(Error::is_passing) {
        return error.unwrap_or(Error::TooLong(PATIENCE));
    }
    let port = match keeper.section.challenge {
        AcmeChallenge::TlsAlpn01 => 443,
        AcmeChallenge::Http01 => 80,
    };
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let Ok(mut authorization) = next else { break };
        if let Err(error) = authorization.refresh().await {
            return authority.error(error);
        }
        let mut challenges = authorization.challenges.iter();
        if let Some(problem) = challenges.find_map(|challenge| challenge.error.clone()) {
            return Error::NotProven {
                name: authorization.identifier().to_string(),
                port,
                problem: Box::new(problem),
            };
        }
    }
    error.unwrap_or(Error::TooLong(PATIENCE))
}
