//! Where callbacks may go. Pure: nothing is looked up here.
//!
//! The start is judged by the URL's text, and so is each try by the configuration of its moment; each connection again
//! by the addresses of its look-up, so that a name that changes its address gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use tocsin_config::ClientCallbacks;
use tocsin_model::{CallbackUrl, ErrorCode, Problem};

/// Why a start may not name this URL, or may not be called back at it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAllowed {
    /// The client has no secret to sign with.
    NoSecret,
    /// The allow list is on, and the URL is not in it.
    Unlisted,
    /// A private address that the client's networks do not list.
    Address,
}

impl From<NotAllowed> for Problem {
    fn from(why: NotAllowed) -> Self {
        let detail = match why {
            NotAllowed::NoSecret => "callbacks are not set up for this client: it has no webhook secret",
            NotAllowed::Unlisted => {
                "this is not one of the client's callback URLs, which are compared byte by byte"
            }
            NotAllowed::Address => "this address is private and not in the client's callback networks",
        };
        Self::new(ErrorCode::InvalidField, detail).with_field("callback_url")
    }
}

/// Whether a client may name this URL in a start and be called back at it, as far as the URL alone tells.
pub fn judge_start(url: &CallbackUrl, client: &ClientCallbacks) -> Result<(), NotAllowed> {
    if client.webhook_secrets.is_empty() {
        return Err(NotAllowed::NoSecret);
    }
    if client.allow_list && client.entry(url).is_none() {
        return Err(NotAllowed::Unlisted);
    }
    match url.literal_address() {
        Some(address) if !may_connect(address, &client.networks) => Err(NotAllowed::Address),
        Some(_) | None => Ok(()),
    }
}

/// Whether a callback may be posted to this address: a public one, or one of the client's networks.
pub fn may_connect(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = address.to_canonical();
    is_public(address) || networks.iter().any(|network| network.contains(&address))
}

/// Whether an address belongs to the public internet. Everything of a special purpose (IANA's registries of special
/// addresses) counts as private, and so does whatever may be one of them in disguise.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    !matches!(
        (first, second, third),
        (0 | 10 | 127 | 224.., _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    if let [0x0064, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() {
        // NAT64 reaches the IPv4 address in its last four bytes.
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    let is_unicast = first & 0xe000 == 0x2000;
    let is_special =
        matches!((first, second), (0x2001, 0x0000..=0x01ff | 0x0db8) | (0x2002, _) | (0x3fff, 0..=0x0fff));
    is_unicast && !is_special
}

#[cfg(test)]
mod tests {
    use tocsin_config::{CallbackBody, CallbackEntry, WebhookSecret};

    use super::*;

    fn url(text: &str) -> CallbackUrl {
        CallbackUrl::parse(text).expect("valid")
    }

    fn client(listed: &[&str], allow_list: bool, networks: &[&str]) -> ClientCallbacks {
        let entry = |text: &&str| CallbackEntry { url: url(text), body: CallbackBody::Id, basic: None };
        ClientCallbacks {
            webhook_secrets: WebhookSecret::parse("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
                .into_iter()
                .collect(),
            allow_list,
            networks: networks.iter().map(|network| network.parse().expect("valid")).collect(),
            entries: listed.iter().map(entry).collect(),
        }
    }

    #[test]
    fn the_allow_list_compares_every_byte() {
        let listed = client(&["https://a.example/cb?x=1"], true, &[]);
        assert_eq!(judge_start(&url("https://a.example/cb?x=1"), &listed), Ok(()));
        for other in [
            "https://a.example/cb?x=1/",
            "https://a.example/cb?x=2",
            "https://a.example/cb",
            "https://a.example:443/cb?x=1",
            "https://A.example/cb?x=1",
            "https://a.example/CB?x=1",
            "https://a.example/cb?x=%31",
            "https://a.example/./cb?x=1",
        ] {
            assert_eq!(judge_start(&url(other), &listed), Err(NotAllowed::Unlisted), "{other}");
        }
        let open = client(&[], false, &[]);
        assert_eq!(judge_start(&url("https://b.example/"), &open), Ok(()));
    }

    #[test]
    fn without_a_secret_nothing_is_called_back() {
        let unsigned = ClientCallbacks { webhook_secrets: Vec::new(), ..client(&[], false, &[]) };
        assert_eq!(judge_start(&url("https://a.example/"), &unsigned), Err(NotAllowed::NoSecret));
    }

    #[test]
    fn a_literal_private_address_is_refused_at_the_start_even_when_listed() {
        for private in ["https://10.0.0.1/", "https://[::1]/", "http://localhost:1/", "https://[fd00::1]/"] {
            let listed = client(&[private], true, &[]);
            assert_eq!(judge_start(&url(private), &listed), Err(NotAllowed::Address), "{private}");
            let open = client(&[private], true, &["10.0.0.0/8", "127.0.0.0/8", "::1/128", "fc00::/7"]);
            assert_eq!(judge_start(&url(private), &open), Ok(()), "{private}");
        }
        assert_eq!(judge_start(&url("https://8.8.8.8/"), &client(&[], false, &[])), Ok(()));
    }

    #[test]
    fn what_is_not_of_the_public_internet_is_private() {
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            let address = private.parse().expect("an address");
            assert!(!may_connect(address, &[]), "{private}");
        }
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.0.0.1",
            "128.0.0.1",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2001:200::1",
            "2606:4700::1111",
            "3ffe::1",
        ] {
            let address = public.parse().expect("an address");
            assert!(may_connect(address, &[]), "{public}");
        }
    }

    #[test]
    fn a_listed_network_opens_itself_in_every_disguise_and_nothing_else() {
        let networks = ["10.1.0.0/16".parse().expect("a network")];
        let may = |text: &str| may_connect(text.parse().expect("an address"), &networks);
        assert!(may("10.1.2.3") && may("::ffff:10.1.2.3"));
        assert!(!may("10.2.0.1") && !may("127.0.0.1") && !may("::1"));
    }
}
