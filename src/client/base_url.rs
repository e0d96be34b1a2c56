//! Where a role listens.

use std::fmt;
use std::net::SocketAddr;

/// Where a role listens: `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseUrl {
    host: String,
    port: u16,
}

impl BaseUrl {
    /// From `http://host[:port]`; the port is 80 unless given.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a URL of the form http://host:port");
        let url = url::Url::parse(text).map_err(|_| wrong())?;
        let bare = url.path() == "/" && url.query().is_none() && url.username().is_empty();
        match (url.scheme(), url.host_str(), bare) {
            ("http", Some(host), true) => {
                Ok(Self { host: host.into(), port: url.port_or_known_default().unwrap_or(80) })
            }
            _ => Err(wrong()),
        }
    }

    pub fn from_addr(addr: SocketAddr) -> Self {
        let host = match addr {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        Self { host, port: addr.port() }
    }

    /// As a URL has it: an IPv6 address stands in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`, as a resolver takes it.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_host_and_port_and_nothing_else() {
        assert_eq!(BaseUrl::parse("http://master:3000").unwrap().to_string(), "http://master:3000");
        assert_eq!(BaseUrl::parse("http://[::1]:3000/").unwrap().authority(), "[::1]:3000");
        for text in
            ["master:3000", "https://m:1", "http://", "http://m:99999", "http://m/x", "http://u@m", ""]
        {
            assert!(BaseUrl::parse(text).is_err(), "{text}");
        }
    }
}
