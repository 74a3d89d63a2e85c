//! The config that `init` writes: few keys, each with its reason above it.

use std::fmt::Write;

use crate::model::product::Product;

use super::wishes::{InitAnswers, ServerChosen};

/// The text. `keeps_state` says that the state lives beside the config.
pub(super) fn config(wishes: &InitAnswers, keeps_state: bool) -> String {
    let InitAnswers {
        account,
        product,
        portal,
        server,
        client_id,
        client_secret: _,
        channels,
        notify_url,
    } = wishes;
    let product = product_lines(*product, portal.as_deref());
    let (notify_url, client_id) = (quoted(notify_url), quoted(client_id));
    let mut text = HEAD.to_owned();
    if keeps_state {
        text.push_str(STATE);
    }
    // Writing to a String cannot fail.
    let _infallible = write!(
        text,
        "
[accounts.{account}]
{product}{}
# The OAuth client, from Zoho's API console.
client_id = {client_id}
client_secret = {{ file = \"secrets/client-secret\" }}
# `channelkeeper login` writes this file.
refresh_token = {{ file = \"secrets/refresh-token\" }}

# For each channel of this account that does not say otherwise.
[accounts.{account}.channel_defaults]
# Where Zoho delivers.
notify_url = {notify_url}
# Zoho repeats it in each delivery: the only proof of origin that a receiver has.
token = {{ file = \"secrets/channel-token\" }}
",
        where_it_is(server)
    );
    for (name, events) in channels {
        let events: Vec<String> = events.iter().map(|event| quoted(event)).collect();
        let _infallible = write!(
            text,
            "\n[[channels]]\nname = {}\nevents = [{}]\n",
            quoted(name),
            events.join(", ")
        );
    }
    text
}

/// CRM is what an account is of that does not say.
fn product_lines(product: Product, portal: Option<&str>) -> String {
    let product = match product {
        Product::Crm => String::new(),
        product @ (Product::Bigin | Product::Recruit | Product::Vertical) => {
            format!("product = \"{product}\"\n")
        }
    };
    let portal = portal.map(|portal| {
        format!("# The first part of the app's host.\nportal = {}\n", quoted(portal))
    });
    product + &portal.unwrap_or_default()
}

fn where_it_is(server: &ServerChosen) -> String {
    match server {
        ServerChosen::Center(center) => format!(
            "# Where the org lives, as in the address that people use: crm.zoho.eu is \"eu\".\n\
             data_center = \"{}\"",
            center.key
        ),
        ServerChosen::Simulator(url) => {
            let url = quoted(url);
            format!(
                "# The simulator, in place of data_center.\napi_url = {url}\naccounts_url = {url}"
            )
        }
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

const HEAD: &str = "\
# What channelkeeper keeps. Each key has a sentence in docs/configuration.md, and
# `channelkeeper check` says everything that is wrong with this file.
";
const STATE: &str = "
[daemon]
# The daemon's memory, beside this file.
state_dir = \"state\"
";
