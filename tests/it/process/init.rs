//! A newcomer's way: a simulator, `init`, `login`, `run`, and channels that are covered.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::daemon::Daemon;
use super::login::{approved, approved_for};
use super::place::{Place, Ran, ran};
use super::pty::{AtTerminal, INTERRUPT};
use super::simulator::Simulator;

/// Runs it where no config is yet.
fn init(place: &Place, args: &[&str]) -> Ran {
    let mut command = place.command(&[]);
    command.arg("init").args(args).stdin(std::process::Stdio::null());
    ran(command)
}

/// A place without a config.
fn empty() -> Place {
    let place = Place::new("");
    fs::remove_file(place.config()).unwrap();
    place
}

#[test]
fn a_playground_is_covered_after_init_login_and_run() {
    let zoho = Simulator::start();
    let place = empty();
    let url = format!("http://{}", zoho.address);
    let made = init(&place, &["--from-simulator", &url]);
    assert_eq!(made.code, 0, "{made:#?}");
    let config = place.config().display().to_string();
    assert!(made.out.ends_with(&format!("next: channelkeeper -c {config} login\n")), "{made:#?}");
    let mode = |name: &str| {
        let metadata = fs::metadata(place.path().join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode("secrets"), 0o700);
    for file in ["config.toml", "secrets/client-secret", "secrets/channel-token"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    let token = fs::read_to_string(place.path().join("secrets/channel-token")).unwrap();
    assert_eq!(token.len(), 32);
    assert!(!(made.out + &made.err).contains(&token));

    assert_eq!(approved(&place, &zoho, "approve").code, 0);
    let _daemon = Daemon::start(&place);
    let channels = zoho.channels();
    assert_eq!(channels.len(), 2, "{channels:?}");
    assert!(channels.values().all(|channel| channel["token"] == json!(token)), "{channels:?}");
    assert_eq!(place.verb(&["status"]).code, 0);
}

#[test]
fn nothing_is_overwritten_and_a_second_playground_has_another_token() {
    let zoho = Simulator::start();
    let url = format!("http://{}", zoho.address);
    let (one, two) = (empty(), empty());
    let read = |place: &Place| fs::read_to_string(place.path().join("secrets/channel-token"));
    for place in [&one, &two] {
        assert_eq!(init(place, &["--from-simulator", &url]).code, 0);
    }
    assert_ne!(read(&one).unwrap(), read(&two).unwrap());
    let before = fs::read_to_string(one.config()).unwrap();
    let again = init(&one, &["--from-simulator", &url]);
    assert!(again.code == 1 && again.err.contains("init overwrites nothing"), "{again:#?}");
    assert_eq!(fs::read_to_string(one.config()).unwrap(), before);
    fs::remove_file(one.config()).unwrap();
    let secret = init(&one, &["--from-simulator", &url]);
    assert!(secret.code == 1 && secret.err.contains("client-secret is there"), "{secret:#?}");
    assert!(!one.config().exists());
}

#[test]
fn without_a_terminal_the_missing_flag_is_named_and_nothing_is_written() {
    let place = empty();
    let missing = init(&place, &["--data-center", "eu"]);
    assert!(missing.code == 1 && missing.err.contains("--client-id is missing"), "{missing:#?}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn a_config_that_could_not_be_used_is_not_left_behind() {
    let zoho = Simulator::start();
    let place = empty();
    let url = format!("http://{}", zoho.address);
    let watch = vec!["Deals.all"; 51].join(",");
    let refused = init(&place, &["--from-simulator", &url, "--watch", &watch]);
    assert!(refused.code == 1 && refused.err.contains("nothing is written"), "{refused:#?}");
    assert!(refused.err.contains("51 events"), "{refused:#?}");
    assert!(!place.config().exists() && !place.path().join("secrets/client-secret").exists());
}

#[test]
fn ctrl_c_at_a_hidden_question_leaves_a_terminal_that_shows_what_is_typed() {
    let place = empty();
    let init = "trap : INT; $CK init --product crm --data-center eu --client-id 1000.ABC --account acme; stty -a";
    let mut asked = AtTerminal::run(&place, 80, init);
    asked.until("client secret");
    asked.keys("s3cr");
    asked.keys(INTERRUPT);
    let (_, seen) = asked.ended();
    assert!(seen.contains(" echo ") && !seen.contains("-echo "), "{seen}");
    assert!(!seen.contains("s3cr"), "{seen}");
    assert!(!place.config().exists());
}

#[test]
fn a_playground_has_the_product_of_the_simulated_org() {
    for (product, module, scope) in
        [("bigin", "Pipelines", "ZohoBigin"), ("recruit", "Candidates", "ZohoRecruit")]
    {
        let zoho = Simulator::of_product(product);
        let place = empty();
        let url = format!("http://{}", zoho.address);
        assert_eq!(init(&place, &["--from-simulator", &url]).code, 0);
        let config = fs::read_to_string(place.config()).unwrap();
        assert!(config.contains(&format!("\nproduct = \"{product}\"\n")), "{config}");
        assert!(config.contains(&format!("{module}.all")), "{config}");
        assert_eq!(approved_for(&place, &zoho, "approve", scope).code, 0);
        let _daemon = Daemon::start(&place);
        assert_eq!(zoho.channels().len(), 2, "{product}");
        assert_eq!(place.verb(&["status"]).code, 0);
    }
}
