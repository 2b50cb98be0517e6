//! The keeper's side of a database: what it holds, its policies, its upkeep and its health.
//! Nothing of bars or runs is decided here, and nothing is printed.

mod health;
mod maintain;
pub(crate) mod policies;
mod rules;
mod status;

use sqlx::{Connection, PgConnection};

use crate::error::Error;
use crate::postgres;
use crate::schema::Edition;
use crate::url::{Target, Url};

pub use health::{Check, Health, Size, Slow, State};
pub use maintain::{Did, Maintained};
pub use policies::{Doomed, Policy};
pub use status::{Hypertable, Lack, Security, Status};

pub use crate::schema::Applied;

/// A server, opened to be looked after; its tables may be old or missing.
pub struct Admin {
    conn: PgConnection,
    edition: Edition,
    place: String,
}

/// What a URL opens to.
pub enum Kept {
    /// An embedded file looks after itself; here is what there is to say about it.
    Embedded(Box<Status>),
    Server(Box<Admin>),
}

/// Opens the database of `url` to be looked after. An embedded file is made and brought up to date by that.
///
/// # Errors
/// [`Error::Url`], [`Error::Connect`], [`Error::Database`].
pub async fn open(url: &str) -> Result<Kept, Error> {
    let Url { target, place, .. } = Url::parse(url)?;
    match target {
        Target::Sqlite(options) => {
            Ok(Kept::Embedded(Box::new(status::embedded(options, place).await?)))
        }
        Target::Postgres(options) => {
            let options = postgres::with_settings(options);
            let mut conn = postgres::connect(&options, &place).await?;
            let failed = |source| Error::Database {
                what: "looking at the server",
                place: place.clone(),
                source,
            };
            let edition = postgres::edition(&mut conn).await.map_err(failed)?;
            Ok(Kept::Server(Box::new(Admin { conn, edition, place })))
        }
    }
}

impl Admin {
    /// Where this is, without password.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What the server can do.
    #[must_use]
    pub fn edition(&self) -> Edition {
        self.edition
    }

    /// Gives the connection back.
    pub async fn close(self) {
        self.conn.close().await.ok();
    }

    fn failed(&self, what: &'static str) -> impl Fn(sqlx::Error) -> Error + use<> {
        let place = self.place.clone();
        move |source| Error::Database { what, place: place.clone(), source }
    }

    /// Whether this database has the table or view `name`.
    async fn has(&mut self, name: &str) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(name)
            .fetch_one(&mut self.conn)
            .await
    }

    /// Refuses a database without the tables of this program.
    async fn needs_schema(&mut self) -> Result<(), Error> {
        let failed = self.failed("looking at the tables");
        if !self.has("data_policies").await.map_err(failed)? {
            let place = self.place.clone();
            let has_list = self.has("_sqlx_migrations").await;
            return Err(match has_list {
                Ok(true) => Error::OldSchema { place, missing: vec!["0150_policies".to_owned()] },
                _ => Error::NoSchema { place },
            });
        }
        Ok(())
    }
}
