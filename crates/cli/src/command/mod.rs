//! One file a command. Each takes its arguments and the store, prints, and says how it failed.

mod cache;
mod check;
mod compare;
mod data;
mod db;
mod demo;
mod diff;
mod import;
mod kept;
mod label;
mod list;
mod lookahead;
mod metric;
mod origin;
mod reproduce;
mod run;
mod strategy;
mod sweep;
mod warmup;

use std::sync::OnceLock;
use std::time::Duration;

use clap::CommandFactory;
use store::{Edition, Loaded, Store};

use crate::args::{Cli, Command, DEFAULT_DB, Global};
use crate::fail::{Fail, Signals};
use crate::talk;

/// Seconds that a server may take for one statement.
const STATEMENT_LIMIT: &str = "BACKTEST_STATEMENT_LIMIT";

/// How long an embedded file may take to be made whole at the end.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// Runs the command that was asked for.
pub(crate) async fn dispatch(cli: Cli) -> Result<(), Fail> {
    let global = &cli.global;
    statement_limit()?;
    if shows_password(std::env::args_os().map(|arg| arg.to_string_lossy().into_owned())) {
        talk::say(
            "warning: the password in --db can be read in the list of processes; \
             use DATABASE_URL, PGPASSWORD or ~/.pgpass",
        );
    } else if let Some(words) =
        database_words(&global.db, std::env::var("DATABASE_URL").ok().as_deref())
    {
        let commands = Cli::command();
        let commands = commands.get_subcommands().map(|of| of.get_name().to_owned()).collect();
        talk::say_with_commands(words, commands);
    }
    let (opened, mut signals) = (OnceLock::new(), Signals::listen());
    // Those that have more to do on Ctrl-C than to stop hear it themselves.
    let hears = matches!(cli.command, Command::Demo | Command::Run(_) | Command::Sweep(_));
    let mut own = Signals::listen();
    let work = run_on(&opened, global, cli.command, &mut own);
    let done = if hears { work.await } else { signals.cut(work).await };
    if let Some(store) = opened.get() {
        settle(store).await;
    }
    done
}

/// Runs a command, on a store that is left in `opened` if it takes one.
async fn run_on(
    opened: &OnceLock<Store>,
    global: &Global,
    command: Command,
    signals: &mut Signals,
) -> Result<(), Fail> {
    match command {
        Command::Strategy(command) => strategy::strategy(global, &command),
        Command::Migrate => migrate(global).await,
        Command::Cache(command) => cache::cache(global, &command),
        Command::Db(command) => db::db(global, &command).await,
        Command::Demo => {
            let store = signals.cut(open(global, opened)).await?;
            demo::demo(global, store, signals).await
        }
        Command::Import(args) => import::import(global, open(global, opened).await?, args).await,
        Command::Data(args) => data::data(global, open(global, opened).await?, args).await,
        Command::Run(args) => {
            let store = signals.cut(open(global, opened)).await?;
            run::run(global, store, *args, signals).await.map(drop)
        }
        Command::Check(args) => check::check(global, opened, *args).await,
        Command::Lookahead(args) => {
            lookahead::lookahead(global, open(global, opened).await?, *args).await
        }
        Command::Warmup(args) => warmup::warmup(global, open(global, opened).await?, *args).await,
        Command::Sweep(args) => {
            let store = signals.cut(open(global, opened)).await?;
            sweep::sweep(global, store, *args, signals).await
        }
        Command::List(args) => list::list(global, open(global, opened).await?, *args).await,
        Command::Show { id } => kept::show(global, open(global, opened).await?, id).await,
        Command::Trades(args) => kept::trades(global, open(global, opened).await?, args).await,
        Command::Compare { ids } => {
            compare::compare(global, open(global, opened).await?, &ids).await
        }
        Command::Reproduce { id } => {
            reproduce::reproduce(global, open(global, opened).await?, id).await
        }
        Command::Tag(args) => label::tag(global, open(global, opened).await?, args).await,
        Command::Notes(args) => label::notes(global, open(global, opened).await?, args).await,
        Command::Delete { ids } => kept::delete(global, open(global, opened).await?, &ids).await,
    }
}

/// What a command that is typed next needs to find the same database as this one, if it needs anything.
fn database_words(db: &str, of_environment: Option<&str>) -> Option<String> {
    if db == of_environment.unwrap_or(DEFAULT_DB) {
        return None;
    }
    Some(format!("--db {}", talk::typed(db)))
}

/// Takes over how long a server may take for a statement, where the environment says so.
fn statement_limit() -> Result<(), Fail> {
    let Ok(given) = std::env::var(STATEMENT_LIMIT) else { return Ok(()) };
    let Some(seconds) = given.parse().ok().filter(|&seconds| seconds > 0) else {
        let why = format!("{STATEMENT_LIMIT}=`{given}` is no number of seconds above 0");
        return Err(Fail::usage(why).hint("leave it out for 600"));
    };
    store::set_statement_limit(Duration::from_secs(seconds));
    Ok(())
}

/// Whether an argument is a URL with a password in it.
fn shows_password(mut args: impl Iterator<Item = String>) -> bool {
    args.any(|arg| {
        let Some((scheme, rest)) = arg.split_once("://") else { return false };
        let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
        scheme.contains("postgres") && (user.contains(':') || rest.contains("password="))
    })
}

/// Makes an embedded file whole: what was written is in it, and no log lies beside it. A server needs no farewell.
async fn settle(store: &Store) {
    if store.edition() == Edition::Sqlite {
        // Nothing is lost if it takes longer: whoever opens the file next finds the log.
        let _ = tokio::time::timeout(SETTLE_LIMIT, store.close()).await;
    }
}

async fn open<'s>(global: &Global, opened: &'s OnceLock<Store>) -> Result<&'s Store, Fail> {
    let store = cached(global, Store::open(&global.db).await?);
    if global.verbose > 0 {
        talk::say(format!("using `{}` ({})", store.place(), store.edition().name()));
    }
    Ok(opened.get_or_init(|| store))
}

/// `store` with the user's cache, unless they want none.
fn cached(global: &Global, store: Store) -> Store {
    match cache::of_user() {
        Some(cache) if !global.no_cache => store.with_cache(cache),
        _ => store,
    }
}

/// Says with `-v` how long a load took, and what of it.
pub(crate) fn took(global: &Global, symbol: &str, loaded: &Loaded) {
    if global.verbose == 0 {
        return;
    }
    let (took, s) = (loaded.took, |time: Duration| format!("{:.3} s", time.as_secs_f64()));
    let mut parts = format!("choosing {}, reading {}", s(took.choosing), s(took.reading));
    if !took.asking.is_zero() {
        let (asking, kept) = (s(took.asking), s(took.kept));
        parts += &format!(" (in all asking what is still true {asking}, kept months {kept})");
    }
    let (bars, finishing) = (crate::table::counted(loaded.source_bars, "bar"), s(took.finishing));
    talk::say(format!("{symbol}: {bars} loaded: {parts}, checking {finishing}"));
}

async fn migrate(global: &Global) -> Result<(), Fail> {
    let migrated = Store::migrate(&global.db).await?;
    if global.json {
        let (applied, notes) = (&migrated.applied, &migrated.notes);
        let edition = migrated.edition.name();
        talk::json(&serde_json::json!({ "edition": edition, "applied": applied, "notes": notes }));
        return Ok(());
    }
    for name in &migrated.applied {
        talk::data(&format!("applied {name}"));
    }
    for note in &migrated.notes {
        talk::say(note);
    }
    let state = if migrated.applied.is_empty() { "was already" } else { "is" };
    talk::data(&format!("the schema {state} up to date ({})", migrated.edition.name()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_named_where_it_is_not_found_by_itself() {
        let words = |db, of_environment| database_words(db, of_environment).unwrap_or_default();
        assert_eq!(words(DEFAULT_DB, None), "");
        assert_eq!(words("postgres://db/lab", Some("postgres://db/lab")), "");
        assert_eq!(words(DEFAULT_DB, Some("postgres://db/lab")), "--db sqlite:backtest.db");
        assert_eq!(words("sqlite:it's one.db", None), r"--db 'sqlite:it'\''s one.db'");
    }
}
