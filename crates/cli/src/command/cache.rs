//! `backtest cache`: the bars of servers that are kept on this machine. Whether one is still true is `store`'s to say.

use std::path::PathBuf;

use serde_json::json;
use store::cache::{self, Kept};

use crate::args::{Cache, Global};
use crate::fail::Fail;
use crate::table::{count, counted, table};
use crate::talk;

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

/// The cache of who runs this, as XDG_CACHE_HOME or HOME says; none where neither does.
pub(crate) fn of_user() -> Option<cache::Cache> {
    let folder = |name: &str| {
        let folder = PathBuf::from(std::env::var_os(name)?);
        // The standard has relative paths ignored.
        folder.is_absolute().then_some(folder)
    };
    let base = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(cache::Cache::new(base.join("backtest").join("bars"), cache::LIMIT_BYTES))
}

pub(crate) fn cache(global: &Global, command: &Cache) -> Result<(), Fail> {
    let Some(cache) = of_user() else {
        return Err(Fail::data("there is no folder to keep bars in")
            .hint("set HOME, or XDG_CACHE_HOME to an absolute path"));
    };
    let place = cache.folder().display().to_string();
    let failed = |error: std::io::Error| {
        Fail::data(format!("the cache in `{place}`: {error}")).hint("look at its permissions")
    };
    match command {
        Cache::Show => show(global, &cache, &cache.kept().map_err(failed)?),
        Cache::Clear => {
            let cleared = cache.clear().map_err(failed)?;
            if global.json {
                let (files, bytes) = (cleared.files, cleared.bytes);
                talk::json(&json!({ "folder": place, "files": files, "bytes": bytes }));
            } else {
                let files = counted(cleared.files, "file");
                talk::data(&format!("deleted {files}, {} in `{place}`", size(cleared.bytes)));
            }
        }
    }
    Ok(())
}

fn show(global: &Global, cache: &cache::Cache, kept: &[Kept]) {
    let (folder, limit) = (cache.folder().display().to_string(), cache.limit_bytes());
    let bytes: u64 = kept.iter().map(|series| series.bytes).sum();
    if global.json {
        talk::json(&json!({
            "folder": folder, "limit_bytes": limit, "bytes": bytes, "series": kept,
        }));
        return;
    }
    if kept.is_empty() {
        talk::say("no bars are kept: they are once they were read from a server");
    } else {
        let row = |series: &Kept| {
            vec![
                series.server.clone(),
                series.symbol.clone(),
                series.timeframe.clone(),
                series.first.clone(),
                series.last.clone(),
                count(series.files),
                size(series.bytes),
            ]
        };
        let header = ["server", "symbol", "timeframe", "first", "last", "files", "size"];
        talk::data(&table(&header, &[5, 6], kept.iter().map(row).collect()));
    }
    talk::say(format!("{} of at most {} in `{folder}`", size(bytes), size(limit)));
}

fn size(bytes: u64) -> String {
    format!("{} MiB", count(bytes.div_ceil(MIB)))
}
