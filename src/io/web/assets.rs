//! The page itself: files that are part of the program, compressed when it was built.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::problem::problem;
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
    if !takes_gzip(headers) {
        let words = "this file is sent compressed; ask for it with Accept-Encoding: gzip";
        return problem(StatusCode::NOT_ACCEPTABLE, words);
    }
    let kind = [(header::CONTENT_TYPE, asset.kind), (header::CONTENT_ENCODING, "gzip")];
    (tagged, kind, Body::from(Bytes::from_static(asset.packed))).into_response()
}

/// Whether the client has this version (RFC 9110, 13.1.2).
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    let mut known = known.flat_map(|list| list.split(',')).map(str::trim);
    known.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// Whether the client can unpack it; one that says nothing takes anything (RFC 9110, 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut said = headers.get_all(header::ACCEPT_ENCODING).iter().peekable();
    if said.peek().is_none() {
        return true;
    }
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
            "/days.js",
            "/icon.svg",
            "/",
            "/nodes.js",
            "/page.js",
            "/record.js",
            "/steer.js",
            "/view.js",
            "/words.js",
        ];
        assert_eq!(paths, all);
        let packed: usize = ASSETS.iter().map(|asset| asset.packed.len()).sum();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let files = std::fs::read_dir(folder).unwrap();
        let all: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(all <= 100_000, "{all} bytes; 100 kB are enough for a page");
        assert!(u64::try_from(packed).unwrap() < all, "{packed} bytes of {all}");
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
    fn who_cannot_unpack_it_is_told() {
        let takes = |values: &[&str]| takes_gzip(&headers(header::ACCEPT_ENCODING, values));
        for yes in [&[][..], &["gzip"], &["deflate, GZIP;q=0.5"], &["br", "*"]] {
            assert!(takes(yes), "{yes:?}");
        }
        for no in [&[""][..], &["identity"], &["br, gzip;q=0"], &["gzip;q=x"]] {
            assert!(!takes(no), "{no:?}");
        }
    }
}
