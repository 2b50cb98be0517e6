//! What a database is: edition, versions, migrations, hypertables, policies, row security, and what the edition lacks.
//! Nothing is changed, and a database with old or no tables can be asked too.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use super::{Admin, Policy};
use crate::error::Error;
use crate::schema::{self, Applied, Edition, Folder};
use crate::sqlite;

/// A database as it is.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Status {
    /// Where it is, without password.
    pub place: String,
    /// For people: `TimescaleDB, Apache edition`.
    pub edition: &'static str,
    /// The server's version, or the library's.
    pub server: String,
    /// TimescaleDB's version.
    pub timescaledb: Option<String>,
    /// `apache` or `timescale`.
    pub license: Option<String>,
    pub migrations: Vec<Applied>,
    pub hypertables: Vec<Hypertable>,
    pub policies: Vec<Policy>,
    /// Whether chunks of `market_data` can be compressed.
    pub compression: bool,
    /// What `daily_ohlcv` is: `continuous aggregate`, `materialized view` or `none`.
    pub daily_ohlcv: &'static str,
    pub security: Option<Security>,
    /// What the edition lacks, and what does it instead.
    pub lacks: Vec<Lack>,
}

/// A hypertable and its chunks.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Hypertable {
    pub table: String,
    /// Length of a chunk, as the server writes it.
    pub chunk_interval: String,
    pub chunks: i64,
    pub compressed_chunks: i64,
    /// With indexes.
    pub bytes: i64,
}

/// Row level security as it is.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Security {
    /// Tables with row security.
    pub protected_tables: i64,
    pub policies: i64,
    /// Whether the role that policies are for exists.
    pub role: bool,
    /// Chunks of protected tables that a client's role can reach directly.
    pub open_chunks: i64,
    /// Users bound to a role.
    pub bound_users: i64,
}

/// Something that an edition has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Lack {
    pub what: &'static str,
    /// What does it instead, or what follows from it.
    pub instead: &'static str,
}

const fn lack(what: &'static str, instead: &'static str) -> Lack {
    Lack { what, instead }
}

/// Chunks of protected tables on which a client's role has a privilege.
pub(crate) const OPEN_CHUNKS: &str = "SELECT count(*) FROM pg_inherits JOIN pg_class parent ON parent.oid = inhparent \
     WHERE parent.relrowsecurity AND parent.relkind = 'r' AND parent.relnamespace = current_schema()::regnamespace \
     AND to_regrole('authenticated_users') IS NOT NULL AND (has_table_privilege('authenticated_users', inhrelid, \
     'SELECT, INSERT, UPDATE, DELETE') OR has_any_column_privilege('authenticated_users', inhrelid, \
     'SELECT, INSERT, UPDATE'))";

const APACHE: [Lack; 4] = [
    lack("retention policies", "`backtest db maintain`, once they are enabled"),
    lack("compression", "nothing: chunks stay as they are; a file system may compress"),
    lack(
        "continuous aggregates",
        "daily_ohlcv is a materialized view that `backtest db maintain` refreshes",
    ),
    lack("background jobs", "`backtest db maintain`, from cron"),
];
const PLAIN: [Lack; 5] = [
    lack("hypertables", "plain tables with the same keys and indexes; retention deletes rows"),
    APACHE[0],
    APACHE[1],
    APACHE[2],
    APACHE[3],
];
const EMBEDDED: [Lack; 6] = [
    lack("several machines at once", "one file, one machine; one program writes at a time"),
    lack("hypertables and compression", "one table whose key is its order on disk"),
    lack(
        "retention and refresh policies",
        "rows stay until they are deleted; daily bars are put together when asked for",
    ),
    lack("roles and row level security", "whoever can read the file reads everything in it"),
    lack("point-in-time recovery", "copy the file with `sqlite3 FILE '.backup COPY'`"),
    lack(
        "tables of live trading, models, risk and logs",
        "the engine neither reads nor writes them; a server has them",
    ),
];

fn lacks(edition: Edition) -> Vec<Lack> {
    match edition {
        Edition::Sqlite => EMBEDDED.to_vec(),
        Edition::Postgres => PLAIN.to_vec(),
        Edition::TimescaleApache => APACHE.to_vec(),
        Edition::TimescaleCommunity => Vec::new(),
    }
}

/// The status of an embedded file, which is brought up to date by being opened.
pub(crate) async fn embedded(
    options: SqliteConnectOptions,
    place: String,
) -> Result<Status, Error> {
    let failed =
        |source| Error::Database { what: "reading the status", place: place.clone(), source };
    let (pool, _) = sqlite::open(options, &place).await?;
    let mut conn = pool.acquire().await.map_err(failed)?;
    let server: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut *conn)
        .await
        .map_err(failed)?;
    let list: &mut SqliteConnection = &mut conn;
    let migrations = schema::list(Folder::Sqlite, list, &place).await?;
    drop(conn);
    pool.close().await;
    Ok(Status {
        place,
        edition: Edition::Sqlite.name(),
        server: format!("SQLite {server}"),
        timescaledb: None,
        license: None,
        migrations,
        hypertables: Vec::new(),
        policies: Vec::new(),
        compression: false,
        daily_ohlcv: "none",
        security: None,
        lacks: lacks(Edition::Sqlite),
    })
}

impl Admin {
    /// What the server is and holds.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn status(&mut self) -> Result<Status, Error> {
        let failed = self.failed("reading the status");
        let versions = sqlx::query(
            "SELECT current_setting('server_version') AS server, (SELECT extversion FROM pg_extension \
             WHERE extname = 'timescaledb') AS extension, current_setting('timescaledb.license', true) AS license",
        );
        let versions = versions.fetch_one(&mut self.conn).await.map_err(&failed)?;
        let get = |name: &str| versions.try_get::<Option<String>, _>(name).map_err(&failed);
        let server = format!("PostgreSQL {}", get("server")?.unwrap_or_default());
        let timescaledb = get("extension")?;
        // The library may be loaded where the extension is not made.
        let license = get("license")?.filter(|_| timescaledb.is_some());
        let has_list = self.has("_sqlx_migrations").await.map_err(&failed)?;
        let migrations = if has_list {
            schema::list(Folder::Server, &mut self.conn, &self.place).await?
        } else {
            Vec::new()
        };
        let ready = self.has("data_policies").await.map_err(&failed)?;
        Ok(Status {
            place: self.place.clone(),
            edition: self.edition.name(),
            server,
            license,
            migrations,
            compression: timescaledb.is_some() && self.compression().await.map_err(&failed)?,
            hypertables: self.hypertables().await.map_err(&failed)?,
            timescaledb,
            policies: if ready { self.policies().await? } else { Vec::new() },
            daily_ohlcv: self.daily_ohlcv().await.map_err(&failed)?,
            security: if ready { Some(self.security().await.map_err(&failed)?) } else { None },
            lacks: lacks(self.edition),
        })
    }

    async fn compression(&mut self) -> Result<bool, sqlx::Error> {
        let on: Option<bool> = sqlx::query_scalar(
            "SELECT compression_enabled FROM timescaledb_information.hypertables \
             WHERE hypertable_schema = current_schema() AND hypertable_name = 'market_data'",
        )
        .fetch_optional(&mut self.conn)
        .await?;
        Ok(on.unwrap_or(false))
    }

    async fn hypertables(&mut self) -> Result<Vec<Hypertable>, sqlx::Error> {
        if self.edition == Edition::Postgres {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "SELECT h.hypertable_name::text AS name, d.time_interval::text AS chunk_interval, h.num_chunks, \
             (SELECT count(*) FROM timescaledb_information.chunks c WHERE c.is_compressed \
             AND c.hypertable_schema = h.hypertable_schema AND c.hypertable_name = h.hypertable_name) AS compressed, \
             coalesce(hypertable_size(format('%I.%I', h.hypertable_schema, h.hypertable_name)::regclass), 0) AS bytes \
             FROM timescaledb_information.hypertables h JOIN timescaledb_information.dimensions d \
             ON d.hypertable_schema = h.hypertable_schema AND d.hypertable_name = h.hypertable_name \
             AND d.dimension_number = 1 WHERE h.hypertable_schema = current_schema() ORDER BY 1",
        )
        .fetch_all(&mut self.conn)
        .await?;
        let row = |row: &sqlx::postgres::PgRow| {
            Ok(Hypertable {
                table: row.try_get("name")?,
                chunk_interval: row.try_get("chunk_interval")?,
                chunks: row.try_get("num_chunks")?,
                compressed_chunks: row.try_get("compressed")?,
                bytes: row.try_get("bytes")?,
            })
        };
        rows.iter().map(row).collect()
    }

    async fn daily_ohlcv(&mut self) -> Result<&'static str, sqlx::Error> {
        let kind: Option<String> = sqlx::query_scalar(
            "SELECT relkind::text FROM pg_class WHERE oid = to_regclass('daily_ohlcv')",
        )
        .fetch_optional(&mut self.conn)
        .await?;
        Ok(match kind.as_deref() {
            Some("v") => "continuous aggregate",
            Some("m") => "materialized view",
            _ => "none",
        })
    }

    async fn security(&mut self) -> Result<Security, sqlx::Error> {
        // Chunks have no row security of their own, so the count is of tables.
        let sql = format!(
            "SELECT (SELECT count(*) FROM pg_class WHERE relrowsecurity AND NOT relispartition \
             AND relnamespace = current_schema()::regnamespace) AS tables, (SELECT count(*) FROM pg_policies \
             WHERE schemaname = current_schema()) AS policies, to_regrole('authenticated_users') IS NOT NULL AS role, \
             ({OPEN_CHUNKS}) AS open_chunks, (SELECT count(*) FROM users WHERE db_role IS NOT NULL) AS bound"
        );
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut self.conn).await?;
        Ok(Security {
            protected_tables: row.try_get("tables")?,
            policies: row.try_get("policies")?,
            role: row.try_get("role")?,
            open_chunks: row.try_get("open_chunks")?,
            bound_users: row.try_get("bound")?,
        })
    }
}
