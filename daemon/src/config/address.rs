//! The TCP address to listen on, always loopback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use api::layout::DEFAULT_PORT;

/// The port that clients of Ollama expect.
const OLLAMA_PORT: u16 = 11434;

/// A loopback address with an optional port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    address: IpAddr,
    port: Option<u16>,
}

impl Endpoint {
    /// Whether it has a port.
    pub fn has_port(self) -> bool {
        self.port.is_some()
    }

    /// Joins it with the port of the key `port`. With `own_first` the port in the address overrides that one.
    pub fn with_port(self, port: Option<u16>, own_first: bool) -> SocketAddr {
        let chosen = if own_first {
            self.port.or(port)
        } else {
            port.or(self.port)
        };
        SocketAddr::new(self.address, chosen.unwrap_or(DEFAULT_PORT))
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// Reads `127.0.0.1`, `localhost:11435`, `[::1]:8080`, `:8080` or `http://localhost:11435`.
    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix("http://").unwrap_or(text);
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        let wrong =
            || format!("{text:?} is no address; write for example 127.0.0.1 or localhost:11435");
        let (host, port) = split(bare).ok_or_else(wrong)?;
        let port = match port {
            None => None,
            Some(port) => Some(port.parse().map_err(|_| {
                format!(
                    "the port of {text:?} must be a whole number from 0 to {}; write for example localhost:11435",
                    u16::MAX
                )
            })?),
        };
        let address = match host {
            "" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            name if name.eq_ignore_ascii_case("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
            other => other.parse().map_err(|_| wrong())?,
        };
        if !address.is_loopback() {
            return Err(format!(
                "{text:?} is not a loopback address, and without API keys this daemon serves its own machine only; \
                 use 127.0.0.1 or ::1, and a tunnel or an authenticating proxy to reach it from elsewhere"
            ));
        }
        Ok(Self { address, port })
    }
}

/// Reads addresses that are separated by commas, each once. Without a port, an address has Ollama's.
pub(super) fn addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    let mut addresses = Vec::new();
    for item in text.split(',').map(str::trim) {
        if item.is_empty() {
            continue;
        }
        let endpoint: Endpoint = item.parse()?;
        let address = endpoint.with_port(Some(OLLAMA_PORT), true);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// Splits host and port. An IPv6 address with a port needs brackets.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest {
            "" => Some((host, None)),
            rest => Some((host, Some(rest.strip_prefix(':')?))),
        };
    }
    match text.matches(':').count() {
        0 => Some((text, None)),
        1 => text.split_once(':').map(|(host, port)| (host, Some(port))),
        _ => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let endpoint: Endpoint = text.parse().unwrap();
        assert_eq!(
            endpoint.with_port(None, true).to_string(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn all_forms_of_a_loopback_address_are_read() {
        check("127.0.0.1", "127.0.0.1:11435");
        check("127.8.9.10:1", "127.8.9.10:1");
        check("localhost", "127.0.0.1:11435");
        check("LocalHost:80", "127.0.0.1:80");
        check(":8080", "127.0.0.1:8080");
        check("::1", "[::1]:11435");
        check("[::1]", "[::1]:11435");
        check("[::1]:0", "[::1]:0");
        check("http://localhost:11435/", "127.0.0.1:11435");
    }

    #[test]
    fn a_list_of_addresses_has_each_once_and_the_port_of_ollama_by_default() {
        let texts = |text: &str| {
            let addresses = addresses(text).unwrap();
            addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(texts(""), [""; 0]);
        assert_eq!(texts("127.0.0.1"), ["127.0.0.1:11434"]);
        assert_eq!(
            texts("localhost:1, ::1 ,127.0.0.1:1,"),
            ["127.0.0.1:1", "[::1]:11434"]
        );
        assert!(addresses("127.0.0.1,0.0.0.0").is_err());
    }

    #[test]
    fn an_address_that_others_can_reach_is_refused() {
        for text in [
            "0.0.0.0",
            "0.0.0.0:11435",
            "192.168.1.2",
            "[::]",
            "::",
            "[::]:1",
            "::ffff:127.0.0.1",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.contains("loopback"), "{text}: {error}");
        }
    }

    #[test]
    fn an_invalid_address_is_refused_with_an_example() {
        for text in [
            "example.com",
            "localhost:http",
            "127.0.0.1:70000",
            "[::1",
            "[::1]1",
            "https://localhost",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.contains("for example"), "{text}: {error}");
        }
    }
}
