//! What differs between two texts, line by line, without what is secret.

use serde::Serialize;

/// Lines around a change that show where it is.
const AROUND: usize = 2;
/// Pairs of lines that are compared; a real file has some thousands.
const MOST_PAIRS: usize = 4_000_000;
/// Keys whose values may be secret although they are no URLs.
const SECRET: [&str; 2] = ["account", "body"];

/// Whether a line stays, comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Sign {
    #[serde(rename = " ")]
    Stays,
    #[serde(rename = "+")]
    Comes,
    #[serde(rename = "-")]
    Goes,
}

/// One line of a difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    pub sign: Sign,
    pub text: String,
}

/// What differs, with a few lines around each change.
#[must_use]
pub fn difference(old: &str, new: &str) -> Vec<Line> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let all = aligned(&old, &new);
    let is_near = |at: usize| {
        let from = at.saturating_sub(AROUND);
        all.iter().skip(from).take(at + AROUND + 1 - from).any(|(sign, _)| *sign != Sign::Stays)
    };
    let shown = all.iter().enumerate().filter(|(at, _)| is_near(*at));
    shown.map(|(_, (sign, text))| Line { sign: *sign, text: masked(text) }).collect()
}

/// All lines of both, by the longest common subsequence.
fn aligned<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(Sign, &'t str)> {
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = old.iter().zip(new).take_while(same).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(same).count();
    let old_middle = &old_rest[..old_rest.len() - tail];
    let new_middle = &new_rest[..new_rest.len() - tail];
    let stays = |lines: &[&'t str]| lines.iter().map(|&line| (Sign::Stays, line)).collect();
    let mut all: Vec<(Sign, &str)> = stays(&old[..head]);
    all.extend(middle(old_middle, new_middle));
    all.extend::<Vec<_>>(stays(&old_rest[old_rest.len() - tail..]));
    all
}

fn middle<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(Sign, &'t str)> {
    if old.len().saturating_mul(new.len()) > MOST_PAIRS {
        let goes = old.iter().map(|&line| (Sign::Goes, line));
        return goes.chain(new.iter().map(|&line| (Sign::Comes, line))).collect();
    }
    // How many lines are common from here on.
    let width = new.len() + 1;
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut all) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            all.push((Sign::Stays, old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || (i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            all.push((Sign::Goes, old[i]));
            i += 1;
        } else {
            all.push((Sign::Comes, new[j]));
            j += 1;
        }
    }
    all
}

/// The line without what may be a secret: a screen is looked at by others, too.
fn masked(line: &str) -> String {
    for key in SECRET {
        // `provider = { name = "…", account = "…" }`
        if let Some((before, rest)) = line.split_once(key)
            && rest.trim_start().starts_with('=')
        {
            return format!("{before}{key} = \"…\"");
        }
    }
    // Most of what a URL of a service has behind its scheme lets others write there.
    let mut parts = line.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['"', '\'']).unwrap_or(part.len());
        shown.push_str("://…");
        shown.push_str(&part[end..]);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(old: &str, new: &str) -> String {
        let line = |line: &Line| {
            let sign = match line.sign {
                Sign::Stays => ' ',
                Sign::Comes => '+',
                Sign::Goes => '-',
            };
            format!("{sign}{}\n", line.text)
        };
        difference(old, new).iter().map(line).collect()
    }

    #[test]
    fn a_change_is_shown_with_what_is_around_it() {
        let old = "a\nb\nc\nd\ne\nf\ng\n";
        assert_eq!(told(old, "a\nb\nc\nD\ne\nf\ng\n"), " b\n c\n-d\n+D\n e\n f\n");
        assert_eq!(told(old, old), "");
        assert_eq!(told("", "a\n"), "+a\n");
        assert_eq!(told("a\nb\n", "b\na\n").matches(['+', '-']).count(), 2, "one line moved");
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let secrets = "to = \"ntfy://ntfy.sh/our-house\" # mine\nescalate = [\n\"gotify://g/TOKEN\",\n]\n\
                       # to = 'tgram://TOKEN/1'\nbody = '{\"key\": \"SALT\"}'\nurl = \"https://hc-ping.com/UUID\"\n\
                       provider = { name = \"P\", account = \"C-1\" }\n";
        let shown = told("", secrets);
        for secret in ["our-house", "TOKEN", "UUID", "C-1", "SALT"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("+to = \"ntfy://…\" # mine"), "{shown}");
        assert!(shown.contains("+provider = { name = \"P\", account = \"…\""), "{shown}");
    }
}
