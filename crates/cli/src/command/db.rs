//! `backtest db …`: looking after the database. Every number and every rule comes from `store::admin`.

use serde_json::{Value, json};
use store::admin::{self, Admin, Doomed, Health, Kept, Maintained, Policy, State, Status};

use crate::args::{Db, Global, Policies, Switch};
use crate::fail::{Code, Fail};
use crate::table::{count, counted, table};
use crate::talk::{self, Bar, Unit};
use crate::when;

pub(crate) async fn db(global: &Global, command: &Db) -> Result<(), Fail> {
    let mut admin = match (admin::open(&global.db).await?, command) {
        (Kept::Embedded(found), Db::Status) => {
            print_status(global, &found)?;
            return Ok(());
        }
        (Kept::Embedded(found), _) => return embedded(global, &found),
        (Kept::Server(admin), _) => admin,
    };
    match command {
        Db::Status => print_status(global, &admin.status().await?)?,
        Db::Policies(Policies::Show) => show_policies(global, &admin.policies().await?)?,
        Db::Policies(Policies::Enable(args)) => enable(global, &mut admin, args).await?,
        Db::Policies(Policies::Disable(args)) => disable(global, &mut admin, args).await?,
        Db::Maintain { dry_run } => maintain(global, &mut admin, *dry_run).await?,
        Db::Health { strict } => health(global, &admin.health().await?, *strict)?,
    }
    admin.close().await;
    Ok(())
}

/// An embedded file has nothing to switch, maintain or watch.
fn embedded(global: &Global, found: &Status) -> Result<(), Fail> {
    if global.json {
        talk::json(&json!({ "edition": found.edition, "done": [] }));
    } else {
        talk::say(format!(
            "`{}` is an embedded file: it has no policies and no jobs, and needs no upkeep",
            found.place
        ));
    }
    Ok(())
}

fn to_json(value: &impl serde::Serialize) -> Result<Value, Fail> {
    serde_json::to_value(value).map_err(|error| Fail::new(Code::Bug, error))
}

fn print_status(global: &Global, status: &Status) -> Result<(), Fail> {
    if global.json {
        talk::json(&to_json(status)?);
        return Ok(());
    }
    let mut lines = vec![
        format!("database     {}", status.place),
        format!("edition      {}", status.edition),
        format!("server       {}", status.server),
    ];
    if let Some(version) = &status.timescaledb {
        let license = status.license.as_deref().unwrap_or("unknown");
        lines.push(format!("TimescaleDB  {version}, license {license}"));
    }
    let done = status.migrations.iter().filter(|m| m.state == "applied").count();
    lines.push(format!("migrations   {done} of {} applied", status.migrations.len()));
    for migration in status.migrations.iter().filter(|m| m.state != "applied") {
        lines.push(format!("             {}: {}", migration.name, migration.state));
    }
    if let Some(security) = &status.security {
        lines.push(format!(
            "row security {} tables, {} policies, {} users bound to a role; role authenticated_users {}; {} open",
            security.protected_tables,
            security.policies,
            security.bound_users,
            if security.role { "exists" } else { "is missing" },
            counted(security.open_chunks, "chunk")
        ));
        let compression = if status.compression { "on" } else { "not active" };
        lines.push(format!("compression  {compression}"));
        lines.push(format!("daily_ohlcv  {}", status.daily_ohlcv));
    }
    talk::data(&lines.join("\n"));
    print_hypertables(status);
    if !status.policies.is_empty() {
        talk::data(&format!("\n{}", policy_table(&status.policies)));
    }
    if !status.lacks.is_empty() {
        let row = |lack: &admin::Lack| vec![lack.what.to_owned(), lack.instead.to_owned()];
        let rows = status.lacks.iter().map(row).collect();
        talk::data(&format!("\n{}", table(&["not here", "instead"], &[], rows)));
    }
    Ok(())
}

fn print_hypertables(status: &Status) {
    if status.hypertables.is_empty() {
        return;
    }
    let row = |h: &admin::Hypertable| {
        let chunks = [h.chunks, h.compressed_chunks].map(count);
        let [chunks, compressed] = chunks;
        vec![h.table.clone(), h.chunk_interval.clone(), chunks, compressed, bytes(h.bytes)]
    };
    let header = ["hypertable", "chunk", "chunks", "compressed", "size"];
    let rows = status.hypertables.iter().map(row).collect();
    talk::data(&format!("\n{}", table(&header, &[2, 3, 4], rows)));
}

fn show_policies(global: &Global, policies: &[Policy]) -> Result<(), Fail> {
    if global.json {
        talk::json(&to_json(&policies)?);
    } else {
        talk::data(&policy_table(policies));
    }
    Ok(())
}

fn policy_table(policies: &[Policy]) -> String {
    let row = |p: &Policy| {
        let state = if p.is_enabled { "on" } else { "off" };
        [p.name, state, p.table, p.after, p.what, &p.by].map(str::to_owned).to_vec()
    };
    let header = ["policy", "state", "table", "after", "what it does", "done by"];
    table(&header, &[], policies.iter().map(row).collect())
}

/// What would go, on stdout where a person asked to see just that.
fn doomed_table(doomed: &[Doomed]) -> String {
    let row = |d: &Doomed| {
        let chunks = d.chunks.map_or_else(|| "-".to_owned(), count);
        let time = |us: Option<i64>| us.map_or_else(|| "-".to_owned(), when::show);
        let (oldest, before) = (time(d.oldest_us), time(d.before_us));
        vec![d.name.to_owned(), d.table.to_owned(), count(d.rows), chunks, oldest, before]
    };
    let header = ["policy", "table", "rows", "chunks", "oldest", "before"];
    table(&header, &[2, 3], doomed.iter().map(row).collect())
}

async fn enable(global: &Global, admin: &mut Admin, args: &Switch) -> Result<(), Fail> {
    let doomed = admin.doomed(&args.names).await?;
    if args.dry_run {
        return dry_run(global, &doomed);
    }
    if !doomed.is_empty() && !global.json {
        talk::say("deleted by these policies, as of now:");
        talk::say(doomed_table(&doomed));
    }
    let deletes = doomed.iter().any(|d| d.rows > 0);
    if deletes && !args.yes {
        // On a thread of its own, so that Ctrl-C is heard meanwhile.
        let answer = tokio::task::spawn_blocking(|| talk::ask("switch them on?")).await;
        match answer.ok().flatten() {
            Some(true) => {}
            Some(false) => return Err(Fail::usage("nothing was switched on")),
            None => {
                let message = "these policies delete rows, and nobody is there to be asked";
                return Err(Fail::usage(message).hint("look at --dry-run, then give --yes"));
            }
        }
    }
    let names = admin.switch(&args.names, true).await?;
    if global.json {
        talk::json(&json!({ "enabled": names, "would_delete": to_json(&doomed)? }));
    } else {
        talk::data(&format!("switched on {}", names.join(", ")));
        if admin.edition() != store::Edition::TimescaleCommunity {
            talk::say("`backtest db maintain` does the work: run it from cron");
        }
    }
    Ok(())
}

async fn disable(global: &Global, admin: &mut Admin, args: &Switch) -> Result<(), Fail> {
    if args.dry_run {
        return dry_run(global, &[]);
    }
    let names = admin.switch(&args.names, false).await?;
    if global.json {
        talk::json(&json!({ "disabled": names }));
    } else {
        talk::data(&format!("switched off {}", names.join(", ")));
    }
    Ok(())
}

fn dry_run(global: &Global, doomed: &[Doomed]) -> Result<(), Fail> {
    if global.json {
        talk::json(&json!({ "would_delete": to_json(&doomed)? }));
    } else if doomed.is_empty() {
        talk::data("nothing would be deleted");
    } else {
        talk::data(&doomed_table(doomed));
    }
    Ok(())
}

async fn maintain(global: &Global, admin: &mut Admin, dry: bool) -> Result<(), Fail> {
    let due = admin.due().await?;
    if dry {
        return dry_run(global, &due);
    }
    if !global.json && due.iter().any(|d| d.rows > 0) {
        talk::say("to be deleted:");
        talk::say(doomed_table(&due));
    }
    let did = match admin.maintain(&Bar::new(Unit::Rows, global.json)).await? {
        Maintained::Done(did) => did,
        Maintained::Busy => {
            talk::say("another `backtest db maintain` is at work here; leaving it to that one");
            if global.json {
                talk::json(&json!({ "busy": true, "done": [] }));
            }
            return Ok(());
        }
    };
    if global.json {
        talk::json(&json!({ "busy": false, "done": to_json(&did)? }));
    } else if did.is_empty() {
        talk::data("nothing to do");
    } else {
        let row = |d: &admin::Did| vec![d.name.to_owned(), count(d.rows), d.what.clone()];
        let rows = did.iter().map(row).collect();
        talk::data(&table(&["done", "rows deleted", "what"], &[1], rows));
    }
    if admin.edition() == store::Edition::TimescaleCommunity {
        talk::say(
            "the policies that are on are the server's own jobs; see `backtest db policies show`",
        );
    }
    Ok(())
}

fn health(global: &Global, health: &Health, strict: bool) -> Result<(), Fail> {
    if global.json {
        talk::json(&to_json(health)?);
    } else {
        print_health(health);
    }
    let wrong: Vec<&str> = health.wrong().map(|check| check.name).collect();
    if strict && !wrong.is_empty() {
        let message = format!("not healthy: {}", wrong.join(", "));
        return Err(Fail::new(Code::Database, anyhow::anyhow!("{message}")));
    }
    Ok(())
}

fn print_health(health: &Health) {
    let check = |c: &admin::Check| {
        let state = match c.state {
            State::Fine => "fine",
            State::Wrong => "WRONG",
            State::Unknown => "unknown",
        };
        vec![c.name.to_owned(), state.to_owned(), c.says.clone()]
    };
    let checks = health.checks.iter().map(check).collect();
    talk::data(&table(&["check", "state", "what was seen"], &[], checks));
    let size = |s: &admin::Size| vec![s.table.clone(), bytes(s.bytes), count(s.dead_rows)];
    let sizes = health.sizes.iter().map(size).collect();
    talk::data(&format!("\n{}", table(&["table", "size", "dead rows"], &[1, 2], sizes)));
    if !health.slow.is_empty() {
        let slow = |s: &admin::Slow| {
            let query: String = s.query.split_whitespace().collect::<Vec<_>>().join(" ");
            let query = query.chars().take(100).collect();
            let ms = |value: f64| format!("{value:.1}");
            vec![count(s.calls), ms(s.total_ms), ms(s.mean_ms), count(s.rows), query]
        };
        let rows = health.slow.iter().map(slow).collect();
        let header = ["calls", "total ms", "mean ms", "rows", "query"];
        talk::data(&format!("\n{}", table(&header, &[0, 1, 2, 3], rows)));
    }
}

/// `12.3 MiB`
#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn bytes(n: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (n as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}
