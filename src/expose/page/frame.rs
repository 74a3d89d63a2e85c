//! The parts of every page: the document around it, its one style sheet, and the small pieces that
//! stand in many places.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::model::time::{Timestamp, brief, span, whole_seconds};

use super::super::health::Status;

/// A document.
pub(super) struct Frame {
    /// The title of the window.
    pub(super) title: String,
    /// The status that the icon shows, if any.
    pub(super) status: Option<Status>,
    /// True when it loads itself anew.
    pub(super) follow: bool,
    /// The program's version.
    pub(super) version: String,
    /// The instant it speaks of.
    pub(super) now: Timestamp,
}

impl Frame {
    /// Around a body.
    pub(super) fn around(&self, body: &Markup) -> String {
        let document = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    @if self.follow { meta http-equiv="refresh" content="60"; }
                    title { (self.title) }
                    link rel="icon" href=(icon(self.status));
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    svg.patterns aria-hidden="true" width="0" height="0" {
                        pattern #stripes width="3" height="12" patternUnits="userSpaceOnUse" { rect width="2" height="12" {} }
                    }
                    (body)
                    footer {
                        p { "channelkeeper " (self.version) ", as of " (at(self.now)) }
                        nav aria-label="For programs" {
                            a href="/api/v1/status" { "status" } a href="/healthz" { "health" } a href="/metrics" { "metrics" }
                        }
                    }
                }
            }
        };
        document.into_string()
    }
}

/// An instant as people read it, with the exact one behind it.
pub(super) fn at(instant: Timestamp) -> Markup {
    let exact = whole_seconds(instant);
    html! { time datetime=(exact) title=(exact) { (exact.strftime("%-d %b %Y, %H:%M:%S UTC")) } }
}

/// An instant by its distance: `in 11h 58m`, `2m ago`.
pub(super) fn from_now(instant: Timestamp, now: Timestamp) -> Markup {
    let exact = whole_seconds(instant);
    let distance = if instant > now {
        format!("in {}", brief(span(now, instant)))
    } else {
        format!("{} ago", brief(span(instant, now)))
    };
    html! { time datetime=(exact) title=(exact) { (distance) } }
}

/// A state as a sign with its word: told apart without colour.
pub(super) fn state(word: &str) -> Markup {
    let sign = match word {
        "covered" | "ok" => "\u{25cf}",
        "unverified" => "\u{25d0}",
        "drifted" | "degraded" => "\u{25b2}",
        "uncovered" | "failing" => "\u{2716}",
        _ => "\u{25cb}",
    };
    html! { span class=(format!("state {word}")) { span.sign aria-hidden="true" { (sign) } " " (word) } }
}

/// The legend of the signs in strips and bars.
pub(super) fn legend() -> Markup {
    let sample = |kind: &str, y: &str, height: &str| {
        html! { svg.sample viewBox="0 0 16 12" aria-hidden="true" { rect class=(kind) y=(y) width="16" height=(height) {} } }
    };
    html! {
        p.legend {
            span { (sample("covered", "4", "4")) " covered" }
            span { (sample("uncovered", "0", "12")) " uncovered: deliveries did not happen" }
            span { (sample("undeliverable", "0", "12")) " undeliverable: the receiver refused canaries" }
            span { (sample("unknown", "0", "12")) " unknown: they may have" }
            span { "empty: not declared yet" }
            span { (sample("mark", "0", "12")) " renewal" }
            span { (sample("panic", "0", "3")) " emergency" }
        }
    }
}

/// The content security policy: only the style sheet of this file and the icon may be loaded.
pub fn policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'self'; \
             frame-ancestors 'none'"
        )
    });
    &POLICY
}

/// A disc in the colour of the status.
fn icon(status: Option<Status>) -> String {
    let colour = match status {
        Some(Status::Ok) => "1a7f37",
        Some(Status::Degraded) => "9a6700",
        Some(Status::Failing) => "cf222e",
        None => "57606a",
    };
    format!(
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' \
         fill='%23{colour}'/%3E%3C/svg%3E"
    )
}

/// The style sheet of every page.
pub(super) const STYLE: &str = include_str!("page.css");

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The colours of one theme, by name.
    fn theme(css: &str) -> BTreeMap<&str, [f64; 3]> {
        let declared = css.split(';').filter_map(|one| one.rsplit_once("--")?.1.split_once(':'));
        let channel = |hex: &str, at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let colour = |value: &'_ str| {
            let hex = value.trim().strip_prefix('#').filter(|hex| hex.len() == 6)?;
            Some([channel(hex, 0), channel(hex, 2), channel(hex, 4)])
        };
        declared.filter_map(|(name, value)| Some((name.trim(), colour(value)?))).collect()
    }

    fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
        let light = |[r, g, b]: [f64; 3]| 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
        let (one, other) = (light(one), light(other));
        one.max(other) / one.min(other)
    }

    /// WCAG 2 AA: 4.5 for text, 3 for what is drawn.
    #[test]
    fn text_and_drawings_stand_out_in_both_themes() {
        let (light, rest) = STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
        let dark = rest.split_once("}").unwrap().0;
        for (name, css) in [("light", light), ("dark", dark)] {
            let theme = theme(css);
            for text in ["ink", "soft", "link", "ok", "warn", "bad"] {
                for ground in ["ground", "raised"] {
                    let found = contrast(theme[text], theme[ground]);
                    assert!(found >= 4.5, "{name}: {text} on {ground}: {found:.2}");
                }
            }
            for drawn in ["fill-ok", "fill-warn", "fill-bad", "mark", "edge"] {
                let found = contrast(theme[drawn], theme["ground"]);
                assert!(found >= 3.0, "{name}: {drawn} on ground: {found:.2}");
            }
        }
    }

    #[test]
    fn no_style_can_be_slipped_in() {
        assert!(
            policy().contains("style-src 'sha256-") && !policy().contains("unsafe"),
            "{}",
            policy()
        );
        assert!(!STYLE.contains("http:") && !STYLE.contains("@import") && !STYLE.contains("</"));
    }
}
