//! An explanation as lines, one fact a line.

use std::time::Duration;

use crate::model::record::Grant;
use crate::model::time::{Timestamp, brief, span};

use super::{
    DeclaredView, Explanation, Granted, Recorded, Renewal, Rules, Sighted, Survives, TableRow,
};

impl Explanation {
    /// Its facts and what follows from them, as a name and a sentence each.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let none = || "no".to_owned();
        let mut lines = vec![
            ("declared", self.declared.as_ref().map_or_else(none, declared)),
            ("observed", observed(&self.observed)),
            (
                "record",
                self.record
                    .as_ref()
                    .map_or_else(|| "none: it is not known as ours".to_owned(), recorded),
            ),
            ("rules", rules(&self.rules)),
        ];
        lines.extend(self.drift.iter().map(|drift| ("drift", drift.clone())));
        lines.extend(self.row.as_ref().map(|row| ("row", table_row(row))));
        lines.push(("decision", self.verdict.clone()));
        lines.extend(self.steps.iter().map(|step| ("step", step.line(self.at).trim().to_owned())));
        lines.extend(
            self.held.iter().map(|held| ("held", format!("{}: {}", held.cause, held.detail))),
        );
        lines.extend(
            self.again.map(|again| ("again", format!("{again}, {}", when(self.at, again)))),
        );
        lines.extend(self.renewal.as_ref().map(|known| ("renewal", renewal(known, self.at))));
        lines.extend(self.slack.as_ref().map(|slack| ("slack", survives(slack))));
        lines
    }

    /// Renders it as text.
    pub fn to_text(&self) -> String {
        let head = format!(
            "channel {} of account {}, id {}, at {}\n",
            self.channel, self.account, self.id, self.at
        );
        let lines = self.lines().into_iter().map(|(name, text)| format!("  {name:<9} {text}\n"));
        std::iter::once(head).chain(lines).collect()
    }
}

fn declared(declared: &DeclaredView) -> String {
    let DeclaredView {
        events,
        notify_url,
        token,
        lifetime_s,
        renew_before_s,
        conditions,
        mode,
        ..
    } = declared;
    let token = if *token { "a token" } else { "no token" };
    let lead = renew_before_s
        .map(|lead| format!(", renewed {} before its end", length(lead)))
        .unwrap_or_default();
    let only = if conditions.is_empty() {
        String::new()
    } else {
        format!(", only on {}", conditions.join("; "))
    };
    format!(
        "{} to {notify_url} with {token}{only}, for {}{lead}, mode {mode}",
        events.join(", "),
        length(*lifetime_s)
    )
}

fn observed(observed: &Sighted) -> String {
    match observed {
        Sighted::Absent => "absent: Zoho does not have it".to_owned(),
        Sighted::Unknown { why } => format!("unknown: the look failed: {why}"),
        Sighted::Seen { events, notify_urls, token, conditions, expiry } => {
            let until =
                expiry.map_or_else(|| "no end said".to_owned(), |expiry| format!("until {expiry}"));
            let only = if conditions.is_empty() {
                String::new()
            } else {
                format!(", only on {}", conditions.join("; "))
            };
            let (events, urls, token) =
                (events.join(", "), notify_urls.join(" and "), token.join(" and "));
            format!("{events} to {urls}, token {token}{only}, {until}")
        }
    }
}

fn recorded(record: &Recorded) -> String {
    let Recorded { grant, refusal, life_refused, repairs, renewal_asked, last } = record;
    let grant = grant.as_ref().map_or_else(|| "no grant yet".to_owned(), granted);
    let refusal = refusal.as_ref().map(|refusal| {
        format!(
            "; refused {} times, last at {} with {}: {}",
            refusal.attempts, refusal.at, refusal.code, refusal.message
        )
    });
    let life = life_refused.as_ref().map(|refused| format!("; asked shorter: {refused}"));
    let repairs = (*repairs > 0).then(|| format!("; the same drift was mended {repairs} times"));
    let asked = renewal_asked.map(|at| format!("; a renewal was asked for at {at}"));
    let last = last
        .as_ref()
        .map(|last| format!("; last step {} at {}: {}", last.step, last.at, last.outcome));
    [Some(grant), refusal, life, repairs, asked, last].into_iter().flatten().collect()
}

fn granted(grant: &Granted) -> String {
    let Granted { grant: Grant { at, asked, expiry }, short } = grant;
    let short =
        if *short { format!(", far less than {asked} which was asked for") } else { String::new() };
    format!("granted at {at} until {expiry}{short}")
}

fn rules(rules: &Rules) -> String {
    let Rules { mode, removed, batch_max, lifetime_max_s, skew_ms, looks_failed, writes_failed } =
        rules;
    let skew = skew_ms.map(|skew| format!(", Zoho's clock is {skew} ms ahead")).unwrap_or_default();
    let looks =
        looks_failed.as_ref().map(|what| format!("; looks failed {what}")).unwrap_or_default();
    let writes =
        writes_failed.as_ref().map(|what| format!("; writes failed {what}")).unwrap_or_default();
    let most = length(*lifetime_max_s);
    format!(
        "mode {mode}, removed {removed}, {batch_max} in one write, lives of up to \
         {most}{skew}{looks}{writes}"
    )
}

fn table_row(row: &TableRow) -> String {
    let TableRow { spec, ours, observed, then } = row;
    let known = match (spec.as_str(), ours.as_str()) {
        ("yes", "yes") => "it is declared, and ours",
        ("yes", "no") => "it is declared, and not known as ours",
        ("yes", _) => "it is declared",
        (_, "yes") => "it is not declared, but ours",
        (_, _) => "it is neither declared nor ours",
    };
    format!("{known}; at Zoho: {observed}; so: {then}")
}

fn renewal(renewal: &Renewal, at: Timestamp) -> String {
    let Renewal { age, life_s, left_s, lead_s, rule, phase_s, due_at, emergency_at, expiry } =
        renewal;
    format!(
        "{age}: a life of {} until {expiry}, {} left; renewed with {} left ({rule}) and {} of the \
         account's phase, at {due_at}, {}; emergency from {emergency_at}, {}",
        length(*life_s),
        length(*left_s),
        length(*lead_s),
        length(*phase_s),
        when(at, *due_at),
        when(at, *emergency_at)
    )
}

fn survives(slack: &Survives) -> String {
    let Survives { margin_s, failed_passes, outage_s } = slack;
    format!(
        "{} from the first attempt to the end: survives {failed_passes} failed passes in a row, or \
         an outage of {}",
        length(*margin_s),
        length(*outage_s)
    )
}

fn when(now: Timestamp, instant: Timestamp) -> String {
    if instant >= now {
        format!("in {}", brief(span(now, instant)))
    } else {
        format!("{} ago", brief(span(instant, now)))
    }
}

fn length(seconds: u64) -> String {
    brief(Duration::from_secs(seconds))
}
