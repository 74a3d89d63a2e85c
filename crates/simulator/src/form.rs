//! Reading forms: `a=1&b=2%2C3` in bodies and in the queries of notify URLs, and bodies in parts.

use crate::model::exchange::Request;

/// The pairs of a request's body, in either encoding: Zoho's SDKs for JavaScript send parts.
pub(crate) fn of(request: &Request) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(&request.body);
    match request.header("content-type").and_then(boundary) {
        Some(boundary) => parts(&text, boundary),
        None => pairs(&text),
    }
}

/// The pairs of a form or a query, decoded, in order.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// The part of a URL behind the question mark.
pub(crate) fn query_of(url: &str) -> &str {
    let (url, _fragment) = url.split_once('#').unwrap_or((url, ""));
    url.split_once('?').map_or("", |(_, query)| query)
}

/// `multipart/form-data; boundary=...`
fn boundary(content_type: &str) -> Option<&str> {
    let (kind, rest) = content_type.split_once(';')?;
    let is_in_parts = kind.trim().eq_ignore_ascii_case("multipart/form-data");
    is_in_parts.then(|| rest.trim().strip_prefix("boundary="))?.map(|text| text.trim_matches('"'))
}

/// The parts that have a name (RFC 7578).
fn parts(text: &str, boundary: &str) -> Vec<(String, String)> {
    let read = |part: &str| {
        let (head, value) = part.split_once("\r\n\r\n")?;
        let (_, name) = head.split_once("; name=\"")?;
        let (name, _) = name.split_once('"')?;
        Some((name.to_owned(), value.strip_suffix("\r\n")?.to_owned()))
    };
    text.split(&format!("--{boundary}")).filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(content_type: &str, body: &str) -> Request {
        Request {
            method: "POST",
            base: String::new(),
            path: "/oauth/v2/token".to_owned(),
            query: Vec::new(),
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_body_is_read_in_either_encoding() {
        let body = "--b1\r\nContent-Disposition: form-data; name=\"client_id\"\r\n\r\n1000.X\r\n\
                    --b1\r\nContent-Disposition: form-data; name=\"secret\"\r\n\r\na=b&c\r\n--b1--\r\n";
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        for content_type in
            ["multipart/form-data; boundary=b1", "Multipart/Form-Data;boundary=\"b1\""]
        {
            let read = of(&request(content_type, body));
            assert_eq!(read, [("client_id", "1000.X"), ("secret", "a=b&c")].map(own));
        }
        let read = of(&request("application/x-www-form-urlencoded;charset=UTF-8", "a=1&b=%26"));
        assert_eq!(read, [("a", "1"), ("b", "&")].map(own));
        assert_eq!(of(&request("multipart/form-data; boundary=b1", "--b1\r\nno name")), []);
    }

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
