//! Judges the answer to a plain HTTP check: the expected one, or a portal's.

use super::Outcome;
use crate::config::HttpExpect;
use crate::units::Rtt;

/// The longest body that can be the expected one, in bytes.
pub const MAX_BODY: usize = 4096;
/// The longest `Location` that is kept, in characters; it is only shown to people.
const MAX_LOCATION: usize = 256;

/// What the head of an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    status: u16,
    location: Option<String>,
}

impl Head {
    /// Takes a status code and the bytes of the `Location` header. Those are a stranger's: only
    /// printable ASCII (RFC 3986 §2) is kept of them, and not too much of it.
    #[must_use]
    pub fn new(status: u16, location: Option<&[u8]>) -> Self {
        let location = location.map(|bytes| {
            let printable = bytes.iter().filter(|byte| byte.is_ascii_graphic());
            printable.take(MAX_LOCATION).map(|&byte| char::from(byte)).collect()
        });
        Self { status, location }
    }

    /// Whether the body has a say; if not, it need not be fetched.
    #[must_use]
    pub fn body_matters(&self, expect: &HttpExpect) -> bool {
        matches!(expect, HttpExpect::Body(_)) && self.status == 200
    }
}

/// How a probe ended that got this answer. `body` may be cut after [`MAX_BODY`] + 1 bytes.
#[must_use]
pub fn judge(expect: &HttpExpect, head: Head, body: &[u8], rtt: Rtt) -> Outcome {
    let expected = match expect {
        HttpExpect::Status(status) => head.status == *status,
        HttpExpect::Body(text) => {
            head.status == 200
                && body.len() <= MAX_BODY
                && body.trim_ascii() == text.as_bytes().trim_ascii()
        }
    };
    if expected {
        Outcome::HttpExpected(rtt)
    } else {
        Outcome::HttpOther { status: head.status, location: head.location }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const RTT: Rtt = Rtt(Duration::from_millis(20));

    fn body(text: &str) -> HttpExpect {
        HttpExpect::Body(text.to_owned())
    }

    fn other(status: u16, location: Option<&str>) -> Outcome {
        Outcome::HttpOther { status, location: location.map(str::to_owned) }
    }

    #[test]
    fn exactly_the_expected_answer_passes() {
        let good = Outcome::HttpExpected(RTT);
        let cases: [(HttpExpect, u16, &str, Outcome); 9] = [
            (HttpExpect::Status(204), 204, "", good.clone()),
            (HttpExpect::Status(204), 200, "", other(200, None)),
            (HttpExpect::Status(204), 200, "<html>log in", other(200, None)),
            (HttpExpect::Status(200), 200, "anything", good.clone()),
            (body("success"), 200, "success\n", good.clone()),
            (body("success\n"), 200, "success", good),
            (body("success"), 200, "success story", other(200, None)),
            (body("success"), 200, "", other(200, None)),
            (body("success"), 511, "success", other(511, None)),
        ];
        for (expect, status, text, outcome) in cases {
            let got = judge(&expect, Head::new(status, None), text.as_bytes(), RTT);
            assert_eq!(got, outcome, "{expect:?} {status} {text:?}");
        }
    }

    #[test]
    fn a_redirect_is_a_portal_and_says_where_to() {
        let head = Head::new(302, Some(b"http://login.test/?a=1"));
        assert_eq!(
            judge(&HttpExpect::Status(204), head, b"", RTT),
            other(302, Some("http://login.test/?a=1"))
        );
    }

    #[test]
    fn a_strangers_location_cannot_paint_on_the_terminal() {
        let head = Head::new(302, Some(b"http://x/\x1b[31m\xff\r\nevil"));
        assert_eq!(head.location.as_deref(), Some("http://x/[31mevil"));
        let long = Head::new(302, Some(&[b'a'; 5000]));
        assert_eq!(long.location.map(|l| l.len()), Some(MAX_LOCATION));
    }

    #[test]
    fn a_body_that_was_cut_never_passes() {
        let long = "x".repeat(MAX_BODY + 1);
        let got = judge(&body(&long), Head::new(200, None), long.as_bytes(), RTT);
        assert_eq!(got, other(200, None));
    }

    #[test]
    fn only_an_expected_body_is_fetched() {
        assert!(Head::new(200, None).body_matters(&body("success")));
        assert!(!Head::new(302, None).body_matters(&body("success")));
        assert!(!Head::new(200, None).body_matters(&HttpExpect::Status(200)));
    }

    proptest! {
        #[test]
        fn arbitrary_answers_are_judged(
            status in any::<u16>(),
            location in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..600)),
            text in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let head = Head::new(status, location.as_deref());
            let outcome = judge(&body("success"), head, &text, RTT);
            let expected = status == 200 && text.trim_ascii() == b"success";
            prop_assert_eq!(outcome == Outcome::HttpExpected(RTT), expected);
        }
    }
}
