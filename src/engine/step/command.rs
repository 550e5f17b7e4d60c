//! What people ask for.

use std::time::Duration;

use crate::engine::Engine;
use crate::engine::events::causes::{Cause, Deed};
use crate::engine::events::facts::Fact;
use crate::engine::events::note::{Note, Reported};
use crate::engine::input::Command;
use crate::engine::output::{Output, Refusal};
use crate::engine::uplink::standing::Use;
use crate::engine::uplink::{Paused, Uplink};
use crate::time::Now;
use crate::units::{Family, UplinkId};

/// More notes than that nobody writes in a day.
const NOTES_A_DAY: usize = 24;
const A_DAY: Duration = Duration::from_secs(86_400);

impl Engine {
    pub(in crate::engine) fn command(&mut self, number: u64, command: Command, now: Now) {
        let done = match command {
            Command::Switch { uplink, lasts } => {
                self.named(&uplink).and_then(|id| self.choose(id, uplink, lasts, now))
            }
            Command::SwitchAuto => Ok(self.choose_nothing()),
            Command::Pause { uplink, lasts, reason } => self.named(&uplink).map(|id| {
                let paused = Paused { until: lasts.map(|lasts| now.mono + lasts), reason };
                self.pause(id, uplink, (paused, lasts), now)
            }),
            Command::Resume { uplink } => {
                self.named(&uplink).and_then(|id| self.resume(id, uplink))
            }
            Command::LedTest => self.test_leds(now),
            Command::Probe { uplink } => {
                // A question changes nothing; what comes of it is told as it comes.
                let answer = self.named(&uplink).and_then(|id| self.prove_anew(id, &uplink, now));
                self.outputs.push_back(Output::Answer(number, answer));
                return;
            }
            Command::Note { uplink, note } => {
                let answer = self.named(&uplink).and_then(|_| self.note(uplink, note, now));
                self.outputs.push_back(Output::Answer(number, answer));
                return;
            }
            Command::Reported { uplink } => {
                let answer = self.named(&uplink).and_then(|_| self.reported(uplink, now));
                self.outputs.push_back(Output::Answer(number, answer));
                return;
            }
        };
        if let Ok(deed) = &done {
            self.let_go(deed, now);
            self.record(Fact::Manual { deed: deed.clone() }, now);
            self.save_run();
            self.choice.undecided = true;
        }
        let answer = done.map(|deed| deed.to_string());
        self.outputs.push_back(Output::Answer(number, answer));
    }

    /// Remembers that a person ended what kept traffic where it is.
    pub(in crate::engine) fn let_go(&mut self, deed: &Deed, now: Now) {
        let cause = match deed {
            Deed::Automatic { chosen: Some(_) } | Deed::ChoiceOver => Cause::Released,
            Deed::Resume { .. } => Cause::Resumed,
            Deed::Automatic { chosen: None }
            | Deed::Choose { .. }
            | Deed::Pause { .. }
            | Deed::PauseOver { .. }
            | Deed::TestLeds { .. }
            | Deed::Set { .. }
            | Deed::Keep { .. }
            | Deed::Undo { .. }
            | Deed::Password { .. } => return,
        };
        for family in Family::BOTH {
            self.choice.active.get_mut(family).let_go = Some((now.mono, cause.clone()));
        }
    }

    /// Puts answers behind everything else that is asked for, so that what they say has been begun.
    pub(in crate::engine) fn answers_last(&mut self) {
        let is_answer = |output: &Output| matches!(output, Output::Answer(..));
        if self.outputs.iter().any(is_answer) {
            let all = std::mem::take(&mut self.outputs);
            let (answers, others): (Vec<Output>, Vec<Output>) =
                all.into_iter().partition(is_answer);
            self.outputs.extend(others.into_iter().chain(answers));
        }
    }

    fn named(&self, name: &str) -> Result<UplinkId, Refusal> {
        let found = self.uplinks.values().find(|u| u.config.name == name).map(|u| u.id);
        let names = || self.uplinks.chain.iter().map(|id| self.name(*id)).collect();
        found.ok_or_else(|| Refusal::UnknownUplink(names()))
    }

    fn choose(
        &mut self,
        id: UplinkId,
        name: String,
        lasts: Option<Duration>,
        now: Now,
    ) -> Result<Deed, Refusal> {
        let Some(u) = self.uplinks.get(&id) else {
            return Err(Refusal::UnknownUplink(vec![]));
        };
        if u.paused.is_some() {
            return Err(Refusal::NotNow(paused(&name)));
        }
        let works = self.whole(u, now).usable() != Use::None;
        let trouble = (!works).then(|| self.trouble(u, now));
        self.run.manual = Some((name.clone(), lasts.map(|lasts| now.mono + lasts)));
        self.choice.manual_fresh = true;
        Ok(Deed::Choose { uplink: name, lasts, trouble })
    }

    fn choose_nothing(&mut self) -> Deed {
        self.choice.manual_fresh = false;
        Deed::Automatic { chosen: self.run.manual.take().map(|(name, _)| name) }
    }

    fn pause(
        &mut self,
        id: UplinkId,
        name: String,
        (paused, lasts): (Paused, Option<Duration>),
        now: Now,
    ) -> Deed {
        if let Some(u) = self.uplinks.get_mut(&id) {
            u.paused = Some(paused);
        }
        let useful = |u: &&Uplink| u.id != id && self.whole(u, now).may_carry();
        let instead = self.uplinks.values().find(useful).map(|u| u.config.name.clone());
        Deed::Pause { uplink: name, lasts, instead }
    }

    fn resume(&mut self, id: UplinkId, name: String) -> Result<Deed, Refusal> {
        let paused = self.uplinks.get_mut(&id).and_then(|u| u.paused.take());
        match paused {
            Some(_) => Ok(Deed::Resume { uplink: name }),
            None => Err(Refusal::NotNow(format!("{name} is not paused"))),
        }
    }

    /// Keeps a note, or takes away the one there is, and with it what was reported.
    fn note(&mut self, uplink: String, note: Option<Note>, now: Now) -> Result<String, Refusal> {
        if note.is_none() && !self.telling.said.contains_key(&uplink) {
            return Err(Refusal::NotNow(format!("{uplink} has no note")));
        }
        self.may_write(now)?;
        if note.is_none() {
            self.telling.said.remove(&uplink);
        } else {
            self.telling.said.entry(uplink.clone()).or_default().note.clone_from(&note);
        }
        Ok(self.keep_saying(Fact::Noted { uplink, note }, now))
    }

    /// The provider has been told.
    fn reported(&mut self, uplink: String, now: Now) -> Result<String, Refusal> {
        self.may_write(now)?;
        let reported = Some(Reported { at: now.utc });
        self.telling.said.entry(uplink.clone()).or_default().reported = reported;
        Ok(self.keep_saying(Fact::Reported { uplink }, now))
    }

    /// Each note is written to the flash.
    fn may_write(&mut self, now: Now) -> Result<(), Refusal> {
        let written = &mut self.telling.notes;
        written.retain(|at| now.mono.since(*at) < A_DAY);
        if written.len() >= NOTES_A_DAY {
            let words = "that were 24 notes within a day; the flash is spared until tomorrow";
            return Err(Refusal::NotNow(words.to_owned()));
        }
        written.push(now.mono);
        Ok(())
    }

    /// Books what a person said, has it kept, and answers with it.
    fn keep_saying(&mut self, fact: Fact, now: Now) -> String {
        let answer = fact.to_string();
        self.record(fact, now);
        self.save(now);
        answer
    }

    fn prove_anew(&mut self, id: UplinkId, name: &str, now: Now) -> Result<String, Refusal> {
        let Some(u) = self.uplinks.get(&id) else {
            return Err(Refusal::UnknownUplink(vec![]));
        };
        if u.paused.is_some() {
            return Err(Refusal::NotNow(paused(name)));
        }
        let there: Vec<Family> = u.present().map(|(family, _)| family).collect();
        if there.is_empty() {
            let fault = u.fault(Family::V4).phrase();
            return Err(Refusal::NotNow(format!("{name} {fault}, so there is nothing to ask")));
        }
        if u.present().any(|(_, line)| line.proof.is_busy()) {
            return Ok(format!("{name} is being tested already"));
        }
        for family in there {
            self.with_line(id, family, now, |line, s, asker, news| {
                line.prove_anew(s, asker);
                line.timeout(s, asker, news);
            });
        }
        Ok(format!("{name} is being tested"))
    }
}

fn paused(name: &str) -> String {
    format!("{name} is paused; resume it with: sparelink resume {name}")
}
