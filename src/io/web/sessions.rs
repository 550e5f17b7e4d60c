//! Who has logged in: by a random number that only their browser and this process know. Time is an
//! argument.

use std::collections::VecDeque;
use std::time::Duration;

use super::password::same;
use crate::time::Instant;

/// A session that nobody has used for this long is over: a tablet left behind in the evening cannot steer
/// the next day. Whoever only looks needs none.
const IDLE: Duration = Duration::from_secs(12 * 3600);
/// None lasts longer, however much it is used.
pub(super) const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// Sessions at a time; the one that has not been used for longest makes room.
const MOST: usize = 32;

/// What a browser shows: 256 random bits.
#[derive(Clone)]
pub(super) struct Token([u8; 32]);

/// It says nothing, so that no log does.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    pub(super) const fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// As a cookie has it: 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit =
                |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    pub(super) fn text(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[derive(Debug)]
struct Session {
    token: Token,
    begun: Instant,
    used: Instant,
}

/// All of them, the one used last at the end. They are of one password and end with it.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    of: Option<String>,
    all: VecDeque<Session>,
}

impl Sessions {
    /// Somebody knew the password, of which `password` is the kept line.
    pub(super) fn begin(&mut self, token: Token, password: &str, now: Instant) {
        self.keep(Some(password), now);
        if self.all.len() >= MOST {
            self.all.pop_front();
        }
        self.all.push_back(Session { token, begun: now, used: now });
    }

    /// Whether one of these is known, under the password there is now; it counts as used then.
    pub(super) fn knows(&mut self, shown: &[Token], password: Option<&str>, now: Instant) -> bool {
        self.keep(password, now);
        let known = self.all.iter().position(|session| session.is_one_of(shown));
        let known = known.and_then(|at| self.all.remove(at));
        let is_known = known.is_some();
        self.all.extend(known.map(|session| Session { used: now, ..session }));
        is_known
    }

    /// They have logged out.
    pub(super) fn end(&mut self, shown: &[Token]) {
        self.all.retain(|session| !session.is_one_of(shown));
    }

    /// Lets go of those that are over.
    fn keep(&mut self, password: Option<&str>, now: Instant) {
        if self.of.as_deref() != password {
            self.all.clear();
            self.of = password.map(str::to_owned);
        }
        let lives = |s: &Session| now.since(s.used) < IDLE && now.since(s.begun) < LONGEST;
        self.all.retain(lives);
    }
}

impl Session {
    fn is_one_of(&self, shown: &[Token]) -> bool {
        shown.iter().any(|token| same(&token.0, &self.token.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: Instant = Instant::from_micros(1_000_000);

    fn token(n: u8) -> Token {
        Token::new([n; 32])
    }

    #[test]
    fn a_token_is_read_as_it_is_written_and_nothing_else_is_one() {
        let token = Token::new(std::array::from_fn(|n| u8::try_from(n * 8).unwrap()));
        assert_eq!(Token::parse(&token.text()).unwrap().0, token.0);
        assert_eq!(format!("{token:?}"), "Token(…)");
        let text = token.text();
        for wrong in
            ["", "0", &text[1..], &format!("{text}0"), &text.replace('0', "g"), &"é".repeat(32)]
        {
            assert!(Token::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn who_logged_in_is_known_until_they_log_out() {
        let mut sessions = Sessions::default();
        assert!(!sessions.knows(&[token(1)], Some("a"), NOW));
        sessions.begin(token(1), "a", NOW);
        assert!(sessions.knows(&[token(1)], Some("a"), NOW));
        assert!(sessions.knows(&[token(2), token(1)], Some("a"), NOW));
        assert!(!sessions.knows(&[token(2)], Some("a"), NOW));
        assert!(!sessions.knows(&[], Some("a"), NOW));
        sessions.begin(token(2), "a", NOW);
        sessions.end(&[token(1)]);
        assert!(!sessions.knows(&[token(1)], Some("a"), NOW));
        assert!(sessions.knows(&[token(2)], Some("a"), NOW));
    }

    #[test]
    fn a_session_ends_with_its_password() {
        for other in [None, Some("b")] {
            let mut sessions = Sessions::default();
            sessions.begin(token(1), "a", NOW);
            assert!(sessions.knows(&[token(1)], Some("a"), NOW), "control");
            assert!(!sessions.knows(&[token(1)], other, NOW));
            assert!(!sessions.knows(&[token(1)], Some("a"), NOW), "it does not come back");
        }
    }

    #[test]
    fn a_session_ends_unused_and_in_any_case() {
        let mut sessions = Sessions::default();
        sessions.begin(token(1), "a", NOW);
        sessions.begin(token(2), "a", NOW);
        let used = NOW + HOUR * 11;
        assert!(sessions.knows(&[token(1)], Some("a"), used));
        assert!(!sessions.knows(&[token(2)], Some("a"), NOW + HOUR * 12));
        let mut now = used;
        while sessions.knows(&[token(1)], Some("a"), now) {
            now = now + HOUR * 11;
        }
        let lasted = now.since(NOW);
        assert!(lasted >= LONGEST && lasted < LONGEST + HOUR * 11, "{lasted:?}");
    }

    #[test]
    fn there_are_never_many() {
        let mut sessions = Sessions::default();
        for n in 0..100 {
            sessions.begin(token(n), "a", NOW);
            assert!(sessions.knows(&[token(0)], Some("a"), NOW), "the one in use stays");
        }
        assert_eq!(sessions.all.len(), MOST);
        assert!(!sessions.knows(&[token(1)], Some("a"), NOW), "the oldest went");
        assert!(sessions.knows(&[token(99)], Some("a"), NOW));
    }
}
