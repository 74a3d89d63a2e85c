//! The parts of every page: the document around it, its one style sheet, and the small pieces that
//! stand in many places.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::model::time::{Timestamp, brief, span, whole_seconds};

use super::super::health::Status;
use super::super::one_line::line;

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
                    // With the script the page renews itself without a flash, and says when it cannot.
                    @if self.follow { noscript { meta http-equiv="refresh" content="60"; } }
                    title { (self.title) }
                    link rel="icon" href=(icon(self.status));
                    style { (PreEscaped(STYLE)) }
                }
                body data-follow[self.follow] {
                    a.skip href="#main" { "Skip to the content" }
                    svg.patterns aria-hidden="true" width="0" height="0" {
                        pattern #stripes width="3" height="12" patternUnits="userSpaceOnUse" { rect width="2" height="12" {} }
                    }
                    (body)
                    footer {
                        p { "channelkeeper " (self.version) ", as of " (at(self.now)) }
                        nav aria-label="For programs" {
                            a href="/api/v1/status" { "status as JSON" } a href="/healthz" { "health as JSON" } a href="/metrics" { "metrics" }
                        }
                    }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        document.into_string()
    }
}

/// An instant as people read it. The script adds the reader's own zone.
pub(super) fn at(instant: Timestamp) -> Markup {
    let exact = whole_seconds(instant);
    html! { time datetime=(exact) title=(exact) { (exact.strftime("%Y-%m-%d\u{a0}%H:%M:%S\u{a0}UTC")) } }
}

/// A text in which instants read as everywhere else.
pub(super) fn words(text: &str) -> Markup {
    html! {
        @for (place, word) in text.split(' ').enumerate() {
            @if place > 0 { " " }
            @match instant(word) {
                Some((before, instant, after)) => { (before) (at(instant)) (after) }
                None => (word),
            }
        }
    }
}

/// The instant in a word, and what is before and after it.
fn instant(word: &str) -> Option<(&str, Timestamp, &str)> {
    let begins = word.find(|c: char| c.is_ascii_digit())?;
    let ends = match word.rfind('Z') {
        Some(place) => place + 1,
        None => word.rfind(OFFSET)? + OFFSET.len(),
    };
    let instant = word.get(begins..ends)?.parse().ok()?;
    Some((&word[..begins], instant, &word[ends..]))
}

/// The end of an instant as Zoho writes it in UTC.
const OFFSET: &str = "+00:00";

/// The same, with what stands in backticks as something to type.
pub(super) fn coded(text: &str) -> Markup {
    let is_whole = text.matches('`').count().is_multiple_of(2);
    html! {
        @if is_whole {
            @for (place, part) in text.split('`').enumerate() {
                @if place % 2 == 0 { (words(part)) } @else { code { (part) } }
            }
        } @else { (words(text)) }
    }
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
        "undeliverable" => "\u{21af}",
        _ => "\u{25cb}",
    };
    html! { span class=(format!("state {word}")) { span.sign aria-hidden="true" { (sign) } " " (word) } }
}

/// A sample of what is drawn, for a legend.
pub(super) fn sample(kind: &str, y: &str, height: &str) -> Markup {
    html! { svg.sample viewBox="0 0 16 12" aria-hidden="true" { rect class=(kind) y=(y) width="16" height=(height) {} } }
}

/// The legend of the signs in strips.
pub(super) fn legend() -> Markup {
    html! {
        p.legend {
            span { (sample("covered", "4", "4")) " covered" }
            span { (sample("uncovered", "0", "12")) " uncovered: deliveries did not happen" }
            span { (sample("undeliverable", "0", "12")) " undeliverable: the receiver refused canaries" }
            span { (sample("unknown", "0", "12")) " unknown: they may have" }
            span { "empty: not declared yet" }
        }
    }
}

/// The content security policy: only the style sheet and the script of this file and the icon may be
/// loaded, and the script may ask this daemon only.
pub(crate) fn policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
        let (style, script) = (hash(STYLE), hash(SCRIPT));
        format!(
            "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; \
             img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
    });
    &POLICY
}

/// The page for a path that is none.
pub(crate) fn not_found(path: &str, now: Timestamp) -> String {
    let frame = Frame {
        title: "no such page - channelkeeper".to_owned(),
        status: None,
        follow: false,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now,
    };
    let body = html! {
        header { p.brand { a href="/" { "channelkeeper" } } h1 { "There is no such page" } }
        main #main {
            p { "Nothing is at " code { (line(path)) } "." }
            p { a href="/" { "The front page" } " has every channel, and the foot of each page has the addresses for programs." }
        }
    };
    frame.around(&body)
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
/// The script of every page. Nothing needs it.
pub(super) const SCRIPT: &str = include_str!("page.js");

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
    fn no_style_and_no_script_can_be_slipped_in() {
        assert!(
            policy().contains("style-src 'sha256-")
                && policy().contains("script-src 'sha256-")
                && !policy().contains("unsafe"),
            "{}",
            policy()
        );
        assert!(!STYLE.contains("http:") && !STYLE.contains("@import") && !STYLE.contains("</"));
        for bad in ["http", "</", "innerHTML", "eval", "<!--"] {
            assert!(!SCRIPT.contains(bad), "{bad}");
        }
    }

    #[test]
    fn instants_in_a_text_read_as_everywhere_else_and_what_is_typed_is_code() {
        let text = "ended (2026-01-02T00:00:00Z): `resume A`, <b> 2Z";
        expect_test::expect![[r#"ended (<time datetime="2026-01-02T00:00:00Z" title="2026-01-02T00:00:00Z">2026-01-02\u{a0}00:00:00\u{a0}UTC</time>): <code>resume A</code>, &lt;b&gt; 2Z"#]]
            .assert_eq(&coded(text).into_string().replace('\u{a0}', "\\u{a0}"));
        assert_eq!(coded("a ` b").into_string(), "a ` b");
    }
}
