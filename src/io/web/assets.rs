//! The page itself: files that are part of the program, compressed when it was built.

use std::io::Read as _;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::read::GzDecoder;

use super::site::Site;

/// One file of the page.
struct Asset {
    path: &'static str,
    kind: &'static str,
    /// As `ETag` has it, with its quotation marks.
    tag: &'static str,
    packed: &'static [u8],
}

/// Every file of `web/`.
const ASSETS: &[Asset] = &include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// A route for each file.
pub(super) fn routes() -> Router<Site> {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        router
            .route(asset.path, get(move |headers: HeaderMap| async move { send(asset, &headers) }))
    })
}

fn send(asset: &'static Asset, headers: &HeaderMap) -> Response {
    // Asked for again each time, and answered without the file if that is the same.
    let tagged = [(header::ETAG, asset.tag), (header::CACHE_CONTROL, "no-cache")];
    if has(headers, asset.tag) {
        return (StatusCode::NOT_MODIFIED, tagged).into_response();
    }
    let kind = [(header::CONTENT_TYPE, asset.kind), (header::VARY, "accept-encoding")];
    if !takes_gzip(headers) {
        // Other bytes want another tag, unless it is a weak one (RFC 9110, 8.8.3.3).
        let tagged = [(header::ETAG, format!("W/{}", asset.tag))];
        let fresh = [(header::CACHE_CONTROL, "no-cache")];
        return (tagged, fresh, kind, unpacked(asset.packed)).into_response();
    }
    let packed = [(header::CONTENT_ENCODING, "gzip")];
    (tagged, kind, packed, Body::from(Bytes::from_static(asset.packed))).into_response()
}

/// A file as it was before the build packed it. So few ask for that that it need not be in the program twice.
fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let done = GzDecoder::new(packed).read_to_end(&mut plain);
    done.expect("the build packed it, and memory is all that it is written to");
    plain
}

/// Whether the client has this version (RFC 9110, 13.1.2).
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    let mut known = known.flat_map(|list| list.split(',')).map(str::trim);
    known.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// Whether the client can unpack it. One that says nothing takes anything (RFC 9110, 12.5.3), but most that do so are
/// programs that show what comes as it is.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let said = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = said.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    let takes = |coding: &str| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        let name = name.trim();
        (name.eq_ignore_ascii_case("gzip") || name == "*") && weight.is_ok_and(|q| q > 0.0)
    };
    codings.any(takes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_page_is_small_and_whole() {
        let paths: Vec<&str> = ASSETS.iter().map(|asset| asset.path).collect();
        let all = [
            "/app.css",
            "/app.js",
            "/apple-touch-icon.png",
            "/days.js",
            "/favicon.ico",
            "/icon-192.png",
            "/icon-512.png",
            "/icon-bad.svg",
            "/icon-idle.svg",
            "/icon-warn.svg",
            "/icon.svg",
            "/",
            "/manifest.webmanifest",
            "/nodes.js",
            "/page.js",
            "/record.js",
            "/settings.css",
            "/settings.js",
            "/steer.js",
            "/view.js",
            "/words.js",
        ];
        assert_eq!(paths, all);
        // What a phone puts on its home screen is no part of what a browser loads.
        let once = |asset: &&Asset| asset.kind == "image/png" || asset.kind == "image/x-icon";
        let opened = |asset: &&Asset| asset.path.starts_with("/settings.");
        let packed = |asset: &Asset| asset.packed.len();
        let loaded: usize =
            ASSETS.iter().filter(|asset| !once(asset) && !opened(asset)).map(packed).sum();
        assert!(loaded <= 40_000, "{loaded} bytes; 40 kB are enough for a page");
        let rest: usize = ASSETS.iter().filter(once).map(packed).sum();
        assert!(rest <= 5_000, "{rest} bytes for icons");
        let later: usize = ASSETS.iter().filter(opened).map(packed).sum();
        assert!(later <= 8_000, "{later} bytes for who opens the settings");
    }

    #[test]
    fn who_cannot_unpack_a_file_has_it_as_it_is() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        for asset in ASSETS {
            let name = if asset.path == "/" { "index.html" } else { &asset.path[1..] };
            let plain = std::fs::read(folder.join(name)).unwrap();
            assert!(unpacked(asset.packed) == plain, "{name}");
        }
    }

    #[test]
    fn a_version_that_is_known_is_not_sent_again() {
        let has = |values: &[&str]| has(&headers(header::IF_NONE_MATCH, values), "\"a1\"");
        for known in
            [&["\"a1\""][..], &["W/\"a1\""], &["\"b\", \"a1\""], &["\"b\"", "\"a1\""], &["*"]]
        {
            assert!(has(known), "{known:?}");
        }
        for other in [&[][..], &["\"b\""], &["a1"], &[""], &["\"a1"]] {
            assert!(!has(other), "{other:?}");
        }
    }

    #[test]
    fn who_cannot_unpack_it_is_known() {
        let takes = |values: &[&str]| takes_gzip(&headers(header::ACCEPT_ENCODING, values));
        for yes in [&["gzip"][..], &["deflate, GZIP;q=0.5"], &["br", "*"]] {
            assert!(takes(yes), "{yes:?}");
        }
        for no in [&[][..], &[""], &["identity"], &["br, gzip;q=0"], &["gzip;q=x"]] {
            assert!(!takes(no), "{no:?}");
        }
    }
}
