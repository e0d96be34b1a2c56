//! Networks by their prefixes, as they stand in a flag.

use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;

/// Addresses that nobody on the Internet has: loopback, the private ranges of RFC 1918 and RFC 4193, link-local.
const PRIVATE: [&str; 8] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// `none`, or addresses, prefixes (`10.0.0.0/8`) and the words `loopback` and `private`, with commas between.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "none" {
            return Ok(Self::default());
        }
        let mut networks = Vec::new();
        for word in text.split(',').map(str::trim) {
            let of = |known: &[&str]| known.iter().filter_map(|net| net.parse().ok()).collect::<Vec<IpNet>>();
            match word {
                "loopback" => networks.extend(of(&LOOPBACK)),
                "private" => networks.extend(of(&PRIVATE)),
                _ => {
                    let address = word.parse::<IpAddr>().map(IpNet::from).ok();
                    let network = address.or_else(|| word.parse().ok());
                    networks.push(network.ok_or_else(|| {
                        format!("\"{word}\" is neither none, loopback, private, an address nor a network such as 10.0.0.0/8")
                    })?);
                }
            }
        }
        Ok(Self(networks))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks: Vec<String> = self.0.iter().map(IpNet::to_string).collect();
        match networks.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&networks.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_addresses_prefixes_and_words() {
        let networks = Networks::parse("loopback, 10.1.0.0/16,203.0.113.7, 2001:db8::/32").unwrap();
        let inside = ["127.0.0.9", "::1", "10.1.2.3", "203.0.113.7", "2001:db8:9::1"];
        let outside = ["10.2.0.1", "203.0.113.8", "2001:db9::1", "0.0.0.0"];
        for (addresses, is_in) in [(&inside[..], true), (&outside[..], false)] {
            for address in addresses {
                assert_eq!(networks.contains(address.parse().unwrap()), is_in, "{address}");
            }
        }
        let private = Networks::parse("private").unwrap();
        assert!(private.contains("172.18.0.1".parse().unwrap()));
        assert!(!private.contains("172.32.0.1".parse().unwrap()));
        assert!(Networks::parse("none").unwrap().is_empty());
        for networks in [networks, private, Networks::default()] {
            assert_eq!(Networks::parse(&networks.to_string()).unwrap(), networks);
        }
        for wrong in ["", "10.0.0.0/33", "example.com", "10.0.0.1,,", "none,10.0.0.1"] {
            assert!(Networks::parse(wrong).is_err(), "{wrong}");
        }
    }
}
