//! The database's password and TLS: where they come from, and that the password shows up nowhere.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::cluster::{Cluster, Home, backtest, done, said};

const PASSWORD: &str = "correct-horse-9";

/// An authority and a certificate of 127.0.0.1 that it signed; returns the paths of the authority, certificate and key.
fn certificates(dir: &Path) -> [String; 3] {
    let path = |name: &str| dir.join(name).display().to_string();
    let openssl = |args: &[&str]| {
        done(Command::new("openssl").args(args));
    };
    let (ca, ca_key, key, ask, cert) = (
        path("ca.pem"),
        path("ca.key"),
        path("server.key"),
        path("server.csr"),
        path("server.pem"),
    );
    let new = ["req", "-nodes", "-newkey", "rsa:2048"];
    openssl(
        &[
            &new[..],
            &[
                "-x509",
                "-days",
                "2",
                "-subj",
                "/CN=test authority",
                "-keyout",
                &ca_key,
                "-out",
                &ca,
            ],
        ]
        .concat(),
    );
    openssl(&[&new[..], &["-subj", "/CN=127.0.0.1", "-keyout", &key, "-out", &ask]].concat());
    let extensions = path("extensions");
    std::fs::write(&extensions, "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        .expect("the directory can be written");
    let sign = ["x509", "-req", "-days", "2", "-in", &ask, "-CA", &ca, "-CAkey", &ca_key];
    openssl(&[&sign[..], &["-CAcreateserial", "-extfile", &extensions, "-out", &cert]].concat());
    [ca, cert, key]
}

/// A server that lets `ann` in by password over TLS only, and logs whatever it can.
fn secure(home: &Home, cert: &str, key: &str) -> Cluster {
    let settings = "ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'";
    let data = home.init("data", settings);
    for (name, file) in [("server.pem", cert), ("server.key", key)] {
        home.write(&format!("data/{name}"), &std::fs::read_to_string(file).expect("just made"));
    }
    home.write(
        "data/pg_hba.conf",
        "host all postgres 127.0.0.1/32 trust\nhostssl all ann 127.0.0.1/32 scram-sha-256\n",
    );
    let cluster = home.start(&data);
    let admin = |sql: &str| crate::servers::psql(&cluster.url(), sql);
    admin(&format!("CREATE ROLE ann LOGIN SUPERUSER PASSWORD '{PASSWORD}'"));
    for (name, value) in [
        ("log_statement", "all"),
        ("log_connections", "on"),
        ("log_min_messages", "debug1"),
        ("log_parameter_max_length", "-1"),
    ] {
        admin(&format!("ALTER SYSTEM SET {name} = '{value}'"));
    }
    admin("SELECT pg_reload_conf()");
    cluster
}

fn status(url: &str, set: &[(&str, &str)]) -> Output {
    let mut command = backtest();
    command.args(["db", "status", "-vv"]).env("DATABASE_URL", url);
    command
        .envs(set.iter().copied())
        .output()
        .expect("the binary that was just built can be started")
}

#[test]
fn tls_and_the_password_come_from_libpqs_places_and_show_up_nowhere() {
    let Some(home) = Home::new() else { return };
    let dir = tempfile::tempdir().expect("the temporary directory can be written");
    let [ca, cert, key] = certificates(dir.path());
    let cluster = secure(&home, &cert, &key);
    let port = cluster.port;
    let url = |host: &str, options: &str| format!("postgres://ann@{host}:{port}/postgres{options}");
    let verified = url("127.0.0.1", &format!("?sslmode=verify-full&sslrootcert={ca}"));
    let mut all_said = String::new();
    let mut expect = |output: Output, ok: bool, says: &str| {
        let text = said(&output);
        assert_eq!(output.status.code(), Some(if ok { 0 } else { 4 }), "{text}");
        assert!(text.contains(says), "{text}");
        all_said += &text;
    };
    let password = [("PGPASSWORD", PASSWORD)];
    let found = "PostgreSQL without TimescaleDB";
    expect(status(&verified, &password), true, found);
    expect(status(&url("127.0.0.1", "?sslmode=require"), &password), true, found);
    expect(status(&url("127.0.0.1", ""), &password), true, found);
    let set = [password[0], ("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", &ca)];
    expect(status(&url("127.0.0.1", ""), &set), true, found);
    // The password file, where libpq looks and where it is told to look.
    let file = dir.path().join(".pgpass");
    std::fs::write(&file, format!("127.0.0.1:{port}:*:ann:{PASSWORD}\n"))
        .expect("it can be written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("ours");
    let home_dir = dir.path().display().to_string();
    expect(status(&verified, &[("HOME", &home_dir)]), true, found);
    let named = file.display().to_string();
    expect(status(&verified, &[("PGPASSFILE", &named)]), true, found);
    // What has to fail: no TLS, a server that the authority does not know or that has another name, a wrong password.
    expect(status(&url("127.0.0.1", "?sslmode=disable"), &password), false, "hint:");
    let other = tempfile::tempdir().expect("the temporary directory can be written");
    let [stranger, ..] = certificates(other.path());
    let unknown = url("127.0.0.1", &format!("?sslmode=verify-full&sslrootcert={stranger}"));
    expect(status(&unknown, &password), false, "no secure connection");
    let name = url("localhost", &format!("?sslmode=verify-full&sslrootcert={ca}"));
    expect(status(&name, &password), false, "no secure connection");
    expect(
        status(&verified, &[("PGPASSWORD", "wrong-horse")]),
        false,
        "refused this user or password",
    );
    let with = verified.replace("ann@", "ann:wrong-horse@");
    expect(status(&with, &[]), false, "refused this user or password");
    let log = home.log();
    assert!(log.contains("SSL enabled"), "the log tells of TLS: {log}");
    for secret in [PASSWORD, "wrong-horse"] {
        assert!(!all_said.contains(secret), "{all_said}");
        assert!(!log.contains(secret), "the server's log has {secret}");
    }
}

#[test]
fn a_password_on_the_command_line_is_warned_of_and_not_repeated() {
    let url = "postgres://ann:s3cret@127.0.0.1:1/lab";
    for arguments in [vec!["--db", url], vec!["--db=postgres://ann:s3cret@127.0.0.1:1/lab"]] {
        let output = backtest().args(["db", "status"]).args(&arguments).output().expect("built");
        let text = said(&output);
        assert_eq!(output.status.code(), Some(4), "{text}");
        assert!(text.contains("warning: the password in --db"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
    let output =
        backtest().args(["db", "status"]).env("DATABASE_URL", url).output().expect("built");
    assert!(!said(&output).contains("warning"), "{}", said(&output));
}

#[test]
fn a_url_that_cannot_be_read_gives_no_password_away() {
    for url in [
        "host=db user=ann password=s3cret dbname=x",
        "ann:s3cret@host/db",
        "postgres:ann:s3cret@host/db",
        "postgres:///ann:s3cret@host/db",
        "postgres://ann:s3cr?s3cret@db:x/lab",
        "postgres://ann%3As3cret@127.0.0.1:1/lab",
    ] {
        for command in [&["list"][..], &["migrate"], &["db", "status", "--json", "-vv"]] {
            let from_environment = backtest().args(command).env("DATABASE_URL", url).output();
            let from_line = backtest().args(command).args(["--db", url]).output();
            for output in [from_environment.expect("built"), from_line.expect("built")] {
                let text = said(&output);
                assert_eq!(output.status.code(), Some(4), "{text}");
                assert!(text.contains("is no database URL") && text.contains("hint:"), "{text}");
                assert!(!text.contains("s3cr"), "{text}");
            }
        }
    }
}
