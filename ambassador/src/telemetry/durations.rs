// SPDX-License-Identifier: Apache-2.0
//! Histograms of the durations of HTTP calls, of which each worker keeps its own part.
//!
//! Every request moves two of them. Those of the prometheus crate are shared by all workers, at four locked operations
//! each. On the page they look the same.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::telemetry::names::{HTTP_BUCKETS, Name};
use crate::telemetry::shards::{Shard, Shards};

/// A histogram with labels. All clones are one.
#[derive(Clone)]
pub(crate) struct Durations(Arc<Inner>);

struct Inner {
    name: Name,
    labels: Vec<&'static str>,
    desc: Desc,
    series: Mutex<BTreeMap<Vec<String>, Shards<CELLS>>>,
}

/// One series, as one worker adds to it.
pub(crate) struct Series(Shard<CELLS>);

impl Durations {
    /// A histogram of this name that tells durations apart by `labels`.
    pub(crate) fn new(name: Name, labels: &[&'static str]) -> prometheus::Result<Self> {
        let words = labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(name.name.to_owned(), name.help.to_owned(), words, HashMap::new())?;
        Ok(Self(Arc::new(Inner { name, labels: labels.to_vec(), desc, series: Mutex::default() })))
    }

    /// The calling worker's part of the series with these `values` of the labels.
    pub(crate) fn series(&self, values: &[&str]) -> Series {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let mut series = self.0.series.lock().unwrap_or_else(PoisonError::into_inner);
        Series(series.entry(values).or_default().shard())
    }
}

impl Series {
    /// Counts a call that took so long.
    pub(crate) fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.0.add(BOUNDS.partition_point(|bound| *bound < nanos), 1);
        self.0.add(SUM, nanos);
    }
}

impl Collector for Durations {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let series = self.0.series.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = series.iter().map(|(values, shards)| {
            let mut metric = Metric::from_label(self.pairs(values));
            metric.set_histogram(histogram(&shards.sum()));
            metric
        });
        let mut family = MetricFamily::default();
        family.set_name(self.0.name.name.to_owned());
        family.set_help(self.0.name.help.to_owned());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(metrics.collect());
        vec![family]
    }
}

impl Durations {
    /// In the order of their names, as everywhere on the page.
    fn pairs(&self, values: &[String]) -> Vec<LabelPair> {
        let pair = |(name, value): (&&str, &String)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.clone());
            pair
        };
        let mut pairs: Vec<_> = self.0.labels.iter().zip(values).map(pair).collect();
        pairs.sort_by(|one, two| one.name().cmp(two.name()));
        pairs
    }
}

fn histogram(cells: &[u64; CELLS]) -> Histogram {
    let mut count = 0;
    let buckets = HTTP_BUCKETS.iter().zip(cells).map(|(bound, within)| {
        count += within;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(count + cells[BEYOND]);
    histogram.set_sample_sum(Duration::from_nanos(cells[SUM]).as_secs_f64());
    histogram
}

/// One per bucket, one for what is beyond all of them, and the sum of all durations in nanoseconds.
const CELLS: usize = SUM + 1;
const SUM: usize = BEYOND + 1;
const BEYOND: usize = HTTP_BUCKETS.len();

/// The buckets in nanoseconds.
static BOUNDS: [u64; HTTP_BUCKETS.len()] = {
    let mut bounds = [0; HTTP_BUCKETS.len()];
    let mut at = 0;
    while at < bounds.len() {
        // Whole microseconds, all of them.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "30 s at most")]
        let micros = (HTTP_BUCKETS[at] * 1e6 + 0.5) as u64;
        bounds[at] = micros * 1000;
        at += 1;
    }
    bounds
};

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, Registry, TextEncoder};

    use super::*;
    use crate::telemetry::names::REQUEST_DURATION;

    #[test]
    fn the_page_is_that_of_the_prometheus_crate() {
        let labels = ["route", "error_type"];
        let opts = HistogramOpts::new(REQUEST_DURATION.name, REQUEST_DURATION.help);
        let theirs = HistogramVec::new(opts.buckets(HTTP_BUCKETS.to_vec()), &labels).unwrap();
        let ours = Durations::new(REQUEST_DURATION, &labels).unwrap();
        let mut worker = (ours.series(&["a", "x"]), ours.series(&["b", ""]), ours.series(&["a", "x"]));
        // The bounds themselves belong to their buckets.
        for micros in
            [0, 1, 499, 500, 501, 1000, 2_500, 75_000, 29_999_999, 30_000_000, 30_000_001, 90_000_000]
        {
            let duration = Duration::from_micros(micros);
            worker.0.record(duration);
            worker.1.record(duration);
            worker.2.record(duration);
            for values in [["a", "x"], ["b", ""], ["a", "x"]] {
                theirs.with_label_values(&values).observe(duration.as_secs_f64());
            }
        }
        let page = |collector: Box<dyn Collector>| {
            let registry = Registry::new();
            registry.register(collector).unwrap();
            TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
        };
        // Sums of binary fractions differ in the last digit.
        let without_sums = |page: String| -> Vec<String> {
            page.lines().filter(|line| !line.contains("_sum{")).map(str::to_owned).collect()
        };
        let ours = page(Box::new(ours));
        assert!(ours.contains("_sum{error_type=\"\",route=\"b\"} 180.080001\n"), "{ours}");
        assert_eq!(without_sums(ours), without_sums(page(Box::new(theirs))));
    }
}
