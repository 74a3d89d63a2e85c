//! `check --online`: what Zoho says of each account.

use serde_json::json;

use super::declared::channel;
use super::place::Place;
use super::simulator::Simulator;

#[test]
fn check_online_says_what_zoho_says_of_each_account_and_writes_nothing() {
    let zoho = Simulator::start();
    let config = zoho.account().to_owned()
        + &channel("good", 1, &["Deals.all"])
        + &channel("odd", 2, &["Contatcs.edit"]);
    let place = Place::new(&config);
    let asked = place.verb(&["check", "--online"]);
    assert_eq!(asked.code, 0, "{asked:#?}");
    for line in [
        "good       credentials: Zoho takes them",
        "good       channels: 0 of 2 declared are there, and 0 others",
        "not asked  scopes: looking is allowed",
        "not asked  modules: the token lacks ZohoCRM.settings.modules.READ",
    ] {
        assert!(asked.out.contains(line), "no {line} in {}", asked.out);
    }

    zoho.tell("PATCH", "/_sim/knobs", &json!({ "modules_scope": true, "token_scope": true }));
    let line = config.lines().position(|line| line.contains("Contatcs")).unwrap() + 1;
    let fresh = Place::new(&config);
    let asked = fresh.verb(&["check", "--online"]);
    assert_eq!(asked.code, 3, "{asked:#?}");
    let odd = format!(
        "config.toml:{line}: channel odd: the org has no module Contatcs (did you mean Contacts?)"
    );
    assert!(asked.out.contains(&odd), "{}", asked.out);
    assert!(asked.out.contains("good       scopes: nothing is missing"), "{}", asked.out);
    let json = fresh.verb(&["check", "--online", "--json"]).json();
    assert_eq!(json["online"][0]["account"], "sim1");
    assert_eq!(json["online"][0]["findings"][0]["verdict"], "good");
    assert_eq!(zoho.writes(), 0);

    let wrong = config.replace("refresh_token = \"", "refresh_token = \"1000.not-");
    let refused = Place::new(&wrong).verb(&["check", "--online"]);
    assert!(refused.code == 3 && refused.out.contains("bad        credentials: "), "{refused:#?}");
}

#[test]
fn check_online_says_which_life_each_product_gave() {
    for (product, event) in [("bigin", "Pipelines.all"), ("vertical", "Deals.all")] {
        let zoho = Simulator::of_product(product);
        let place = Place::new(&(zoho.account().to_owned() + &channel("one", 1, &[event])));
        let lives = || {
            let out = place.done(&["check", "--online"]).out;
            out.lines().find(|line| line.contains("lives: ")).map(|line| line.trim().to_owned())
        };
        assert_eq!(lives(), None, "nothing was given yet");
        place.done(&["apply"]);
        let good = lives().unwrap();
        assert!(good.starts_with("good       lives: Zoho gives 23h 5"), "{product}: {good}");
    }
    // Bigin gives two hours to whoever asks for more than the maximum.
    let zoho = Simulator::of_product("bigin");
    zoho.tell("PATCH", "/_sim/knobs", &json!({ "version_limits": { "bigin/v2": "6h" } }));
    let place = Place::new(&(zoho.account().to_owned() + &channel("one", 1, &["Pipelines.all"])));
    assert_eq!(place.verb(&["apply"]).code, 1, "a longer life is asked for again");
    let out = place.done(&["check", "--online"]).out;
    assert!(out.contains("less       lives: Zoho gave one 2h, and lifetime is 1d"), "{out}");
}
