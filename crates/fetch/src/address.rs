//! Which addresses may be fetched from.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// IPv4 that is not globally reachable (IANA IPv4 Special-Purpose Address Registry), multicast (RFC 5771) and the
/// relays of 6to4 (RFC 7526).
const NOT_GLOBAL_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// The only IPv6 that IANA gives out as global unicast: loopback, mapped and local addresses, NAT64 and multicast lie outside.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0], 3);

/// What within it is not globally reachable, or carries an IPv4 address that would go unseen (Teredo, 6to4).
const NOT_GLOBAL_V6: [Ipv6Net; 4] =
    [v6([0x2001, 0, 0, 0], 23), v6([0x2001, 0xdb8, 0, 0], 32), v6([0x2002, 0, 0, 0], 16), v6([0x3fff, 0, 0, 0], 20)];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b, c, d]: [u16; 4], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

/// The addresses that may be connected to.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    /// What the operator named beside those that everybody reaches.
    allowed: Arc<[IpNet]>,
}

impl Addresses {
    pub(crate) fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed: allowed.into() }
    }

    /// Whether a connection to it may be made. An IPv4 address in its IPv6 spelling is that address.
    pub(crate) fn admit(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed.iter().any(|range| range.contains(&address)) || is_global(address)
    }
}

fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_GLOBAL_V4.iter().any(|range| range.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_V6.contains(&address) && !NOT_GLOBAL_V6.iter().any(|range| range.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INSIDE: [&str; 30] = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.19.255.255",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:1",
        "64:ff9b:1::a00:1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fe80::1",
        "ff02::1",
    ];

    #[test]
    fn what_is_inside_is_not_reached() {
        for text in INSIDE {
            let address: IpAddr = text.parse().unwrap();
            assert!(!Addresses::new(Vec::new()).admit(address), "{text} was admitted");
        }
    }

    #[test]
    fn what_everybody_reaches_is_reached() {
        for text in ["1.1.1.1", "100.63.255.255", "172.32.0.1", "198.20.0.1", "::ffff:1.1.1.1", "2606:4700::1111"] {
            let address: IpAddr = text.parse().unwrap();
            assert!(Addresses::new(Vec::new()).admit(address), "{text} was refused");
        }
    }

    #[test]
    fn the_operator_opens_a_range_and_nothing_beside_it() {
        let addresses = Addresses::new(vec!["10.1.0.0/16".parse().unwrap()]);
        for (text, admitted) in
            [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("10.2.0.1", false), ("127.0.0.1", false)]
        {
            assert_eq!(addresses.admit(text.parse().unwrap()), admitted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_spelling_of_an_address_changes_nothing(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let addresses = Addresses::new(Vec::new());
            prop_assert_eq!(
                addresses.admit(IpAddr::V4(address)),
                addresses.admit(IpAddr::V6(address.to_ipv6_mapped()))
            );
        }
    }
}
