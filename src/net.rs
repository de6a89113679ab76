//! Networks that are believed.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// The networks whose word about other addresses is taken (`headers.trusted_proxies`).
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedNetworks(Vec<IpNet>);

impl TrustedNetworks {
    /// Exactly these networks.
    pub(crate) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether the address lies in one of them; an IPv4 address mapped into IPv6 counts as IPv4.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Whether the text is a `uri-host [ ":" port ]` as a Host header may hold it (RFC 9110 section 7.2): a name, an IPv4
/// address or an IPv6 address in brackets, and a decimal port.
///
/// A name holds only what host names hold: the sub-delimiters and percent signs that the URI grammar allows have no
/// honest use and two readings.
pub(crate) fn is_authority(text: &str) -> bool {
    let (host_is_good, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        (address.parse::<Ipv6Addr>().is_ok(), port)
    } else {
        let colon = text.bytes().position(|b| b == b':');
        let (name, port) = text.split_at(colon.unwrap_or(text.len()));
        (is_name(name), port)
    };
    let port_is_good = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
    };
    host_is_good && port_is_good
}

fn is_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    // 253 is the longest name that DNS can carry.
    (1..=253).contains(&name.len()) && name.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_a_port_and_nothing_else() {
        for good in [
            "registry.test",
            "registry.test:5043",
            "10.0.0.7",
            "[::1]",
            "[2001:db8::1]:443",
            "localhost:5000",
            "under_score",
        ] {
            assert!(is_authority(good), "{good}");
        }
        for bad in [
            "", ":443", "a b", "a/b", "user@a", "a:b", "a:99999", "a:", "a:+1", "[::1", "::1",
            "[x]", "a#b", "a?b", "a,b", "a\\b", "ü",
        ] {
            assert!(!is_authority(bad), "{bad}");
        }
    }

    #[test]
    fn a_mapped_address_lies_in_its_ipv4_network() {
        let networks = TrustedNetworks::new(vec!["10.0.0.0/8".parse().unwrap()]);
        assert!(networks.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!networks.contains("11.1.2.3".parse().unwrap()));
    }
}
