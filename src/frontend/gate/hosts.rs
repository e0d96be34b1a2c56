//! The names under which this store may be asked.
//!
//! A page from elsewhere cannot read our answers; but its owner can let its own name point to our address once it is
//! loaded ("DNS rebinding"), and then it is of the same origin as a store on the visitor's own machine or network. The
//! browser still says the name, and it is not one of ours.

use actix_web::dev::RequestHead;
use actix_web::http::header;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Hosts {
    #[default]
    Any,
    /// These, in lower case, and whatever is no name that anybody could point here: addresses and `localhost`.
    Only(Vec<String>),
}

impl Hosts {
    /// `any`, `local`, or names with commas between.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "any" => return Ok(Self::Any),
            "local" => return Ok(Self::local()),
            _ => {}
        }
        let name = |word: &str| {
            let name = word.trim().trim_end_matches('.').to_ascii_lowercase();
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            match !name.is_empty() && name.bytes().all(fits) {
                true => Ok(name),
                false => Err(format!(
                    "\"{word}\" is neither any, local nor a host name without port, such as shop.example"
                )),
            }
        };
        text.split(',').map(name).collect::<Result<_, _>>().map(Self::Only)
    }

    /// Nothing but addresses and `localhost`.
    pub fn local() -> Self {
        Self::Only(Vec::new())
    }

    /// Whether `request` is for us: by its `Host`, and by its target, if that names one.
    pub fn welcome(&self, request: &RequestHead) -> bool {
        let Self::Only(names) = self else { return true };
        let is_ours = |authority: &str| {
            let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                Some((address, port)) => {
                    return address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.starts_with(':'));
                }
                None => authority.split_once(':').map_or(authority, |(host, _)| host),
            };
            let host = host.strip_suffix('.').unwrap_or(host);
            host.parse::<Ipv4Addr>().is_ok()
                || is_local(host)
                || names.iter().any(|name| name.eq_ignore_ascii_case(host))
        };
        // HTTP/1.0 may come without; no browser speaks that.
        let said = request.headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
        said.is_none_or(is_ours) && request.uri.authority().is_none_or(|target| is_ours(target.as_str()))
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Only(names) if names.is_empty() => f.write_str("local"),
            Self::Only(names) => f.write_str(&names.join(",")),
        }
    }
}

fn is_local(host: &str) -> bool {
    const LOCALHOST: &str = "localhost";
    let end = host.len().checked_sub(LOCALHOST.len()).and_then(|at| host.get(at..));
    let before = host.len().checked_sub(LOCALHOST.len() + 1).and_then(|at| host.as_bytes().get(at));
    end.is_some_and(|end| end.eq_ignore_ascii_case(LOCALHOST)) && before.is_none_or(|&byte| byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn welcome(hosts: &Hosts, host: &str, target: &str) -> bool {
        let request = TestRequest::with_uri(target).insert_header((header::HOST, host)).to_http_request();
        hosts.welcome(request.head())
    }

    #[test]
    fn a_name_that_somebody_else_can_point_here_is_not_ours() {
        let hosts = Hosts::parse("Shop.example.,other.example").unwrap();
        for host in [
            "shop.example",
            "SHOP.EXAMPLE:8083",
            "shop.example.",
            "localhost",
            "a.localhost:8083",
            "127.0.0.1:8083",
            "192.0.2.7",
            "[::1]:8083",
            "[::1]",
        ] {
            assert!(welcome(&hosts, host, "/"), "{host}");
            assert_eq!(welcome(&Hosts::local(), host, "/"), !host.to_lowercase().contains("shop"), "{host}");
        }
        for host in [
            "evil.example",
            "shop.example.evil.example",
            "notshop.example",
            "evillocalhost",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[::1]evil.example",
            "[evil]",
            "",
        ] {
            assert!(!welcome(&hosts, host, "/"), "{host}");
            assert!(welcome(&Hosts::Any, host, "/"), "{host}");
        }
        assert!(!welcome(&hosts, "shop.example", "http://evil.example/info/9"));
        assert!(welcome(&hosts, "shop.example", "http://shop.example/info/9"));
    }

    #[test]
    fn a_list_has_names_only() {
        assert_eq!(Hosts::parse("any").unwrap(), Hosts::Any);
        for hosts in [Hosts::Any, Hosts::local(), Hosts::parse("a.example,b").unwrap()] {
            assert_eq!(Hosts::parse(&hosts.to_string()).unwrap(), hosts);
        }
        for wrong in ["", "shop.example:80", "http://shop.example", "a,,b", "*"] {
            assert!(Hosts::parse(wrong).is_err(), "{wrong}");
        }
    }
}
