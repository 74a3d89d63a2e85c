//! The questions of `init`, and the config that comes of the answers.

use super::*;
use crate::model::secret::Secret;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: InitArgs,
}

fn args(given: &[&str]) -> InitArgs {
    let given = ["init"].into_iter().chain(given.iter().copied());
    <Cli as clap::Parser>::parse_from(given).args
}

async fn wishes(given: &[&str], typed: Option<&str>) -> anyhow::Result<InitAnswers> {
    let mut input = std::io::Cursor::new(typed.unwrap_or_default().to_owned());
    let mut terminal = Terminal { input: &mut input, is_asked: typed.is_some() };
    InitAnswers::get(args(given), &mut terminal).await
}

const FLAGS: [&str; 10] = [
    "--product",
    "crm",
    "--data-center",
    "eu",
    "--client-id",
    "1000.ABC",
    "--watch",
    "Deals.all,Contacts.create,Contacts.edit,Sales_Orders.all",
    "--notify-url",
    "https://hooks.example.com/zoho?a=\"b\"",
];

#[tokio::test]
async fn the_written_config_is_good_and_says_everything_that_was_wished_for() {
    let folder = tempfile::tempdir().unwrap();
    let place = InitPlaces::beside(&folder.path().join("config.toml"));
    std::fs::write(folder.path().join("given"), "s3cret\n").unwrap();
    let given = folder.path().join("given");
    let flags = [&FLAGS[..], &["--client-secret-file", given.to_str().unwrap()]].concat();
    let wishes = wishes(&flags, None).await.unwrap();
    assert_eq!(wishes.client_secret, Secret::new("s3cret"));
    let text = text::config(&wishes, true);
    write_all(&[
        (&place.client_secret, "s3cret".to_owned()),
        (&place.channel_token, "a-token".to_owned()),
        (&place.config, text.clone()),
    ])
    .unwrap();
    let surroundings = Surroundings::of_process().tolerating_missing_secrets();
    let loaded = config::load(&place.config, &surroundings);
    assert_eq!(loaded.problems.len(), 0, "{:?}", loaded.problems);
    assert_eq!(loaded.warnings.len(), 1, "the refresh token is not there: {:?}", loaded.warnings);
    let desired = loaded.desired.unwrap();
    let (name, account) = desired.accounts.first_key_value().unwrap();
    assert_eq!((name.as_str(), account.specs.len()), ("main", 3));
    assert_eq!(account.account.accounts_url, "https://accounts.zoho.eu");
    assert_eq!(loaded.state_dir, Some(folder.path().join("state")));
    assert!(!text.contains("s3cret") && !text.contains("a-token"), "{text}");
    assert!(place.is_free().is_err(), "nothing is overwritten");
}

#[tokio::test]
async fn a_person_is_asked_again_until_an_answer_means_something() {
    let typed = "\nbegin\n\nmars\nEU\n1000.ABC\ns3cret\nDeals\nDeals.all Leads.create\nhttp://example.com/\n\
                 https://hooks.example.com/\n";
    let wishes = wishes(&[], Some(typed)).await.unwrap();
    assert_eq!(wishes.account.as_str(), "main");
    assert_eq!((wishes.client_id.as_str(), wishes.client_secret.expose()), ("1000.ABC", "s3cret"));
    let names: Vec<&str> = wishes.channels.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        (names, wishes.notify_url.as_str()),
        (vec!["deals", "leads"], "https://hooks.example.com/")
    );
}

#[tokio::test]
async fn what_is_missing_or_means_nothing_is_named_by_its_flag() {
    let without = |flag: &str| -> Vec<&'static str> {
        let at = FLAGS.iter().position(|known| *known == flag).unwrap();
        [&FLAGS[..at], &FLAGS[at + 2..]].concat()
    };
    for (given, typed, expected) in [
        (without("--data-center"), None, "--data-center is missing, and there is no terminal"),
        (FLAGS.to_vec(), None, "--client-secret-file is missing"),
        ([&without("--product")[..], &["--product", "vertical"]].concat(), None, "--portal is"),
        ([&FLAGS[..], &["--portal", "acme"]].concat(), None, "--portal goes with"),
        ([&without("--product")[..], &["--product", "begin"]].concat(), None, "--product: no pro"),
        ([&FLAGS[..], &["--account", "a b"]].concat(), None, "--account: a name is"),
        (
            [&without("--watch")[..], &["--watch", "Deals"]].concat(),
            Some("main\ns3cret\n"),
            "--watch: \"Deals\"",
        ),
        (without("--notify-url"), Some("main\ns3cret\n"), "the answers end here"),
        (vec![], Some("\ncrm\nx\nx\nx\nx\nx\nx\n"), "no answer of 5 can be used"),
        (
            [&FLAGS[..], &["--client-secret-file", "/nowhere"]].concat(),
            None,
            "/nowhere cannot be read",
        ),
        (vec!["--from-simulator", "http://127.0.0.1:1"], None, "no simulator answers at"),
    ] {
        let error = wishes(&given, typed).await.unwrap_err();
        assert!(format!("{error:#}").contains(expected), "{given:?}: {error:#}");
    }
}

#[tokio::test]
async fn each_product_has_its_own_events_and_stands_in_the_config() {
    for (typed, event, lines, scope) in [
        ("crm\nus", "Deals.all", "\n[accounts.main]\n# Where", "ZohoCRM"),
        ("bigin\neu", "Pipelines.all", "\nproduct = \"bigin\"\n# Where", "ZohoBigin"),
        ("recruit\nus", "Candidates.all", "\nproduct = \"recruit\"\n# Where", "ZohoRecruit"),
        ("vertical\nAcme\nus", "Deals.all", "\nportal = \"acme\"\n# Where", "ZohoCRM"),
    ] {
        let typed = format!("\n{typed}\n1000.ABC\ns3cret\n\nhttps://hooks.example.com/\n");
        let wishes = wishes(&[], Some(&typed)).await.unwrap();
        assert_eq!(wishes.channels[0].1, [event]);
        let text = text::config(&wishes, true);
        assert!(text.contains(lines), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let place = InitPlaces::beside(&folder.path().join("config.toml"));
        write_all(&[
            (&place.client_secret, "s3cret".to_owned()),
            (&place.channel_token, "a-token".to_owned()),
            (&place.config, text),
        ])
        .unwrap();
        let surroundings = Surroundings::of_process().tolerating_missing_secrets();
        let loaded = config::load(&place.config, &surroundings);
        let desired = loaded.desired.unwrap_or_else(|| panic!("{:?}", loaded.problems));
        let account = desired.accounts.first_key_value().unwrap().1;
        assert_eq!(account.account.product.traits().scopes, scope);
    }
}

#[test]
fn an_init_that_fails_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    std::fs::create_dir(&two).unwrap();
    assert!(write_all(&[(&one, String::new()), (&two, String::new())]).is_err());
    assert!(!one.exists() && two.exists());
}

#[test]
fn the_next_command_can_be_pasted() {
    let login = |config: &str| command(Path::new(config), "login");
    assert_eq!(login(CONFIG_DEFAULT), "channelkeeper login");
    assert_eq!(login("conf/acme.toml"), "channelkeeper -c conf/acme.toml login");
    assert_eq!(login("it's mine.toml"), "channelkeeper -c 'it'\\''s mine.toml' login");
}
