//! The units in `systemd/` against each other. `.ci/run` asks systemd itself for its verdict on
//! them.

use std::path::Path;

#[test]
fn an_instance_is_the_service_under_another_name() {
    let as_the_service =
        |line: &String| line.replace("channelkeeper-%i", "channelkeeper").replace(" (%i)", "");
    let instance: Vec<String> =
        directives("channelkeeper@.service").iter().map(as_the_service).collect();
    assert_eq!(instance, directives("channelkeeper.service"));
}

#[test]
fn the_probe_is_in_the_same_sandbox_and_may_speak_to_this_host_only() {
    let sandbox = |unit: &str| -> Vec<String> {
        let lines = directives(unit);
        let begins =
            lines.iter().position(|line| line.starts_with("ProtectSystem=")).unwrap_or_default();
        lines[begins..]
            .iter()
            .filter(|line| line.contains('=') && !line.starts_with("WantedBy="))
            .cloned()
            .collect()
    };
    let (mut service, mut probe) =
        (sandbox("channelkeeper.service"), sandbox("channelkeeper-probe.service"));
    assert!(service.len() > 25, "does this test still read them? {service:#?}");
    let allowed = (service.pop().unwrap_or_default(), probe.pop().unwrap_or_default());
    assert_eq!(probe, service);
    assert!(
        allowed.0.starts_with("IPAddressAllow=") && allowed.1 == "IPAddressAllow=localhost",
        "{allowed:?}"
    );
}

/// The lines that say something.
fn directives(unit: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(unit);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}
