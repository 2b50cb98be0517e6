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

use store::Store;

use crate::args::{Cli, Command, Global};
use crate::fail::Fail;
use crate::talk;

/// Runs the command that was asked for.
pub(crate) async fn dispatch(cli: Cli) -> Result<(), Fail> {
    let global = &cli.global;
    if shows_password(std::env::args()) {
        talk::say(
            "warning: the password in --db can be read in the list of processes; \
             use DATABASE_URL, PGPASSWORD or ~/.pgpass",
        );
    }
    match cli.command {
        Command::Strategy(command) => strategy::strategy(global, &command),
        Command::Migrate => migrate(global).await,
        Command::Cache(command) => cache::cache(global, &command),
        Command::Db(command) => db::db(global, &command).await,
        Command::Demo => demo::demo(global, &open(global).await?).await,
        Command::Import(args) => import::import(global, &open(global).await?, args).await,
        Command::Data(args) => data::data(global, &open(global).await?, args).await,
        Command::Run(args) => run::run(global, &open(global).await?, *args).await.map(drop),
        Command::Check(args) => check::check(global, *args).await,
        Command::Lookahead(args) => lookahead::lookahead(global, &open(global).await?, *args).await,
        Command::Warmup(args) => warmup::warmup(global, &open(global).await?, *args).await,
        Command::Sweep(args) => sweep::sweep(global, &open(global).await?, *args).await,
        Command::List(args) => list::list(global, &open(global).await?, *args).await,
        Command::Show { id } => kept::show(global, &open(global).await?, id).await,
        Command::Trades(args) => kept::trades(global, &open(global).await?, args).await,
        Command::Compare { ids } => compare::compare(global, &open(global).await?, &ids).await,
        Command::Reproduce { id } => reproduce::reproduce(global, &open(global).await?, id).await,
        Command::Tag(args) => label::tag(global, &open(global).await?, args).await,
        Command::Notes(args) => label::notes(global, &open(global).await?, args).await,
        Command::Delete { ids } => kept::delete(global, &open(global).await?, &ids).await,
    }
}

/// Whether an argument is a URL with a password in it.
fn shows_password(mut args: impl Iterator<Item = String>) -> bool {
    args.any(|arg| {
        let Some((scheme, rest)) = arg.split_once("://") else { return false };
        let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
        scheme.contains("postgres") && (user.contains(':') || rest.contains("password="))
    })
}

async fn open(global: &Global) -> Result<Store, Fail> {
    let store = cached(global, Store::open(&global.db).await?);
    if global.verbose > 0 {
        talk::say(format!("using `{}` ({})", store.place(), store.edition().name()));
    }
    Ok(store)
}

/// `store` with the user's cache, unless they want none.
fn cached(global: &Global, store: Store) -> Store {
    match cache::of_user() {
        Some(cache) if !global.no_cache => store.with_cache(cache),
        _ => store,
    }
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
