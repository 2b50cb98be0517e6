//! What a database URL names: the scheme chooses the backend, and the place is how it is shown.
//! A password may enter and never leaves: neither a place nor an error carries one.

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
        let refuse = |why: String| Error::Url { given: without_password(url), why };
        let (scheme, rest) =
            url.split_once(':').ok_or_else(|| refuse("it has no scheme".to_owned()))?;
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
                // The driver's messages about a bad port or option repeat no password.
                let options = PgConnectOptions::from_str(&format!("postgres:{rest}"))
                    .map_err(|e| refuse(plain(&e)))?;
                let server = postgres_server(&options);
                let place = format!("postgres://{}@{server}", options.get_username());
                Ok(Self { target: Target::Postgres(options), place, server })
            }
            other => Err(refuse(format!("`{other}` is not sqlite, postgres or postgresql"))),
        }
    }
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

/// `url` with every password in it replaced: between the first `:` of the user and the last `@`, and in the query.
fn without_password(url: &str) -> String {
    let (head, query) = url.split_once('?').map_or((url, None), |(h, q)| (h, Some(q)));
    let head = match (head.split_once("://"), head.rfind('@')) {
        (Some((scheme, rest)), Some(at)) => {
            let user = rest.split([':', '@']).next().unwrap_or_default();
            format!("{scheme}://{user}{}", &head[at..])
        }
        _ => head.to_owned(),
    };
    match query {
        Some(_) => format!("{head}?…"),
        None => head,
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
    fn an_unreadable_url_is_shown_without_password() {
        for url in [
            "mysql://ann:s3cret@db/lab",
            "postgres://ann:s3cret@db:notaport/lab",
            "postgres://ann:s3c@s3cret@db:notaport/lab?password=s3cret",
            "postgres://ann:s3cret/x@db:1:2/lab",
        ] {
            let error = Url::parse(url).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("s3c"), "{error:?}");
        }
    }
}
