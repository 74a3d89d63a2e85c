//! The config as tables: text in, problems out as lines. No file is read here but those of the
//! tests on files.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::load::Loading;
use super::problem::{Problem, ProblemStyle, render};
use super::raw::Role;
use super::secrets::{Commands, MissingCredentials, Surroundings};
use super::source::Source;
use super::{Loaded, load};
use crate::model::condition::Condition;
use crate::model::desired::Desired;

const ACCOUNT: &str = r#"
[accounts.acme]
data_center = "eu"
client_id = "1000.ABC"
client_secret = { env = "SECRET" }
refresh_token = { env = "REFRESH" }
"#;

#[test]
fn syntax_and_types_are_told_with_their_places() {
    problems(
        "[reconcile]\nlifetime = 8\npasses_max = \"many\"\nmode = true\naudit = [1]\n[http]\npublic = 1\n",
        expect![[r#"
            config.toml:2:12: "lifetime" has no unit (write "8h": a number and a unit, in quotes)
            config.toml:3:14: "passes_max" must be a whole number, not a string (write digits, without quotes)
            config.toml:4:8: "mode" must be a string, not true or false (put it in quotes)
            config.toml:5:9: "audit" must be a string, not a list (put it in quotes)
            config.toml:7:10: "public" must be true or false, not a number (write true or false, without quotes)
        "#]],
    );
    problems(
        "[http\nlisten = \"x\n[client]\nrequest_timeout = = 3\n",
        expect![[r#"
            config.toml:1:6: TOML syntax: unclosed table, expected `]` (close it on the line it begins)
            config.toml:4:19: TOML syntax: extra `=`, expected nothing (one key = value to a line; text stands in quotes)
            config.toml:4:21: TOML syntax: unexpected key or value, expected newline, `#` (one key = value to a line; text stands in quotes)
        "#]],
    );
    problems(
        "accounts = 3\nchannels = { name = \"a\" }\n",
        expect![[r#"
            config.toml:1:12: "accounts" must be a table, not a number (write it as [header], or between { and })
            config.toml:2:12: "channels" must be a list of tables, not a table (write [[header]] above each, or [{ ... }, { ... }])
        "#]],
    );
    problems(
        "channels = [3]\n[accounts]\nacme = 3\n[[http]]\n",
        expect![[r#"
            config.toml:1:13: "channels" must be a list of tables, not a number (write [[header]] above each, or [{ ... }, { ... }])
            config.toml:3:8: "acme" must be a table, not a number (write it as [header], or between { and })
            config.toml:4:1: "http" must be a table, not a list (write it as [header], or between { and })
        "#]],
    );
}

#[test]
fn unknown_keys_are_told_with_what_was_meant() {
    problems(
        "[reconcil]\n[http]\nlistn = \"off\"\nzebra = 1\n[daemon]\nstate-dir = \"/x\"\n",
        expect![[r#"
            config.toml:1:2: unknown key "reconcil" (did you mean "reconcile"?)
            config.toml:3:1: unknown key "listn" in [http] (did you mean "listen"?)
            config.toml:4:1: unknown key "zebra" in [http] (one of listen, public, hosts, token)
            config.toml:6:1: unknown key "state-dir" in [daemon] (did you mean "state_dir"?)
        "#]],
    );
    with_account(
        "[[channels]]\nname = \"a\"\nevent = [\"Deals.all\"]\nnotify_url = \"https://h.example/\"\n",
        expect![[r#"
            config.toml:7:8: channel "a" has no "events" (add events = ["Deals.all"])
            config.toml:8:1: unknown key "event" in channel "a" (did you mean "events"?)
        "#]],
    );
}

#[test]
fn settings_are_held_to_their_bounds() {
    problems(
        r#"
[daemon]
owner = "a b"
state_dir = ""
[http]
listen = "0.0.0.0:8470"
[client]
request_timeout = "5s"
connect_timeout = "6s"
ca_file = "/nonexistent/ca.pem"
[reconcile]
passes_max = 4097
audit = "*/15 * * * *"
"#,
        expect![[r#"
            config.toml:3:9: a bad name for an owner (a name is 1 to 64 letters, digits, "-", "_" and ".", beginning with a letter or digit, as in "deal-sync")
            config.toml:4:13: an empty path (leave the key out for the default)
            config.toml:6:10: other hosts can reach this address (there is no TLS: listen on 127.0.0.1 behind a proxy, or set public = true, and better a token too)
            config.toml:9:19: connecting may take longer than the whole call (raise request_timeout)
            config.toml:10:11: no certificates to trust in /nonexistent/ca.pem (No such file or directory (os error 2))
            config.toml:12:14: "passes_max" is out of range (from 1 to 4096)
            config.toml:13:9: a cron expression with 5 fields (six fields: second minute hour day-of-month month day-of-week; with a second in front it reads "0 */15 * * * *")
        "#]],
    );
    problems(
        "[http]\nlisten = \"localhost\"\n[client]\nrequest_timeout = \"1h\"\n",
        expect![[r#"
        config.toml:2:10: "localhost" is no address to listen on (write an IP address and a port, as in "127.0.0.1:8470" or "[::1]:8470", or "off")
        config.toml:4:19: a timeout out of range (from "1s" to "10m")
    "#]],
    );
    problems("[http]\nlisten = \"0.0.0.0:1\"\npublic = true\n", expect![""]);
    problems(
        r#"
[alerts]
webhook = "http://hooks.example.com/s3cret"
heartbeat = { env = "SECRET" }
grace = "2d"
repeat = "1s"
heartbeat_interval = "31d"
"#,
        expect![[r#"
            config.toml:3:11: "webhook": this URL is not https (write https://; http is for loopback hosts only)
            config.toml:4:13: "heartbeat": this is no URL: it has no scheme (as in "https://hooks.example.com/zoho")
            config.toml:5:9: a grace out of range (from "0s" to "1d")
            config.toml:6:10: an interval out of range (from "1m" to "30d")
            config.toml:7:22: an interval out of range (from "1m" to "30d")
        "#]],
    );
    problems(
        "[alerts]\nwebhook = \"http://127.0.0.1:9/hook\"\ngrace = \"0s\"\nrepeat = \"1m\"\n",
        expect![""],
    );
    problems(
        "[canary]\nevery = \"10s\"\nurl = \"https://h.example/\"\n",
        expect![[r#"
        config.toml:2:9: an interval out of range (from "1m" to "30d")
        config.toml:3:1: unknown key "url" in [canary] (one of every)
    "#]],
    );
    problems("[canary]\nevery = \"1h\"\n", expect![""]);
    problems(
        "[hooks]\non = [\"renwed\", \"restored\"]\nrun = [\"told\"]\ntimeout = \"1h\"\nurl = \"http://h.example/\"\n",
        expect![[r#"
            config.toml:2:7: unknown event "renwed" (did you mean "renewed"?)
            config.toml:2:17: unknown event "restored" (one of renewed, refused, gap-begun, gap-ended, recovered, token-changed, config-changed)
            config.toml:3:8: no whole path of a program (no shell reads the command and no PATH is searched: as in "/usr/local/bin/told")
            config.toml:4:11: a timeout out of range (from "1s" to "10m")
            config.toml:5:7: "url": this URL is not https (write https://; http is for loopback hosts only)
        "#]],
    );
    problems("[hooks]\non = [\"renewed\"]\n", expect![""]);
    problems(
        r#"
[cluster]
name = "prod/eu"
engine = ["http://etcd.example.com:2379", "https://me:hush@etcd.example.com", "https://a/v3", "https://a:1", "https://a:1/"]
user = "me"
node = ""
serial = -1
without_engine = "emergence"
"#,
        expect![[r#"
            config.toml:3:8: a bad name for a cluster (a name is 1 to 64 letters, digits, "-", "_" and ".", beginning with a letter or digit, as in "deal-sync")
            config.toml:4:11: this URL is not https (as in engine = ["https://etcd-1.example.com:2379"]; http is for loopback hosts only)
            config.toml:4:43: this URL holds a user name or password, which would be shown wherever the URL is (use the keys user and password)
            config.toml:4:79: this URL has a path or a query (as in engine = ["https://etcd-1.example.com:2379"]; http is for loopback hosts only)
            config.toml:4:110: this machine is named twice (leave it out)
            config.toml:5:8: a user without a password (add password = { credential = "etcd" }, or leave out the user)
            config.toml:6:8: a bad name for a machine (a name is 1 to 64 letters, digits, "-", "_" and ".", beginning with a letter or digit, as in "deal-sync")
            config.toml:7:10: "serial" is out of range (from 0 to 9223372036854775807)
            config.toml:8:18: unknown value "emergence" (did you mean "emergency"?)
        "#]],
    );
    problems(
        "[cluster]\npassword = \"hush\"\nnodes = 3\n",
        expect![[r#"
        config.toml:1:1: [cluster] has no "name" (add name = "prod", the same on each machine)
        config.toml:1:1: [cluster] has no "engine" (as in engine = ["https://etcd-1.example.com:2379"]; http is for loopback hosts only)
        config.toml:2:12: a password without a user (add user = "channelkeeper")
        config.toml:3:1: unknown key "nodes" in [cluster] (did you mean "node"?)
    "#]],
    );
    problems(
        "[cluster]\nname = \"prod\"\nengine = []\nuser = \"\"\npassword = \"hush\"\n",
        expect![[r#"
            config.toml:3:10: no machine of the engine (as in engine = ["https://etcd-1.example.com:2379"]; http is for loopback hosts only)
            config.toml:4:8: an empty user (leave the key out for none)
        "#]],
    );
    problems(
        r#"
[cluster]
name = "prod"
engine = ["http://[::1]:2379", "https://etcd-2.example.com:2379/"]
user = "channelkeeper"
password = { env = "SECRET" }
node = "host-1"
serial = 42
without_engine = "stop"
"#,
        expect![""],
    );
    problems(
        "[hooks]\nrun = []\n",
        expect![[r#"
            config.toml:2:7: an empty command (as in ["/usr/local/bin/told"])
        "#]],
    );
    problems("[hooks]\non = [\"refused\"]\nrun = [\"/bin/sh\", \"-c\", \"cat\"]\n", expect![""]);
    problems(
        "[reconcile]\naudit = \"0 99 * * * *\"\n",
        expect![[r#"
            config.toml:2:9: a bad cron expression: Number out of bounds (six fields: second minute hour day-of-month month day-of-week)
        "#]],
    );
    problems(
        "[reconcile]\naudit = \"0 0 0 31 2 frog\"\nmode = \"no_disable\"\nremoved = \"delete\"\n",
        expect![[r#"
            config.toml:2:9: a bad cron expression: CronPattern contains illegal character 'F' in part 'FROG' (six fields: second minute hour day-of-month month day-of-week)
            config.toml:3:8: unknown mode "no_disable" (did you mean "no-disable"?)
            config.toml:4:11: unknown value "delete" (one of disable, expire)
        "#]],
    );
    problems(
        "[reconcile]\nlifetime = \"8 sheep\"\nrenew_before = \"1h 5ms\"\n",
        expect![[r#"
        config.toml:2:12: "8 sheep" is no duration (write a number and a unit, as in "8h", "90m" or "1d 12h")
        config.toml:3:16: a life is counted in whole seconds (leave out what is shorter than a second)
    "#]],
    );
}

#[test]
fn an_account_says_where_it_is_and_how_it_is_entered() {
    problems(
        "[accounts.acme]\n",
        expect![[r#"
            config.toml:1:11: account "acme" has no "client_id" (add the client id that Zoho's API console shows)
            config.toml:1:11: account "acme" has no "client_secret" (add client_secret = { credential = "name" })
            config.toml:1:11: account "acme" has no "refresh_token" (the README says how to obtain one)
            config.toml:1:11: this account has no "data_center" (add data_center = "eu", or api_url and accounts_url)
        "#]],
    );
    problems(
        r#"
[accounts."a b"]
data_center = "eu"
client_id = "x"
client_secret = "x"
refresh_token = "x"
[accounts.b]
data_center = "uk"
api_version = "v9"
environment = "prod"
client_id = ""
client_secret = ""
refresh_token = { env = "A", file = "b" }
batch_max = 101
lifetime_max = "1m"
[accounts.c]
api_url = "https://www.zohoapis.eu/crm"
environment = "sandbox"
client_id = "x"
client_secret = { evn = "X" }
refresh_token = { env = "NONE" }
[accounts.d]
data_center = "eu"
api_url = "http://localhost:1"
accounts_url = "http://example.com"
client_id = "x"
client_secret = { env = "TWO_WORDS" }
refresh_token = 5
"#,
        expect![[r#"
            config.toml:2:11: "a b" is no name for an account (a name is 1 to 64 letters, digits, "-", "_" and ".", beginning with a letter or digit, as in "deal-sync")
            config.toml:8:15: unknown data centre "uk" (one of us, eu, in, au, cn, jp, ca, sa; any other is reached with api_url and accounts_url)
            config.toml:9:15: unknown API version "v9" (one of v1, v2, v2.1, v3, v4, v5, v6, v7, v8)
            config.toml:10:15: unknown environment "prod" (one of production, sandbox, developer)
            config.toml:11:13: this is no client id (copy it from Zoho's API console)
            config.toml:12:17: "client_secret" is empty (write { env = "NAME" }, { file = "path" }, { credential = "name" } or { command = ["program", "argument"] }, or the secret itself in quotes)
            config.toml:13:17: "refresh_token" does not say where one secret is (write { env = "NAME" }, { file = "path" }, { credential = "name" } or { command = ["program", "argument"] }, or the secret itself in quotes)
            config.toml:14:13: "batch_max" is out of range (from 1 to 100)
            config.toml:15:16: a longest life out of range (from "5m" to "366d")
            config.toml:16:11: this account has no "accounts_url" (api_url and accounts_url go together)
            config.toml:17:11: this URL has a path or a query (leave only the scheme and the host, as in "https://www.zohoapis.eu")
            config.toml:18:15: environment goes with data_center (leave it out: api_url says which org it is)
            config.toml:20:19: unknown key "evn" in "client_secret" (did you mean "env"?)
            config.toml:21:17: the environment variable NONE is not set (set NONE where the daemon starts: Environment= or EnvironmentFile= of its unit; `channelkeeper login --out FILE` gets one)
            config.toml:24:11: a URL beside data_center (leave out one of them)
            config.toml:27:17: "client_secret" leads to more than one word (it must lead to the secret alone)
            config.toml:28:17: "refresh_token" must be a secret, not a number (write { env = "NAME" }, { file = "path" }, { credential = "name" } or { command = ["program", "argument"] }, or the secret itself in quotes)
        "#]],
    );
}

#[test]
fn names_and_ids_are_unique() {
    with_account(
        r#"
[accounts.acme.channel_defaults]
notify_url = "https://h.example/"
[[channels]]
name = "a"
id = 7
events = ["Deals.all"]
[[channels]]
name = "a"
events = ["Deals.all"]
[[channels]]
name = "b"
id = "7"
events = ["Deals.all"]
[[channels]]
name = "-c"
id = "seven"
events = ["Deals.all"]
[[channels]]
events = ["Deals.all"]
id = 0
"#,
        expect![[r#"
            config.toml:14:8: channel "a" is declared twice (the other one is at config.toml:10)
            config.toml:18:6: two channels of account "acme" have the id 7 (the other one is at config.toml:10; give one of them another id)
            config.toml:21:8: "-c" is no name for a channel (a name is 1 to 64 letters, digits, "-", "_" and ".", beginning with a letter or digit, as in "deal-sync")
            config.toml:22:6: a bad channel id (a channel id is a whole number from 1 to 9223372036854775807)
            config.toml:24:1: channel has no "name" (add name = "...", unique over all channels)
            config.toml:26:6: a bad channel id (a channel id is a whole number from 1 to 9223372036854775807)
        "#]],
    );
}

#[test]
fn a_channel_belongs_to_a_known_account() {
    problems(
        "[[channels]]\nname = \"a\"\nevents = [\"Deals.all\"]\n",
        expect![[r#"
        config.toml:2:8: this channel does not say whose it is (declare one with [accounts.NAME])
    "#]],
    );
    with_account(
        "[[channels]]\nname = \"a\"\naccount = \"acne\"\nevents = [\"Deals.all\"]\n[[channels]]\nname = \"b\"\naccount = \"zebra\"\nevents = []\n",
        expect![[r#"
            config.toml:8:11: unknown account "acne" (did you mean "acme"?)
            config.toml:12:11: unknown account "zebra" (declare it with [accounts.NAME])
            config.toml:13:10: a channel without events (add one, as in "Deals.all")
        "#]],
    );
    let two = ACCOUNT.replace("acme", "two");
    with_account(
        &format!("{two}[[channels]]\nname = \"a\"\nevents = [\"Deals.all\"]\n"),
        expect![[r#"
        config.toml:13:8: this channel does not say whose it is (add account = "...": one of acme, two)
    "#]],
    );
}

#[test]
fn events_are_well_formed_and_not_too_many() {
    channel(
        "events = []",
        expect![[r#"
        config.toml:9:10: a channel without events (add one, as in "Deals.all")
    "#]],
    );
    channel(
        "events = [\"Deals\", \"Deals.update\", \"Price Books.create\", \"Deals.creat\", 5]",
        expect![[r#"
            config.toml:9:11: this is no event (write Module.operation, as in "Deals.create")
            config.toml:9:20: "update" is no operation (write "edit")
            config.toml:9:36: "Price Books" is no module API name (letters, digits and underscores, as in "Sales_Orders")
            config.toml:9:58: "creat" is no operation (did you mean "create"?)
            config.toml:9:73: "events" must be a string, not a number (put it in quotes)
        "#]],
    );
    let many: Vec<String> = (0..51).map(|number| format!("\"M{number}.all\"")).collect();
    channel(
        &format!("events = [{}]", many.join(",")),
        expect![[r#"
        config.toml:9:10: 51 events, Zoho takes 50 at most (write ".all" for create, edit and delete, or make two channels of it)
    "#]],
    );
    channel(
        &format!("events = [\"{}.all\"]", "M".repeat(125)),
        expect![[r#"
        config.toml:9:11: this event is longer than 128 characters (use the module's API name)
    "#]],
    );
}

#[test]
fn deliveries_go_to_a_url_that_zoho_can_reach() {
    let url = |url: &str, expected: Expect| {
        channel(&format!("events = [\"Deals.all\"]\nnotify_url = \"{url}\""), expected);
    };
    url(
        "http://h.example/",
        expect![[r#"
        config.toml:9:14: this URL is not https (write https://; http is for loopback hosts only)
    "#]],
    );
    url(
        "https://me:hunter2@h.example/",
        expect![[r#"
        config.toml:9:14: this URL holds a user name or password, which would be shown wherever the URL is (leave out what stands before the "@"; prove the origin of deliveries with "token")
    "#]],
    );
    url(
        "https://h.example/a b?key=hunter2",
        expect![[r#"
        config.toml:9:14: this URL holds white space or a character that is not ASCII (percent-encode it)
    "#]],
    );
    url(
        "h.example",
        expect![[r#"
        config.toml:9:14: this is no URL: it has no scheme (as in "https://hooks.example.com/zoho")
    "#]],
    );
    url(
        &format!("https://h.example/{}", "x".repeat(240)),
        expect![[r#"
        config.toml:9:14: this URL has 258 characters, Zoho takes 255 at most (shorten its path or its query)
    "#]],
    );
    with_account(
        "[[channels]]\nname = \"a\"\nevents = [\"Deals.all\"]\n",
        expect![[r#"
        config.toml:7:8: this channel has no "notify_url" (add it here or to [accounts.acme.channel_defaults])
    "#]],
    );
}

#[test]
fn a_token_is_1_to_50_printable_characters() {
    let token =
        |token: &str, expected: Expect| channel(&format!("{GOOD}\ntoken = {token}"), expected);
    token(
        "\"\"",
        expect![[r#"
            config.toml:10:9: "token" is empty (write { env = "NAME" }, { file = "path" }, { credential = "name" } or { command = ["program", "argument"] }, or the secret itself in quotes)
        "#]],
    );
    token(
        &format!("\"{}\"", "x".repeat(51)),
        expect![[r#"
        config.toml:10:9: this token has 51 characters, Zoho takes 50 at most (shorten it; 32 random letters and digits are plenty)
    "#]],
    );
    token(
        "\"a\\tb\"",
        expect![[r#"
        config.toml:10:9: this token holds a character that cannot be printed (use letters and digits)
    "#]],
    );
    token(
        "{ env = \"\" }",
        expect![[r#"
            config.toml:10:9: "token" refers to an empty name (write { env = "NAME" }, { file = "path" }, { credential = "name" } or { command = ["program", "argument"] }, or the secret itself in quotes)
        "#]],
    );
    token(
        "{ file = \"/nonexistent/token\" }",
        expect![[r#"
        config.toml:10:9: the file /nonexistent/token cannot be read (there is no such file)
    "#]],
    );
    token(
        "{ credential = \"acme\" }",
        expect![[r#"
        config.toml:10:9: the systemd credential acme is not here: $CREDENTIALS_DIRECTORY is not set (add LoadCredential=acme:/path/to/secret to the unit; only the unit itself can read it)
    "#]],
    );
    token(
        "[\"a\"]",
        expect![[r#"
            config.toml:10:9: "token" must be a secret, not a list (write { env = "NAME" }, { file = "path" }, { credential = "name" } or { command = ["program", "argument"] }, or the secret itself in quotes)
        "#]],
    );
}

#[test]
fn a_key_is_in_place_of_a_token_and_goes_with_the_life() {
    let key = "a key of thirty-two characters..";
    let rotation = |keys: &str, expected: Expect| channel(&format!("{GOOD}\n{keys}"), expected);
    rotation(&format!("token_key = \"{key}\"\ntoken_rotate = \"2d\""), expect![""]);
    rotation(
        &format!("token_key = \"{key}\"\ntoken = \"t\""),
        expect![[r#"
        config.toml:10:13: a token_key beside a token (leave out one of them)
    "#]],
    );
    rotation(
        "token_key = \"short\"",
        expect![[r#"
        config.toml:10:13: this key has fewer than 32 characters (make a random one: head -c 32 /dev/urandom | base64)
    "#]],
    );
    rotation(
        &format!("token_key = \"{key}\"\ntoken_rotate = \"47h\""),
        expect![[r#"
        config.toml:11:16: token_rotate of 1d 23h does not go with a lifetime of 1d (from "2d" to "366d": at least a day and two lifetimes, so that no channel carries a token that receivers have ceased to accept)
    "#]],
    );
    rotation(
        &format!("token_key = \"{key}\"\nlifetime = \"5m\"\ntoken_rotate = \"23h\""),
        expect![[r#"
        config.toml:12:16: token_rotate of 23h does not go with a lifetime of 5m (from "1d" to "366d": at least a day and two lifetimes, so that no channel carries a token that receivers have ceased to accept)
    "#]],
    );
    rotation(
        &format!("token_key = \"{key}\"\ntoken_rotate = \"367d\""),
        expect![[r#"
        config.toml:11:16: token_rotate of 367d does not go with a lifetime of 1d (from "2d" to "366d": at least a day and two lifetimes, so that no channel carries a token that receivers have ceased to accept)
    "#]],
    );
    rotation(
        "token = \"t\"\ntoken_rotate = \"30d\"",
        expect![[r#"
        config.toml:11:16: this channel's token does not rotate (token_rotate goes with token_key)
    "#]],
    );
}

#[test]
fn of_channel_and_defaults_the_nearer_one_gives_the_token_or_the_key() {
    let key = "a key of thirty-two characters..";
    let config = |defaults: &str, own: &str| {
        let text = format!(
            "{ACCOUNT}[accounts.acme.channel_defaults]\n{defaults}\n[[channels]]\nname = \"a\"\n{GOOD}\n{own}\n"
        );
        let desired = desired(&text);
        let spec = desired.accounts.values().next().unwrap().specs.values().next().unwrap().clone();
        let rotation = spec.rotation.as_ref().map(|rotation| rotation.every.as_secs() / 86_400);
        (spec.token.as_ref().map(|token| token.expose().to_owned()), rotation)
    };
    let keyed = format!("token_key = \"{key}\"");
    assert_eq!(config(&keyed, ""), (None, Some(30)));
    assert_eq!(config(&format!("{keyed}\ntoken_rotate = \"10d\""), ""), (None, Some(10)));
    assert_eq!(
        config(&format!("{keyed}\ntoken_rotate = \"10d\""), "token_rotate = \"9d\""),
        (None, Some(9))
    );
    assert_eq!(config(&keyed, "token = \"t\""), (Some("t".to_owned()), None));
    assert_eq!(config("token = \"t\"", &keyed), (None, Some(30)));
}

#[test]
fn a_life_fits_the_version_and_its_renewal() {
    let life = |keys: &str, expected: Expect| channel(&format!("{GOOD}\n{keys}"), expected);
    life(
        "lifetime = \"8d\"",
        expect![[r#"
            config.toml:10:12: a lifetime of 8d is more than the 7d that API v8 grants here (write "7d" or less: Zoho would not refuse it, but silently give 1h)
        "#]],
    );
    life(
        "lifetime = \"1m\"",
        expect![[r#"
        config.toml:10:12: a lifetime that is too short (at least "5m")
    "#]],
    );
    life(
        "renew_before = \"2h\"",
        expect![[r#"
            config.toml:10:16: renew_before of 2h does not go with a lifetime of 1d (from one eighth to three quarters of it: 3h to 18h)
        "#]],
    );
    life(
        "lifetime = \"4h\"\nrenew_before = \"3h 1s\"",
        expect![[r#"
        config.toml:11:16: renew_before of 3h 1s does not go with a lifetime of 4h (from one eighth to three quarters of it: 30m to 3h)
    "#]],
    );
    life("lifetime = \"4h\"\nrenew_before = \"30m\"", expect![""]);
    let old = format!(
        "{ACCOUNT}api_version = \"v3\"\nlifetime_max = \"2d\"\n[accounts.acme.channel_defaults]\nlifetime = \"3d\"\n"
    );
    problems(
        &format!("{old}[[channels]]\nname = \"a\"\n{GOOD}\n[[channels]]\nname = \"b\"\n{GOOD}\n"),
        expect![[r#"
            config.toml:10:12: a lifetime of 3d is more than the 2d that API v3 grants here (write "2d" or less: Zoho would not refuse it, but silently give 1h)
        "#]],
    );
}

#[test]
fn the_credits_of_a_day_follow_from_edition_and_users_or_are_given() {
    let with = |keys: &str| format!("{}{keys}", ACCOUNT.trim_start());
    problems(
        &with("edition = \"enterprize\"\nusers = 0\n"),
        expect![[r#"
        config.toml:6:11: unknown edition "enterprize" (did you mean "enterprise"?)
        config.toml:7:9: "users" is out of range (from 1 to 1000000)
    "#]],
    );
    problems(
        &with("edition = \"Gold\"\ncredits_per_day = -1\n"),
        expect![[r#"
            config.toml:6:11: unknown edition "Gold" (one of free, standard, starter, professional, enterprise, zoho-one, ultimate, crm-plus, express, premier, people-plus)
            config.toml:7:19: "credits_per_day" is out of range (from 1 to 10000000000)
        "#]],
    );
    problems(
        &with("edition = \"enterprise\"\n"),
        expect![[r#"
        config.toml:6:11: the credits of edition "enterprise" depend on users (add users, the number of user licences)
    "#]],
    );
    problems(
        &with("users = 5\n"),
        expect![[r#"
        config.toml:6:9: users without edition (add edition, or write credits_per_day in place of both)
    "#]],
    );
    for (keys, credits) in [
        ("", None),
        ("edition = \"free\"\n", Some(5_000)),
        ("edition = \"enterprise\"\nusers = 25\n", Some(75_000)),
        ("credits_per_day = 9000\n", Some(9_000)),
        ("edition = \"enterprise\"\ncredits_per_day = 9000\n", Some(9_000)),
    ] {
        let channel = "[[channels]]\nname = \"a\"\nevents = [\"Deals.all\"]\nnotify_url = \"https://h.example/\"\n";
        let state = desired(&format!("{}{channel}", with(keys)));
        let account = &state.accounts[&"acme".parse().unwrap()].account;
        assert_eq!(account.policy.credits_per_day, credits, "{keys}");
    }
}

#[test]
fn an_owner_is_marked_where_it_is_asked_for_and_the_mark_counts_for_the_length() {
    let url = |url: &str, keys: &str| {
        let channel = format!(
            "[[channels]]\nname = \"a\"\nevents = [\"Deals.all\"]\nnotify_url = \"{url}\"\n{keys}"
        );
        let state = desired(&format!("{ACCOUNT}{channel}"));
        let specs = &state.accounts[&"acme".parse().unwrap()].specs;
        specs.values().next().unwrap().notify_url.full().to_owned()
    };
    assert_eq!(url("https://h.example/", ""), "https://h.example/");
    assert_eq!(
        url("https://h.example/", "mark_owner = true"),
        "https://h.example/?channelkeeper=channelkeeper"
    );
    assert_eq!(
        url("https://h.example/?", "mark_owner = true"),
        "https://h.example/?channelkeeper=channelkeeper"
    );
    assert_eq!(
        url("https://h.example/?a=1#b", "mark_owner = true"),
        "https://h.example/?a=1&channelkeeper=channelkeeper#b"
    );
    let marked = "https://h.example/?a=1&channelkeeper=channelkeeper";
    assert_eq!(url(marked, "mark_owner = true"), marked);
    let long = format!("https://h.example/{}", "x".repeat(230));
    assert_eq!(url(&long, ""), long);
    problems(
        &format!(
            "{ACCOUNT}[[channels]]\nname = \"a\"\nevents = [\"Deals.all\"]\nnotify_url = \"{long}\"\nmark_owner = true"
        ),
        expect![[r#"
            config.toml:10:14: this URL has 276 characters, Zoho takes 255 at most (shorten its path or its query)
        "#]],
    );
}

#[test]
fn keys_that_a_version_does_not_know_are_refused() {
    let old = format!("{ACCOUNT}api_version = \"v2.1\"\n[[channels]]\nname = \"a\"\n{GOOD}\n");
    let keys = "return_affected_field_values = true\nconditions = [{ module = \"Deals\", any_of = [\"Stage\"] }]\n";
    problems(
        &format!("{old}{keys}"),
        expect![[r#"
        config.toml:12:32: API v2.1 does not know return_affected_field_values (it came with v3: raise api_version, or leave it out)
        config.toml:13:14: API v2.1 does not know conditions (they came with v6: raise api_version, or leave them out)
    "#]],
    );
}

#[test]
fn an_account_of_a_product_is_held_to_what_the_product_has() {
    let text = ACCOUNT.trim_start();
    problems(
        &format!(
            "{text}product = \"bigin\"\napi_version = \"v8\"\nenvironment = \"sandbox\"\nedition = \"ultimate\"\n\
             portal = \"x\"\n[[channels]]\nname = \"a\"\n{GOOD}\nnotify_on_related_action = false\n\
             return_affected_field_values = true\nlifetime = \"2d\"\n"
        ),
        expect![[r#"
            config.toml:7:15: Bigin has no API v8 (one of v1, v2)
            config.toml:8:15: no host is known for the sandbox orgs of Bigin (give api_url and accounts_url in place of data_center)
            config.toml:9:11: no credits are known for edition "ultimate" of Bigin (one of free, express, premier, zoho-one, or credits_per_day in its place)
            config.toml:10:10: a portal (portal goes with product = "vertical")
            config.toml:15:28: Bigin v2 does not know notify_on_related_action (leave it out)
            config.toml:16:32: Bigin v2 does not know return_affected_field_values (leave it out)
            config.toml:17:12: a lifetime of 2d is more than the 1d that Bigin v2 grants here (write "1d" or less: Zoho would not refuse it, but silently give 2h)
        "#]],
    );
    problems(
        &format!("{text}product = \"vertical\"\n[[channels]]\nname = \"a\"\n{GOOD}\n"),
        expect![[r#"
            config.toml:1:11: this account has no "portal" (add portal = "acme" for acme.zohoplatform.com, or api_url and accounts_url)
        "#]],
    );
    let urls = "api_url = \"https://a.test\"\naccounts_url = \"https://b.test\"\n";
    let elsewhere = text.replace("data_center = \"eu\"\n", urls);
    assert_ne!(elsewhere, text);
    problems(
        &format!("{elsewhere}product = \"vertical\"\nportal = \"acme\"\n"),
        expect![[r#"
            config.toml:8:10: portal goes with data_center (leave it out: api_url names the host)
        "#]],
    );
    problems(
        &format!("{text}product = \"begin\"\n"),
        expect![[r#"
            config.toml:6:11: unknown product "begin" (did you mean "bigin"?)
        "#]],
    );
}

#[test]
fn an_account_asks_where_its_product_answers() {
    let asked = |keys: &str| {
        let desired = desired(&format!("{ACCOUNT}{keys}[[channels]]\nname = \"a\"\n{GOOD}\n"));
        let account = &desired.accounts[&"acme".parse().unwrap()].account;
        (account.api(), account.accounts_url.clone(), account.policy.lifetime_max.as_secs() / 3600)
    };
    let accounts = || "https://accounts.zoho.eu".to_owned();
    let table = [
        ("product = \"crm\"\n", "https://www.zohoapis.eu/crm/v8", 168),
        ("product = \"bigin\"\n", "https://www.zohoapis.eu/bigin/v2", 24),
        ("product = \"recruit\"\n", "https://recruit.zoho.eu/recruit/v2", 24),
        (
            "product = \"vertical\"\nportal = \"Clinic\"\n",
            "https://clinic.zohoplatform.com/crm/v6",
            24,
        ),
    ];
    for (keys, api, hours) in table {
        assert_eq!(asked(keys), (api.to_owned(), accounts(), hours), "{keys}");
    }
}

#[test]
fn deals_of_bigin_are_pipelines() {
    let text = format!("{ACCOUNT}product = \"bigin\"\n[[channels]]\nname = \"a\"\n{GOOD}\n");
    let loaded = of_text(&text.replace("Deals.all", "Deals.create"));
    assert!(loaded.desired.is_some());
    let told = lines(&loaded.warnings);
    assert!(
        told.contains("\"Deals\" is no standard module of Bigin (did you mean Pipelines?)"),
        "{told}"
    );
}

#[test]
fn a_condition_may_mix_any_and_all_in_any_order_and_brackets() {
    let conditions = |list: &str| {
        let text = format!("{ACCOUNT}[[channels]]\nname = \"a\"\n{GOOD}\nconditions = [{list}]\n");
        let desired = desired(&text);
        let spec = desired.accounts.values().flat_map(|held| held.specs.values()).next().unwrap();
        spec.conditions.clone()
    };
    let written = conditions(
        r#"{ module = "Deals", any_of = ["Stage", { all_of = ["Account_Name", "Lead_Source"] }] }"#,
    );
    let described: Vec<String> = written.iter().map(Condition::describe).collect();
    assert_eq!(described, ["Deals: any of Stage, (all of Account_Name, Lead_Source)"]);
    let otherwise = conditions(
        r#"{ any_of = [{ all_of = ["Lead_Source", { any_of = ["Account_Name"] }] }, { any_of = ["Stage"] }], module = "Deals" }"#,
    );
    assert_eq!(otherwise, written);
}

#[test]
fn a_group_in_a_condition_is_checked_as_the_condition_is() {
    let conditions =
        |list: &str, expected: Expect| channel(&format!("{GOOD}\nconditions = [{list}]"), expected);
    conditions(
        r#"{ module = "Deals", any_of = ["Stage", {}, { all_of = ["Closing Date"] }, { some_of = ["A"] }, 5] }"#,
        expect![[r#"
            config.toml:10:54: a condition without fields (add any_of = ["Stage"] or all_of = [...])
            config.toml:10:70: "Closing Date" is no field API name (letters, digits and underscores, as in "Closing_Date")
            config.toml:10:89: a condition without fields (add any_of = ["Stage"] or all_of = [...])
            config.toml:10:91: unknown key "some_of" in group (one of any_of, all_of)
            config.toml:10:110: "any_of" must be a list of fields and groups, not a number (write ["...", { all_of = ["...", "..."] }])
        "#]],
    );
}

#[test]
fn conditions_are_within_zohos_limits() {
    let conditions =
        |list: &str, expected: Expect| channel(&format!("{GOOD}\nconditions = [{list}]"), expected);
    conditions(
        "{ module = \"Leads\", any_of = [\"Stage\"] }, { module = \"Deals\" }",
        expect![[r#"
        config.toml:10:26: no event of this channel is of module "Leads" (its events: Deals.all)
        config.toml:10:57: a condition without fields (add any_of = ["Stage"] or all_of = [...])
    "#]],
    );
    conditions(
        "{ module = \"Deals\", any_of = [\"Closing Date\"], all_of = [] }, { any_of = [] }, 5",
        expect![[r#"
            config.toml:10:15: a condition with both any_of and all_of (put one into the other, as in any_of = ["Stage", { all_of = ["Amount", "Owner"] }])
            config.toml:10:77: condition has no "module" (add module = "Deals")
            config.toml:10:88: a condition without fields (name the fields that must have changed)
            config.toml:10:94: "conditions" must be a list of tables, not a number (write [[header]] above each, or [{ ... }, { ... }])
        "#]],
    );
    let fields: Vec<String> = (0..11).map(|number| format!("\"F{number}\"")).collect();
    conditions(
        &format!("{{ module = \"Deals\", all_of = [{}] }}", fields.join(",")),
        expect![[r#"
        config.toml:10:14: 11 fields in all conditions, Zoho takes 10 at most (make two channels of it)
    "#]],
    );
}

#[test]
fn what_needs_no_mending_but_a_look_is_a_warning() {
    let warnings = |text: &str, expected: Expect| {
        let loaded = of_text(text);
        assert!(loaded.desired.is_some(), "{:#?}", loaded.problems);
        expected.assert_eq(&lines(&loaded.warnings));
    };
    warnings(
        "",
        expect![[r#"
        config.toml:1:1: this config declares no channels (config.example.toml shows how an account and a channel are written)
    "#]],
    );
    for (second, is_hasty) in
        [("0", false), ("07", false), ("*", true), ("*/15", true), ("0,30", true)]
    {
        let loaded = of_text(&format!(
            "[reconcile]\naudit = \"{second} * * * * *\"\n{ACCOUNT}[[channels]]\nname = \"a\"\n{GOOD}"
        ));
        assert_eq!(loaded.warnings.len(), usize::from(is_hasty), "{second}: {:?}", loaded.warnings);
    }
    warnings(
        &format!(
            "[reconcile]\naudit = \"* * * * * *\"\n{ACCOUNT}[[channels]]\nname = \"a\"\n{GOOD}"
        ),
        expect![[r#"
            config.toml:2:9: more than one audit a minute (each looks at everything an account has: one a second is 86400 calls a day, for each account; name one second, renewals do not wait for it)
        "#]],
    );
    warnings(
        ACCOUNT,
        expect![[r#"
        config.toml:2:11: account "acme" has no channels (add [[channels]], or take the account out)
    "#]],
    );
    warnings(
        &format!(
            "{ACCOUNT}api_version = \"v3\"\nlifetime_max = \"7d\"\n[[channels]]\nname = \"a\"\n{GOOD}"
        ),
        expect![[r#"
            config.toml:8:16: Zoho documents 1d as the longest life on API v3 (asking for more than it grants silently gives 1h)
        "#]],
    );
}

#[test]
fn the_nearest_word_counts() {
    let text = format!(
        r#"{ACCOUNT}mode = "no-disable"
[accounts.acme.channel_defaults]
notify_url = "https://h.example/default"
token = "default"
lifetime = "12h"
mode = "sync"
[reconcile]
lifetime = "2d"
renew_before = "6h"
mode = "observe"
[[channels]]
name = "plain"
events = ["Deals.all"]
[[channels]]
name = "own"
id = 42
notify_url = "https://h.example/own"
token = "own"
lifetime = "1d"
renew_before = "12h"
mode = "observe"
notify_on_related_action = false
events = ["Deals.edit"]
"#
    );
    let desired = desired(&text);
    let account = &desired.accounts[&"acme".parse().unwrap()];
    assert_eq!(account.account.policy.mode.as_str(), "no-disable");
    let shown: Vec<String> = account
        .specs
        .values()
        .map(|spec| {
            let life = humantime::format_duration(spec.lifetime);
            let before = humantime::format_duration(spec.renew_before.unwrap_or_default());
            let token =
                spec.token.as_ref().map(|token| token.expose().to_owned()).unwrap_or_default();
            format!(
                "{} {} {} {life} {before} {token} {}",
                spec.id, spec.name, spec.notify_url, spec.mode
            )
        })
        .collect();
    expect![[r#"
        42 own https://h.example/own 1day 12h own observe
        6700994921112249 plain https://h.example/default 12h 6h default no-disable"#]]
    .assert_eq(&shown.join("\n"));
}

#[test]
fn no_secret_is_shown_whatever_is_wrong_around_it() {
    let secret = "hunter2hunter2";
    let texts = [
        format!("[accounts.a]\nclient_secret = \"{secret}\n"),
        format!("[accounts.a]\nclient_secret = \"{secret}\" oops = 3\n"),
        format!("[accounts.a]\nclient_secret = {secret}\n"),
        format!("[accounts.a]\nclient_secret = [\"{secret}\"]\n"),
        format!("[accounts.a]\nclient_secret = {{ value = \"{secret}\" }}\n"),
        format!("[accounts.a]\nclient_secret = {{ env = [\"{secret}\"] }}\n"),
        format!("[accounts.a]\nclient-secret = \"{secret}\"\n"),
        format!("[accounts.a]\nclient_secret = \"\"\"\n{secret} = 3\n{secret}\"\"\"\nzebra = 3\n"),
        format!("[accounts.a]\nclient_secret = '''\nx\n{secret} = \nx\n"),
        format!(
            "[accounts.a]\nclient_secret = \"x\" # {secret}\nzebra = \"{secret}\" # {secret}\n"
        ),
        format!("[accounts.a]\n{secret}\n"),
        format!("[accounts.a]\nzebra = {{ a = [\"{secret}\", {{ b = \"{secret}\" }}] }}\n"),
        format!("{secret}\"\n"),
        format!("[[channels]]\nname = \"a\"\ntoken = \"{secret}{secret}{secret}{secret}\"\n"),
        format!("[[channels]]\nname = \"a\", token = \"{secret}\"\n"),
        format!("channels = [{{ name = \"a b\", token = \"{secret}\", zebra = \"{secret}\" }}]\n"),
        format!("[[channels]]\nname = \"a\"\nnotify_url = \"ftp://h.example/x?key={secret}\"\n"),
        format!(
            "[[channels]]\nname = \"a\"\nevents = []\nnotify_url = \"https://me:{secret}@h.example/\"\n[accounts.a]\n"
        ),
    ];
    for text in texts {
        let loaded = of_text(&text);
        assert!(!loaded.problems.is_empty(), "{text}");
        for look in [ProblemStyle::Plain, ProblemStyle::Unicode, ProblemStyle::Colour] {
            let shown =
                render(&loaded.problems, look) + &lines(&loaded.problems) + &format!("{loaded:?}");
            assert!(!shown.contains("hunter2"), "{text}\n{shown}");
        }
    }
}

#[test]
fn a_shown_problem_underlines_its_text() {
    let text = format!(
        "{ACCOUNT}\n[[channels]]\nname = \"a\"\n{GOOD}\nlifetime = \"1d\" # soon\nlifetme = \"2d\"\ntoken = 5\n"
    );
    expect![[r#"
        shown:
        error: config.toml:13:1: unknown key "lifetme" in channel "a"
           |
        13 | lifetme = "***"
           | ^^^^^^^
           |
           = help: did you mean "lifetime"?

        error: config.toml:14:9: "token" must be a secret, not a number
           |
        14 | token = ***
           |         ^^^
           |
           = help: write { env = "NAME" }, { file = "path" }, { credential = "name" } or { command = ["program", "argument"] }, or the secret itself in quotes
    "#]]
    .assert_eq(&format!("shown:\n{}", render(&of_text(&text).problems, ProblemStyle::Plain)));
}

#[test]
fn beyond_a_thousand_problems_are_counted_only() {
    let text: String = (0..1234).map(|number| format!("zebra{number} = 1\n")).collect();
    let problems = of_text(&text).problems;
    assert_eq!(problems.len(), 1001);
    let last = problems.last().unwrap().one_line();
    assert_eq!(last, "config.toml: 234 more problems are not listed (mend these first)");
}

#[test]
fn a_broken_file_still_tells_where_the_store_is() {
    let loaded = of_text("[daemon]\nstate_dir = \"state\"\n[http]\nlisten = \"off\n");
    assert!(loaded.desired.is_none());
    assert_eq!(loaded.state_dir, Some("/etc/channelkeeper/state".into()));
}

#[test]
fn a_credential_that_only_the_unit_has_can_be_tolerated() {
    let text = format!(
        "{}[[channels]]\nname = \"a\"\n{GOOD}",
        ACCOUNT.replace("env = \"SECRET\"", "credential = \"acme\"")
    );
    let mut loading = Loading::default();
    loading.take(source("config.toml", &text), Role::Main);
    let surroundings = Surroundings { missing: MissingCredentials::Tolerate, ..surroundings() };
    let loaded = loading.finish(&surroundings);
    expect![[r#"
        config.toml:5:17: the systemd credential acme is not here: $CREDENTIALS_DIRECTORY is not set (it was not checked; the unit gets it from systemd)
    "#]].assert_eq(&lines(&loaded.warnings));
    assert!(loaded.desired.is_some());
}

/// Several threads read them, and the first of two that say the same is the one that counts.
#[test]
fn many_included_files_are_taken_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("config.toml", &format!("include = [\"*.inc\"]\n{ACCOUNT}"));
    for number in 10..40 {
        write(&format!("{number}.inc"), &format!("[[channels]]\nname = \"a\"\n{GOOD}"));
    }
    let path = folder.path().join("config.toml");
    let loaded = load(&path, &Surroundings::of_process());
    let names =
        |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let files: Vec<String> = loaded.files.iter().skip(1).map(names).collect();
    assert_eq!(files, (10..40).map(|number| format!("{number}.inc")).collect::<Vec<_>>());
    let twice = loaded.problems.iter().filter(|it| it.message.contains("declared twice"));
    let twice: Vec<&Problem> = twice.collect();
    assert_eq!(twice.len(), 29);
    for (problem, number) in twice.into_iter().zip(11..) {
        assert!(problem.file.ends_with(&format!("/{number}.inc")), "{}", problem.file);
        let help = problem.help.as_deref().unwrap_or_default();
        assert!(help.contains("/10.inc:"), "{help}");
    }
}

#[test]
fn included_files_hold_accounts_and_channels_and_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    let path = folder.path().join("config.toml");
    write(
        "config.toml",
        &format!(
            "include = [\"conf.d/*.toml\", \"none.d/*\", \"*/x\", \"absent.toml\"]\n{ACCOUNT}\n[[channels]]\nname = \"a\"\n{GOOD}"
        ),
    );
    write("conf.d/b.toml", &format!("[http]\n[[channels]]\nname = \"a\"\n{GOOD}"));
    write("conf.d/a.toml", ACCOUNT);
    write("conf.d/.hidden.toml", "zebra");
    write("conf.d/c.conf", "zebra");
    let shown =
        |loaded: &Loaded| lines(&loaded.problems).replace(&folder.path().display().to_string(), "");
    expect![[r#"
        /config.toml:1:41: "*" may stand in the last part of a path only (as in "conf.d/*.toml")
        /config.toml:1:48: /absent.toml: No such file or directory (os error 2) (every included file must be readable)
        /conf.d/a.toml:2:11: account "acme" is declared twice (the other one is at /config.toml:3)
        /conf.d/b.toml:1:2: "http" does not belong in an included file (write it in the main file; included files hold accounts and channels)
        /conf.d/b.toml:3:8: channel "a" is declared twice (the other one is at /config.toml:10)
    "#]].assert_eq(&shown(&load(&path, &surroundings())));

    write("config.toml", &format!("include = [\"conf.d/*.toml\"]\n{ACCOUNT}"));
    write("conf.d/b.toml", &format!("[[channels]]\nname = \"b\"\n{GOOD}"));
    write(
        "conf.d/a.toml",
        &format!("[[channels]]\nname = \"a\"\n{GOOD}\ntoken = {{ file = \"../token\" }}"),
    );
    write("token", "t\n");
    let loaded = load(&path, &surroundings());
    assert_eq!(shown(&loaded), "");
    assert_eq!(loaded.files.len(), 3);
    assert_eq!(loaded.desired.unwrap().accounts[&"acme".parse().unwrap()].specs.len(), 2);
}

#[test]
fn a_channel_knows_the_lines_of_its_events() {
    let text = format!(
        "{ACCOUNT}[[channels]]\nname = \"a\"\nnotify_url = \"https://h.example\"\n\
         events = [\n\"Deals.all\",\n\"Leads.create\", \"Calls.all\"]\n"
    );
    let desired = desired(&text);
    let spec = desired.accounts.values().flat_map(|held| held.specs.values()).next().unwrap();
    let line = |event: &str| spec.declared.named_in(&format!("the event {event}: invalid data"));
    let of = |text_of: &str| {
        let at = text.lines().position(|line| line.contains(text_of)).unwrap() + 1;
        Some(format!("config.toml:{at}"))
    };
    assert_eq!((line("Deals.edit"), line("Calls.all")), (of("Deals.all"), of("Calls.all")));
    assert_eq!(spec.declared.named_in("the key token: invalid data"), of("name ="));
}

#[test]
fn a_file_that_is_not_there_is_one_problem() {
    let loaded = load("/nonexistent/config.toml".as_ref(), &surroundings());
    expect![[r#"
        /nonexistent/config.toml: No such file or directory (os error 2) (name another with --config FILE)
    "#]]
    .assert_eq(&lines(&loaded.problems));
}

#[test]
fn a_plain_secret_in_a_readable_file_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(
        &path,
        format!(
            "{}[[channels]]\nname = \"a\"\ntoken = \"plain too\"\n{GOOD}",
            ACCOUNT.replace("{ env = \"SECRET\" }", "\"plain\"")
        ),
    )
    .unwrap();
    let warnings = |mode: u32| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        lines(&load(&path, &surroundings()).warnings)
            .replace(&folder.path().display().to_string(), "")
    };
    assert_eq!(warnings(0o600), "");
    expect![[r#"
        /config.toml:5:17: "client_secret" stands in a file that others can read (chmod 600 /config.toml)
    "#]]
    .assert_eq(&warnings(0o644));
}

#[test]
fn a_secret_file_that_others_can_read_is_a_warning_and_one_that_is_missing_names_login() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let account = ACCOUNT
        .replace("{ env = \"SECRET\" }", "{ file = \"secret\" }")
        .replace("{ env = \"REFRESH\" }", "{ file = \"refresh\" }");
    std::fs::write(&path, format!("{account}[[channels]]\nname = \"a\"\n{GOOD}")).unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "secret\n").unwrap();
    let told = |mode: u32| {
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
        let loaded = load(&path, &surroundings());
        let all: Vec<Problem> = loaded.problems.into_iter().chain(loaded.warnings).collect();
        lines(&all).replace(&folder.path().display().to_string(), "")
    };
    expect![[r#"
        /config.toml:6:17: the file /refresh cannot be read (`channelkeeper login` with the same --config gets it)
    "#]]
    .assert_eq(&told(0o600));
    expect![[r#"
        /config.toml:6:17: the file /refresh cannot be read (`channelkeeper login` with the same --config gets it)
        /config.toml:5:17: others can read /secret, where "client_secret" is (chmod 600 /secret)
    "#]]
    .assert_eq(&told(0o604));
}

#[test]
fn one_mistake_hides_no_other_and_brings_no_others_with_it() {
    let wrong =
        "events = [\"Deals.update\"]\nnotify_url = \"http://h.example/\"\nlifetime = \"1m\"\n";
    with_account(
        &format!("[[channels]]\nname = \"a\"\naccount = \"acmee\"\n{wrong}"),
        expect![[r#"
            config.toml:8:11: unknown account "acmee" (did you mean "acme"?)
            config.toml:9:11: "update" is no operation (write "edit")
            config.toml:10:14: this URL is not https (write https://; http is for loopback hosts only)
            config.toml:11:12: a lifetime that is too short (at least "5m")
        "#]],
    );
    problems(
        &format!(
            "{}[[channels]]\nname = \"a\"\n{GOOD}\n[[channels]]\nname = \"b\"\naccount = \"acme\"\n{GOOD}\n",
            ACCOUNT.replace("[accounts.", "[account.")
        ),
        expect![[r#"
            config.toml:2:2: unknown key "account" (did you mean "accounts"?)
        "#]],
    );
}

#[test]
fn a_module_that_is_nearly_zohos_is_a_warning() {
    let text = format!(
        "{ACCOUNT}[[channels]]\nname = \"a\"\nnotify_url = \"https://h.example/\"\n\
         events = [\"Deal.create\", \"Meetings.all\", \"Projects.edit\", \"Leads.all\"]\n"
    );
    let loaded = of_text(&text);
    expect![[r#"
        config.toml:10:11: "Deal" is no standard module of Zoho CRM (did you mean Deals?)
        config.toml:10:26: "Meetings" is no standard module of Zoho CRM (did you mean Events?)
    "#]]
    .assert_eq(&lines(&loaded.warnings));
    assert!(loaded.desired.is_some());
}

#[test]
fn a_value_of_any_length_is_told_in_a_bounded_message() {
    let long = "x".repeat(5_000_000);
    let text = format!("{ACCOUNT}[[channels]]\nname = \"{long}\"\naccount = \"{long}\"\n{GOOD}\n");
    let loaded = of_text(&text);
    assert_eq!(loaded.problems.len(), 2);
    for problem in &loaded.problems {
        let line = problem.one_line();
        assert!(line.len() < 7000, "{} bytes", line.len());
        assert!(line.contains("x ... x"), "{line}");
    }
    assert!(render(&loaded.problems, ProblemStyle::Plain).len() < 20_000);
    assert!(loaded.problems[0].message.ends_with("\" is no name for a channel"));
}

#[test]
fn a_hundred_thousand_channels_load() {
    let mut loading = Loading::default();
    loading.take(source("config.toml", ACCOUNT), Role::Main);
    for file in 0..4 {
        let channels: String = (0..25_000)
            .map(|number| format!("[[channels]]\nname = \"c{file}-{number}\"\n{GOOD}\n"))
            .collect();
        loading.take(source("more.toml", &channels), Role::Included);
    }
    let loaded = loading.finish(&surroundings());
    assert_eq!(lines(&loaded.problems), "");
    assert_eq!(loaded.desired.unwrap().accounts[&"acme".parse().unwrap()].specs.len(), 100_000);
}

/// A line break by mistake makes of the rest of a secret what begins like a table's header.
#[test]
fn the_rest_of_a_broken_string_is_no_header() {
    let shown = |broken: &str| {
        render(
            &of_text(&format!("[accounts.acme]\nclient_secret = {broken}\n")).problems,
            ProblemStyle::Plain,
        )
    };
    assert!(!shown("\"\n[aXq7Xq7Xq7Xq7\"").contains("Xq7"));
    assert!(shown("\"a\"\n[accounts.acme]").contains("[accounts.acme]"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_without_a_panic(text in "(\\PC|\n|\"|=|\\[|'){0,200}") {
        shows(&of_text(&text));
    }

    #[test]
    fn any_change_of_the_example_is_read_without_a_panic(
        at in 0_usize..8000, cut in 0_usize..40, put in "(\\PC|\n|\"|=|\\[|\\]|'){0,8}"
    ) {
        let example = include_str!("../../config.example.toml");
        let from = (0..=at.min(example.len())).rev().find(|at| example.is_char_boundary(*at)).unwrap();
        let to = (from + cut..=example.len()).find(|at| example.is_char_boundary(*at)).unwrap_or(example.len());
        shows(&of_text(&format!("{}{put}{}", &example[..from], &example[to..])));
    }

    #[test]
    fn no_change_of_a_config_brings_its_secrets_to_light(
        at in 0_usize..SECRETIVE.len(), rest in any::<bool>(), put in "[a-z=#\"'{}, .\\[\\]\\\\\n\u{e9}]{0,6}"
    ) {
        let tail = if rest { &SECRETIVE[at..] } else { "" };
        let text = format!("{}{put}{tail}", &SECRETIVE[..at]);
        let loaded = of_text(&text);
        let found = [loaded.problems, loaded.warnings].concat();
        let shown = render(&found, ProblemStyle::Plain) + &lines(&found);
        prop_assert!(!shown.contains("Xq7Xq7"), "{text}\n{shown}");
    }
}

const SECRETIVE: &str = r#"
[accounts.acme]
client_secret = "Xq7Xq7Xq7Xq7" # Xq7Xq7
refresh_token = """
Xq7Xq7Xq7Xq7
Xq7Xq7 = Xq7Xq7"""
data_center = "eu"
zebra = 'Xq7Xq7Xq7Xq7'
channel_defaults = { token = 'Xq7Xq7Xq7Xq7', lifetime = 3, notify_url = "http://h.example/?key=Xq7Xq7Xq7Xq7" }
[[channels]]
name = "a b"
token = { value = "Xq7Xq7Xq7Xq7", file = ["Xq7Xq7"] }
events = ["Deals.all"]
"#;

const GOOD: &str = "events = [\"Deals.all\"]\nnotify_url = \"https://h.example/\"";

fn shows(loaded: &Loaded) {
    assert_eq!(loaded.desired.is_some(), loaded.problems.is_empty());
    render(&loaded.problems, ProblemStyle::Unicode);
    lines(&loaded.problems);
}

fn channel(keys: &str, expected: Expect) {
    let url =
        if keys.contains("notify_url") { "" } else { "notify_url = \"https://h.example/\"\n" };
    with_account(&format!("[[channels]]\nname = \"a\"\n{url}{keys}\n"), expected);
}

fn with_account(text: &str, expected: Expect) {
    problems(&format!("{}{text}", ACCOUNT.trim_start()), expected);
}

/// The API, the OAuth server, a receiver, the webhook and the heartbeat: all that is called, or is
/// given a token.
#[test]
fn every_url_is_https_or_the_loopback_s() {
    let with = |url: &str| {
        let text = format!(
            "[alerts]\nwebhook = \"{url}\"\nheartbeat = \"{url}\"\n[accounts.acme]\napi_url = \"{url}\"\n\
             accounts_url = \"{url}\"\nclient_id = \"c\"\nclient_secret = \"s\"\nrefresh_token = \"r\"\n\
             [[channels]]\nname = \"a\"\nevents = [\"Deals.all\"]\nnotify_url = \"{url}\"\n"
        );
        let loaded = of_text(&text);
        loaded.problems.iter().filter(|problem| problem.one_line().contains("URL")).count()
    };
    for bad in [
        "http://h.example",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://2130706433",
        "http://0x7f.1",
        "http://[::ffff:127.0.0.1]",
        "http://0.0.0.0",
        "http://10.0.0.1",
        "http://localhost@h.example",
        "HTTP://h.example",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "unix:///run/x.sock",
        "//h.example",
        "https://",
        "https://user:hunter2@h.example",
        "https://h.example\\n",
    ] {
        assert_eq!(with(bad), 5, "{bad}");
    }
    for good in [
        "https://h.example",
        "http://localhost:1",
        "http://a.localhost",
        "http://127.1.2.3:1",
        "http://[::1]:1",
    ] {
        assert_eq!(with(good), 0, "{good}");
    }
}

#[test]
fn the_door_of_the_health_endpoints_is_checked() {
    problems(
        "[http]\nhosts = [\"https://x.example\", \"x.example:80\", \"\", \"[::1]\", \"a b\", \"*.example\"]\ntoken = \"hunter2\"\n",
        expect![[r#"
            config.toml:2:10: "https://x.example" is no name of a host (write the name alone, as in "status.example.com": no scheme, no port)
            config.toml:2:31: "x.example:80" is no name of a host (write the name alone, as in "status.example.com": no scheme, no port)
            config.toml:2:47: "" is no name of a host (write the name alone, as in "status.example.com": no scheme, no port)
            config.toml:2:51: "[::1]" is no name of a host (write the name alone, as in "status.example.com": no scheme, no port)
            config.toml:2:60: "a b" is no name of a host (write the name alone, as in "status.example.com": no scheme, no port)
            config.toml:2:67: "*.example" is no name of a host (write the name alone, as in "status.example.com": no scheme, no port)
            config.toml:3:9: "token" is too short, or cannot be sent in a header (at least 16 characters of ASCII, as from: openssl rand -hex 32)
        "#]],
    );
    problems(
        "[http]\ntoken = \"hunter2-hunter2 hunter2\"\n",
        expect![[r#"
        config.toml:2:9: "token" is too short, or cannot be sent in a header (at least 16 characters of ASCII, as from: openssl rand -hex 32)
    "#]],
    );
    let settings =
        desired("[http]\nhosts = [\"X.Example.\"]\ntoken = \"0123456789abcdef\"\n").settings;
    assert_eq!(
        (settings.http.hosts, settings.http.token.is_some()),
        (vec!["x.example".to_owned()], true)
    );
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a row of a table reads better without an ampersand"
)]
fn problems(text: &str, expected: Expect) {
    let loaded = of_text(text);
    shows(&loaded);
    expected.assert_eq(&lines(&loaded.problems));
}

fn desired(text: &str) -> Desired {
    let loaded = of_text(text);
    loaded.desired.unwrap_or_else(|| panic!("{}", lines(&loaded.problems)))
}

pub(super) fn of_text(text: &str) -> Loaded {
    let mut loading = Loading::default();
    loading.take(source("config.toml", text), Role::Main);
    loading.finish(&surroundings())
}

pub(super) fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| problem.one_line() + "\n").collect()
}

fn source(name: &str, text: &str) -> Source {
    let folder = "/etc/channelkeeper".into();
    Source { name: name.into(), folder, text: text.into(), ..Source::default() }
}

pub(super) fn surroundings() -> Surroundings {
    let env = |name: &str| match name {
        "SECRET" | "REFRESH" | "TOKEN" => Some(format!("the-{name}")),
        "TWO_WORDS" => Some("two words".to_owned()),
        _ => None,
    };
    Surroundings {
        env: Box::new(env),
        credentials_dir: None,
        missing: MissingCredentials::Refuse,
        commands: Commands::Refuse,
    }
}

mod backfill {
    use super::*;
    use crate::model::backfill::{BackfillMode, BackfillRule, Kinds};

    fn rule(table: &str, account: &str, channel: &str) -> Option<BackfillRule> {
        let text = format!(
            "{table}\n[accounts.acme]\ndata_center = \"eu\"\nclient_id = \"1000.A\"\nclient_secret = {{ env = \"SECRET\" }}\n\
             refresh_token = {{ env = \"REFRESH\" }}\n{account}\n[[channels]]\nname = \"a\"\nevents = [\"Deals.all\"]\n\
             notify_url = \"https://h.example\"\n{channel}\n"
        );
        let desired = desired(&text);
        let account = desired.accounts.into_values().next().expect("an account");
        account.specs.into_values().next().expect("a channel").backfill
    }

    #[test]
    fn it_is_off_unless_somebody_says_otherwise_and_the_nearest_word_counts() {
        let mode = |table: &str, account: &str, channel: &str| {
            rule(table, account, channel).map(|rule| rule.mode)
        };
        let on = "[backfill]\nmode = \"on\"";
        assert_eq!(mode("", "", ""), None);
        assert_eq!(mode(on, "", ""), Some(BackfillMode::On));
        assert_eq!(mode(on, "backfill = \"plan\"", ""), Some(BackfillMode::Plan));
        assert_eq!(mode(on, "backfill = \"plan\"", "backfill = \"off\""), None);
        let defaults = "[accounts.acme.channel_defaults]\nbackfill = \"plan\"";
        assert_eq!(mode("", defaults, ""), Some(BackfillMode::Plan));
    }

    #[test]
    fn credits_are_a_part_of_the_day_or_a_number() {
        let credits = |credits: &str, account: &str| {
            let table = format!("[backfill]\nmode = \"on\"\n{credits}");
            rule(&table, account, "").map(|rule| rule.credits)
        };
        assert_eq!(credits("", ""), Some(2000));
        assert_eq!(credits("", "credits_per_day = 50000"), Some(5000));
        assert_eq!(credits("credits = \"20%\"", "credits_per_day = 50000"), Some(10_000));
        assert_eq!(credits("credits = \"300\"", "credits_per_day = 50000"), Some(300));
    }

    #[test]
    fn the_rest_is_taken_from_the_table() {
        let table = "[backfill]\nmode = \"on\"\nkinds = [\"uncovered\"]\nrate = 2\nmost = 7";
        let kinds = Kinds { uncovered: true, ..Kinds::NONE };
        let expected =
            BackfillRule { kinds, rate: 2, most: 7, ..BackfillRule::new(BackfillMode::On) };
        assert_eq!(rule(table, "", ""), Some(expected));
    }

    #[test]
    fn its_mistakes_are_told() {
        problems(
            "[backfill]\nmode = \"always\"\nkinds = [\"uncoverd\"]\nrate = 0\ncredits = \"80%\"\n",
            expect![[r#"
                config.toml:2:8: unknown mode "always" (one of off, plan, on)
                config.toml:3:10: unknown kind of gap "uncoverd" (did you mean "uncovered"?)
                config.toml:4:8: "rate" is out of range (from 1 to 100)
                config.toml:5:11: no number of API credits, and no part of them (as in "10%", and 50% at most: the rest is for renewals; or a number, as in "2000")
            "#]],
        );
    }
}
