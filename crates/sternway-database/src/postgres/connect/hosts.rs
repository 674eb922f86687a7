//! The servers that a URL names, of which the first is taken that answers and is what is wanted:
//! `postgres://a:5432,b:5432/app?target_session_attrs=read-write`.

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{PgConnection, Row};

use crate::port::Connect;

/// The port where none is named.
const PORT: u16 = 5432;

/// What stands in the place of several hosts while the rest of a URL is read.
const ANY: &str = "localhost";

/// The servers that a URL names, where they are several.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts {
    /// Host, address or folder of a socket, and the port.
    several: Vec<(String, u16)>,
}

impl Hosts {
    /// Takes the servers out of `user@host:port,host:port`, where there are several, and out of the
    /// parameters; returns what can stand in a URL in their place.
    pub fn take(
        authority: &str,
        pairs: &mut Vec<(String, String)>,
    ) -> Result<(String, Hosts), Connect> {
        let (user, places) = match authority.rsplit_once('@') {
            Some((user, places)) => (format!("{user}@"), places),
            None => (String::new(), authority),
        };
        let given = |key: &str| {
            let pair = pairs.iter().find(|(name, _)| name == key);
            pair.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let (hosts, ports) = (given("host"), given("port"));
        if !places.contains(',') && !hosts.contains(',') {
            return Ok((authority.to_owned(), Hosts::default()));
        }
        let mut several = Vec::new();
        if hosts.is_empty() {
            for place in places.split(',') {
                several.push(host_and_port(place)?);
            }
        } else {
            several.extend(hosts.split(',').map(|host| (host.to_owned(), PORT)));
        }
        let ports: Vec<&str> = ports.split(',').filter(|it| !it.is_empty()).collect();
        for (index, (_, port)) in several.iter_mut().enumerate() {
            // One is for all of them.
            let given = if ports.len() == 1 { ports.first() } else { ports.get(index) };
            if let Some(given) = given {
                *port = number(given)?;
            }
        }
        pairs.retain(|(key, _)| key != "host" && key != "port");
        Ok((format!("{user}{ANY}"), Hosts { several }))
    }

    /// How to connect to each of them; `options` are those of the one, where there are not several.
    pub fn each(&self, options: PgConnectOptions) -> Vec<PgConnectOptions> {
        if self.several.is_empty() {
            return vec![without_tls_on_a_socket(options)];
        }
        let each = self.several.iter().map(|(host, port)| {
            let options = options.clone().port(*port);
            without_tls_on_a_socket(match host.starts_with('/') {
                true => options.socket(host),
                false => options.host(host),
            })
        });
        each.collect()
    }
}

/// As with libpq, a socket needs no TLS: not even the question is asked.
fn without_tls_on_a_socket(options: PgConnectOptions) -> PgConnectOptions {
    match options.get_socket() {
        Some(_) => options.ssl_mode(PgSslMode::Disable),
        None => options,
    }
}

fn host_and_port(place: &str) -> Result<(String, u16), Connect> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match place.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let host = percent_encoding::percent_decode_str(host).decode_utf8_lossy().into_owned();
    let host = if host.is_empty() { ANY.to_owned() } else { host };
    let port = port.filter(|it| !it.is_empty()).map_or(Ok(PORT), number)?;
    Ok((host, port))
}

fn number(port: &str) -> Result<u16, Connect> {
    port.parse().map_err(|_| Connect::Url("a port is not a number up to 65535".to_owned()))
}

/// What a server has to be, in libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

impl Wanted {
    /// Reads a `target_session_attrs`.
    pub fn read(value: &str) -> Result<Wanted, Connect> {
        Ok(match value {
            "any" => Wanted::Any,
            "read-write" => Wanted::ReadWrite,
            "read-only" => Wanted::ReadOnly,
            "primary" => Wanted::Primary,
            "standby" => Wanted::Standby,
            "prefer-standby" => Wanted::PreferStandby,
            _ => {
                let words = "target_session_attrs is any, read-write, read-only, primary, standby \
                             or prefer-standby";
                return Err(Connect::Url(words.to_owned()));
            }
        })
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Wanted::Any | Wanted::PreferStandby => "one of any kind",
            Wanted::ReadWrite => "one that can be written",
            Wanted::ReadOnly => "one that can only be read",
            Wanted::Primary => "a primary",
            Wanted::Standby => "a standby",
        }
    }

    /// What is looked for, one after the other.
    pub fn in_turn(self) -> &'static [Wanted] {
        match self {
            Wanted::Any => &[Wanted::Any],
            Wanted::ReadWrite => &[Wanted::ReadWrite],
            Wanted::ReadOnly => &[Wanted::ReadOnly],
            Wanted::Primary => &[Wanted::Primary],
            Wanted::Standby => &[Wanted::Standby],
            Wanted::PreferStandby => &[Wanted::Standby, Wanted::Any],
        }
    }

    /// Whether the server of a session is that.
    pub async fn is(self, connection: &mut PgConnection) -> sqlx::Result<bool> {
        if self == Wanted::Any {
            return Ok(true);
        }
        let sql = "SELECT pg_catalog.pg_is_in_recovery(),
                          pg_catalog.current_setting('transaction_read_only') = 'on'";
        let row = sqlx::raw_sql(sql).fetch_one(connection).await?;
        let (standby, read_only): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
        Ok(match self {
            Wanted::Any | Wanted::PreferStandby => true,
            Wanted::ReadWrite => !standby && !read_only,
            Wanted::ReadOnly => standby || read_only,
            Wanted::Primary => !standby,
            Wanted::Standby => standby,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_hosts_have_their_ports() {
        let read = |authority: &str, host: &str, port: &str| {
            let mut pairs = vec![
                ("host".to_owned(), host.to_owned()),
                ("port".to_owned(), port.to_owned()),
                ("sslmode".to_owned(), "disable".to_owned()),
            ];
            pairs.retain(|(_, value)| !value.is_empty());
            let (place, hosts) = Hosts::take(authority, &mut pairs).expect("hosts");
            let hosts: Vec<String> =
                hosts.several.iter().map(|(host, port)| format!("{host} {port}")).collect();
            (place, hosts.join(", "))
        };
        let is = |place: &str, hosts: &str| (place.to_owned(), hosts.to_owned());
        assert_eq!(read("u:p@a:1", "", ""), is("u:p@a:1", ""));
        assert_eq!(read("u:p@a:1,b", "", ""), is("u:p@localhost", "a 1, b 5432"));
        let odd = read("u,v@[::1]:7,%2Ftmp%2Fpg", "", "");
        assert_eq!(odd, is("u,v@localhost", "::1 7, /tmp/pg 5432"));
        assert_eq!(read("", "a,/run/pg", "1,2"), is("localhost", "a 1, /run/pg 2"));
        assert_eq!(read("a,b", "", "9"), is("localhost", "a 9, b 9"));
        assert!(Hosts::take("a:x,b", &mut Vec::new()).is_err());
    }
}
