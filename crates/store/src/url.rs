//! What a database URL names: the scheme chooses the backend, and the place is how it is shown.
//! A password may enter and never leaves: neither a place nor an error carries one.

use std::net::IpAddr;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use crate::error::Error;

/// Where to connect to. No `Debug`: the options hold the password.
pub(crate) enum Target {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
}

/// A database URL, read.
pub(crate) struct Url {
    pub(crate) target: Target,
    /// As shown to people: without password.
    pub(crate) place: String,
    /// Which database of which server, for what is kept of it on this machine: neither user nor password.
    pub(crate) server: String,
}

impl Url {
    /// Reads `sqlite:FILE`, `postgres://…` or `postgresql://…`; a `+driver` behind the scheme is dropped.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let refuse = |why: String| Error::Url { given: shown(url), why };
        let (scheme, rest) = split(url).ok_or_else(|| refuse("it has no scheme".to_owned()))?;
        match scheme.split('+').next().unwrap_or(scheme) {
            "sqlite" => {
                let options = SqliteConnectOptions::from_str(&format!("sqlite:{rest}"))
                    .map_err(|e| refuse(plain(&e)))?;
                let file = options.get_filename().display().to_string();
                let file =
                    if file.starts_with("file:sqlx-in-memory") { ":memory:".into() } else { file };
                let place = format!("sqlite:{file}");
                Ok(Self { target: Target::Sqlite(options), server: place.clone(), place })
            }
            "postgres" | "postgresql" => {
                divided(rest).map_err(|why| refuse(why.to_owned()))?;
                // The driver's messages about a bad port or option repeat no password.
                let options = PgConnectOptions::from_str(&format!("postgres:{rest}"))
                    .map_err(|e| refuse(plain(&e)))?;
                let server = postgres_server(&options);
                let (user, host) = (options.get_username(), options.get_host());
                let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
                if user.contains(':')
                    || server.contains('@')
                    || host.contains([':', '%']) && !is_address
                {
                    return Err(refuse(NOT_DIVIDED.to_owned()));
                }
                let place = format!("postgres://{user}@{server}");
                Ok(Self { target: Target::Postgres(options), place, server })
            }
            other => Err(refuse(format!("`{other}` is not sqlite, postgres or postgresql"))),
        }
    }
}

const NOT_DIVIDED: &str =
    "where its password ends is not plain: @ : / ? # within it are written %40 %3A %2F %3F %23";

/// Options of a URL whose value may hold an `@`.
const TEXTS: [&str; 5] = ["user", "password", "dbname", "application_name", "options"];

/// Refuses what stands behind the scheme of a server where a piece of a password could be taken for a host, a database or
/// an option: those are shown.
fn divided(rest: &str) -> Result<(), &'static str> {
    let rest = rest.strip_prefix("//").ok_or("`//` is missing behind its scheme")?;
    let options = rest.split_once('?').map_or("", |(_, options)| options);
    let is_text = |option: &str| {
        option.split_once('=').is_some_and(|(name, _)| {
            TEXTS.contains(&name) || (name.starts_with("options[") && !name.contains('@'))
        })
    };
    let is_plain = |option: &str| !option.contains('@') || is_text(option);
    if rest.contains('#') || !options.split('&').all(is_plain) {
        return Err(NOT_DIVIDED);
    }
    Ok(())
}

/// The scheme of `url` and what stands behind its `:`.
fn split(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    is_scheme.then_some((scheme, rest))
}

/// `host:port/database`.
fn postgres_server(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let database = options.get_database().unwrap_or(options.get_username());
    format!("{host}:{}/{database}", options.get_port())
}

fn plain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(cause) => cause.to_string(),
        other => other.to_string(),
    }
}

/// `url` as an error shows it: whole where nothing in it can be a password, else no more than its scheme.
fn shown(url: &str) -> String {
    let is_plain =
        |text: &str| !text.contains(|c: char| ":@=?#&%".contains(c) || c.is_whitespace());
    match split(url) {
        None if is_plain(url) => url.to_owned(),
        None => "…".to_owned(),
        Some(("sqlite", _)) => url.to_owned(),
        Some((scheme, rest)) => {
            let host = rest.strip_prefix("//").and_then(|rest| rest.split_once('@'));
            let is_whole = host.is_some_and(|(user, host)| {
                is_plain(user) && !user.contains('/') && host.split(':').all(is_plain)
            });
            if is_whole { url.to_owned() } else { format!("{scheme}:…") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_shows_where_but_no_password() {
        let place = |url: &str| Url::parse(url).unwrap().place;
        assert_eq!(place("sqlite:backtest.db"), "sqlite:backtest.db");
        assert_eq!(place("sqlite:///tmp/x.db"), "sqlite:/tmp/x.db");
        assert_eq!(place("sqlite::memory:"), "sqlite::memory:");
        let url = "postgresql+asyncpg://ann:s3cret@db:5433/lab";
        assert_eq!(place(url), "postgres://ann@db:5433/lab");
        let url = "postgres://ann@db/lab?password=s3cret";
        assert_eq!(place(url), "postgres://ann@db:5432/lab");
        assert_eq!(Url::parse(url).unwrap().server, "db:5432/lab");
    }

    #[test]
    fn a_url_without_a_password_is_shown_whole() {
        for url in [
            "backtest.db",
            "/data/x.db",
            "sqlite:x.db?mode=none",
            "mysql://ann@db/lab",
            "postgres://ann@db:x/lab",
        ] {
            let error = Url::parse(url).err().unwrap();
            assert!(error.to_string().starts_with(&format!("`{url}` is no")), "{error}");
        }
    }

    /// Every way that a person may write a user and a password, with every sign that a password may have and that means
    /// something in a URL: whatever is said of it, neither half of the password is.
    #[test]
    fn no_shape_of_url_gives_its_password_away() {
        const SHAPES: [&str; 23] = [
            "host=db user=ann password=PASSWORD dbname=x",
            "user=ann password=PASSWORD host=db port=5:432",
            "ann:PASSWORD@host/db",
            "ann PASSWORD",
            "//ann:PASSWORD@host/db",
            "mysql:ann:PASSWORD@host/db",
            "mysql://ann:PASSWORD@host/db",
            "jdbc:postgresql://db/lab?user=ann&password=PASSWORD",
            "POSTGRES://ann:PASSWORD@db/lab",
            " postgres://ann:PASSWORD@db/lab",
            "postgres:ann:PASSWORD@host/db",
            "postgres:/ann:PASSWORD@host/db",
            "postgres:///ann:PASSWORD@host/db",
            "postgres:////ann:PASSWORD@host/db",
            "postgres://ann:PASSWORD@db:x/lab",
            "postgres://ann:PASSWORD@db:5433/lab",
            "postgres://ann:PASSWORD@db:1:2/lab?sslmode=require",
            "postgres://:PASSWORD@db/lab",
            "postgres://ann/PASSWORD@db/lab",
            "postgres://ann@db:x/lab?password=PASSWORD",
            "postgres://ann@db/lab?sslmode=require&password=PASSWORD",
            "postgres://ann%3APASSWORD@db/lab",
            "postgresql+asyncpg://ann%3APASSWORD%40db/lab",
        ];
        for first in ["s3cret", "31337"] {
            for sign in [
                "", "/", "?", "#", "@", ":", "&", "=", "%", "%2F", "[", "]", "\\", " ", "//",
                "?a=", "/?",
            ] {
                for shape in SHAPES {
                    let url = shape.replace("PASSWORD", &format!("{first}{sign}pa55"));
                    let said = match Url::parse(&url) {
                        Ok(read) => format!("{} {}", read.place, read.server),
                        Err(error) => format!("{error} {error:?} {:?}", error.hint()),
                    };
                    assert!(!said.contains(first) && !said.contains("pa55"), "{url}: {said}");
                }
            }
        }
    }

    #[test]
    fn a_password_may_hold_any_sign() {
        for password in ["s3c%40ret", "s3c%2Fret", "s3c@ret", "s3c:ret", "s3c&=ret"] {
            let url = format!("postgres://ann:{password}@db:5433/lab");
            assert_eq!(Url::parse(&url).unwrap().place, "postgres://ann@db:5433/lab");
        }
        for url in ["postgres://db/lab?user=ann@db&password=s3c@ret", "postgres://ann%40db@db/lab"]
        {
            assert_eq!(Url::parse(url).unwrap().place, "postgres://ann@db@db:5432/lab");
        }
        let url = "postgres://ann@[::1]/lab";
        assert_eq!(Url::parse(url).unwrap().place, "postgres://ann@[::1]:5432/lab");
    }
}
