//! Pages of one sentence, for browsers that opened what is no page of its own. They need no scripts.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

/// Whether a person looks at the answer: browsers ask for HTML when an address is opened, programs and scripts do not.
pub(super) fn is_for_a_person(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept.flat_map(|list| list.split(',')).any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("text/html")
    })
}

/// A sentence, what follows it as HTML, and a link. Sentence and link are text.
pub(super) fn page(
    status: StatusCode,
    sentence: &str,
    rest: &str,
    (href, words): (&str, &str),
) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>sparelink</title>\
         <link rel=\"stylesheet\" href=\"/app.css\"></head><body><main id=\"main\">\
         <section class=\"hero\"><h1>{}</h1>{rest}<p class=\"next\"><a href=\"{}\">{}</a></p>\
         </section></main></body></html>",
        escape(sentence),
        escape(href),
        escape(words),
    );
    (status, Html(html)).into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_from_programs() {
        let is = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            is_for_a_person(&headers)
        };
        for browser in
            ["text/html", "text/html,application/xhtml+xml,*/*;q=0.8", "a/b, TEXT/HTML;q=1"]
        {
            assert!(is(browser), "{browser}");
        }
        for program in ["*/*", "application/json", "text/*", "text/htmlx", ""] {
            assert!(!is(program), "{program}");
        }
        assert!(!is_for_a_person(&HeaderMap::new()));
    }
}
