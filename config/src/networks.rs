//! Lists of IP networks.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks that somebody named. An IPv4 address that comes in its IPv6 form counts as what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    pub(crate) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `address` is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        Networks::new(texts.iter().map(|text| text.parse().expect("a network")).collect())
    }

    #[test]
    fn an_address_is_in_its_network_and_in_no_other() {
        let networks = networks(&["10.1.0.0/16", "2001:db8::/32", "192.0.2.7/32"]);
        for (address, expected) in [
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::ffff:10.1.0.1", true),
            ("::ffff:10.2.0.1", false),
        ] {
            assert_eq!(networks.contain(address.parse().expect("an address")), expected, "{address}");
        }
    }

    #[test]
    fn no_network_contains_nothing() {
        assert!(!networks(&[]).contain("127.0.0.1".parse().expect("an address")));
    }
}
