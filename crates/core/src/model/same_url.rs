//! One spelling for URLs that are the same, by the rules of RFC 3986, section 6.2.2: the case of
//! scheme and host, the port that the scheme has anyway, an empty path, percent-encoding of what
//! need not be encoded, and none of what must be. A `+` and an encoded reserved character stay as
//! they are: to a receiver they may mean something else.

/// The spelling by which URLs are compared.
pub(super) fn canonical(url: &str) -> String {
    let encoded = encoded(url);
    let Some((scheme, after)) = encoded.split_once("://") else { return encoded };
    let (authority, rest) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
    let (user, host) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let port = if scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else if scheme.eq_ignore_ascii_case("http") {
        ":80"
    } else {
        ":"
    };
    let bare = host.strip_suffix(port).unwrap_or(host);
    let is_lower = |text: &str| !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let is_so = bare.len() == host.len() && is_lower(scheme) && is_lower(host);
    // Most are spelled so.
    if is_so && rest.starts_with('/') {
        return encoded;
    }
    let (scheme, host) = (scheme.to_ascii_lowercase(), bare.to_ascii_lowercase());
    let slash = if rest.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{user}{host}{slash}{rest}")
}

/// The same URL with everything encoded that may not stand in one, and nothing that need not be.
pub(super) fn encoded(url: &str) -> String {
    let (bytes, mut text) = (url.as_bytes(), String::with_capacity(url.len()));
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = bytes.get(at + 1..at + 3).filter(|_| byte == b'%').and_then(hex);
        at += if escaped.is_some() { 3 } else { 1 };
        match escaped {
            Some(byte) if is_unreserved(byte) => text.push(char::from(byte)),
            Some(byte) => escape(byte, &mut text),
            None if is_allowed(byte) => text.push(char::from(byte)),
            None => escape(byte, &mut text),
        }
    }
    text
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
}

fn escape(byte: u8, text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    text.push(char::from(DIGITS[usize::from(byte >> 4)]));
    text.push(char::from(DIGITS[usize::from(byte & 15)]));
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn is_allowed(byte: u8) -> bool {
    is_unreserved(byte) || b":/?#[]@!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_are_the_same_have_one_spelling() {
        let rows = [
            ("https://Hooks.Example.com/Zoho", "https://hooks.example.com/Zoho"),
            ("HTTPS://hooks.example.com", "https://hooks.example.com/"),
            ("https://hooks.example.com:443?a=1", "https://hooks.example.com/?a=1"),
            ("https://h.example.com/a b?c=d e", "https://h.example.com/a%20b?c=d%20e"),
            ("https://h.example.com/%7euser%2fx", "https://h.example.com/~user%2Fx"),
            ("https://h.example.com/100%", "https://h.example.com/100%25"),
            ("https://h.example.com/\u{fc}", "https://h.example.com/%C3%BC"),
        ];
        for (one, other) in rows {
            assert_eq!(canonical(one), canonical(other), "{one}");
            assert_eq!(canonical(&canonical(one)), canonical(one), "{one}");
        }
    }

    #[test]
    fn urls_that_are_not_the_same_stay_apart() {
        let rows = [
            ("https://h.example.com/A", "https://h.example.com/a"),
            ("https://h.example.com/a", "https://h.example.com/a/"),
            ("https://h.example.com/?a=%26", "https://h.example.com/?a=&"),
            ("https://h.example.com/?a=b+c", "https://h.example.com/?a=b%20c"),
            ("https://h.example.com:8443/", "https://h.example.com/"),
            ("https://User@h.example.com/", "https://user@h.example.com/"),
        ];
        for (one, other) in rows {
            assert_ne!(canonical(one), canonical(other), "{one}");
        }
    }
}
