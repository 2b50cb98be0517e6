//! `backtest strategy`: the ready ones, a file to start from, and the check of a file.

use std::io::Write;
use std::path::Path;

use rust_decimal::Decimal;
use serde_json::{Value, json};
use sim::bars::Column;
use strategies::{Definition, FileError, Parameter};

use crate::args::{Global, Strategy};
use crate::command::run;
use crate::fail::{Code, Fail};
use crate::table::table;
use crate::talk;

pub(crate) fn strategy(global: &Global, command: &Strategy) -> Result<(), Fail> {
    match command {
        Strategy::List => list(global),
        Strategy::Show { name } => show(global, name),
        Strategy::New { name } => new(global, name),
        Strategy::Check { file } => check(global, file),
    }
}

fn list(global: &Global) -> Result<(), Fail> {
    let all: Vec<Definition> =
        strategies::names().into_iter().map(strategies::ready).collect::<Result<_, _>>()?;
    if global.json {
        let documents: Vec<Value> = all.iter().map(document).collect();
        talk::json(&json!(documents));
        return Ok(());
    }
    let row = |d: &Definition| {
        let defaults: Vec<String> =
            d.parameters.iter().map(|p| format!("{}={}", p.name, p.default)).collect();
        vec![d.name.clone(), d.strategy_type.clone(), defaults.join(" "), d.description.clone()]
    };
    let header = ["name", "type", "parameters", "what it does"];
    talk::data(&table(&header, &[], all.iter().map(row).collect()));
    Ok(())
}

fn document(definition: &Definition) -> Value {
    let parameter = |p: &Parameter| {
        let text = |d: Decimal| d.to_string();
        let range = p.range.map(|(from, to)| [text(from), text(to)]);
        let step = p.step.map(text);
        json!({ "name": p.name, "default": text(p.default), "range": range, "step": step })
    };
    json!({
        "name": definition.name,
        "strategy_type": definition.strategy_type,
        "description": definition.description,
        "written_in": if definition.is_native() { "Rust" } else { "TOML" },
        "parameters": definition.parameters.iter().map(parameter).collect::<Vec<_>>(),
    })
}

fn show(global: &Global, name: &str) -> Result<(), Fail> {
    let definition = strategies::ready(name)?;
    match strategies::source(name) {
        Some(text) if !global.json => talk::data(text.trim_end()),
        None if !global.json => {
            talk::say(format!("`{name}` is written in Rust; there is no file to print"));
            talk::json(&document(&definition));
        }
        _ => talk::json(definition.json()),
    }
    Ok(())
}

/// Writes a copy of `sma_cross` under another name: a file that runs as it lies.
fn new(global: &Global, name: &str) -> Result<(), Fail> {
    let renamed = |line: &str| {
        let is_name = line.starts_with("name = ");
        if is_name { format!("name = \"{name}\"") } else { line.to_owned() }
    };
    let source = strategies::source("sma_cross").unwrap_or_default();
    let lines = source.lines().filter(|line| !line.starts_with('#')).map(renamed);
    let text = lines.collect::<Vec<_>>().join("\n");
    let path = format!("{name}.toml");
    Definition::parse(&text, &path)?;
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = opened.map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("cannot make `{path}`"));
        Fail::new(Code::Data, error).hint("choose another name, or move the file away")
    })?;
    writeln!(file, "{text}")?;
    if global.json {
        talk::json(&json!({ "file": path }));
        return Ok(());
    }
    talk::data(&format!("wrote {path}"));
    talk::say(format!("edit it, then: backtest strategy check {path} && backtest run {path}"));
    Ok(())
}

fn check(global: &Global, file: &Path) -> Result<(), Fail> {
    let path = file.display().to_string();
    // A file is meant where there is one, whatever it is called; else it may be a ready one.
    let path = if path.contains('/') || !file.exists() { path } else { format!("./{path}") };
    let definition = run::definition(&path)?;
    // There is no --set here: its defaults are what is wrong.
    let in_file = |error: FileError| {
        let fail = Fail::from(error);
        let by_flag = fail.hint.as_ref().is_some_and(|hint| hint.contains("--set"));
        if by_flag { fail.hint("change the default in the file") } else { fail }
    };
    let params = definition.params(&[]).map_err(in_file)?;
    definition.build(&params).map_err(in_file)?;
    if global.json {
        talk::json(&document(&definition));
        return Ok(());
    }
    let columns: Vec<&str> = definition.columns().into_iter().map(Column::name).collect();
    let reads = if columns.is_empty() { "the four prices".to_owned() } else { columns.join(", ") };
    let name = &definition.name;
    let params = params.to_string();
    let parts = [format!("`{name}` is good"), params, format!("reads {reads}")];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    talk::data(&format!("{path}: {}", parts.join("; ")));
    Ok(())
}
