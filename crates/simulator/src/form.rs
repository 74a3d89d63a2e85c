//! Reading `a=1&b=2%2C3`: form bodies and the queries of notify URLs.

/// The pairs of a form or a query, decoded, in order.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// The part of a URL behind the question mark.
pub(crate) fn query_of(url: &str) -> &str {
    let (url, _fragment) = url.split_once('#').unwrap_or((url, ""));
    url.split_once('?').map_or("", |(_, query)| query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_odd_ones_are_kept() {
        let read = pairs("a=1%2C2&b=x+y&flag&c=100%&&%C3%BC=z");
        let expected = [("a", "1,2"), ("b", "x y"), ("flag", ""), ("c", "100%"), ("ü", "z")];
        assert_eq!(read, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_query_ends_before_the_fragment() {
        assert_eq!(query_of("https://h.test/p?k=v#f?x=y"), "k=v");
        assert_eq!(query_of("https://h.test/p"), "");
    }
}
