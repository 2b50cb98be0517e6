//! Recovery to a point in time, by docs/backup/pitr and docs/backup/archive.conf as they are shipped: the data is
//! destroyed and comes back as it was between two writes.

use crate::cluster::{Home, as_server, backtest, done};
use crate::servers::psql;

#[test]
fn a_destroyed_server_comes_back_as_it_was_at_a_moment() {
    let Some(home) = Home::new() else { return };
    let docs = crate::shell::repository().join("docs/backup");
    let read = |name: &str| std::fs::read_to_string(docs.join(name)).expect("it is shipped");
    let archive = home.path("archive");
    done(as_server("mkdir").arg(&archive));
    let settings = read("archive.conf").replace("/backup/archive", &archive.display().to_string());
    // A copy that the server's user can read wherever the clone lies.
    let pitr = home.write("pitr", &read("pitr"));

    let data = home.init("data", &settings);
    let cluster = home.start(&data);
    let url = cluster.url();
    done(backtest().args(["migrate", "--db", &url]));
    let add = |name: &str| {
        psql(
            &url,
            &format!(
                "INSERT INTO users (username, email, password_hash) VALUES ('{name}', '{name}', '!')"
            ),
        );
    };
    add("before the backup");
    let backup = home.path("base");
    let mut base = as_server("bash");
    base.env("PGHOST", "127.0.0.1")
        .env("PGPORT", cluster.port.to_string())
        .env("PGUSER", "postgres");
    done(base.arg(&pitr).arg("base").arg(&backup));
    add("after the backup");
    let moment = psql(&url, "SELECT clock_timestamp() FROM pg_sleep(0.05)");
    psql(&url, "SELECT pg_sleep(0.05)");
    add("the mistake");
    archived(&url);
    drop(cluster);
    done(as_server("rm").arg("-rf").arg(&data));

    let restored = home.path("restored");
    let mut restore = as_server("bash");
    restore.arg(&pitr).arg("restore").arg(&backup).arg(&archive).arg(&restored).arg(&moment);
    done(&mut restore);
    let cluster = home.start(&restored);
    let url = cluster.url();
    let mut tries = 0;
    while psql(&url, "SELECT pg_is_in_recovery()") != "f" {
        tries += 1;
        assert!(tries < 600, "it recovers within a minute: {}", home.log());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(
        psql(&url, "SELECT username FROM users ORDER BY id"),
        "before the backup\nafter the backup"
    );
    // What is restored is a whole server of ours: it takes writes and archives on.
    done(backtest().args(["migrate", "--db", &url]));
    psql(&url, "INSERT INTO users (username, email, password_hash) VALUES ('x', 'x', '!')");
    archived(&url);
    let health = done(backtest().args(["db", "health", "--strict", "--json", "--db", &url]));
    assert!(health.contains("segments of WAL wait"), "{health}");
}

/// Waits until everything written so far is in the archive.
fn archived(url: &str) {
    let segment = psql(url, "SELECT pg_walfile_name(pg_switch_wal())");
    for _ in 0..600 {
        let last = psql(url, "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver");
        if last >= segment {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{segment} was not archived within a minute");
}
