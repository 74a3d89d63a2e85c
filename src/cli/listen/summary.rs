//! The deliveries by declared channel and module, for the end of `listen`, and the channels that
//! never delivered.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::model::time::Timestamp;
use crate::plan::render::counted;

use super::judge::{Expected, JudgedDelivery, Worth};

/// The counts, for each declared channel and module and for nothing else: what is sent cannot make
/// it grow.
#[derive(Debug, Serialize)]
pub(super) struct DeliveryCounts {
    rows: Vec<CountsRow>,
    /// Deliveries, accepted or not.
    deliveries: u64,
    /// Those among them that counted for no row.
    not_accepted: u64,
    /// Requests that were no deliveries.
    refused: u64,
    /// The daemon's own tests, which are no deliveries either.
    canaries: u64,
    /// Those among the accepted that the daemon recovered.
    recovered: u64,
    #[serde(skip)]
    places: BTreeMap<(String, String), usize>,
}

/// One module of one channel.
#[derive(Debug, Serialize)]
pub(super) struct CountsRow {
    channel: String,
    module: String,
    /// How many deliveries counted.
    pub(super) deliveries: u64,
    last: Option<Timestamp>,
}

impl DeliveryCounts {
    /// Nothing has come yet.
    pub(super) fn of(declared: &Expected) -> DeliveryCounts {
        let mut rows = Vec::new();
        for channel in declared.channels() {
            let modules = channel.spec.events.iter().map(|(module, _)| module.to_owned());
            rows.extend(modules.map(|module| CountsRow {
                channel: channel.to_string(),
                module,
                deliveries: 0,
                last: None,
            }));
        }
        let key =
            |(place, row): (usize, &CountsRow)| ((row.channel.clone(), row.module.clone()), place);
        let places = rows.iter().enumerate().map(key).collect();
        DeliveryCounts {
            rows,
            deliveries: 0,
            not_accepted: 0,
            refused: 0,
            canaries: 0,
            recovered: 0,
            places,
        }
    }

    /// Takes in one delivery.
    pub(super) fn count(&mut self, judged: &JudgedDelivery) {
        if judged.verdict == Worth::Canary {
            self.canaries += 1;
            return;
        }
        self.deliveries += 1;
        let key = judged
            .channel
            .clone()
            .filter(|_| judged.verdict.counts())
            .map(|name| (name, judged.module.clone()));
        match key.and_then(|key| self.places.get(&key)) {
            Some(place) => {
                let row = &mut self.rows[*place];
                row.deliveries += 1;
                self.recovered += u64::from(judged.recovered.is_some());
                row.last = row.last.max(Some(judged.at));
            }
            None => self.not_accepted += 1,
        }
    }

    /// Takes in that a request was no delivery.
    pub(super) fn refuse(&mut self) {
        self.refused += 1;
    }

    /// How many deliveries came, accepted or not.
    pub(super) fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// The rows, by account, channel and module.
    #[cfg(test)]
    pub(super) fn rows(&self) -> impl Iterator<Item = &CountsRow> {
        self.rows.iter()
    }

    /// The table, and a sentence.
    pub(super) fn to_text(&self) -> String {
        let DeliveryCounts { rows, deliveries, not_accepted, refused, canaries, recovered, .. } =
            self;
        let wide = |title: &str, of: fn(&CountsRow) -> &str| {
            rows.iter().map(|row| of(row).len()).chain([title.len()]).max().unwrap_or_default()
        };
        let (channels, modules) =
            (wide("CHANNEL", |row| &row.channel), wide("MODULE", |row| &row.module));
        let mut text =
            format!("{:channels$}  {:modules$}  DELIVERIES  LAST\n", "CHANNEL", "MODULE");
        for CountsRow { channel, module, deliveries, last } in rows {
            let last =
                last.map_or_else(|| "never delivered".to_owned(), |last| format!("{last:.0}"));
            // Writing to a string cannot fail.
            let _infallible =
                writeln!(text, "{channel:channels$}  {module:modules$}  {deliveries:>10}  {last}");
        }
        let came = match deliveries {
            1 => "1 delivery".to_owned(),
            many => format!("{many} deliveries"),
        };
        let others = counted(usize::try_from(*refused).unwrap_or(usize::MAX), "request");
        let tests = match canaries {
            0 => String::new(),
            1 => "; 1 canary".to_owned(),
            many => format!("; {many} canaries"),
        };
        let recovered = match recovered {
            0 => String::new(),
            some => format!(", {some} recovered"),
        };
        let _infallible = writeln!(
            text,
            "{came}, {not_accepted} of them not accepted{recovered}; {others} besides, refused{tests}"
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::super::judge::tests::{at, declared};
    use super::*;

    #[test]
    fn recovered_deliveries_are_told_from_live_ones() {
        let declared = declared();
        let mut summary = DeliveryCounts::of(&declared);
        let mut send = |body: serde_json::Value| {
            let judged = declared.judge(body.to_string().as_bytes(), at(5)).unwrap();
            summary.count(&judged);
            judged.to_string()
        };
        let live = json!({"channel_id": "7", "token": "t-deals", "module": "Deals", "operation": "insert",
            "ids": ["1"], "query_params": {"a": "b"}});
        let mut recovered = live.clone();
        recovered["query_params"]["channelkeeper_recovered"] = json!("0a1b-3-0-50");
        let mut forged = recovered.clone();
        forged["token"] = json!("wrong");
        let start = "2026-11-23T16:00:05Z  acme/deals  Deals  insert (Deals.create)  ids 1";
        assert_eq!(send(live), format!("{start}  verified"));
        assert_eq!(send(recovered), format!("{start}  verified, recovered (0a1b-3-0-50)"));
        assert_eq!(send(forged), format!("{start}  token wrong, recovered (0a1b-3-0-50)"));
        let text = summary.to_text();
        assert!(
            text.ends_with(
                "3 deliveries, 1 of them not accepted, 1 recovered; 0 requests besides, refused\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn each_declared_module_says_how_often_and_when_last_or_never() {
        let declared = declared();
        let mut summary = DeliveryCounts::of(&declared);
        let sent = [
            ("7", "t-deals", "Deals", 5),
            ("7", "t-deals", "Deals", 3),
            ("7", "wrong", "Contacts", 9),
        ];
        let others =
            [("8", "", "Contacts", 4), ("7", "t-deals", "Leads", 8), ("99", "", "Deals", 1)];
        for (id, token, module, second) in sent.into_iter().chain(others) {
            let body =
                json!({"channel_id": id, "token": token, "module": module, "operation": "insert"});
            summary.count(&declared.judge(body.to_string().as_bytes(), at(second)).unwrap());
        }
        summary.refuse();
        expect![[r#"
            CHANNEL      MODULE    DELIVERIES  LAST
            acme/bare    Contacts           1  2026-11-23T16:00:04Z
            acme/bare    Deals              0  never delivered
            acme/deals   Contacts           0  never delivered
            acme/deals   Deals              2  2026-11-23T16:00:05Z
            acme/locked  Contacts           0  never delivered
            acme/locked  Deals              0  never delivered
            6 deliveries, 3 of them not accepted; 1 request besides, refused
        "#]]
        .assert_eq(&summary.to_text());
    }
}
