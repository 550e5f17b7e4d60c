//! What people ask for.

use crate::engine::Engine;
use crate::engine::events::facts::Fact;
use crate::engine::input::Command;
use crate::engine::output::{Output, Refusal};
use crate::engine::uplink::standing::Use;
use crate::engine::uplink::{Paused, Uplink};
use crate::time::{Now, human};
use crate::units::{Family, UplinkId};

impl Engine {
    pub(in crate::engine) fn command(&mut self, number: u64, command: Command, now: Now) {
        let answer = match command {
            Command::Switch { uplink, lasts } => {
                self.named(&uplink).and_then(|id| self.switch_by_hand(id, uplink, lasts, now))
            }
            Command::SwitchAuto => Ok(self.switch_auto()),
            Command::Pause { uplink, lasts, reason } => self.named(&uplink).map(|id| {
                let paused = Paused { until: lasts.map(|lasts| now.mono + lasts), reason };
                self.pause(id, uplink, paused, now)
            }),
            Command::Resume { uplink } => {
                self.named(&uplink).and_then(|id| self.resume(id, &uplink))
            }
            Command::LedTest => self.test_leds(now),
            Command::Probe { uplink } => {
                // A question changes nothing; what comes of it is told as it comes.
                let answer = self.named(&uplink).and_then(|id| self.prove_anew(id, &uplink, now));
                self.outputs.push_back(Output::Answer(number, answer));
                return;
            }
        };
        if let Ok(what) = &answer {
            self.record(Fact::ByHand { what: what.clone() }, now);
            self.save_run();
            self.undecided = true;
        }
        self.outputs.push_back(Output::Answer(number, answer));
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
        let names = || self.chain.iter().map(|id| self.name(*id)).collect();
        found.ok_or_else(|| Refusal::UnknownUplink(names()))
    }

    fn switch_by_hand(
        &mut self,
        id: UplinkId,
        name: String,
        lasts: Option<std::time::Duration>,
        now: Now,
    ) -> Result<String, Refusal> {
        let Some(u) = self.uplinks.get(&id) else {
            return Err(Refusal::UnknownUplink(vec![]));
        };
        if u.paused.is_some() {
            let words = format!("{name} is set aside; take it back with: sparelink resume {name}");
            return Err(Refusal::NotNow(words));
        }
        let ready = self.whole(u, now).usable() != Use::None;
        self.run.manual = Some((name.clone(), lasts.map(|lasts| now.mono + lasts)));
        self.manual_fresh = true;
        let time = lasts.map_or_else(
            || "until \"sparelink switch auto\"".to_owned(),
            |lasts| format!("for {}", human(lasts)),
        );
        Ok(if ready {
            format!("{name} comes first, {time}")
        } else {
            format!(
                "{name} comes first, {time}; it does not work now, so traffic stays where it is until it does"
            )
        })
    }

    fn switch_auto(&mut self) -> String {
        self.manual_fresh = false;
        match self.run.manual.take() {
            Some((name, _)) => format!("following the chain again; {name} no longer comes first"),
            None => "following the chain, as before".to_owned(),
        }
    }

    fn pause(&mut self, id: UplinkId, name: String, paused: Paused, now: Now) -> String {
        let time = paused.until.map_or_else(
            || format!("until \"sparelink resume {name}\""),
            |until| format!("for {}", human(until.since(now.mono))),
        );
        self.run.paused.insert(name.clone(), (paused.until, paused.reason.clone()));
        if let Some(u) = self.uplinks.get_mut(&id) {
            u.paused = Some(paused);
        }
        let useful = |u: &Uplink| u.id != id && self.whole(u, now).may_carry();
        let others = self.uplinks.values().any(useful);
        if others {
            format!("{name} is set aside {time}")
        } else {
            format!(
                "{name} is set aside {time}; no other uplink is ready, so traffic stays on it until one is"
            )
        }
    }

    fn resume(&mut self, id: UplinkId, name: &str) -> Result<String, Refusal> {
        self.run.paused.remove(name);
        let paused = self.uplinks.get_mut(&id).and_then(|u| u.paused.take());
        match paused {
            Some(_) => Ok(format!("{name} is back in the chain")),
            None => Err(Refusal::NotNow(format!("{name} is not set aside"))),
        }
    }

    fn prove_anew(&mut self, id: UplinkId, name: &str, now: Now) -> Result<String, Refusal> {
        let Some(u) = self.uplinks.get(&id) else {
            return Err(Refusal::UnknownUplink(vec![]));
        };
        if u.paused.is_some() {
            let words = format!("{name} is set aside; take it back with: sparelink resume {name}");
            return Err(Refusal::NotNow(words));
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
