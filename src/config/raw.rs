//! Every key of the config, as it is typed. The sentence above a field is what the key does; it
//! stands in the JSON Schema too.
//!
//! A value here has the right type and is well-formed by itself. What follows from several keys
//! together (defaults, limits of an API version, names that refer to each other) is `check`'s.

use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;

use super::fields::Fields;
use super::given::Given;
use super::source::{At, Place};
use super::values::{self, CreditsPart, Reference};
use crate::model::backfill;
use crate::model::cluster::WithoutEngine;
use crate::model::credits::Edition;
use crate::model::data_center::{DataCenter, Environment};
use crate::model::policy::{Mode, Removed};
use crate::model::product::Product;
use crate::model::version::ApiVersion;

/// The config of channelkeeper.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "channelkeeper", deny_unknown_fields)]
pub(super) struct Document {
    /// More files with accounts and channels, relative to this one; "*" stands for any text in the
    /// last part of a path.
    #[schemars(with = "Option<Vec<String>>", extend("default" = Vec::<String>::new(), "examples" = [["conf.d/*.toml"]]))]
    pub(super) include: Given<Vec<At<String>>>,
    /// The daemon itself.
    #[schemars(with = "Option<Daemon>")]
    pub(super) daemon: At<Daemon>,
    /// The health endpoints, metrics and the page for people.
    #[schemars(with = "Option<Http>")]
    pub(super) http: At<Http>,
    /// The HTTP client towards Zoho.
    #[schemars(with = "Option<Client>")]
    pub(super) client: At<Client>,
    /// Whom to tell what goes wrong, without a monitoring system.
    #[schemars(with = "Option<Alerts>")]
    pub(super) alerts: At<Alerts>,
    /// Canaries, which show that receivers take deliveries: the daemon posts a marked test body
    /// there itself.
    #[schemars(with = "Option<Canary>")]
    pub(super) canary: At<Canary>,
    /// Missed events: once they are covered again, the daemon can read what changed
    /// and hand it to the receiver.
    #[schemars(with = "Option<Backfill>")]
    pub(super) backfill: At<Backfill>,
    /// Whom to tell of single events, by a command or over HTTP.
    #[schemars(with = "Option<Hooks>")]
    pub(super) hooks: At<Hooks>,
    /// How accounts are shared by daemons on several machines, which need an etcd for that.
    #[schemars(with = "Option<Cluster>")]
    pub(super) cluster: At<Cluster>,
    /// How channels are kept.
    #[schemars(with = "Option<Reconcile>")]
    pub(super) reconcile: At<Reconcile>,
    /// Zoho orgs, each under a name of your choosing.
    #[schemars(with = "Option<std::collections::BTreeMap<String, Account>>")]
    pub(super) accounts: Vec<(At<String>, Account)>,
    #[schemars(skip)]
    pub(super) accounts_misspelt: bool,
    /// The channels to keep.
    #[schemars(with = "Option<Vec<Channel>>")]
    pub(super) channels: Given<Vec<At<Channel>>>,
}

/// The daemon itself.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Daemon {
    /// Where the store is kept; `--state-dir` and systemd's `$STATE_DIRECTORY` go before it.
    #[schemars(with = "Option<String>", extend("default" = STATE_DIR_DEFAULT))]
    pub(super) state_dir: Given<String>,
    /// Part of every derived channel id: give two daemons that share an org two owners.
    #[schemars(with = "Option<String>", extend("default" = "channelkeeper"))]
    pub(super) owner: Given<String>,
    /// A small file that says until when everything is covered, for a check on another host; it is
    /// readable by all.
    #[schemars(with = "Option<String>", extend("examples" = ["/run/channelkeeper/status.json"]))]
    pub(super) status_file: Given<String>,
}

/// The health endpoints, metrics and the page for people.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Http {
    /// The address to listen on, or "off".
    #[schemars(with = "Option<String>", extend("default" = "127.0.0.1:8470"))]
    pub(super) listen: Given<Option<SocketAddr>>,
    /// Allows an address that other hosts can reach: there is no TLS, so put a proxy in front, and
    /// set `token`.
    #[schemars(with = "Option<bool>", extend("default" = false))]
    pub(super) public: Given<bool>,
    /// Names of hosts under which it is reached, beside those of the loopback; a request for any
    /// other name is refused.
    #[schemars(with = "Option<Vec<String>>", extend("default" = Vec::<String>::new(), "examples" = [["status.example.com"]]))]
    pub(super) hosts: Given<Vec<At<String>>>,
    /// The token that every path but `/livez` asks for, as `Authorization: Bearer`: at least 16
    /// characters.
    #[schemars(with = "Option<Reference>")]
    pub(super) token: Given<Reference>,
}

/// The HTTP client towards Zoho.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Client {
    /// How long one call may take, from connecting to the last byte.
    #[schemars(with = "Option<String>", extend("default" = "30s"))]
    pub(super) request_timeout: Given<Duration>,
    /// How long connecting may take.
    #[schemars(with = "Option<String>", extend("default" = "10s"))]
    pub(super) connect_timeout: Given<Duration>,
    /// A PEM file of certificates to trust beside the system's, for a proxy that looks into TLS.
    #[schemars(with = "Option<String>")]
    pub(super) ca_file: Given<String>,
}

/// Whom to tell what goes wrong, without a monitoring system.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Alerts {
    /// Where messages are posted as JSON with a "text", which Slack and what is compatible with it
    /// shows: https.
    #[schemars(with = "Option<Reference>")]
    pub(super) webhook: Given<Reference>,
    /// How long something has to be bad before it is told, and to be good before that is told.
    #[schemars(with = "Option<String>", extend("default" = "10m"))]
    pub(super) grace: Given<Duration>,
    /// How often it is told again while it is bad.
    #[schemars(with = "Option<String>", extend("default" = "6h"))]
    pub(super) repeat: Given<Duration>,
    /// A dead-man's switch: called with GET after a pass that proved that everything is covered;
    /// https.
    #[schemars(with = "Option<Reference>")]
    pub(super) heartbeat: Given<Reference>,
    /// The least time between two such calls; they come with the passes, so no more often than
    /// `audit` at rest.
    #[schemars(with = "Option<String>", extend("default" = "5m"))]
    pub(super) heartbeat_interval: Given<Duration>,
}

/// Canaries, which show that receivers take deliveries: the daemon posts a marked test body
/// there itself.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Canary {
    /// How often each `notify_url` gets one, with the token of a channel; without it, none is
    /// sent.
    #[schemars(with = "Option<String>", extend("examples" = ["1h"]))]
    pub(super) every: Given<Duration>,
}

/// Missed events: once they are covered again, the daemon can read what changed
/// and hand it to the receiver.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Backfill {
    /// How far it goes: "off", "plan" (reads and counts, and waits for a person) or "on". It needs a
    /// token that may read the modules.
    #[schemars(with = "Option<String>", extend("default" = "off", "enum" = ["off", "plan", "on"]))]
    pub(super) mode: Given<Option<backfill::BackfillMode>>,
    /// Which kinds of gaps; those that ended before the mode was first turned on are left.
    #[schemars(with = "Option<Vec<String>>", extend("default" = ["uncovered", "undeliverable", "unknown"]))]
    pub(super) kinds: Given<Vec<At<String>>>,
    /// Deliveries a second to each `notify_url`, each of 50 records at most.
    #[schemars(with = "Option<u32>", extend("default" = backfill::RATE, "minimum" = 1, "maximum" = 100))]
    pub(super) rate: Given<i64>,
    /// More missed events than this, of one module of a channel, wait for a person.
    #[schemars(with = "Option<u64>", extend("default" = backfill::MOST, "minimum" = 1, "maximum" = 2_000_000))]
    pub(super) most: Given<i64>,
    /// The API credits of a day that reading may take of an account: a part of all, or a number.
    /// Where the config does not say how many there are, 2000.
    #[schemars(with = "Option<String>", extend("default" = "10%", "examples" = ["2000"]))]
    pub(super) credits: Given<CreditsPart>,
}

/// Whom to tell of single events, as they happen. Channels are kept whatever becomes of it.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Hooks {
    /// The events; without it, all of them: "renewed", "refused", "gap-begun", "gap-ended",
    /// "recovered", "token-changed", "config-changed".
    #[schemars(with = "Option<Vec<String>>", extend("examples" = [["refused", "gap-begun", "gap-ended"]]))]
    pub(super) on: Given<Vec<At<String>>>,
    /// A command for each event, which is on its standard input as one JSON object: the whole path
    /// of a program, then its arguments. No shell reads it.
    #[schemars(with = "Option<Vec<String>>", extend("examples" = [["/usr/local/bin/told"]]))]
    pub(super) run: Given<Vec<At<String>>>,
    /// How long the command may take for one event. Then it is killed with all that it started.
    #[schemars(with = "Option<String>", extend("default" = "30s"))]
    pub(super) timeout: Given<Duration>,
    /// Where each event is posted as JSON: https.
    #[schemars(with = "Option<Reference>")]
    pub(super) url: Given<Reference>,
}

/// How accounts are shared by daemons on several machines, which need an etcd for that. Each machine
/// has this table; a change of it takes effect with the next restart.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Cluster {
    /// The name that the daemons have in common: two clusters may share an etcd under two names.
    #[schemars(with = "String", extend("examples" = ["prod"]))]
    pub(super) name: Given<String>,
    /// The machines of etcd, 3.4 or later: https, or http on the loopback. A private CA belongs in
    /// `ca_file` under `[client]`.
    #[schemars(with = "Vec<String>", extend("minItems" = 1, "maxItems" = 16, "examples" = [["https://etcd-1.example.com:2379", "https://etcd-2.example.com:2379"]]))]
    pub(super) engine: Given<Vec<At<String>>>,
    /// The user of etcd; its role needs the keys below `channelkeeper/NAME/` and no others.
    #[schemars(with = "Option<String>", extend("examples" = ["channelkeeper"]))]
    pub(super) user: Given<String>,
    /// The password of the user.
    #[schemars(with = "Option<Reference>")]
    pub(super) password: Given<Reference>,
    /// The name of this machine; without it, the host's.
    #[schemars(with = "Option<String>", extend("examples" = ["host-1"]))]
    pub(super) node: Given<String>,
    /// The number of this config, which grows with each change of it: an older one replaces none
    /// that is newer.
    #[schemars(with = "Option<u64>", extend("examples" = [42], "minimum" = 0))]
    pub(super) serial: Given<i64>,
    /// While etcd cannot be reached, "emergency" enables a channel that would lapse, "stop" writes
    /// nothing at Zoho. Without it, "emergency".
    #[schemars(with = "Option<String>", extend("enum" = WithoutEngine::ALL.map(WithoutEngine::as_str)))]
    pub(super) without_engine: Given<WithoutEngine>,
}

/// How channels are kept, wherever an account or a channel does not say otherwise.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Reconcile {
    /// When to look for drift: second, minute, hour, day of month, month, day of week, in UTC.
    /// Renewals do not wait for it.
    #[schemars(with = "Option<String>", extend("default" = "0 */15 * * * *"))]
    pub(super) audit: Given<String>,
    /// How far the daemon may go: "sync", "no-disable" (never disables a channel) or "observe"
    /// (writes nothing at Zoho).
    #[schemars(with = "Option<String>", extend("default" = "sync", "enum" = ["sync", "no-disable", "observe"]))]
    pub(super) mode: Given<Mode>,
    /// How a channel ends that is taken out of the config: "disable" it, or let it "expire".
    #[schemars(with = "Option<String>", extend("default" = "disable", "enum" = ["disable", "expire"]))]
    pub(super) removed: Given<Removed>,
    /// The most accounts worked on at once. The daemon begins with 256 and goes up to it while
    /// calls come through; an emergency waits for no room.
    #[schemars(with = "Option<u32>", extend("default" = 1024, "minimum" = 1, "maximum" = 4096))]
    pub(super) passes_max: Given<i64>,
    /// The life that is asked for: one day at most before API v4, seven from v4 on. Every version
    /// grants one day, and asking for more than Zoho grants silently gives an hour or two.
    #[schemars(with = "Option<String>", extend("default" = "1d"))]
    pub(super) lifetime: Given<Duration>,
    /// Renew when this much of a life is left; without it, when half of it is over.
    #[schemars(with = "Option<String>", extend("examples" = ["8h"]))]
    pub(super) renew_before: Given<Duration>,
}

/// One Zoho org, reached with one OAuth client and refresh token.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Account {
    /// The Zoho product that it is an org of.
    #[schemars(with = "Option<String>", extend("default" = "crm", "enum" = Product::ALL.map(Product::as_str)))]
    pub(super) product: Given<Product>,
    /// The portal of an app of Vertical Solutions: "acme" for acme.zohoplatform.com.
    #[schemars(with = "Option<String>", extend("examples" = ["acme"]))]
    pub(super) portal: Given<String>,
    /// Where the org lives; an org elsewhere is reached with `api_url` and `accounts_url`.
    #[schemars(with = "Option<String>", extend("enum" = DataCenter::ALL.map(|center| center.key)))]
    pub(super) data_center: Given<DataCenter>,
    /// The API's scheme and host, in place of `data_center`.
    #[schemars(with = "Option<String>", extend("examples" = ["https://www.zohoapis.eu"]))]
    pub(super) api_url: Given<String>,
    /// The OAuth server's scheme and host, in place of `data_center`.
    #[schemars(with = "Option<String>", extend("examples" = ["https://accounts.zoho.eu"]))]
    pub(super) accounts_url: Given<String>,
    /// The kind of org: "production", "sandbox" or "developer".
    #[schemars(with = "Option<String>", extend("default" = "production", "enum" = Environment::ALL.map(Environment::as_str)))]
    pub(super) environment: Given<Environment>,
    /// The version of the API; without it, v8 for CRM, v6 for Vertical Solutions, else v2.
    #[schemars(with = "Option<String>", extend("default" = "v8", "enum" = ApiVersion::ALL.map(ApiVersion::as_str)))]
    pub(super) api_version: Given<ApiVersion>,
    /// The OAuth client's id, from Zoho's API console.
    #[schemars(with = "String")]
    pub(super) client_id: Given<String>,
    /// The OAuth client's secret.
    #[schemars(with = "Reference")]
    pub(super) client_secret: Given<Reference>,
    /// The refresh token, granted for the scope ZohoCRM.notifications.ALL, or that of the product.
    #[schemars(with = "Reference")]
    pub(super) refresh_token: Given<Reference>,
    /// How far the daemon may go with this account; without it, as under `[reconcile]`.
    #[schemars(with = "Option<String>", extend("enum" = ["sync", "no-disable", "observe"]))]
    pub(super) mode: Given<Mode>,
    /// How far missed events of this account are recovered; without it, as under `[backfill]`.
    #[schemars(with = "Option<String>", extend("enum" = ["off", "plan", "on"]))]
    pub(super) backfill: Given<Option<backfill::BackfillMode>>,
    /// How this account's channels end when they are taken out of the config; without it, as under
    /// `[reconcile]`.
    #[schemars(with = "Option<String>", extend("enum" = ["disable", "expire"]))]
    pub(super) removed: Given<Removed>,
    /// The most channels in one write; without it, what the API version allows: 50 on v8, else
    /// 100.
    #[schemars(with = "Option<u32>", extend("minimum" = 1, "maximum" = 100))]
    pub(super) batch_max: Given<i64>,
    /// The longest life Zoho grants; without it, seven days from CRM's API v4 on, else one.
    #[schemars(with = "Option<String>", extend("examples" = ["1d"]))]
    pub(super) lifetime_max: Given<Duration>,
    /// The org's edition: with `users` it says how many API credits a day has.
    #[schemars(with = "Option<String>", extend("enum" = Edition::keys()))]
    pub(super) edition: Given<&'static str>,
    /// The org's user licences.
    #[schemars(with = "Option<u32>", extend("minimum" = 1, "maximum" = USERS_MAX))]
    pub(super) users: Given<i64>,
    /// The org's API credits of a day, where they are not what `edition` and `users` give; without
    /// either, nothing is assumed.
    #[schemars(with = "Option<u64>", extend("minimum" = 1, "maximum" = CREDITS_MAX))]
    pub(super) credits_per_day: Given<i64>,
    /// Whatever a channel of this account leaves out.
    #[schemars(with = "Option<Defaults>")]
    pub(super) channel_defaults: At<Defaults>,
    #[schemars(skip)]
    pub(super) place: Place,
}

/// Whatever a channel of an account leaves out.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Defaults {
    /// As in a channel.
    #[schemars(with = "Option<String>")]
    pub(super) notify_url: Given<String>,
    /// As in a channel.
    #[schemars(with = "Option<bool>")]
    pub(super) mark_owner: Given<bool>,
    /// As in a channel.
    #[schemars(with = "Option<Reference>")]
    pub(super) token: Given<Reference>,
    /// As in a channel.
    #[schemars(with = "Option<Reference>")]
    pub(super) token_key: Given<Reference>,
    /// As in a channel.
    #[schemars(with = "Option<String>")]
    pub(super) token_rotate: Given<Duration>,
    /// As in a channel.
    #[schemars(with = "Option<String>")]
    pub(super) lifetime: Given<Duration>,
    /// As in a channel.
    #[schemars(with = "Option<String>")]
    pub(super) renew_before: Given<Duration>,
    /// As in a channel.
    #[schemars(with = "Option<bool>")]
    pub(super) notify_on_related_action: Given<bool>,
    /// As in a channel.
    #[schemars(with = "Option<bool>")]
    pub(super) return_affected_field_values: Given<bool>,
    /// As in a channel.
    #[schemars(with = "Option<String>", extend("enum" = ["sync", "no-disable", "observe"]))]
    pub(super) mode: Given<Mode>,
    /// As in a channel.
    #[schemars(with = "Option<String>", extend("enum" = ["off", "plan", "on"]))]
    pub(super) backfill: Given<Option<backfill::BackfillMode>>,
}

/// One channel.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Channel {
    /// Its name here, in logs and in metrics, unique over all accounts.
    #[schemars(with = "String")]
    pub(super) name: Given<String>,
    /// Whose it is; it may be left out when there is one account.
    #[schemars(with = "Option<String>")]
    pub(super) account: Given<String>,
    /// Its id at Zoho; without it, one is derived from owner, account and name.
    #[schemars(with = "Option<Id>")]
    pub(super) id: Given<String>,
    /// The events it covers: a module's API name and "create", "edit", "delete" or "all".
    #[schemars(with = "Vec<String>", extend("minItems" = 1, "maxItems" = 50, "examples" = [["Deals.all", "Contacts.create"]]))]
    pub(super) events: Given<Vec<At<String>>>,
    /// Where Zoho delivers to: https, at most 255 characters.
    #[schemars(with = "Option<String>", extend("maxLength" = 255))]
    pub(super) notify_url: Given<String>,
    /// Adds `channelkeeper=OWNER` to the query of `notify_url`, so that whoever looks
    /// at Zoho sees whose it is.
    #[schemars(with = "Option<bool>", extend("default" = false))]
    pub(super) mark_owner: Given<bool>,
    /// The text that Zoho repeats in each delivery, the only proof of its origin: at most 50 characters.
    #[schemars(with = "Option<Reference>")]
    pub(super) token: Given<Reference>,
    /// In place of `token`: a key of which tokens are derived, another one every `token_rotate`;
    /// at least 32 characters.
    #[schemars(with = "Option<Reference>")]
    pub(super) token_key: Given<Reference>,
    /// How long one derived token is written: at least two lifetimes, and a day.
    #[schemars(with = "Option<String>", extend("default" = "30d"))]
    pub(super) token_rotate: Given<Duration>,
    /// The life that is asked for; without it, as under `[reconcile]`.
    #[schemars(with = "Option<String>")]
    pub(super) lifetime: Given<Duration>,
    /// Renew when this much of its life is left; without it, as under `[reconcile]`.
    #[schemars(with = "Option<String>")]
    pub(super) renew_before: Given<Duration>,
    /// Notifies of changes of related records too.
    #[schemars(with = "Option<bool>", extend("default" = true))]
    pub(super) notify_on_related_action: Given<bool>,
    /// Puts the new values of the changed fields into deliveries (from API v3 on).
    #[schemars(with = "Option<bool>", extend("default" = false))]
    pub(super) return_affected_field_values: Given<bool>,
    /// Notify only when certain fields of a module changed (from API v6 on).
    #[schemars(with = "Option<Vec<Condition>>", extend("default" = Vec::<String>::new(), "maxItems" = 2))]
    pub(super) conditions: Given<Vec<At<Condition>>>,
    /// How far the daemon may go with this channel, if less far than with its account.
    #[schemars(with = "Option<String>", extend("enum" = ["sync", "no-disable", "observe"]))]
    pub(super) mode: Given<Mode>,
    /// How far missed events of this channel are recovered; without it, as in its account.
    #[schemars(with = "Option<String>", extend("enum" = ["off", "plan", "on"]))]
    pub(super) backfill: Given<Option<backfill::BackfillMode>>,
    #[schemars(skip)]
    pub(super) place: Place,
}

/// Notify only when some fields of a module changed.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Condition {
    /// The module's API name; the channel must cover its edits.
    #[schemars(with = "String")]
    pub(super) module: Given<String>,
    /// Fields, any one of which must have changed; a table in the list is a group of fields.
    #[schemars(with = "Option<Vec<Entry>>", extend("minItems" = 1, "maxItems" = 10, "examples" = [["Stage", { "all_of": ["Amount", "Owner"] }]]))]
    pub(super) any_of: Given<Vec<At<Entry>>>,
    /// Fields, all of which must have changed; a table in the list is a group of fields.
    #[schemars(with = "Option<Vec<Entry>>", extend("minItems" = 1, "maxItems" = 10))]
    pub(super) all_of: Given<Vec<At<Entry>>>,
}

/// A field's API name, or a group of them.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Entry {
    /// A field's API name.
    Field(String),
    /// Fields that go together.
    Group(Group),
}

/// Fields that go together inside a condition.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Group {
    /// Any one of these must have changed.
    #[schemars(with = "Option<Vec<Entry>>", extend("minItems" = 1, "maxItems" = 10))]
    pub(super) any_of: Given<Vec<At<Entry>>>,
    /// All of these must have changed.
    #[schemars(with = "Option<Vec<Entry>>", extend("minItems" = 1, "maxItems" = 10))]
    pub(super) all_of: Given<Vec<At<Entry>>>,
}

/// Which file a document came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The one that was named.
    Main,
    /// One that another includes.
    Included,
}

impl Document {
    pub(super) fn read(fields: &mut Fields<'_, '_, '_>, role: Role) -> Document {
        let accounts = fields.named("accounts", Account::read);
        let accounts_misspelt = fields.has_misspelt("accounts");
        let channels = fields.tables("channels", "channel", Channel::read);
        if role == Role::Included {
            for key in [
                "include",
                "daemon",
                "http",
                "client",
                "alerts",
                "canary",
                "backfill",
                "hooks",
                "cluster",
                "reconcile",
            ] {
                fields.misplaced(
                    key,
                    "write it in the main file; included files hold accounts and channels",
                );
            }
            return Document { accounts, accounts_misspelt, channels, ..Document::default() };
        }
        Document {
            include: fields.texts("include"),
            daemon: fields.table("daemon", Daemon::read),
            http: fields.table("http", Http::read),
            client: fields.table("client", Client::read),
            alerts: fields.table("alerts", Alerts::read),
            canary: fields.table("canary", Canary::read),
            backfill: fields.table("backfill", Backfill::read),
            hooks: fields.table("hooks", Hooks::read),
            cluster: fields.table("cluster", Cluster::read),
            reconcile: fields.table("reconcile", Reconcile::read),
            accounts,
            accounts_misspelt,
            channels,
        }
    }
}

impl Daemon {
    fn read(fields: &mut Fields<'_, '_, '_>) -> Daemon {
        Daemon {
            state_dir: fields.text("state_dir"),
            owner: fields.text("owner"),
            status_file: fields.text("status_file"),
        }
    }
}

impl Http {
    fn read(fields: &mut Fields<'_, '_, '_>) -> Http {
        Http {
            listen: fields.parsed("listen", values::listen),
            public: fields.flag("public"),
            hosts: fields.texts("hosts"),
            token: fields.secret("token"),
        }
    }
}

impl Client {
    fn read(fields: &mut Fields<'_, '_, '_>) -> Client {
        Client {
            request_timeout: fields.duration("request_timeout", values::timeout),
            connect_timeout: fields.duration("connect_timeout", values::timeout),
            ca_file: fields.text("ca_file"),
        }
    }
}

impl Alerts {
    fn read(fields: &mut Fields<'_, '_, '_>) -> Alerts {
        Alerts {
            webhook: fields.secret("webhook"),
            grace: fields.duration("grace", values::grace),
            repeat: fields.duration("repeat", values::repeat),
            heartbeat: fields.secret("heartbeat"),
            heartbeat_interval: fields.duration("heartbeat_interval", values::repeat),
        }
    }
}

impl Hooks {
    fn read(fields: &mut Fields<'_, '_, '_>) -> Hooks {
        Hooks {
            on: fields.texts("on"),
            run: fields.texts("run"),
            timeout: fields.duration("timeout", values::timeout),
            url: fields.secret("url"),
        }
    }
}

impl Cluster {
    fn read(fields: &mut Fields<'_, '_, '_>) -> Cluster {
        let cluster = Cluster {
            name: fields.text("name"),
            engine: fields.urls("engine"),
            user: fields.text("user"),
            password: fields.secret("password"),
            node: fields.text("node"),
            serial: fields.whole("serial", 0..=i64::MAX),
            without_engine: fields.parsed("without_engine", values::without_engine),
        };
        fields.require("name", &cluster.name, "add name = \"prod\", the same on each machine");
        fields.require("engine", &cluster.engine, values::ENGINE_HELP);
        cluster
    }
}

impl Canary {
    fn read(fields: &mut Fields<'_, '_, '_>) -> Canary {
        Canary { every: fields.duration("every", values::repeat) }
    }
}

impl Backfill {
    fn read(fields: &mut Fields<'_, '_, '_>) -> Backfill {
        Backfill {
            mode: fields.parsed("mode", values::backfill_mode),
            kinds: fields.texts("kinds"),
            rate: fields.whole("rate", 1..=100),
            most: fields.whole("most", 1..=2_000_000),
            credits: fields.parsed("credits", values::credits_part),
        }
    }
}

impl Reconcile {
    fn read(fields: &mut Fields<'_, '_, '_>) -> Reconcile {
        Reconcile {
            audit: fields.parsed("audit", values::cron),
            mode: fields.parsed("mode", values::mode),
            removed: fields.parsed("removed", values::removed),
            passes_max: fields.whole("passes_max", 1..=4096),
            lifetime: fields.duration("lifetime", values::life),
            renew_before: fields.duration("renew_before", values::life),
        }
    }
}

impl Account {
    fn read(fields: &mut Fields<'_, '_, '_>) -> Account {
        let account = Account {
            product: fields.parsed("product", values::product),
            portal: fields.parsed("portal", values::portal),
            data_center: fields.parsed("data_center", values::data_center),
            api_url: fields.url("api_url"),
            accounts_url: fields.url("accounts_url"),
            environment: fields.parsed("environment", values::environment),
            api_version: fields.parsed("api_version", values::version),
            client_id: fields.text("client_id"),
            client_secret: fields.secret("client_secret"),
            refresh_token: fields.secret("refresh_token"),
            mode: fields.parsed("mode", values::mode),
            backfill: fields.parsed("backfill", values::backfill_mode),
            removed: fields.parsed("removed", values::removed),
            batch_max: fields.whole("batch_max", 1..=100),
            lifetime_max: fields.duration("lifetime_max", values::life),
            edition: fields.parsed("edition", values::edition),
            users: fields.whole("users", 1..=USERS_MAX),
            credits_per_day: fields.whole("credits_per_day", 1..=CREDITS_MAX),
            channel_defaults: fields.table("channel_defaults", Defaults::read),
            place: fields.anchor(),
        };
        fields.require(
            "client_id",
            &account.client_id,
            "add the client id that Zoho's API console shows",
        );
        fields.require(
            "client_secret",
            &account.client_secret,
            "add client_secret = { credential = \"name\" }",
        );
        fields.require(
            "refresh_token",
            &account.refresh_token,
            "the README says how to obtain one",
        );
        account
    }
}

impl Defaults {
    fn read(fields: &mut Fields<'_, '_, '_>) -> Defaults {
        Defaults {
            notify_url: fields.url("notify_url"),
            mark_owner: fields.flag("mark_owner"),
            token: fields.secret("token"),
            token_key: fields.secret("token_key"),
            token_rotate: fields.duration("token_rotate", values::life),
            lifetime: fields.duration("lifetime", values::life),
            renew_before: fields.duration("renew_before", values::life),
            notify_on_related_action: fields.flag("notify_on_related_action"),
            return_affected_field_values: fields.flag("return_affected_field_values"),
            mode: fields.parsed("mode", values::mode),
            backfill: fields.parsed("backfill", values::backfill_mode),
        }
    }
}

impl Channel {
    fn read(fields: &mut Fields<'_, '_, '_>) -> Channel {
        let name = fields.text("name");
        fields.require("name", &name, "add name = \"...\", unique over all channels");
        fields.anchor_at(&name);
        let channel = Channel {
            name,
            account: fields.text("account"),
            id: fields.id("id"),
            events: fields.texts("events"),
            notify_url: fields.url("notify_url"),
            mark_owner: fields.flag("mark_owner"),
            token: fields.secret("token"),
            token_key: fields.secret("token_key"),
            token_rotate: fields.duration("token_rotate", values::life),
            lifetime: fields.duration("lifetime", values::life),
            renew_before: fields.duration("renew_before", values::life),
            notify_on_related_action: fields.flag("notify_on_related_action"),
            return_affected_field_values: fields.flag("return_affected_field_values"),
            conditions: fields.tables("conditions", "condition", Condition::read),
            mode: fields.parsed("mode", values::mode),
            backfill: fields.parsed("backfill", values::backfill_mode),
            place: fields.anchor(),
        };
        fields.require("events", &channel.events, "add events = [\"Deals.all\"]");
        channel
    }
}

impl Condition {
    fn read(fields: &mut Fields<'_, '_, '_>) -> Condition {
        let condition = Condition {
            module: fields.text("module"),
            any_of: fields.entries("any_of", "group", Entry::Field, Entry::read),
            all_of: fields.entries("all_of", "group", Entry::Field, Entry::read),
        };
        fields.require("module", &condition.module, "add module = \"Deals\"");
        condition
    }
}

impl Entry {
    fn read(fields: &mut Fields<'_, '_, '_>) -> Entry {
        Entry::Group(Group {
            any_of: fields.entries("any_of", "group", Entry::Field, Entry::read),
            all_of: fields.entries("all_of", "group", Entry::Field, Entry::read),
        })
    }
}

/// A channel id: a string of digits or a whole number.
pub(super) struct Id;

/// No org has more user licences.
const USERS_MAX: i64 = 1_000_000;
/// No org has more credits of a day.
const CREDITS_MAX: i64 = 10_000_000_000;

/// Where the store is kept when nothing says otherwise.
pub const STATE_DIR_DEFAULT: &str = "/var/lib/channelkeeper";
