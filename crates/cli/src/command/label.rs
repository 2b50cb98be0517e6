//! `backtest tag` and `notes`: words that a person puts on a kept result. They change no number and no identity.

use serde_json::json;
use store::Store;

use crate::args::Global;
use crate::args::kept::{Notes, Tag};
use crate::command::kept::detail;
use crate::fail::Fail;
use crate::talk;

pub(crate) async fn tag(global: &Global, store: &Store, args: Tag) -> Result<(), Fail> {
    if let Some(tag) = args.add.iter().find(|tag| args.remove.contains(tag)) {
        return Err(Fail::usage(format!("the tag `{tag}` cannot be added and removed at once"))
            .hint("leave one of the two out"));
    }
    let mut all = Vec::new();
    for &id in &args.ids {
        // Found before any is changed, and said as every command says it.
        all.push(detail(store, id).await?.row.tags);
    }
    if !args.add.is_empty() || !args.remove.is_empty() {
        all = store.retag(&args.ids, &args.add, &args.remove).await?;
    }
    let pairs = args.ids.iter().zip(&all);
    if global.json {
        let rows: Vec<_> = pairs.map(|(id, tags)| json!({ "id": id, "tags": tags })).collect();
        talk::json(&json!(rows));
        return Ok(());
    }
    for (id, tags) in pairs {
        let words = if tags.is_empty() { "no tags".to_owned() } else { tags.join(" ") };
        talk::data(&format!("{id}: {words}"));
    }
    Ok(())
}

pub(crate) async fn notes(global: &Global, store: &Store, args: Notes) -> Result<(), Fail> {
    let mut notes = detail(store, args.id).await?.notes;
    if let Some(text) = args.text {
        notes = Some(text).filter(|text| !text.is_empty());
        store.note(args.id, notes.as_deref()).await?;
    }
    if global.json {
        talk::json(&json!({ "id": args.id, "notes": notes }));
    } else if let Some(notes) = notes {
        talk::data(&notes);
    } else {
        talk::say(format!(
            "{} has no notes; write one with: backtest notes {} \"…\"",
            args.id, args.id
        ));
    }
    Ok(())
}
