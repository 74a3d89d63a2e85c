//! Declarations of channels, as TOML.

/// A channel with a token and a URL made from its name.
pub(super) fn channel(name: &str, id: u64, events: &[&str]) -> String {
    let url = url(name);
    format!(
        "\n[[channels]]\nname = \"{name}\"\nid = \"{id}\"\nevents = {events:?}\nnotify_url = \"{url}\"\n\
         token = \"token-{name}\"\n"
    )
}

/// Where a channel of this name delivers to.
pub(super) fn url(name: &str) -> String {
    format!("https://hooks.example.com/{name}")
}

/// Looks for drift in every second: a test need not wait for it.
pub(super) const AUDIT_ALWAYS: &str = "\n[reconcile]\naudit = \"* * * * * *\"\n";
