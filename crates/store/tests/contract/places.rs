//! A fresh database on every backend there is, gone when its test ends.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Connection, PgConnection};
use store::{Edition, Store};
use tempfile::TempDir;

/// An empty database that only one test knows.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) edition: Edition,
    _folder: Option<TempDir>,
    server: Option<(String, String)>,
}

/// Runs `test` on every backend, one after the other, on a migrated database.
pub(crate) fn on_every_backend<F: Future<Output = ()>>(test: impl Fn(Store, Edition) -> F) {
    on_every_empty(async |place: &Place| {
        Store::migrate(&place.url).await.unwrap();
        let store = Store::open(&place.url).await.unwrap();
        eprintln!("on {}", store.place());
        test(store.clone(), place.edition).await;
        store.close().await;
    });
}

/// Runs `test` on every server, one after the other, on a migrated database.
pub(crate) fn on_every_server(test: &impl AsyncFn(Store, &Place)) {
    on_every_empty(async |place: &Place| {
        if place.edition != Edition::Sqlite {
            Store::migrate(&place.url).await.unwrap();
            let store = Store::open(&place.url).await.unwrap();
            test(store.clone(), place).await;
            store.close().await;
        }
    });
}

/// Runs `test` on every backend, without tables on a server.
#[expect(clippy::needless_pass_by_value, reason = "a closure, as every caller writes it")]
pub(crate) fn on_every_empty(test: impl AsyncFn(&Place)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for place in places().await {
            test(&place).await;
            if let Some((admin, name)) = &place.server {
                let mut conn = PgConnection::connect(admin).await.unwrap();
                let sql = format!("DROP DATABASE {name} WITH (FORCE)");
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
            }
        }
    });
}

async fn places() -> Vec<Place> {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let mut places =
        vec![Place { url, edition: Edition::Sqlite, _folder: Some(folder), server: None }];
    for (variable, edition) in [
        ("TEST_POSTGRES_URL", Edition::Postgres),
        ("TEST_TIMESCALE_URL", Edition::TimescaleApache),
        ("TEST_TIMESCALE_COMMUNITY_URL", Edition::TimescaleCommunity),
    ] {
        match std::env::var(variable) {
            Ok(admin) => places.push(fresh(&admin, edition).await),
            Err(_) => eprintln!("NOT TESTED on {}: {variable} is not set", edition.name()),
        }
    }
    let skipped = std::env::var_os("BACKTEST_SKIP_SERVERS").is_some() || places.len() >= 3;
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(skipped || !ci, "CI=true wants every server; or set BACKTEST_SKIP_SERVERS=1");
    places
}

async fn fresh(admin: &str, edition: Edition) -> Place {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("contract_{}_{number}", std::process::id());
    let mut conn = PgConnection::connect(admin).await.unwrap();
    let sql = format!("CREATE DATABASE {name}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let (server, _) = admin.rsplit_once('/').unwrap();
    let url = format!("{server}/{name}");
    Place { url, edition, _folder: None, server: Some((admin.to_owned(), name)) }
}
