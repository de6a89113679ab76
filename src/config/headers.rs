//! `[headers]`: what answers carry, and whose request headers are believed.

use std::net::IpAddr;

use http::HeaderValue;
use ipnet::IpNet;

use super::section::Section;
use super::source::shown;
use super::types::Headers;

/// A year, the least that browsers' preload lists take; subdomains too, as the systems that we replace had it.
const HSTS: &str = "max-age=31536000; includeSubDomains";

pub(super) fn read(section: &Section<'_>) -> Headers {
    let mut networks = Vec::new();
    for (text, place) in section.list("trusted_proxies") {
        match network(&text) {
            Ok(network) => networks.push(network),
            Err(text) => section.item_fault("trusted_proxies", place, text),
        }
    }
    if networks.iter().any(|network| network.prefix_len() == 0) {
        let text = "holds every address there is: any client can then claim any address, in the log and in rules";
        section.warn("trusted_proxies", text);
    }
    Headers {
        strict_transport_security: strict_transport_security(section),
        trusted_proxies: networks,
    }
}

/// RFC 6797 section 6.1: `max-age` is required. The empty string switches the header off.
fn strict_transport_security(section: &Section<'_>) -> Option<HeaderValue> {
    let key = "strict_transport_security";
    let Some(text) = section.text(key) else {
        return Some(HeaderValue::from_static(HSTS));
    };
    if text.is_empty() {
        return None;
    }
    let has_age = text.split(';').any(|part| {
        let age = part.trim().to_ascii_lowercase();
        let age = age
            .strip_prefix("max-age=")
            .map(|age| age.trim_matches('"').to_owned());
        age.is_some_and(|age| !age.is_empty() && age.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let value = HeaderValue::from_str(&text)
        .ok()
        .filter(|value| value.to_str().is_ok());
    if value.is_none() || !has_age {
        section.fault(
            key,
            format!(
                "{} is no such header; write \"max-age=SECONDS\", or \"\" to send none",
                shown(&text)
            ),
        );
        return None;
    }
    value
}

/// `10.0.0.0/8`, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let Ok(network) = text.parse::<IpNet>() else {
        return Err(format!(
            "{} is neither a network nor an address; write \"10.0.0.0/8\" or \"fd00::/8\"",
            shown(text)
        ));
    };
    if network.trunc() != network {
        return Err(format!(
            "{} has bits set behind its mask; write \"{}\" or one address",
            shown(text),
            network.trunc()
        ));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_addresses_and_masks() {
        for (text, meant) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.1.2.3", Some("10.1.2.3/32")),
            ("fd00::/8", Some("fd00::/8")),
            ("::1", Some("::1/128")),
            ("10.0.0.1/8", None),
            ("10.0.0.0/33", None),
            ("proxy.example", None),
        ] {
            assert_eq!(
                network(text).ok(),
                meant.map(|net| net.parse().unwrap()),
                "{text}"
            );
        }
    }
}
