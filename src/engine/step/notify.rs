//! Who is told: what happened goes to the teller as it is recorded, and what it makes of it leaves here.

use crate::engine::Engine;
use crate::engine::events::note::Note;
use crate::engine::notify::Look;
use crate::engine::notify::tale::Tale;
use crate::engine::output::Output;
use crate::engine::uplink::Uplink;
use crate::engine::uplink::standing::Use;
use crate::time::Now;
use crate::units::Family;

impl Engine {
    pub(in crate::engine) fn notify(&mut self, now: Now) {
        if self.telling.teller.known().dark_since().is_some() {
            self.see_light(now);
        }
        let due = self.telling.teller.deadline();
        let awaited = self.telling.teller.awaits_an_answer() && self.felt().is_some();
        if !awaited && due.is_none_or(|due| due > now.mono) {
            return;
        }
        let look = self.look(now);
        let mut messages = self.telling.teller.tick(&look, now);
        for message in &mut messages {
            message.notes = self.notes_of(&message.tale);
        }
        if !messages.is_empty() && !self.config.notify.is_empty() {
            let known = Box::new(self.telling.teller.known().clone());
            self.outputs.push_back(Output::Notify(messages, known));
        }
    }

    /// What people wrote about the uplinks that a message is about, in the order of the chain.
    fn notes_of(&self, tale: &Tale) -> Vec<(String, Note)> {
        let about = tale.about();
        let chain = self.uplinks.chain.iter().filter_map(|id| self.uplinks.get(id));
        let noted = chain.filter_map(|u| {
            let note = self.telling.said.get(&u.config.name)?.note.clone()?;
            Some((u.config.name.clone(), note))
        });
        let wanted = |name: &str| about.as_ref().is_none_or(|about| about.contains(&name));
        noted.filter(|(name, _)| wanted(name)).collect()
    }

    /// Whether what carries the traffic is proven, although people were told that nothing works.
    fn see_light(&mut self, now: Now) {
        if let Some(name) = self.proven(now).map(|u| u.config.name.clone()) {
            self.telling.teller.works_after_all(&name, now);
        }
    }

    /// What carries the traffic, if it is proven to lead to the Internet.
    pub(in crate::engine) fn proven(&self, now: Now) -> Option<&Uplink> {
        let mut carrying = Family::BOTH.iter().filter_map(|family| self.carrying(*family, now));
        carrying.find(|u| self.whole(u, now).may_carry())
    }

    fn felt(&self) -> Option<std::time::Duration> {
        self.telling.stories.latest().and_then(|story| story.felt)
    }

    fn look(&self, now: Now) -> Look {
        let active = self.choice.active.v4.uplink.or(self.choice.active.v6.uplink);
        let active = active.and_then(|id| self.uplinks.get(&id));
        let first = self.uplinks.chain.first().and_then(|id| self.uplinks.get(id));
        let first = first.map(|u| {
            let well = self.whole(u, now).usable() == Use::Well;
            (u.config.name.clone(), (!well).then(|| self.trouble(u, now)))
        });
        Look {
            active: active.map(|u| u.config.name.clone()),
            metered: active.is_some_and(|u| u.config.metered),
            first,
            spares: self.ready_spares(now).map(|u| u.config.name.clone()).collect(),
            felt: self.felt(),
        }
    }
}
