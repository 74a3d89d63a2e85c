//! The checks of `[cluster]`: engines that may be asked, names that fit into keys, and a user with
//! a password.

use super::check::Check;
use super::given::Given;
use super::raw;
use super::source::At;
use super::values::{self, Reference};
use crate::model::channel::ChannelName;
use crate::model::cluster::{ClusterSettings, Login};

/// How this machine shares accounts with others; `None` when it does not, or that was reported.
pub(super) fn cluster(given: &raw::Cluster, check: &mut Check<'_>) -> Option<ClusterSettings> {
    let raw::Cluster { name, engine, user, password, node, serial, without_engine } = given;
    let login = login(user, password, check);
    let node = named(node, "a bad name for a machine", check);
    let engine = endpoints(engine, check);
    let name = named(name, "a bad name for a cluster", check)?;
    Some(ClusterSettings {
        name,
        engine: engine?,
        login,
        node,
        serial: serial.value().and_then(|serial| u64::try_from(*serial).ok()),
        without_engine: without_engine.value().copied().unwrap_or_default(),
    })
}

/// A name that is part of a key.
fn named(given: &Given<String>, wrong: &str, check: &mut Check<'_>) -> Option<String> {
    let at = given.good()?;
    match at.value.parse::<ChannelName>() {
        Ok(name) => Some(name.as_str().to_owned()),
        Err(error) => {
            check.problem(at.place, wrong, error.to_string());
            None
        }
    }
}

fn endpoints(given: &Given<Vec<At<String>>>, check: &mut Check<'_>) -> Option<Vec<String>> {
    let at = given.good()?;
    if at.value.is_empty() {
        check.problem(at.place, "no machine of the engine", values::ENGINE_HELP);
    }
    if at.value.len() > ENDPOINTS_MAX {
        let message = format!("more than {ENDPOINTS_MAX} machines of the engine");
        check.problem(at.place, message, "name those that are near");
    }
    let mut endpoints = Vec::new();
    for at in &at.value {
        match values::engine_url(&at.value) {
            Ok(url) if endpoints.contains(&url) => {
                check.problem(at.place, "this machine is named twice", "leave it out");
            }
            Ok(url) => endpoints.push(url),
            Err(mistake) => check.problem(at.place, mistake.message, mistake.help),
        }
    }
    Some(endpoints)
}

fn login(
    user: &Given<String>,
    password: &Given<Reference>,
    check: &mut Check<'_>,
) -> Option<Login> {
    if let (Some(at), Given::Absent) = (user.good(), password) {
        let help = "add password = { credential = \"etcd\" }, or leave out the user";
        check.problem(at.place, "a user without a password", help);
    }
    if let (Some(at), Given::Absent) = (password.good(), user) {
        check.problem(at.place, "a password without a user", "add user = \"channelkeeper\"");
    }
    if let Some(at) = user.good().filter(|at| at.value.is_empty()) {
        check.problem(at.place, "an empty user", "leave the key out for none");
    }
    let password = check.secret("password", password)?.value;
    Some(Login { user: user.value()?.clone(), password })
}

/// No engine has more.
const ENDPOINTS_MAX: usize = 16;
