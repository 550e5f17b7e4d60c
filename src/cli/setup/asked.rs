//! How setup was asked for.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::other::Program;
use crate::cli::failure::Failure;
use crate::cli::spec::{self, Flag};

/// How long a started setup is on trial, and how long it may be.
const TRIAL: Duration = Duration::from_secs(120);
const WITHIN: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(3600);

/// What setup is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Asked {
    pub(super) how: How,
    /// By whose configuration (`--from`); `None`: by what is found.
    pub(super) from: Option<Program>,
}

/// How a proposal becomes a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// By questions, at a terminal.
    Ask { within: Duration },
    /// As it is proposed, without questions (`--yes`).
    Yes,
    /// Not at all: it is only shown (`--print`).
    Print,
    /// What was started on trial stays (`--keep`).
    Keep,
    /// What has been on trial for so long at least is undone (`--undo`, with `--within`).
    Undo { after: Duration },
}

impl Asked {
    /// By the flags that were `given`, and the values of `--within` (as it was typed, too) and `--from`.
    pub(in crate::cli) fn of(
        given: impl Fn(&Flag) -> bool,
        within: Option<(String, Duration)>,
        from: Option<String>,
    ) -> Result<Self, Failure> {
        let ways = [
            (&spec::PRINT, How::Print),
            (&spec::YES, How::Yes),
            (&spec::KEEP, How::Keep),
            (&spec::UNDO, How::Undo { after: Duration::ZERO }),
        ];
        let mut ways = ways.into_iter().filter(|(flag, _)| given(flag));
        let way = ways.next();
        if let (Some((one, _)), Some((other, _))) = (&way, ways.next()) {
            return Err(exclude(one, other));
        }
        if let Some((typed, within)) = &within
            && !WITHIN.contains(within)
        {
            let hint = "between 10s and 1h are possible";
            return Err(Failure::new(format!("--within: {typed} is out of range"), hint));
        }
        let from = from.map(|word| Program::named(&word)).transpose()?;
        if let (Some((flag, How::Keep | How::Undo { .. })), Some(_)) = (&way, &from) {
            return Err(exclude(flag, &spec::FROM));
        }
        let within = within.map(|(_, within)| within);
        let how = match way {
            None => How::Ask { within: within.unwrap_or(TRIAL) },
            Some((_, How::Undo { .. })) => How::Undo { after: within.unwrap_or_default() },
            Some((_, way)) => way,
        };
        Ok(Self { how, from })
    }
}

fn exclude(one: &Flag, other: &Flag) -> Failure {
    Failure::plain(format!("--{} and --{} exclude each other", one.long, other.long))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(flags: &[&Flag], from: Option<&str>) -> Result<Asked, String> {
        let given = |flag: &Flag| flags.iter().any(|one| one.long == flag.long);
        Asked::of(given, None, from.map(str::to_owned)).map_err(|failure| failure.to_string())
    }

    #[test]
    fn another_programs_word_is_followed_where_something_is_proposed() {
        let ask = asked(&[], Some("mwan3")).unwrap();
        assert_eq!(ask, Asked { how: How::Ask { within: TRIAL }, from: Some(Program::Mwan3) });
        let print = asked(&[&spec::PRINT], Some("networkmanager")).unwrap();
        assert_eq!(print, Asked { how: How::Print, from: Some(Program::NetworkManager) });
        let named = asked(&[&spec::YES], Some("NetworkManager")).unwrap();
        assert_eq!(named.from, Some(Program::NetworkManager));
        for (flags, word, told) in [
            (&[&spec::KEEP][..], "mwan3", "--keep and --from exclude each other"),
            (&[&spec::UNDO], "mwan3", "--undo and --from exclude each other"),
            (&[], "mwam3", "did you mean mwan3?"),
            (&[], "network-manager", "did you mean networkmanager?"),
            (&[], "netplan", "mwan3 and networkmanager are understood"),
        ] {
            let told_so = asked(flags, Some(word)).unwrap_err();
            assert!(told_so.contains(told), "{word}: {told_so}");
        }
    }
}
