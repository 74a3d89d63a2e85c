//! Reading `a=1&b=2%2C3`: form bodies and the queries of notify URLs.

/// The pairs of a form or a query, decoded, in order.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(key, value)| (decoded(key), decoded(value)))
        .collect()
}

/// What stands behind the question mark of a URL.
pub(crate) fn query_of(url: &str) -> &str {
    let (url, _fragment) = url.split_once('#').unwrap_or((url, ""));
    url.split_once('?').map_or("", |(_, query)| query)
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], hex_pair(bytes, at)) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (b'+', _) => {
                out.push(b' ');
                at += 1;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex_pair(bytes: &[u8], at: usize) -> Option<u8> {
    let high = char::from(*bytes.get(at + 1)?).to_digit(16)?;
    let low = char::from(*bytes.get(at + 2)?).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
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
