//! A config file, a state directory, and the verbs that are called with them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::http::PATIENCE;

/// The place that one daemon lives in.
pub(super) struct Place {
    dir: TempDir,
    /// The binary.
    program: PathBuf,
    env: Vec<(&'static str, String)>,
}

/// The result of a verb.
#[derive(Debug)]
pub(super) struct Ran {
    /// The exit code.
    pub(super) code: i32,
    /// stdout.
    pub(super) out: String,
    /// stderr.
    pub(super) err: String,
}

impl Place {
    /// With this config.
    pub(super) fn new(config: &str) -> Place {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_channelkeeper"));
        let place = Place { dir: tempfile::tempdir().unwrap(), program, env: Vec::new() };
        place.write(config);
        place
    }

    /// With another variable in the environment of everything that is started here.
    pub(super) fn with_env(mut self, name: &'static str, value: impl Into<String>) -> Place {
        self.env.push((name, value.into()));
        self
    }

    /// Everything that is started here from now on is this binary: another release.
    pub(super) fn is_of(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// Puts another config in the file.
    pub(super) fn write(&self, config: &str) {
        fs::write(self.config(), config).unwrap();
        fs::set_permissions(self.config(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The config file.
    pub(super) fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    /// The state directory.
    pub(super) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The directory that holds both.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The binary with these arguments, this place's files, and an environment without surprises.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let kept = ["PATH", "TMPDIR", "LLVM_PROFILE_FILE"];
        let kept = kept.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.env_clear().envs(kept).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.arg("--config").arg(self.config()).arg("--state-dir").arg(self.state()).args(args);
        command
    }

    /// Runs a verb to its end.
    pub(super) fn verb(&self, args: &[&str]) -> Ran {
        ran(self.command(args))
    }

    /// Runs a verb that must exit with 0.
    #[track_caller]
    pub(super) fn done(&self, args: &[&str]) -> Ran {
        let ran = self.verb(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:#?}");
        ran
    }
}

impl Ran {
    /// stdout as JSON.
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }
}

/// Runs a command to its end.
pub(super) fn ran(command: Command) -> Ran {
    let output = assert_cmd::Command::from_std(command).timeout(PATIENCE).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}
