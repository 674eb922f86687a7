//! `ARCHITECTURE.md` says what is so: every path that it names exists, and the arrows between the
//! crates are those of `cargo metadata`.
//!
//! The form that it is read in:
//!
//! - *The tree* is the block of code that has the line `crates/`. A line is a name, two spaces or
//!   more, and words about it; a line of words alone begins where those of the first one do. A name
//!   stands under the last folder that begins further left. What the words call `folder/` or
//!   `file.rs` is somewhere beneath the name, or beside it where the name is a file's, or a path
//!   from the root. Every crate is in the tree.
//! - *In the text*, what is in backquotes and looks like a path is the end of a real one: `x.rs`,
//!   `folder/x.rs`, `folder/`. A last part that is a number makes it a format, `sternway.plan/2`.
//! - *The arrows* are the table `| crate | may use |`, with a row for each crate or for several that
//!   may use the same, all without `sternway-`. What a crate may use is a list of crates, `nothing
//!   of ours`, or `everything`; words in parentheses and those after a semicolon or colon are for
//!   people. A crate uses exactly what it may: an arrow that is not there is wrong too. Arrows are
//!   ordinary dependencies; tests may use what they like.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// The file's endings that make a word in backquotes a path.
const ENDINGS: [&str; 6] = [".rs", ".md", ".toml", ".sql", ".json", ".sh"];

/// All that is wrong, a sentence each. `files` are the paths of the repository, folders with a slash
/// at their end; `metadata` is what `cargo metadata` says.
fn wrong(text: &str, files: &BTreeSet<String>, metadata: &Value) -> Vec<String> {
    let crates = crates(metadata);
    let (tree, prose) = parts(text);
    [wrong_tree(&tree, files, &crates), wrong_prose(&prose, files), wrong_arrows(text, &crates)]
        .concat()
}

/// The workspace's crates, and which of them each depends on.
fn crates(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |it: &Value| it["name"].as_str().expect("a name").to_owned();
    let names: BTreeSet<String> = packages.iter().map(name).collect();
    let uses = |package: &Value| {
        let all = package["dependencies"].as_array().expect("dependencies").iter();
        all.filter(|it| it["kind"] != "dev").map(name).filter(|it| names.contains(it)).collect()
    };
    packages.iter().map(|it| (name(it), uses(it))).collect()
}

/// The lines of the tree, and all that is in no block of code.
fn parts(text: &str) -> (Vec<&str>, String) {
    let mut prose = String::new();
    let mut tree = Vec::new();
    // Every second part is a block, after a line with its language.
    for (number, part) in text.split("```").enumerate() {
        if number % 2 == 0 {
            prose.push_str(part);
        } else if part.lines().any(|line| line == "crates/") {
            tree.extend(part.lines().skip(1));
        }
    }
    (tree, prose)
}

fn wrong_tree(
    tree: &[&str],
    files: &BTreeSet<String>,
    crates: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let column = |line: &str| line.len() - line.trim_start().len();
    let words_at = |line: &str| {
        let name = line.trim_start().find("  ")? + column(line);
        Some(name + column(&line[name..]))
    };
    // Where words begin, when a line has nothing else.
    let Some(words_begin) = tree.iter().find_map(|line| words_at(line)) else {
        return vec!["there is no tree".to_owned()];
    };
    let mut wrong = Vec::new();
    // The folders that the next name may stand in, and where each begins.
    let mut folders: Vec<(usize, String)> = Vec::new();
    let (mut named, mut within) = (BTreeSet::new(), String::new());
    for line in tree.iter().filter(|line| !line.trim().is_empty()) {
        let begins = column(line);
        let mut words = &line[begins..];
        if begins < words_begin {
            let name;
            (name, words) = words.split_once("  ").unwrap_or((words, ""));
            folders.retain(|(column, _)| *column < begins);
            let mut at = begins;
            within = folders.last().map_or(String::new(), |(_, folder)| folder.clone());
            for part in name.split_inclusive('/') {
                let path = format!("{within}{part}");
                if !files.contains(&path) {
                    wrong.push(format!("the tree names {path}, which does not exist"));
                }
                if part.ends_with('/') {
                    folders.push((at, path.clone()));
                    within.clone_from(&path);
                }
                named.insert(path);
                at += part.len();
            }
        }
        let paths = words.split([' ', ',', ';', ':', '(', ')']).filter_map(path);
        for path in paths.filter(|it| it.contains('.') || it.ends_with('/')) {
            let mut beneath = files.iter().filter(|file| file.starts_with(&within));
            if !files.contains(path) && !beneath.any(|file| ends(file, path)) {
                wrong.push(format!("the tree names {path} in {within}, where it does not exist"));
            }
        }
    }
    let crates = crates.keys().map(|name| format!("crates/{name}/"));
    wrong.extend(crates.filter(|it| !named.contains(it)).map(|it| format!("the tree lacks {it}")));
    wrong
}

fn wrong_prose(prose: &str, files: &BTreeSet<String>) -> Vec<String> {
    let quoted = prose.split('`').skip(1).step_by(2);
    let paths = quoted.filter_map(path);
    let missing = paths.filter(|path| !files.iter().any(|file| ends(file, path)));
    missing.map(|path| format!("the text names {path}, which does not exist")).collect()
}

/// What a word names in the tree of files, without the full stop of a sentence.
fn path(word: &str) -> Option<&str> {
    let word = word.trim_end_matches('.');
    let last = word.trim_end_matches('/').rsplit('/').next()?;
    let only = |it: char| it.is_ascii_alphanumeric() || "._-/".contains(it);
    let format = last.bytes().all(|it| it.is_ascii_digit());
    let path = word.contains('/') || ENDINGS.iter().any(|ending| word.ends_with(ending));
    (path && !format && !word.starts_with('/') && word.chars().all(only)).then_some(word)
}

/// Whether a path of the repository ends in these whole parts.
fn ends(file: &str, path: &str) -> bool {
    let begin = file.trim_end_matches('/').strip_suffix(path.trim_end_matches('/'));
    let kind = !path.ends_with('/') || file.ends_with('/');
    kind && begin.is_some_and(|it| it.is_empty() || it.ends_with('/'))
}

fn wrong_arrows(text: &str, crates: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let full = |short: &str| {
        let long = format!("sternway-{short}");
        [long, short.to_owned()].into_iter().find(|it| crates.contains_key(it))
    };
    let mut wrong = Vec::new();
    let mut without: BTreeSet<&String> = crates.keys().collect();
    let lines = text.lines().skip_while(|line| cells(line) != Some(("crate", "may use"))).skip(2);
    for (who, what) in lines.map_while(cells) {
        let what = what.split([';', ':']).next().unwrap_or_default();
        let what = what.split('(').map(|it| it.split_once(')').map_or(it, |(_, it)| it));
        let what: String = what.collect();
        let mut may = BTreeSet::new();
        for short in list(&what).filter(|it| !["nothing of ours", "everything"].contains(it)) {
            match full(short) {
                Some(name) => drop(may.insert(name)),
                None => wrong.push(format!("{who} may use {short}, which is no crate of ours")),
            }
        }
        for short in list(who) {
            let Some((name, uses)) = full(short).and_then(|it| crates.get_key_value(&it)) else {
                wrong.push(format!("the table has a row for {short}, which is no crate of ours"));
                continue;
            };
            without.remove(name);
            if what.trim() != "everything" {
                let too_many = uses.difference(&may).map(|it| format!("{name} uses {it}"));
                let too_few = may.difference(uses).map(|it| format!("{name} does not use {it}"));
                wrong.extend(too_many.chain(too_few).map(|it| it + ", against the table"));
            }
        }
    }
    wrong.extend(without.iter().map(|name| format!("the table has no row for {name}")));
    wrong
}

/// The cells of a row with two of them.
fn cells(line: &str) -> Option<(&str, &str)> {
    let (one, two) = line.trim().strip_prefix('|')?.strip_suffix('|')?.split_once('|')?;
    Some((one.trim(), two.trim()))
}

/// The members of a list in words.
fn list(text: &str) -> impl Iterator<Item = &str> {
    let members = text.split(',').flat_map(|it| it.split(" and "));
    members.map(|it| it.trim().trim_matches('`')).filter(|it| !it.is_empty())
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn architecture() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md")
}

/// The paths of the repository, without what was built.
fn files() -> BTreeSet<String> {
    fn walk(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("UTF-8");
            if name == ".git" || name.starts_with("target") {
                continue;
            }
            if entry.file_type().expect("a kind").is_dir() {
                let path = format!("{prefix}{name}/");
                walk(&entry.path(), &path, found);
                found.insert(path);
            } else {
                found.insert(format!("{prefix}{name}"));
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(root(), "", &mut found);
    found
}

fn metadata() -> Value {
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output();
    let output = output.expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_architecture_is_what_it_says() {
    let wrong = wrong(&architecture(), &files(), &metadata());
    assert!(wrong.is_empty(), "ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

/// A small repository that is as it says.
const SMALL: &str = "
Facts lead to `sternway.plan/2`; `plan.rs` makes it, `bench/run` measures it.

```text
crates/
  sternway-model/    decides: no I/O; its
                     fixtures/ are beside it
    src/plan.rs      what to do; plan/ has its stages
        state.rs     what is
  sternway-engine/   acts
bench/               what is promised
```

| crate | may use |
|---|---|
| model | nothing of ours; no driver |
| engine | model (values only) |
";

/// What is wrong with the small repository once something in its text is replaced, or an ordinary
/// and a test's dependency are added to the model.
fn planted(from: &str, to: &str, depends: &[&str]) -> Vec<String> {
    let files = [
        "bench/run",
        "crates/sternway-engine/",
        "crates/sternway-model/fixtures/",
        "crates/sternway-model/src/plan.rs",
        "crates/sternway-model/src/plan/",
        "crates/sternway-model/src/state.rs",
    ];
    let folders = |it: &'static str| it.match_indices('/').map(move |(end, _)| &it[..=end]);
    let folders = files.iter().copied().flat_map(folders);
    let files = folders.chain(files.iter().copied()).map(str::to_owned).collect();
    let normal = |name: &&str| json!({ "name": name, "kind": null });
    let tests = json!({ "name": "sternway-engine", "kind": "dev" });
    let depends: Vec<Value> = depends.iter().map(normal).chain([tests]).collect();
    let engine = [json!({ "name": "sternway-model", "kind": null }), json!({ "name": "serde" })];
    let metadata = json!({ "packages": [
        { "name": "sternway-model", "dependencies": depends },
        { "name": "sternway-engine", "dependencies": engine },
    ]});
    assert!(SMALL.contains(from), "nothing to replace: {from}");
    wrong(&SMALL.replacen(from, to, 1), &files, &metadata)
}

#[test]
fn nothing_is_wrong_where_all_is_as_it_says() {
    assert_eq!(planted("", "", &[]), [""; 0]);
}

#[test]
fn a_wrong_path_is_found() {
    assert_eq!(
        planted("        state.rs", "        stage.rs", &[]),
        ["the tree names crates/sternway-model/src/stage.rs, which does not exist"]
    );
    // Where it stands decides what it is.
    assert_eq!(
        planted("        state.rs", "    state.rs    ", &[]),
        ["the tree names crates/sternway-model/state.rs, which does not exist"]
    );
    assert_eq!(
        planted("plan/ has", "stages/ has", &[]),
        ["the tree names stages/ in crates/sternway-model/src/, where it does not exist"]
    );
    assert_eq!(
        planted("fixtures/", "facts.toml", &[]),
        ["the tree names facts.toml in crates/sternway-model/, where it does not exist"]
    );
    assert_eq!(
        planted("  sternway-engine/", "  sternway-motor/ ", &[]),
        [
            "the tree names crates/sternway-motor/, which does not exist",
            "the tree lacks crates/sternway-engine/"
        ]
    );
    for (from, to) in [("plan.rs", "an.rs"), ("plan.rs", "src/state"), ("bench/run", "bench/runs")]
    {
        let missing = format!("the text names {to}, which does not exist");
        assert_eq!(planted(&format!("`{from}`"), &format!("`{to}`"), &[]), [missing]);
    }
    assert_eq!(planted("```text", "```text\nbench/\n```\n```", &[]).len(), 0);
    assert_eq!(planted("crates/\n", "boxes/\n", &[]), ["there is no tree"]);
}

#[test]
fn a_wrong_arrow_is_found() {
    assert_eq!(
        planted("", "", &["serde", "sternway-engine"]),
        ["sternway-model uses sternway-engine, against the table"]
    );
    assert_eq!(
        planted("nothing of ours", "engine", &[]),
        ["sternway-model does not use sternway-engine, against the table"]
    );
    assert_eq!(planted("nothing of ours", "everything", &["sternway-engine"]), [""; 0]);
    assert_eq!(
        planted("| engine | model", "| engine and web | mode", &[]),
        [
            "engine and web may use mode, which is no crate of ours",
            "sternway-engine uses sternway-model, against the table",
            "the table has a row for web, which is no crate of ours"
        ]
    );
    assert_eq!(
        planted("| model | nothing of ours; no driver |\n", "", &[]),
        ["the table has no row for sternway-model"]
    );
}
