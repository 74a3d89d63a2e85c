//! A real browser: Debian's `chromium`, headless, told what to do over two pipes (DevTools
//! protocol).

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// A browser with one page; it is killed with this value.
pub(super) struct Chromium {
    child: Child,
    to: File,
    from: Receiver<Value>,
    session: Value,
    sent: u64,
    /// The complaints of the page: console, security policy, requests that failed.
    pub(super) complaints: Vec<String>,
    _profile: TempDir,
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// The width of the window.
    pub(super) width: u32,
    /// `light` or `dark`.
    pub(super) theme: &'static str,
}

/// Which of axe-core's rules a page is held to.
#[derive(Clone, Copy)]
pub(super) enum Rules {
    /// All of them.
    All,
    /// Those that a change of the theme alone can break.
    Colours,
}

/// Where the browser is, if it is installed. When it must be, and is not, this fails.
pub(super) fn installed() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths)
        .map(|folder| folder.join("chromium"))
        .find(|path| path.is_file());
    let required =
        std::env::var_os("CHANNELKEEPER_REQUIRE_CHROMIUM").is_some_and(|value| value == "1");
    assert!(
        found.is_some() || !required,
        "chromium is required and is not in PATH: apt-get install chromium"
    );
    found
}

impl Chromium {
    /// Starts one.
    pub(super) fn start(program: &PathBuf) -> Chromium {
        let profile = tempfile::tempdir().unwrap();
        let (to, from) = (profile.path().join("to"), profile.path().join("from"));
        assert!(Command::new("mkfifo").args([&to, &from]).status().unwrap().success());
        // The shell opens the pipes as the browser expects them, in the order in which they are
        // opened below.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<\"$TO\" 4>\"$FROM\""]).arg(program).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.path().join("profile").display()));
        command.env("TO", &to).env("FROM", &from).env("HOME", profile.path());
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let to = OpenOptions::new().write(true).open(to).unwrap();
        let replies = BufReader::new(File::open(from).unwrap());
        let (tell, from) = channel();
        // It ends with the pipe, which ends with the browser.
        thread::spawn(move || {
            let messages = replies.split(0).map_while(Result::ok);
            messages
                .filter_map(|text| serde_json::from_slice(&text).ok())
                .try_for_each(|message| tell.send(message))
        });
        let (session, complaints) = (Value::Null, Vec::new());
        let mut chromium =
            Chromium { child, to, from, session, sent: 0, complaints, _profile: profile };
        let target =
            chromium.ask("Target.createTarget", &json!({ "url": "about:blank" }))["targetId"]
                .take();
        let attached =
            chromium.ask("Target.attachToTarget", &json!({ "targetId": target, "flatten": true }));
        chromium.session = attached["sessionId"].clone();
        for domain in ["Page.enable", "Log.enable", "Runtime.enable", "Network.enable"] {
            chromium.ask(domain, &json!({}));
        }
        chromium
    }

    /// Opens a page and waits until it is loaded.
    #[track_caller]
    pub(super) fn open(&mut self, url: &str, look: Look) {
        self.looks(look);
        self.ask("Page.navigate", &json!({ "url": url }));
        self.hears("Page.loadEventFired");
    }

    /// Looks otherwise at the page that is open.
    #[track_caller]
    pub(super) fn looks(&mut self, look: Look) {
        let Look { width, theme } = look;
        let metrics =
            json!({ "width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.ask("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.ask("Emulation.setEmulatedMedia", &scheme);
    }

    /// Opens every part of the page that can be opened, and brings axe-core, the checker that most
    /// others are made of, into it.
    #[track_caller]
    pub(super) fn brings_axe(&mut self) {
        self.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)");
        self.evaluate(&format!("{AXE}; null"));
    }

    /// The faults that axe-core finds in the page: by all its rules, or by those that read colours.
    #[track_caller]
    pub(super) fn violations(&mut self, rules: Rules) -> Value {
        let only = match rules {
            Rules::All => "resultTypes: ['violations']",
            Rules::Colours => "runOnly: ['color-contrast', 'link-in-text-block']",
        };
        self.awaits(&format!(
            "axe.run({{ {only} }}).then(found => found.violations.map(one => `${{one.id}}: ${{one.nodes[0].html}}`))"
        ))
    }

    /// Does something that leads to another page, and waits until that is loaded.
    #[track_caller]
    pub(super) fn follow(&mut self, expression: &str) {
        self.evaluate(expression);
        self.hears("Page.loadEventFired");
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub(super) fn evaluate(&mut self, expression: &str) -> Value {
        let mut answer = self
            .ask("Runtime.evaluate", &json!({ "expression": expression, "returnByValue": true }));
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        answer["result"]["value"].take()
    }

    /// The value of a promise in the page, once it is kept.
    #[track_caller]
    pub(super) fn awaits(&mut self, expression: &str) -> Value {
        let asked =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.ask("Runtime.evaluate", &asked);
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        answer["result"]["value"].take()
    }

    /// Lets pages run scripts, or not.
    #[track_caller]
    pub(super) fn allows_scripts(&mut self, allows: bool) {
        self.ask("Emulation.setScriptExecutionDisabled", &json!({ "value": !allows }));
    }

    #[track_caller]
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.sent += 1;
        let mut message = json!({ "id": self.sent, "method": method, "params": params });
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        let id = self.sent;
        let mut answer = self.until(method, |message| message["id"] == id);
        assert_eq!(answer["error"], Value::Null, "{method}");
        answer["result"].take()
    }

    #[track_caller]
    fn hears(&mut self, event: &str) {
        self.until(event, |message| message["method"] == event);
    }

    #[track_caller]
    fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self
                .from
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|why| panic!("no {what} from chromium: {why}"));
            let complains = [
                "Log.entryAdded",
                "Runtime.consoleAPICalled",
                "Runtime.exceptionThrown",
                "Network.loadingFailed",
            ];
            if complains.iter().any(|event| message["method"] == *event) {
                self.complaints.push(message["params"].to_string());
            }
            if is_it(&message) {
                return message;
            }
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to kill.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

const AXE: &str = include_str!("../../vendor/axe-core/axe.min.js");

/// How long the browser may take for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-pipe",
    "about:blank",
];
