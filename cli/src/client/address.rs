//! The address of the daemon.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use api::layout::DEFAULT_PORT;

use crate::env::{self, Environment};
use crate::error::Failure;
use crate::home::Home;

/// An address of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// HTTP over TCP.
    Tcp {
        /// Host name or IP address, without brackets.
        host: String,
        /// Port.
        port: u16,
        /// Path before every route, `` or `/prefix`, for a daemon behind a proxy.
        prefix: String,
    },
}

/// Where a command looks for its daemon.
#[derive(Debug, Clone)]
pub(crate) enum Addresses {
    /// An address that the user named. No daemon is started if none answers there.
    Named(Address),
    /// The daemon of this home, at the address in its note.
    Own(Home),
}

impl Addresses {
    /// `--host`, else `SLM_HOST`, else the daemon of `home`.
    pub(crate) fn resolve(
        flag: Option<&str>,
        home: &Home,
        environment: &dyn Environment,
    ) -> Result<Self, Failure> {
        if let Some(text) = flag {
            return named("--host", text);
        }
        match environment.value(env::SLM_HOST) {
            Some(value) => named(env::SLM_HOST, readable(&value)?),
            None => Ok(Self::Own(home.clone())),
        }
    }
}

fn named(origin: &str, text: &str) -> Result<Addresses, Failure> {
    text.parse()
        .map(Addresses::Named)
        .map_err(|mistake| refuse(origin, text, &mistake))
}

fn readable(value: &OsStr) -> Result<&str, Failure> {
    value
        .to_str()
        .ok_or_else(|| Failure::usage("SLM_HOST is not valid UTF-8"))
}

fn refuse(origin: &str, text: &str, mistake: &Mistake) -> Failure {
    Failure::usage(format!("{origin} `{text}`: {mistake}")).hint(
        "an address looks like `127.0.0.1:11435`, `http://machine:11435` or `unix:/path/slmd.sock`",
    )
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mistake {
    /// TLS.
    #[error("https is not supported yet")]
    Https,
    /// Another scheme.
    #[error("`{0}` is not a way to reach a daemon")]
    Scheme(String),
    /// Not a number from 1 to 65535.
    #[error("`{0}` is not a port")]
    Port(String),
    /// Characters that a host name cannot have.
    #[error("`{0}` is not the name of a machine")]
    Host(String),
    /// User, query or fragment.
    #[error("an address has no `{0}`")]
    Part(char),
    /// A socket with a relative path.
    #[error("the path of a socket begins with `/`")]
    RelativeSocket,
}

impl FromStr for Address {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') {
                return Err(Mistake::RelativeSocket);
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        if text.starts_with('/') {
            return Ok(Self::Unix(PathBuf::from(text)));
        }
        // A number alone is a port.
        if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
            return format!(":{text}").parse();
        }
        // A scheme brings its default port; only a bare host gets the daemon's.
        let (rest, default_port) = match text.split_once("://") {
            Some(("http", rest)) => (rest, 80),
            Some(("https", _)) => return Err(Mistake::Https),
            Some((scheme, _)) => return Err(Mistake::Scheme(scheme.to_owned())),
            None => (text, DEFAULT_PORT),
        };
        if let Some(part) = rest.chars().find(|c| matches!(c, '@' | '?' | '#')) {
            return Err(Mistake::Part(part));
        }
        let (authority, prefix) = match rest.split_once('/') {
            Some((authority, path)) => (authority, path.trim_matches('/')),
            None => (rest, ""),
        };
        if let Some(strange) = prefix.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(Mistake::Part(strange));
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => default_port,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(Mistake::Port(port.to_owned())),
            },
        };
        Ok(Self::Tcp {
            host: connectable(host)?,
            port,
            prefix: if prefix.is_empty() {
                String::new()
            } else {
                format!("/{prefix}")
            },
        })
    }
}

/// Splits `host:port`, `[v6]:port`, `host`, `:port`, and a bare IPv6 address, which has no port.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), Mistake> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest
            .split_once(']')
            .ok_or_else(|| Mistake::Host(authority.to_owned()))?;
        return match port.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if port.is_empty() => Ok((host, None)),
            None => Err(Mistake::Host(authority.to_owned())),
        };
    }
    match authority.split_once(':') {
        Some((_, rest)) if rest.contains(':') => Ok((authority, None)),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

/// The host to connect to: the wildcard address of a server is loopback for a client.
fn connectable(host: &str) -> Result<String, Mistake> {
    match host {
        // `:8080`, as servers write it.
        "" => Ok("127.0.0.1".to_owned()),
        "0.0.0.0" => Ok("127.0.0.1".to_owned()),
        "::" => Ok("::1".to_owned()),
        host if host.contains(':') => match host.parse::<std::net::Ipv6Addr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err(Mistake::Host(host.to_owned())),
        },
        host if host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) =>
        {
            Ok(host.to_owned())
        }
        host => Err(Mistake::Host(host.to_owned())),
    }
}

impl Address {
    /// The URL before every route; `None` for a Unix socket.
    pub(crate) fn base_url(&self) -> Option<String> {
        matches!(self, Self::Tcp { .. }).then(|| self.to_string())
    }

    /// Value of the `Host` header.
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            Self::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port, .. } => format!("{host}:{port}"),
        }
    }

    /// The path before every route.
    pub(crate) fn prefix(&self) -> &str {
        match self {
            Self::Unix(_) => "",
            Self::Tcp { prefix, .. } => prefix,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp { prefix, .. } => write!(f, "http://{}{prefix}", self.authority()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match text.parse::<Address>() {
            Ok(address) => address.to_string(),
            Err(mistake) => mistake.to_string(),
        };
        assert_eq!(shown, expected, "{text:?}");
    }

    #[test]
    fn an_address_has_several_spellings() {
        check("machine", "http://machine:11435");
        check(" machine:80 ", "http://machine:80");
        check(":8080", "http://127.0.0.1:8080");
        check("11435", "http://127.0.0.1:11435");
        check("", "http://127.0.0.1:11435");
        check("http://machine", "http://machine:80");
        check("http://machine:1/", "http://machine:1");
        check("http://machine/slm/", "http://machine:80/slm");
        check("0.0.0.0", "http://127.0.0.1:11435");
        check("[::]:7", "http://[::1]:7");
        check("::1", "http://[::1]:11435");
        check("[::1]", "http://[::1]:11435");
        check("[fe80::2]:9", "http://[fe80::2]:9");
        check("/run/slmd.sock", "/run/slmd.sock");
        check("unix:/run/slmd.sock", "/run/slmd.sock");
        check("unix:///run/slmd.sock", "/run/slmd.sock");
    }

    #[test]
    fn a_mistake_in_an_address_is_named() {
        check("https://machine", "https is not supported yet");
        check("ftp://machine", "`ftp` is not a way to reach a daemon");
        check("machine:0", "`0` is not a port");
        check("66000", "`66000` is not a port");
        check("machine:66000", "`66000` is not a port");
        check("machine:-1", "`-1` is not a port");
        check("user@machine", "an address has no `@`");
        check("http://machine/?a", "an address has no `?`");
        check("mach ine", "`mach ine` is not the name of a machine");
        check("[::1", "`[::1` is not the name of a machine");
        check("a:b:c", "`a:b:c` is not the name of a machine");
        check("unix:run/slmd.sock", "the path of a socket begins with `/`");
        check("mach\r\nine", "`mach\r\nine` is not the name of a machine");
    }

    #[test]
    fn the_flag_overrides_the_variable_and_the_variable_the_home() {
        let home = Home::resolve(None, &[]).unwrap();
        let environment = [("SLM_HOST", "from-env")];
        let resolve = |flag, home: &Home, environment: &dyn Environment| {
            Addresses::resolve(flag, home, environment).unwrap()
        };
        let shown = |found| match found {
            Addresses::Named(address) => address.to_string(),
            Addresses::Own(home) => home.root().display().to_string(),
        };
        let found = resolve(Some("from-flag"), &home, &environment);
        assert_eq!(shown(found), "http://from-flag:11435");
        let found = resolve(None, &home, &environment);
        assert_eq!(shown(found), "http://from-env:11435");
        let home = Home::resolve(Some(Path::new("/mine")), &[]).unwrap();
        assert_eq!(shown(resolve(None, &home, &[])), "/mine");
    }
}
