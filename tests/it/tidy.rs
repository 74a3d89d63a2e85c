//! House style as tests: what a reviewer would otherwise have to remember.
//!
//! Everything here reads the sources as text. A test names every place that breaks its rule, so one
//! run shows all of them. [`File::program`] separates the program's code from its tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Who may name whom, by top-level module. `cli` and the crate's root may see everything, and
/// nobody sees `cli`.
const LAYERS: [(&str, &[&str]); 19] = [
    ("model", &[]),
    ("clock", &["model"]),
    ("telemetry", &[]),
    ("files", &[]),
    ("https", &["files"]),
    ("leash", &["model", "clock"]),
    ("engine", &["model", "clock", "https"]),
    ("cluster", &["model", "clock", "engine", "leash"]),
    ("plan", &["model"]),
    ("config", &["model", "files"]),
    ("store", &["model", "coverage", "backfill", "files", "engine"]),
    ("coverage", &["model"]),
    ("backfill", &["model", "coverage"]),
    ("zoho", &["model", "clock", "files", "https", "leash"]),
    ("carrier", &["model", "clock", "zoho", "simulator"]),
    ("reconcile", &["model", "clock", "leash", "plan", "store", "coverage", "backfill", "zoho"]),
    ("expose", &["model", "clock", "plan", "coverage", "backfill", "reconcile"]),
    ("simulator", &["model"]),
    ("testing", &["model", "plan"]),
];

/// Where the program is: the daemon, its core, the simulator.
const SOURCES: [&str; 3] = ["src", "crates/core/src", "crates/simulator/src"];

/// The daemon wires: it sees everything but the command line and the simulator, which has to stay a
/// feature.
const DAEMON: [&str; 15] = [
    "model",
    "backfill",
    "clock",
    "cluster",
    "engine",
    "leash",
    "files",
    "config",
    "plan",
    "store",
    "coverage",
    "zoho",
    "reconcile",
    "expose",
    "telemetry",
];

#[test]
fn who_may_import_whom() {
    let allowed: BTreeMap<&str, &[&str]> =
        LAYERS.into_iter().chain([("daemon", DAEMON.as_slice())]).collect();
    none(sources().iter().flat_map(|file| {
        let layer = file.layer();
        let allowed = allowed.get(layer.as_str()).copied();
        let checked = !["lib", "main", "cli"].contains(&layer.as_str());
        assert!(
            !checked || allowed.is_some(),
            "{}: which layers may `{layer}` see? Say so in LAYERS",
            file.name
        );
        let named = file.program().into_iter().flat_map(|(line, text)| {
            let paths = ["crate::", "channelkeeper_core::"];
            let names = paths.iter().flat_map(|path| names_after(&text, path));
            names.map(move |name| (line, name)).collect::<Vec<_>>()
        });
        let bad = named.filter(move |(_, name)| {
            checked && *name != layer && !allowed.unwrap_or_default().contains(&name.as_str())
        });
        bad.map(|(line, name)| format!("{}:{line}: must not see `{name}`", file.name))
            .collect::<Vec<_>>()
    }));
}

#[test]
fn nobody_leaves_a_layer_by_super() {
    none(sources().iter().flat_map(|file| {
        let depth = file.in_crate().trim_end_matches("/mod.rs").matches('/').count() + 1;
        let climbs = file.program().into_iter().filter(move |(_, text)| {
            let path = "super::".repeat(depth);
            // The simulator is a layer and a crate: nothing leads out of that.
            !["main", "lib", "simulator"].contains(&file.layer().as_str()) && text.contains(&path)
        });
        climbs
            .map(|(line, _)| format!("{}:{line}: `super` leads out of the layer", file.name))
            .collect::<Vec<_>>()
    }));
}

#[test]
fn the_core_is_pure() {
    let foreign = [
        "tokio",
        "reqwest",
        "sled",
        "tracing",
        "rand",
        "axum",
        "futures",
        "std::fs",
        "std::env",
        "std::thread",
    ];
    none(in_program(|file, text| {
        let is_core = file.name.starts_with("crates/core/");
        let names = foreign.iter().find(|name| has_path(text, name));
        let is_await =
            |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let awaits = text.split(".await").skip(1).any(is_await);
        let waits = awaits.then_some(&".await").or(text.contains("async ").then_some(&"async "));
        is_core.then(|| names.or(waits).map(|word| format!("`{word}` has no place here"))).flatten()
    }));
}

#[test]
fn a_crate_stays_in_its_place() {
    let places: [(&str, &[&str]); 5] = [
        ("sled", &["src/store/"]),
        (
            "reqwest",
            &[
                "src/https.rs",
                "src/zoho/transport.rs",
                "src/engine/etcd",
                "src/cli/connect.rs",
                "crates/simulator/src/",
            ],
        ),
        ("tokio_cron_scheduler", &["src/daemon/cron.rs"]),
        ("sd_notify", &["src/daemon/notify.rs"]),
        ("listenfd", &["src/daemon/inherited.rs"]),
    ];
    none(in_program(|file, text| {
        let strays = places.iter().find(|(name, homes)| {
            has_path(text, name) && !homes.iter().any(|home| file.name.starts_with(home))
        });
        strays.map(|(name, homes)| format!("`{name}` belongs in {}", homes.join(", ")))
    }));
}

#[test]
fn only_clock_rs_reads_a_clock() {
    let reads = [
        "SystemTime::now",
        "Instant::now",
        "Timestamp::now",
        "Zoned::now",
        "time::sleep",
        "thread::sleep",
    ];
    // A delay that the simulator was asked for is real time on a real socket.
    let exceptions = [("crates/simulator/src/http.rs", "time::sleep")];
    none(in_program(|file, text| {
        let read = reads
            .iter()
            .find(|read| text.contains(*read))
            .filter(|_| file.name != "src/clock.rs")?;
        let excepted = exceptions.contains(&(file.name.as_str(), *read));
        (!excepted).then(|| format!("`{read}`: take the time from clock.rs"))
    }));
}

#[test]
fn a_log_message_leads_to_one_line() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sources() {
        for (line, message) in file.log_messages() {
            places.entry(message).or_default().push(format!("{}:{line}", file.name));
        }
    }
    assert!(
        places.len() > 10,
        "only {} log messages found: does this test still read them?",
        places.len()
    );
    let twice = places.iter().filter(|(_, places)| places.len() > 1);
    none(
        twice.map(|(message, places)| {
            format!("\"{message}\" is logged at {}", places.join(" and "))
        }),
    );
}

#[test]
fn every_reason_and_every_cause_appears_in_a_plan_test() {
    let tables: String = sources()
        .into_iter()
        .filter(|file| file.name.starts_with("crates/core/src/plan/table"))
        .map(|file| file.text)
        .collect();
    let reasons = words_of(&source("crates/core/src/plan/reason.rs").text, "row(\"");
    let causes = words_of(&source("crates/core/src/plan/cause.rs").text, "=> \"");
    assert!(
        reasons.len() > 5 && causes.len() > 5,
        "does this test still read the tables of plan? {reasons:?} {causes:?}"
    );
    let reasons = reasons.iter().filter(|word| {
        [')', ',', ':'].iter().all(|end| !tables.contains(&format!("({word}{end}")))
    });
    let causes = causes.iter().filter(|word| !tables.contains(&format!("! {word} ")));
    none(
        reasons
            .chain(causes)
            .map(|word| format!("`{word}` is in no plan under crates/core/src/plan/table")),
    );
}

#[test]
fn every_file_begins_with_its_door() {
    let all = sources().into_iter().chain(files_under("tests", "rs"));
    none(
        all.filter(|file| !file.text.starts_with("//!"))
            .map(|file| format!("{}: begins without `//!`", file.name)),
    );
}

#[test]
fn what_architecture_md_names_exists() {
    let (checked, missing) = paths_named(&source("ARCHITECTURE.md"));
    assert!(checked > 30, "only {checked} paths found: does this test still read them?");
    none(missing);
}

#[test]
fn paths_and_counts_that_a_decision_record_names_exist() {
    let records: Vec<File> = files_under("docs/decisions", "md").collect();
    let found: Vec<(usize, Vec<String>)> = records.iter().map(paths_named).collect();
    let checked: usize = found.iter().map(|(checked, _)| checked).sum();
    assert!(checked > 10, "only {checked} paths found: does this test still read them?");
    none(found.into_iter().flat_map(|(_, missing)| missing));
    for (record, count, place, constant) in [
        ("0009-the-coverage-ledger", "128 gaps", "crates/core/src/coverage/track.rs", "= 128;"),
        (
            "0009-the-coverage-ledger",
            "1000 ledgers",
            "src/store/ledger.rs",
            "CLOSED_MAX: usize = 1000;",
        ),
        (
            "0009-the-coverage-ledger",
            "400 days",
            "src/store/ledger.rs",
            "from_secs(400 * 24 * 3600)",
        ),
    ] {
        let text = source(&format!("docs/decisions/{record}.md")).text;
        assert!(text.contains(count), "{record} does not say {count}");
        assert!(
            source(place).text.contains(constant),
            "{record} says {count}, and {place} does not"
        );
    }
}

/// How many paths a document names in backticks, and which of them do not exist.
fn paths_named(document: &File) -> (usize, Vec<String>) {
    let name = &document.name;
    let spans = document.text.lines().enumerate().flat_map(|(index, line)| {
        let spans = line.split('`').skip(1).step_by(2);
        spans.map(move |span| (index + 1, span.to_owned())).collect::<Vec<_>>()
    });
    let mut checked = 0;
    let missing = spans.filter_map(|(line, span)| {
        let (path, item) = span.split_once("::").unwrap_or((&span, ""));
        if !looks_like_a_path(path) {
            return None;
        }
        checked += 1;
        let simulator = path.strip_prefix("simulator/").unwrap_or("none");
        let places = SOURCES.iter().map(|folder| format!("{folder}/{path}"));
        let places = places.chain([path.to_owned(), format!("crates/simulator/src/{simulator}")]);
        let Some(found) = places.into_iter().find(|path| root().join(path).exists()) else {
            return Some(format!("{name}:{line}: there is no {path}"));
        };
        let names_item =
            item.is_empty() || item.split("::").all(|item| source(&found).text.contains(item));
        (!names_item).then(|| format!("{name}:{line}: {found} has no {item}"))
    });
    let missing = missing.collect();
    (checked, missing)
}

#[test]
fn links_between_documents_lead_somewhere() {
    none(documents().into_iter().flat_map(|file| {
        let folder = root().join(&file.name).parent().map(Path::to_path_buf).unwrap_or_default();
        let targets = file
            .text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next().map(str::to_owned));
        let own = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
        let dead = own.filter(move |target| {
            !folder.join(target.split('#').next().unwrap_or_default()).exists()
        });
        dead.map(|target| format!("{}: there is no {target}", file.name)).collect::<Vec<_>>()
    }));
}

#[test]
fn every_test_that_failures_md_and_security_md_name_exists() {
    for name in ["docs/failures.md", "docs/security.md"] {
        let document = source(name);
        let named: BTreeSet<(&str, &str)> = document.text.lines().flat_map(tests_named).collect();
        assert!(
            named.len() > 30,
            "only {} tests found in {name}: does this test still read them?",
            named.len()
        );
        none(named.into_iter().filter_map(|(path, test)| {
            let file = format!("{path}.rs");
            let exists =
                root().join(&file).exists() && source(&file).text.contains(&format!("fn {test}("));
            (!exists).then(|| format!("{name}: {file} has no test {test}"))
        }));
    }
}

#[test]
fn every_hostile_input_of_security_md_has_a_test_and_there_are_forty() {
    let document = source("docs/security.md");
    let list = document.text.split("## Hostile inputs").nth(1).unwrap_or_default();
    let is_row = |line: &&str| {
        line.starts_with("| ") && !line.starts_with("| input ") && !line.starts_with("| --- ")
    };
    let rows: Vec<&str> = list.lines().filter(is_row).collect();
    assert!(rows.len() >= 40, "only {} hostile inputs", rows.len());
    none(
        rows.iter()
            .filter(|row| tests_named(row).next().is_none())
            .map(|row| format!("no test: {row}")),
    );
}

/// There is no setting for it, and no code that a setting could reach.
#[test]
fn certificates_are_verified_always() {
    let ways = ["danger_accept", "tls_danger", "dangerous()", "ServerCertVerifier", "verify_mode"];
    none(in_program(|_, text| {
        ways.iter()
            .find(|way| text.contains(**way))
            .map(|way| format!("`{way}`: certificates are verified"))
    }));
}

#[test]
fn the_readme_s_first_commands_are_what_ci_runs() {
    let (readme, ci) = (source("README.md"), source(".ci/run"));
    let block = readme.text.split("```").nth(1).unwrap_or_default();
    let commands = block.lines().filter(|line| line.starts_with("cargo "));
    let commands: Vec<&str> =
        commands.map(|line| line.split('#').next().unwrap_or_default().trim()).collect();
    assert_eq!(commands.len(), 2, "README.md's first block holds the two commands: {commands:?}");
    none(
        commands
            .iter()
            .filter(|command| !ci.text.contains(**command))
            .map(|command| format!(".ci/run: no `{command}`")),
    );
    let last = ci.text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    assert_eq!(
        last, commands[1],
        "the last line of .ci/run is the test command, so that its result is the last thing shown"
    );
}

#[test]
fn the_readme_s_first_screen_says_what_it_is_and_shows_it() {
    let readme = source("README.md").text;
    let screen: Vec<&str> = readme.lines().take(30).collect();
    let what = screen.iter().skip(2).take_while(|line| !line.is_empty());
    let what = what.copied().collect::<Vec<_>>().join(" ");
    assert_eq!(what.matches(". ").count() + 1, 3, "three sentences: {what}");
    let picture = screen.iter().find_map(|line| line.strip_prefix("![")).unwrap_or_default();
    let path = picture.split("](").nth(1).and_then(|rest| rest.strip_suffix(')'));
    assert!(path.is_some_and(|path| root().join(path).exists()), "a picture: {picture}");
    let demo = source("src/cli/demo/world.rs").text;
    let opening = demo.split("OPENING: &str = \"").nth(1).and_then(|rest| rest.split('"').next());
    assert!(opening.is_some_and(|opening| readme.contains(opening)), "{opening:?}");
}

#[test]
fn the_readme_s_ways_are_made_of_verbs_in_their_order() {
    let readme = source("README.md").text;
    let blocks = readme.split("```sh").skip(1);
    let verbs = |block: &str| -> Vec<String> {
        let block = block.split("```").next().unwrap_or_default();
        let commands = block.lines().filter_map(|line| line.strip_prefix("channelkeeper "));
        let verbs = commands.map(|line| line.trim_start_matches("-c config.toml "));
        verbs.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
    };
    let ways: Vec<Vec<String>> = blocks.map(verbs).collect();
    let real = ["init", "login", "check", "plan", "run"];
    let playground = ["simulator", "init", "login", "run"];
    for way in [&real[..], &playground[..]] {
        assert!(ways.iter().any(|found| found == way), "{way:?} in {ways:?}");
    }
}

#[test]
fn verbs_in_the_readme_exist() {
    let verbs = source("src/cli/mod.rs").text;
    none(source("README.md").text.lines().enumerate().filter_map(|(index, line)| {
        let verb = line.strip_prefix("| `")?.split(['`', ' ']).next()?;
        let is_verb = verb.bytes().all(|byte| byte.is_ascii_lowercase());
        let known = verbs.contains(&format!("{}{}(", verb[..1].to_uppercase(), &verb[1..]))
            || verbs.contains(&format!("Verb::{}{} ", verb[..1].to_uppercase(), &verb[1..]));
        (is_verb && !known).then(|| format!("README.md:{}: no verb `{verb}`", index + 1))
    }));
}

#[test]
fn no_test_is_ignored_and_nothing_is_left_lying_about() {
    let traces = [
        "#[ignore",
        concat!("dbg", "!("),
        concat!("/wo", "rk/"),
        concat!("/tmp", "/w/"),
        concat!("FIX", "ME"),
        concat!("XX", "X "),
    ];
    let task = concat!("TO", "DO");
    let all = sources()
        .into_iter()
        .chain(files_under("tests", "rs").filter(|file| file.name != "tests/it/tidy.rs"));
    let all = all.chain(documents()).chain([
        source(".ci/run"),
        source("Cargo.toml"),
        source("deny.toml"),
    ]);
    none(all.flat_map(|file| {
        let lines = file.text.lines().enumerate().filter_map(|(index, line)| {
            let trace =
                traces.iter().find(|trace| line.contains(*trace)).map(|trace| (*trace).to_owned());
            let unnumbered =
                line.match_indices(task).any(|(at, _)| !line[at + task.len()..].starts_with("(#"));
            let found =
                trace.or_else(|| unnumbered.then(|| format!("{task} without an issue number")))?;
            Some(format!("{}:{}: {found}", file.name, index + 1))
        });
        lines.collect::<Vec<_>>()
    }));
}

#[test]
fn nothing_outside_tests_unwraps() {
    none(in_program(|_, text| {
        text.contains(".unwrap()").then(|| "`unwrap()`: say the invariant with `expect`".to_owned())
    }));
}

/// A file of this project.
struct File {
    /// Its path from the root.
    name: String,
    text: String,
}

impl File {
    /// Its path below the `src/` of its crate.
    fn in_crate(&self) -> &str {
        self.name.split_once("src/").map_or(self.name.as_str(), |(_, path)| path)
    }

    /// `plan` for `crates/core/src/plan/decide.rs`, `clock` for `src/clock.rs`.
    fn layer(&self) -> String {
        if self.name.starts_with("crates/simulator/") {
            return "simulator".to_owned();
        }
        let path = self.in_crate().trim_end_matches(".rs");
        path.split('/').next().unwrap_or_default().to_owned()
    }

    /// True when the whole file is compiled for tests only.
    fn is_test(&self) -> bool {
        let ends = [
            "/tests.rs",
            "/testing.rs",
            "src/config/example.rs",
            "crates/core/src/plan/table.rs",
            "crates/core/src/coverage/rules.rs",
            "crates/core/src/backfill/whole.rs",
            "crates/core/src/coverage/random_facts.rs",
        ];
        ends.iter().any(|end| self.name.ends_with(end))
            || self.name.contains("/tests/")
            || self.name.contains("/plan/table/")
    }

    /// The lines of the program with their numbers: no comments, nothing from `#[cfg(test)] mod …
    /// {` on.
    fn program(&self) -> Vec<(usize, String)> {
        if self.is_test() {
            return Vec::new();
        }
        let lines: Vec<&str> = self.text.lines().collect();
        let is_tests = |pair: &[&str]| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        };
        let end = lines.windows(2).position(is_tests).unwrap_or(lines.len());
        let code = lines[..end]
            .iter()
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with("//"));
        code.map(|(index, line)| (index + 1, without_comment(line))).collect()
    }

    /// The texts of its log lines: the last string of each macro of tracing's.
    fn log_messages(&self) -> Vec<(usize, String)> {
        let lines = self.program();
        let text: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
        let calls = ["trace!(", "debug!(", "info!(", "warn!(", "error!("]
            .iter()
            .flat_map(|call| text.match_indices(call));
        let of_call = |(at, call): (usize, &str)| {
            let message = last_string(&text[at + call.len()..])?;
            let line = lines.get(text[..at].matches('\n').count())?.0;
            Some((line, message))
        };
        calls.filter_map(of_call).collect()
    }
}

/// Fails with every line there is.
fn none(broken: impl IntoIterator<Item = String>) {
    let broken: BTreeSet<String> = broken.into_iter().collect();
    let broken: Vec<String> = broken.into_iter().collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// The complaints of `judge` about the lines of the program.
fn in_program(judge: impl Fn(&File, &str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    for file in sources() {
        for (line, text) in file.program() {
            found.extend(judge(&file, &text).map(|what| format!("{}:{line}: {what}", file.name)));
        }
    }
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn source(name: &str) -> File {
    let text = std::fs::read_to_string(root().join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    File { name: name.to_owned(), text }
}

fn sources() -> Vec<File> {
    SOURCES.into_iter().flat_map(|folder| files_under(folder, "rs")).collect()
}

fn documents() -> Vec<File> {
    let at_root =
        entries(&root()).into_iter().filter(|path| !path.is_dir()).map(|path| relative(&path));
    let at_root = at_root.filter(|name| name.ends_with(".md")).map(|name| source(&name));
    at_root.chain(files_under("docs", "md")).chain(files_under("systemd", "md")).collect()
}

fn files_under(folder: &str, extension: &str) -> impl Iterator<Item = File> {
    let mut folders = vec![root().join(folder)];
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|of_file| of_file == extension) {
                names.insert(relative(&path));
            }
        }
    }
    names.into_iter().map(|name| source(&name))
}

/// The tests that a line of a document names: path without its end, and function.
fn tests_named(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split('`').skip(1).step_by(2).filter_map(|span| span.split_once(".rs::"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let unreadable = |error| -> ! { panic!("{}: {error}", folder.display()) };
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| unreadable(error));
    entries.map(|entry| entry.unwrap_or_else(|error| unreadable(error)).path()).collect()
}

/// A path as it is written from the root.
fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

/// The first name of each path that begins with `prefix`; of `prefix{a, b::c}` each.
fn names_after(text: &str, prefix: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let of_path = |rest: &str| match rest.strip_prefix('{') {
        Some(group) if !group.contains('}') => vec!["a group over several lines".to_owned()],
        Some(group) => group.split(',').map(name).collect(),
        None => vec![name(rest)],
    };
    text.split(prefix)
        .skip(1)
        .flat_map(of_path)
        .filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect()
}

/// True when the text names a path of this crate or module: `tokio::…`, not `my_tokio::…`.
fn has_path(text: &str, name: &str) -> bool {
    let path = format!("{name}::");
    text.match_indices(&path).any(|(at, _)| {
        !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    }) || text.trim().starts_with(&format!("use {name};"))
}

/// The text before `//`, unless that is in a URL.
fn without_comment(line: &str) -> String {
    line.split(" // ").next().unwrap_or_default().to_owned()
}

/// The last string literal before the parenthesis that closes the call.
fn last_string(arguments: &str) -> Option<String> {
    let (mut depth, mut last, mut chars) = (1, None, arguments.chars());
    while let Some(c) = chars.next() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return last,
            ')' => depth -= 1,
            '"' => {
                let literal: String = chars.by_ref().take_while(|c| *c != '"').collect();
                last = if depth == 1 { Some(literal) } else { last };
            }
            _ => {}
        }
    }
    last
}

/// The words that stand right behind `before`, as `=> "`.
fn words_of(text: &str, before: &str) -> Vec<String> {
    let after = text.split(before).skip(1);
    after.filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect()
}

/// `plan/decide.rs`, `docs/decisions/`, `deny.toml`; not `a/b` of prose, not an address, not a
/// glob.
fn looks_like_a_path(span: &str) -> bool {
    let plain = span.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
    let ends = [".rs", ".md", ".toml", ".json", ".service", "/", ".ci/run"];
    plain && !span.starts_with('/') && ends.iter().any(|end| span.ends_with(end))
}
