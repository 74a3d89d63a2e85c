//! The demo's world: its accounts, its channels, and their config.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::model::channel::{AccountName, ChannelId, ChannelName};
use crate::model::product::Product;
use crate::simulator::Org;

/// An account of the demo.
pub(super) struct DemoAccount {
    pub(super) name: &'static str,
    pub(super) product: Product,
    version: &'static str,
    channels: &'static [DemoChannel],
}

/// A channel of the demo.
struct DemoChannel {
    name: &'static str,
    id: Option<&'static str>,
    events: &'static [&'static str],
}

/// Three orgs: two of CRM on two API versions, one of Bigin. `kaizen-sample` is the channel of
/// Zoho's own introduction to this API (Kaizen #14).
pub(super) const ACCOUNTS: [DemoAccount; 3] = [
    DemoAccount {
        name: "acme",
        product: Product::Crm,
        version: "v8",
        channels: &[
            DemoChannel { name: "deal-sync", id: None, events: &["Deals.all", "Contacts.create"] },
            DemoChannel { name: "lead-router", id: None, events: &["Leads.create"] },
            DemoChannel {
                name: "billing",
                id: None,
                events: &["Invoices.create", "Invoices.edit", "Quotes.edit"],
            },
        ],
    },
    DemoAccount {
        name: "globex",
        product: Product::Crm,
        version: "v2",
        channels: &[
            DemoChannel {
                name: "kaizen-sample",
                id: Some("10000007828"),
                events: &["Contacts.create", "Accounts.edit", "Deals.create"],
            },
            DemoChannel {
                name: "price-watch",
                id: None,
                events: &["Price_Books.edit", "Products.edit"],
            },
        ],
    },
    DemoAccount {
        name: "initech",
        product: Product::Bigin,
        version: "v2",
        channels: &[
            DemoChannel { name: "support", id: None, events: &["Pipelines.all", "Accounts.edit"] },
            DemoChannel { name: "calendar", id: None, events: &["Events.all", "Calls.create"] },
            DemoChannel { name: LEAVER, id: None, events: &["Tasks.create"] },
        ],
    },
];

/// The channel that Zoho loses while it is down.
pub(super) const LOST: &str = "deal-sync";

/// The channel that is taken out of the config.
pub(super) const LEAVER: &str = "old-campaign";

/// Records of each watched module that change in an hour.
pub(super) const CHANGES_HOURLY: u64 = 6;

/// From one audit of [`config`] to the next.
pub(super) const AUDIT: Duration = Duration::from_secs(3600);

impl DemoAccount {
    /// Its org, whose records the token may read.
    pub(super) fn org(&self) -> Org {
        Org::of(self.product, self.name).reading()
    }

    /// Each of its channels by id.
    pub(super) fn channels(&self) -> impl Iterator<Item = (i64, &'static str)> {
        self.channels.iter().map(|channel| (channel.id_in(self.name), channel.name))
    }

    /// The modules that its channels watch.
    pub(super) fn modules(&self) -> BTreeSet<&'static str> {
        let events = self.channels.iter().flat_map(|channel| channel.events);
        events.filter_map(|event| event.split('.').next()).collect()
    }
}

impl DemoChannel {
    fn id_in(&self, account: &str) -> i64 {
        match self.id {
            Some(id) => id.parse().unwrap_or_default(),
            None => derived(account, self.name),
        }
    }
}

/// The id that channelkeeper gives a channel.
pub(super) fn derived(account: &str, channel: &str) -> i64 {
    let names: Option<(AccountName, ChannelName)> = account.parse().ok().zip(channel.parse().ok());
    names.map_or(0, |(account, channel)| {
        ChannelId::derived("channelkeeper", &account, &channel).number()
    })
}

/// The account and the name of a channel.
pub(super) fn named(id: i64) -> Option<(&'static str, &'static str)> {
    let all = ACCOUNTS
        .iter()
        .flat_map(|account| account.channels().map(|(id, channel)| (id, (account.name, channel))));
    all.into_iter().find(|(known, _)| *known == id).map(|(_, names)| names)
}

/// The config, with the leaver or without it.
pub(super) fn config(base: &str, with_leaver: bool) -> String {
    let mut text =
        String::from("[reconcile]\naudit = \"0 0 * * * *\"\n\n[backfill]\nmode = \"on\"\n");
    for account in &ACCOUNTS {
        let name = account.name;
        let product = account.product;
        let org = account.org();
        let token = org.refresh_tokens.first().map_or("", String::as_str);
        append(
            &mut text,
            &format!(
                "\n[accounts.{name}]\nproduct = \"{product}\"\napi_url = \"{base}\"\naccounts_url = \"{base}\"\napi_version = \"{}\"\n\
                 client_id = \"{}\"\nclient_secret = \"{}\"\nrefresh_token = \"{token}\"\n",
                account.version, org.client_id, org.client_secret
            ),
        );
        let listed =
            account.channels.iter().filter(|channel| with_leaver || channel.name != LEAVER);
        listed.for_each(|channel| append(&mut text, &channel_text(name, channel)));
    }
    text
}

fn channel_text(account: &str, channel: &DemoChannel) -> String {
    let id = channel.id.map(|id| format!("id = \"{id}\"\n")).unwrap_or_default();
    let events: Vec<String> = channel.events.iter().map(|event| format!("\"{event}\"")).collect();
    format!(
        "\n[[channels]]\nname = \"{}\"\naccount = \"{account}\"\n{id}events = [{}]\n\
         notify_url = \"https://hooks.example.com/{}\"\ntoken = \"demo-{}\"\n",
        channel.name,
        events.join(", "),
        channel.name,
        channel.name
    )
}

fn append(text: &mut String, more: &str) {
    // Writing to a String cannot fail.
    let _infallible = text.write_str(more);
}

/// The first sentence: why anybody keeps channels.
const OPENING: &str = "Zoho drops a channel in silence after a day; watch.";

/// The introduction to the demo.
pub(super) fn introduction(how: &str, listening: Option<SocketAddr>) -> String {
    let channels: usize = ACCOUNTS.iter().map(|account| account.channels.len()).sum();
    let page = listening
        .map(|address| format!("\nhealth and status: http://{address}/"))
        .unwrap_or_default();
    format!(
        "{OPENING}\nchannelkeeper demo: {} accounts, {channels} channels of one day each, \
         {how}{page}\n[lines with ** are the world's doing, the others are channelkeeper's]\n",
        ACCOUNTS.len()
    )
}
