//! Metrics as values, and their way into OpenMetrics: in the order in which they are given.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;

use crate::model::latency::Histogram;

/// Names and values, in the order in which they are shown.
pub(super) type Labels = Vec<(&'static str, String)>;
pub(super) type Sample = (Labels, f64);

/// One metric with all its samples.
#[derive(Debug)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    metric: MetricType,
    samples: Vec<Sample>,
    histograms: Vec<(Labels, Histogram)>,
}

pub(super) fn gauge(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        help,
        unit: None,
        metric: MetricType::Gauge,
        samples: Vec::new(),
        histograms: Vec::new(),
    }
}

/// A gauge in seconds: `_seconds` is added to its name.
pub(super) fn seconds(name: &'static str, help: &'static str) -> Family {
    Family { unit: Some(Unit::Seconds), ..gauge(name, help) }
}

/// A metric that only grows: `_total` is added to its name.
pub(super) fn counter(name: &'static str, help: &'static str) -> Family {
    Family { metric: MetricType::Counter, ..gauge(name, help) }
}

/// A label that stands for a fact; left out while there is none. `_info` is added to its name.
pub(super) fn info(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    value: Option<&str>,
) -> Family {
    let samples = value.map(|value| (vec![(label, value.to_owned())], 1.0)).into_iter().collect();
    Family { metric: MetricType::Info, samples, ..gauge(name, help) }
}

/// Lengths in seconds: `_seconds` is added to its name.
pub(super) fn histograms(
    name: &'static str,
    help: &'static str,
    histograms: impl IntoIterator<Item = (Labels, Histogram)>,
) -> Family {
    let histograms = histograms.into_iter().collect();
    Family { metric: MetricType::Histogram, histograms, ..seconds(name, help) }
}

impl Family {
    /// The names of the labels; `None` without a sample.
    #[cfg(test)]
    pub(super) fn labels(&self) -> Option<Vec<&'static str>> {
        let samples = self.samples.iter().map(|(labels, _)| labels);
        let mut all = samples.chain(self.histograms.iter().map(|(labels, _)| labels));
        // A histogram has a series for each of its bounds.
        let of_bounds = (!self.histograms.is_empty()).then_some("le");
        all.next().map(|labels| labels.iter().map(|(name, _)| *name).chain(of_bounds).collect())
    }

    pub(super) fn with(self, samples: impl IntoIterator<Item = Sample>) -> Family {
        Family { samples: samples.into_iter().collect(), ..self }
    }

    pub(super) fn one(self, value: f64) -> Family {
        self.with([(Vec::new(), value)])
    }

    pub(super) fn maybe(self, value: Option<f64>) -> Family {
        self.with(value.map(|value| (Vec::new(), value)))
    }

    /// The name of its samples.
    #[cfg(test)]
    pub(super) fn full_name(&self, prefix: &str) -> String {
        let unit = self.unit.as_ref().map_or(String::new(), |unit| format!("_{}", unit.as_str()));
        let suffix = match self.metric {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            MetricType::Gauge | MetricType::Histogram | MetricType::Unknown => "",
        };
        format!("{prefix}_{}{unit}{suffix}", self.name)
    }

    #[cfg(test)]
    pub(super) const fn help(&self) -> &'static str {
        self.help
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric =
            encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), self.metric)?;
        for (labels, value) in &self.samples {
            if labels.is_empty() || matches!(self.metric, MetricType::Info) {
                self.sample(&mut metric, labels, *value)?;
            } else {
                self.sample(&mut metric.encode_family(labels)?, labels, *value)?;
            }
        }
        for (labels, histogram) in &self.histograms {
            let (sum, buckets) = (histogram.sum.as_secs_f64(), histogram.buckets());
            let mut metric = metric.encode_family(labels)?;
            metric.encode_histogram::<Labels>(sum, histogram.count(), &buckets, None)?;
        }
        Ok(())
    }

    fn sample(&self, encoder: &mut MetricEncoder<'_>, labels: &Labels, value: f64) -> fmt::Result {
        match self.metric {
            MetricType::Info => encoder.encode_info(labels),
            MetricType::Counter => encoder.encode_counter(&value, None::<&Exemplar<Labels, f64>>),
            MetricType::Gauge | MetricType::Histogram | MetricType::Unknown => {
                encoder.encode_gauge(&value)
            }
        }
    }
}

/// Every family of a scrape.
#[derive(Debug)]
pub(super) struct Families(pub(super) Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut told = self
            .0
            .iter()
            .filter(|family| !(family.samples.is_empty() && family.histograms.is_empty()));
        told.try_for_each(|family| family.encode(&mut encoder))
    }
}
