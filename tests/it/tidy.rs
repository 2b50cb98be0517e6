//! House rules that neither the compiler nor clippy checks; each failure says what to do.
//! Nothing here may test what the engine does.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::shell::repository;

// ---- What the house allows ----

/// Each package and those of ours that it may depend on: the picture in ARCHITECTURE.md.
const PICTURE: &[(&str, &[&str])] = &[
    ("sim", &[]),
    ("strategies", &["sim"]),
    ("store", &["sim"]),
    ("backtest", &["sim", "strategies", "store"]),
];

/// Each library that shapes what depends on it, and the only packages that may.
const CONFINED: &[(&str, &[&str])] = &[
    ("polars", &["store"]),
    ("sqlx", &["store"]),
    ("rayon", &["sim"]),
    ("tokio", &["store", "backtest"]),
    ("clap", &["backtest"]),
    ("indicatif", &["backtest"]),
];

const MAX_FUNCTION_LINES: usize = 70;
const MAX_FILE_LINES: usize = 500;
const MAX_TEST_FILE_LINES: usize = 900;

/// What is longer than the limits: a file, or `file: function`; its lines today; why it stays whole.
/// A ratchet: the number follows the code down, never up.
const TOO_LONG: &[(&str, usize, &str)] = &[];

/// Folders whose every file stands in the code map.
const MAPPED: &[&str] = &["crates/", "strategies/", "migrations/", "tests/", "benches/"];

// ---- The rules ----

#[test]
fn dependencies_follow_the_picture() {
    let mut faults = Vec::new();
    for (package, dependencies) in packages() {
        let Some((_, allowed)) = PICTURE.iter().find(|(name, _)| *name == package) else {
            faults
                .push(format!("{package} is not in PICTURE: add it there and to ARCHITECTURE.md"));
            continue;
        };
        for dependency in &dependencies {
            let ours = PICTURE.iter().any(|(name, _)| name == dependency);
            if ours && !allowed.contains(&dependency.as_str()) {
                faults.push(format!("{package} depends on {dependency}"));
            }
            for (library, homes) in CONFINED {
                let part = dependency
                    .strip_prefix(library)
                    .is_some_and(|r| r.is_empty() || r.starts_with('-'));
                if part && !homes.contains(&package.as_str()) {
                    faults.push(format!(
                        "{package} depends on {dependency}, which is for {}",
                        homes.join(", ")
                    ));
                }
            }
        }
    }
    report("move the code to the crate that may use it, or change the picture on purpose", &faults);
}

#[test]
fn rayon_stays_in_the_sweep() {
    let faults: Vec<String> = texts(|f| f.starts_with("crates/") && f.ends_with(".rs"))
        .into_iter()
        .filter(|(file, text)| {
            text.contains("rayon::") && !file.starts_with("crates/sim/src/sweep")
        })
        .map(|(file, _)| file)
        .collect();
    report("only sim's sweep spreads work over cores: call it from there", &faults);
}

#[test]
fn every_rust_file_says_what_it_holds() {
    let faults: Vec<String> = texts(|f| f.ends_with(".rs"))
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(file, _)| file)
        .collect();
    report("open the file with `//!`: what it holds, and what may not enter", &faults);
}

#[test]
fn the_code_map_is_the_tree() {
    let map = code_map(&read("ARCHITECTURE.md"));
    let files = files();
    let mut faults = Vec::new();
    for file in files.iter().filter(|f| MAPPED.iter().any(|dir| f.starts_with(dir))) {
        let code = file.ends_with(".rs") || file.ends_with(".sql");
        let named = map.contains(file)
            || (!code && map.iter().any(|entry| entry.ends_with('/') && file.starts_with(entry)));
        if !named {
            let text = read(file);
            let what = first_sentence(&text);
            faults.push(format!("not in the map; add, in your words: - `{file}` {what}"));
        }
    }
    for entry in map.iter().filter(|entry| !files.iter().any(|file| file.starts_with(*entry))) {
        faults.push(format!("{entry} is in the map but does not exist: take the line out"));
    }
    report(
        "mend \"## Code map\" in ARCHITECTURE.md (a line ending in / serves a folder of data)",
        &faults,
    );
}

#[test]
fn files_and_functions_stay_short() {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    let mut measure = |what: String, lines: usize, limit: usize| {
        let excused = TOO_LONG.iter().find(|(name, _, _)| *name == what);
        match excused {
            None if lines > limit => {
                faults.push(format!("{what}: {lines} lines, the limit is {limit}: split it"));
            }
            Some((_, allowed, _)) if lines > *allowed => {
                faults.push(format!(
                    "{what}: {lines} lines, it was {allowed} and may only shrink: split it"
                ));
            }
            Some(_) if lines <= limit => {
                faults.push(format!(
                    "{what}: {lines} lines, within the limit: take it out of TOO_LONG"
                ));
            }
            Some((_, allowed, _)) if lines < *allowed => {
                faults.push(format!(
                    "{what}: {lines} lines: write {lines} for {allowed} in TOO_LONG"
                ));
            }
            _ => {}
        }
        seen.insert(what);
    };
    for (file, text) in texts(|f| f.ends_with(".rs")) {
        let test = file.split('/').any(|part| part == "tests" || part == "benches");
        let limit = if test { MAX_TEST_FILE_LINES } else { MAX_FILE_LINES };
        for (name, lines) in functions(&text) {
            measure(format!("{file}: {name}"), lines, MAX_FUNCTION_LINES);
        }
        measure(file, text.lines().count(), limit);
    }
    for (name, _, _) in TOO_LONG.iter().filter(|(name, _, _)| !seen.contains(*name)) {
        faults.push(format!("{name} does not exist: take it out of TOO_LONG"));
    }
    report("short files and functions can be read", &faults);
}

#[test]
fn migrations_come_in_pairs() {
    let names = |dialect: &str| -> BTreeSet<String> {
        let dir = format!("migrations/{dialect}/");
        files().iter().filter_map(|f| f.strip_prefix(&dir)).map(str::to_owned).collect()
    };
    let (timescale, sqlite) = (names("timescale"), names("sqlite"));
    let mut faults: Vec<String> = timescale
        .symmetric_difference(&sqlite)
        .map(|name| format!("{name} is in one of migrations/timescale and migrations/sqlite only"))
        .collect();
    // Gaps are left on purpose: a number says which part of the schema a file belongs to (migrations/README.md).
    let schema = read("crates/store/src/schema.rs");
    let mut before = "";
    for name in &timescale {
        let number = name.get(..4).unwrap_or_default();
        let numbered = number.bytes().all(|b| b.is_ascii_digit()) && name.get(4..5) == Some("_");
        if !numbered || number == before || !name.ends_with(".sql") {
            faults.push(format!("{name} should be named NNNN_….sql with a number of its own"));
        }
        before = number;
        let stem = name.trim_end_matches(".sql");
        if !schema.contains(&format!("\"{stem}\"")) {
            faults.push(format!(
                "{name} is not among the embedded ones in crates/store/src/schema.rs"
            ));
        }
    }
    report("write the same migration for both dialects", &faults);
}

#[test]
fn documented_commands_exist() {
    let help = Command::new(env!("CARGO_BIN_EXE_backtest")).arg("--help").output();
    let help = help.expect("the binary that was just built can be started");
    let help = String::from_utf8_lossy(&help.stdout);
    let known = subcommands(&help);
    let mut faults = Vec::new();
    for (file, text) in texts(|f| f.ends_with(".md")) {
        for line in shell_lines(&text) {
            if let Some(first) = first_argument(line)
                && !known.contains(first)
                && !matches!(first, "help" | "--help" | "-h" | "--version" | "-V")
            {
                faults.push(format!("{file}: `{line}`: there is no subcommand {first:?}"));
            }
        }
    }
    report("mend the page: `backtest --help` lists what there is", &faults);
}

#[test]
fn readme_holds_both_commands() {
    let text = read("README.md");
    let lines = shell_lines(&text);
    let mut faults = Vec::new();
    if !lines.iter().any(|line| line.starts_with("cargo run --release")) {
        faults.push("no shell line `cargo run --release …` that does the main job");
    }
    if !lines.iter().any(|line| *line == "tests/run" || line.starts_with("tests/run ")) {
        faults.push("no shell line `tests/run` that passes the tests");
    }
    report("README.md opens with two commands in ```sh blocks", &faults);
}

#[test]
fn scripts_stop_at_the_first_error() {
    let faults: Vec<String> = texts(|_| true)
        .into_iter()
        .filter(|(_, text)| {
            text.lines().next().is_some_and(|l| l.starts_with("#!") && l.ends_with("sh"))
        })
        .filter(|(_, text)| {
            let first = text.lines().find(|line| !line.is_empty() && !line.starts_with('#'));
            first != Some("set -euo pipefail")
        })
        .map(|(file, _)| file)
        .collect();
    report("make `set -euo pipefail` the script's first command", &faults);
}

#[test]
fn nothing_names_a_machine_or_a_registry() {
    // Written in two halves, so that this file does not name them itself.
    let paths = [("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/"), ("/Us", "ers/")].map(joined);
    let hosts = [
        ("crates", ".io"),
        ("py", "pi.org"),
        ("pythonhosted", ".org"),
        ("npmjs", ".org"),
        ("proxy.golang", ".org"),
        ("deb.debian", ".org"),
        ("archive.ubuntu", ".com"),
    ]
    .map(joined);
    // How Cargo.lock writes the default registry.
    let index = format!("github.com/rust-lang/{}-index", hosts[0]);
    let mut faults = Vec::new();
    for (file, text) in texts(|_| true) {
        for (number, line) in text.lines().enumerate() {
            let line =
                if file == "Cargo.lock" { line.replace(&index, "") } else { line.to_owned() };
            let host = hosts.iter().find(|host| line.contains(host.as_str()));
            // A path begins where no name ends: docs/home/page is not one.
            let begins = |at: usize| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-~}".contains(c))
            };
            let path =
                paths.iter().find(|p| line.match_indices(p.as_str()).any(|(at, _)| begins(at)));
            if let Some(what) = host.or(path) {
                faults.push(format!("{file}:{}: {what}", number + 1));
            }
        }
    }
    report(
        "a clone works anywhere: name no directory of one machine and no package registry",
        &faults,
    );
}

#[test]
fn no_line_ends_in_white_space() {
    let mut faults = Vec::new();
    for (file, text) in texts(|f| !f.ends_with(".snap")) {
        for (number, line) in text.split('\n').enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                faults.push(format!("{file}:{}", number + 1));
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            faults.push(format!("{file}: no newline at the end"));
        }
    }
    report("cut the white space", &faults);
}

#[test]
fn what_a_run_leaves_is_ignored() {
    let text = read(".gitignore");
    let missing: Vec<&str> = ["/target", "*.db", "*.db-wal", "*.db-shm"]
        .into_iter()
        .filter(|l| !text.lines().any(|m| m == *l))
        .collect();
    report("add these lines to .gitignore", &missing);
}

// ---- Reading the house ----

fn report<T: std::fmt::Display>(what_to_do: &str, faults: &[T]) {
    let list: String = faults.iter().map(|fault| format!("  {fault}\n")).collect();
    assert!(faults.is_empty(), "{what_to_do}:\n{list}");
}

fn read(file: &str) -> String {
    fs::read_to_string(repository().join(file))
        .unwrap_or_else(|e| panic!("{file} cannot be read: {e}"))
}

fn joined((a, b): (&str, &str)) -> String {
    format!("{a}{b}")
}

/// Every file that is committed or would be by `git add -A`, by its path from the root; sorted.
fn files() -> BTreeSet<String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(repository())
        .output();
    let mut all = BTreeSet::new();
    match listed {
        Ok(listed) if listed.status.success() => {
            let names = String::from_utf8(listed.stdout).expect("file names are UTF-8");
            all.extend(
                names
                    .split_terminator('\0')
                    .filter(|f| repository().join(f).is_file())
                    .map(str::to_owned),
            );
        }
        _ => walk(&repository(), "", &mut all), // an unpacked archive
    }
    all
}

fn walk(dir: &Path, prefix: &str, all: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).expect("a folder of the house can be listed") {
        let entry = entry.expect("a folder of the house can be listed");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_file() {
            all.insert(name);
        } else if name != "target" && name != ".git" {
            walk(&entry.path(), &format!("{name}/"), all);
        }
    }
}

/// Path and text of the files that `wanted` picks; what is not UTF-8 is left out.
fn texts(wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let read =
        |file: String| fs::read_to_string(repository().join(&file)).ok().map(|text| (file, text));
    files().into_iter().filter(|file| wanted(file)).filter_map(read).collect()
}

/// Each member of the workspace by name, with the names of all it depends on, dev and build included.
fn packages() -> Vec<(String, BTreeSet<String>)> {
    let parse = |file: &str| -> toml::Table {
        read(file).parse().unwrap_or_else(|e| panic!("{file} is not TOML: {e}"))
    };
    let workspace = parse("Cargo.toml");
    let members = workspace["workspace"]["members"].as_array().expect("members is a list");
    let member = |path: &toml::Value| {
        let manifest = parse(&format!("{}/Cargo.toml", path.as_str().expect("a member is a path")));
        let name = manifest["package"]["name"].as_str().expect("a package has a name").to_owned();
        let mut dependencies = BTreeSet::new();
        collect_dependencies(&manifest, &mut dependencies);
        (name, dependencies)
    };
    members.iter().map(member).collect()
}

fn collect_dependencies(table: &toml::Table, all: &mut BTreeSet<String>) {
    for (key, value) in table {
        let Some(inner) = value.as_table() else { continue };
        if key.ends_with("dependencies") {
            for (name, dependency) in inner {
                let renamed = dependency.get("package").and_then(toml::Value::as_str);
                all.insert(renamed.unwrap_or(name).to_owned());
            }
        } else if key != "package" {
            collect_dependencies(inner, all); // [target.'cfg(…)'.dependencies]
        }
    }
}

/// The paths that lines such as "- `path` what it holds" name under "## Code map".
fn code_map(text: &str) -> BTreeSet<String> {
    text.lines()
        .skip_while(|line| *line != "## Code map")
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.trim_start().strip_prefix("- `")?.split_once('`'))
        .map(|(path, _)| path.to_owned())
        .collect()
}

/// What a file says of itself: its first line's first sentence, without the comment's sign.
fn first_sentence(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches(['/', '!', '#', '-', ' ']).split(". ").next().unwrap_or_default()
}

/// Name and number of lines of each function, in code as rustfmt leaves it: a function begins at a line
/// with `fn` and ends at the next line that is its own indent and a closing brace.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some((before, after)) = code.split_once("fn ") else { continue };
        let qualifier = |w: &str| {
            w.starts_with("pub") || ["const", "async", "unsafe", "extern", "\"C\""].contains(&w)
        };
        if !before.split_whitespace().all(qualifier) {
            continue;
        }
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let indent = &line[..line.len() - code.len()];
        let end = lines[at..].iter().position(|l| *l == format!("{indent}}}"));
        let bodyless = lines[at..]
            .iter()
            .position(|l| l.ends_with(';') || l.ends_with('{') || l.ends_with('}'));
        if let (Some(length), Some(opens)) = (end, bodyless)
            && lines[at + opens].ends_with('{')
        {
            found.push((name, length + 1));
        }
    }
    found
}

/// The lines of the page's ```sh and ```console blocks, without prompt.
fn shell_lines(text: &str) -> Vec<&str> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(language) = line.strip_prefix("```") {
            inside = !inside && ["sh", "console", "bash", "shell"].contains(&language);
        } else if inside {
            lines.push(line.strip_prefix("$ ").unwrap_or(line));
        }
    }
    lines
}

/// What follows `backtest` or `cargo run … --` in a shell line, if the line is such a call.
fn first_argument(line: &str) -> Option<&str> {
    let arguments = match line.strip_prefix("cargo run ") {
        Some(rest) => rest.split_once("-- ")?.1,
        None => line.strip_prefix("backtest ")?,
    };
    arguments.split_whitespace().next()
}

/// The names under "Commands:" in a help text.
fn subcommands(help: &str) -> BTreeSet<&str> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

// ---- The rules' own eyes ----

#[test]
fn a_function_is_measured_to_its_own_brace() {
    let text = "impl A {\n    pub(crate) fn long(\n        a: u8,\n    ) -> u8 {\n        if a > 1 {\n        }\n        a\n    }\n\n    fn none(&self);\n    fn one() {}\n}\n";
    assert_eq!(functions(text), [("long".to_owned(), 7)]);
}

#[test]
fn commands_are_found_in_a_page() {
    let page = "`backtest no`\n```sh\nbacktest sweep a.toml\ncargo run --release -- run\n```\nbacktest no\n```console\n$ backtest show\n```\n```toml\nbacktest no\n```\n";
    let firsts: Vec<&str> = shell_lines(page).into_iter().filter_map(first_argument).collect();
    assert_eq!(firsts, ["sweep", "run", "show"]);
    let help = "Backtests.\n\nUsage: backtest\n\nCommands:\n  run    Runs\n         more words\n  sweep  Sweeps\n\nOptions:\n  -h\n";
    assert_eq!(subcommands(help).into_iter().collect::<Vec<_>>(), ["run", "sweep"]);
}
