//! The program accepts all that `packaging/` declares.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::place::Place;

/// A file of the repository.
fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_config_of_the_kubernetes_example_is_good() {
    let manifest = text("packaging/kubernetes.yaml");
    let block = manifest
        .split("  config.toml: |\n")
        .nth(1)
        .and_then(|rest| rest.split("---\n").next())
        .unwrap();
    let place = Place::new("");
    let secrets = place.path().to_str().unwrap();
    let config: Vec<&str> =
        block.lines().map(|line| line.strip_prefix("    ").unwrap_or_default()).collect();
    let config = config.join("\n").replace("/run/secrets/channelkeeper", secrets);
    assert_eq!(config.matches(&format!("{{ file = \"{secrets}/")).count(), 4, "{config}");
    for name in ["acme-client-secret", "acme-refresh-token", "acme-channel-token", "etcd"] {
        let secret = place.path().join(name);
        fs::write(&secret, "a-secret-of-its-own").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    }
    place.write(&config);
    let checked = place.done(&["check"]);
    assert!(checked.out.starts_with("the config is good: 1 account, 1 channel\n"), "{checked:#?}");

    let port = "8470";
    let said = [
        format!("listen = \"0.0.0.0:{port}\""),
        format!("containerPort: {port}"),
        format!("port: \"{port}\""),
    ];
    assert!(said.iter().all(|said| manifest.contains(said)), "the port is the same everywhere");
}

#[test]
fn the_package_brings_every_unit_and_a_config_that_an_upgrade_keeps() {
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets: Vec<(&str, &str)> = deb["assets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|asset| (asset[0].as_str().unwrap(), asset[1].as_str().unwrap()))
        .collect();
    assert!(
        assets.contains(&("config.example.toml", "etc/channelkeeper/config.toml")),
        "below /etc it is a conffile"
    );
    // cargo-deb finds the units of the package's own name in this folder; the others are listed.
    assert_eq!(deb["systemd-units"]["unit-scripts"].as_str(), Some("systemd"));
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_unit = [".service", ".socket", ".timer"].iter().any(|kind| name.ends_with(kind));
        let is_found = name.starts_with("channelkeeper.") || name.starts_with("channelkeeper@.");
        let is_listed =
            assets.contains(&(format!("systemd/{name}").as_str(), "usr/lib/systemd/system/"));
        assert!(!is_unit || is_found || is_listed, "{name} is not in the package");
    }
}
