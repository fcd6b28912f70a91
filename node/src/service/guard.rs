//! Whose requests are not answered: those that a page of somewhere else makes a browser send. Whoever reaches the
//! port is obeyed, and a browser on this machine reaches it for any page that it shows.
//!
//! A page may send a POST anywhere, and the browser says in `Origin` where the page is from. A page whose name was
//! turned to a loopback address after it was loaded ("DNS rebinding") passes for this host, but for its name in `Host`.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HOST, HeaderMap, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{Method, Request};

/// Why a request is refused; `None`: it may be answered. `listens`: where the admin port is.
pub(super) fn refusal<B>(request: &Request<B>, listens: SocketAddr) -> Option<String> {
    let named = request.uri().authority().map(Authority::as_str);
    let hosts = all(request.headers(), HOST.as_str());
    for host in hosts.iter().copied().chain(named) {
        if !is_here(host, listens.ip()) {
            return Some(format!(
                "this is not {host:?}: name the node as 127.0.0.1, [::1], localhost or {} in Host, so that no page of a \
                 name that was turned to this machine can ask it",
                listens.ip()
            ));
        }
    }
    if request.method() == Method::GET {
        return None;
    }
    let own = |origin: &&str| hosts.iter().any(|host| origin.eq_ignore_ascii_case(&format!("http://{host}")));
    let foreign = all(request.headers(), ORIGIN.as_str()).into_iter().find(|origin| !own(origin))?;
    Some(format!(
        "the page of {foreign:?} may not change anything here: leave Origin away, or send it through a proxy that asks \
         for credentials"
    ))
}

/// What stands in a header, each time; what is no text is no name of this host.
fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect()
}

/// Whether a name with or without a port is one of this machine's own. No name server is asked: that is what is abused.
fn is_here(host: &str, listens: IpAddr) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if host.contains('@') {
        return false;
    }
    let name = authority.host().trim_end_matches('.');
    let number = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    match number.parse::<IpAddr>() {
        Ok(number) => number.is_loopback() || number == listens,
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(method: Method, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method).uri("/v1/commit");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        refusal(&request.body(()).expect("a request"), "127.0.0.9:7412".parse().expect("an address"))
            .is_none()
    }

    #[test]
    fn a_host_of_another_name_is_refused() {
        for host in ["127.0.0.1:7412", "127.0.0.1", "[::1]:7412", "localhost", "LocalHost.:80", "127.0.0.9:1"]
        {
            assert!(answered(Method::GET, &[("host", host)]), "{host}");
        }
        assert!(answered(Method::GET, &[]), "HTTP/1.0");
        let foreign =
            ["evil.example:7412", "localhost.evil.example", "10.0.0.1", "", "127.0.0.1@evil.example"];
        for host in foreign.into_iter().chain([
            "evil.example@127.0.0.1",
            "127.0.0.1 evil",
            "[::1",
            "127.0.0.1.example",
        ]) {
            assert!(!answered(Method::GET, &[("host", host)]), "{host}");
            assert!(!answered(Method::POST, &[("host", "localhost"), ("host", host)]), "{host}");
        }
        let absolute = Request::get("http://evil.example/v1/map").header("host", "localhost").body(());
        assert!(refusal(&absolute.expect("a request"), "127.0.0.1:1".parse().expect("an address")).is_some());
    }

    #[test]
    fn a_page_of_another_origin_changes_nothing() {
        let here = ("host", "127.0.0.1:7412");
        assert!(answered(Method::POST, &[here]), "curl");
        assert!(answered(Method::POST, &[here, ("origin", "http://127.0.0.1:7412")]));
        for origin in
            ["http://evil.example", "null", "http://127.0.0.1:8000", "http://127.0.0.1", "", "\u{ff}"]
        {
            assert!(!answered(Method::POST, &[here, ("origin", origin)]), "{origin}");
            assert!(!answered(Method::PUT, &[here, ("origin", origin)]), "{origin}");
            assert!(answered(Method::GET, &[here, ("origin", origin)]), "it changes nothing: {origin}");
        }
        assert!(!answered(Method::POST, &[("origin", "http://127.0.0.1:7412")]), "this host has no name");
    }
}
