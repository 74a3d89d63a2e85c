//! The two texts in which metrics can be asked for.
//!
//! OpenMetrics is what the library writes. The older text differs in little, and is derived from
//! it: no `# UNIT` and no `# EOF`, a counter's metadata carry the name of its samples, and what is
//! an info metric there is a gauge.

/// How the metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus's text format 0.0.4, which everything that scrapes can read.
    Text,
}

impl Format {
    /// The format that an `Accept` header asks for: OpenMetrics only when it names it.
    pub(crate) fn asked(accept: &str) -> Format {
        let names_it = accept.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts
                .next()
                .is_some_and(|media| media.eq_ignore_ascii_case("application/openmetrics-text"));
            let refused =
                |part: &str| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
            is_it && !parts.any(refused)
        });
        if names_it { Format::OpenMetrics } else { Format::Text }
    }

    /// The content type of an answer in this format.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// A text in OpenMetrics, in this format.
    pub(crate) fn of(self, openmetrics: String) -> String {
        match self {
            Format::OpenMetrics => openmetrics,
            Format::Text => plain(&openmetrics),
        }
    }
}

fn plain(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut lines = openmetrics.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some((name, help)) =
            line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '))
        {
            let kind = lines
                .next_if(|line| line.starts_with("# TYPE "))
                .and_then(|line| line.rsplit(' ').next());
            let (suffix, kind) = match kind.unwrap_or("untyped") {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                kind => ("", kind),
            };
            text.push_str(&format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_name_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("Application/OpenMetrics-Text", Format::OpenMetrics),
            ("application/openmetrics-text;q=0.0, text/plain", Format::Text),
            ("text/plain;version=0.0.4", Format::Text),
            ("*/*", Format::Text),
            ("text/html, application/openmetrics-textual", Format::Text),
            ("", Format::Text),
        ] {
            assert_eq!(Format::asked(accept), format, "{accept}");
        }
    }

    #[test]
    fn the_older_text_names_metadata_as_samples() {
        let openmetrics = "# HELP a_seconds What # it is.\n# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds 1.5\n\
                           # HELP b Calls.\n# TYPE b counter\nb_total{c=\"# d\"} 2\n# HELP e Build.\n# TYPE e info\ne_info{f=\"g\"} 1\n\
                           # HELP h Lengths.\n# TYPE h histogram\nh_sum 1.0\nh_count 1\nh_bucket{le=\"+Inf\"} 1\n# EOF\n";
        let expected = "# HELP a_seconds What # it is.\n# TYPE a_seconds gauge\na_seconds 1.5\n\
                        # HELP b_total Calls.\n# TYPE b_total counter\nb_total{c=\"# d\"} 2\n\
                        # HELP e_info Build.\n# TYPE e_info gauge\ne_info{f=\"g\"} 1\n\
                        # HELP h Lengths.\n# TYPE h histogram\nh_sum 1.0\nh_count 1\nh_bucket{le=\"+Inf\"} 1\n";
        assert_eq!(Format::Text.of(openmetrics.to_owned()), expected);
        assert_eq!(Format::OpenMetrics.of(openmetrics.to_owned()), openmetrics);
    }
}
