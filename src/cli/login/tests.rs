//! Logging in on paused time, and the data centre that is written into a config.

use super::*;
use crate::model::product::Product;
use crate::simulator::Knobs;
use crate::simulator::knobs::DeviceAnswer;
use crate::zoho::testing::{Sim, account};

fn in_center(key: &str) -> Account {
    let accounts_url = DataCenter::find(key).unwrap().accounts_url.to_owned();
    Account { accounts_url, ..account() }
}

fn elsewhere(location: &str) -> Knobs {
    Knobs {
        device_answer: DeviceAnswer::Approve,
        device_location: Some(location.to_owned()),
        ..Knobs::default()
    }
}

/// Those of an account without backfill.
fn scopes(account: &Account) -> Scopes {
    let product = account.product;
    Scopes { all: product.scope("ALL"), single: product.single_scopes() }
}

async fn login(account: &Account, knobs: Knobs, accept: Accept) -> anyhow::Result<Got> {
    let sim = Sim::new(knobs);
    by_device(account, &scopes(account), accept, &*sim.carrier, &*sim.clock).await
}

#[tokio::test(start_paused = true)]
async fn the_org_s_data_centre_is_gone_to_when_that_was_allowed_and_named_when_it_was_not() {
    let got = login(&in_center("us"), elsewhere("eu"), Accept::Unasked).await.unwrap();
    assert_eq!(got.center.map(|center| center.key), Some("eu"));
    let got = login(&in_center("eu"), elsewhere("eu"), Accept::Asked).await.unwrap();
    assert_eq!(got.center, None, "it is the one that was asked");
    let table = [
        (in_center("us"), "eu", Accept::Asked, "data_center = \"eu\" for account acme"),
        (in_center("us"), "uk", Accept::Unasked, "the data centre uk, which is none of those"),
        (account(), "eu", Accept::Unasked, "in place of api_url and accounts_url"),
    ];
    for (account, location, accept, expected) in table {
        let refused = login(&account, elsewhere(location), accept).await.err().unwrap();
        assert!(refused.to_string().contains(expected), "{location}: {refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_recruit_has_no_scope_for_everything_the_single_ones_are_asked_for() {
    let account = Account { product: Product::Recruit, ..account() };
    for (recruit_all_scope, expected) in [
        (true, "ZohoRecruit.notifications.ALL"),
        (
            false,
            "ZohoRecruit.notifications.READ ZohoRecruit.notifications.CREATE \
             ZohoRecruit.notifications.UPDATE ZohoRecruit.notifications.DELETE",
        ),
    ] {
        let knobs =
            Knobs { device_answer: DeviceAnswer::Approve, recruit_all_scope, ..Knobs::default() };
        let sim = Sim::of(Product::Recruit, knobs);
        let got = by_device(&account, &scopes(&account), Accept::Asked, &*sim.carrier, &*sim.clock)
            .await
            .unwrap();
        assert_eq!(got.exchanged.scope.as_deref(), Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_is_refused_where_it_is_documented_is_not_asked_for_otherwise() {
    let account = Account { product: Product::Bigin, ..account() };
    let sim = Sim::of(Product::Crm, Knobs::default());
    let refused =
        by_device(&account, &scopes(&account), Accept::Asked, &*sim.carrier, &*sim.clock).await;
    let words = refused.err().unwrap().to_string();
    assert!(words.starts_with("invalid_scope: "), "{words}");
    assert!(words.ends_with("(asked for: ZohoBigin.notifications.ALL)"), "{words}");
}

#[test]
fn a_data_centre_is_written_in_place_and_nothing_else_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (main, more) = (folder.path().join("config.toml"), folder.path().join("more.toml"));
    std::fs::write(
        &main,
        "include = [\"more.toml\"] # us\n[accounts.other]\ndata_center = \"us\"\n",
    )
    .unwrap();
    let text = |center: &str| {
        format!(
            "# ü\n[accounts.acme]\ndata_center   =  {center} # \"us\" by guess\nclient_id = \"us\"\n"
        )
    };
    std::fs::write(&more, text("'us'")).unwrap();
    assert_eq!(config::set_data_center(&main, "acme", "eu"), Ok(more.clone()));
    assert_eq!(std::fs::read_to_string(&more).unwrap(), text("\"eu\""));
    assert!(std::fs::read_to_string(&main).unwrap().ends_with("data_center = \"us\"\n"));
    let nowhere = config::set_data_center(&main, "nobody", "eu");
    assert_eq!(nowhere, Err("account nobody has no data_center".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_terminal_gets_a_qr_code_and_everybody_gets_page_and_code() {
    let sim = Sim::new(Knobs::default());
    let invitation =
        device::invite(&account(), "ZohoCRM.notifications.ALL", &*sim.carrier, &*sim.clock)
            .await
            .unwrap();
    let (plain, drawn) =
        (words(&account(), &invitation, false), words(&account(), &invitation, true));
    for text in [&plain, &drawn] {
        assert!(text.contains(&invitation.url) && text.contains(&invitation.user_code), "{text}");
        assert!(text.ends_with("Waiting for 5 minutes at most."), "{text}");
    }
    assert!(plain.contains("\nor open https://accounts.zoho.test/oauth/v3/device?user_code="));
    assert!(!plain.contains('\u{2588}') && drawn.contains('\u{2588}'), "{drawn}");
    assert!(drawn.lines().all(|line| line.chars().count() < 80), "{drawn}");
}
