//! What people ask of the running agent.

use super::{Agent, LOOKING, board};
use crate::config;
use crate::engine::Mode;
use crate::engine::events::causes::Deed;
use crate::engine::input::Input;
use crate::io::notify::Wants;
use crate::io::web::{self, Ask};
use crate::io::{clock, notify};

impl Agent {
    /// People look, so that flows go on being counted. How often they look is nothing to the engine.
    pub(super) fn watched(&mut self) {
        let now = clock::now().mono;
        if self.watched_at.is_none_or(|at| now.since(at) >= LOOKING) {
            self.watched_at = Some(now);
            self.take(Input::Watched);
        }
    }

    pub(super) fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Status(reply) => {
                self.watched();
                self.answers.give(reply, self.snapshot(clock::now()));
            }
            Ask::Timeline(reply) => drop(reply.send(self.engine.timeline(clock::now()))),
            Ask::Days(reply) => {
                drop(reply.send(self.days.ask(self.history.all(), clock::now())));
            }
            Ask::History(wanted, reply) => drop(reply.send(self.history.find(&wanted))),
            Ask::Command(command, reply) => {
                self.web.feed().outdate();
                let number = self.answers.expect(reply);
                self.take(Input::Command(number, command));
            }
            Ask::TestChannel(channel, reply) => {
                let state = web::document(&self.snapshot(clock::now()));
                drop(reply.send(self.notifier.test(channel, state)));
            }
            Ask::Acknowledge(what, reply) => {
                self.web.feed().outdate();
                drop(reply.send(self.notifier.acknowledge(what)));
            }
            Ask::Settings(deed, reply) => {
                self.web.feed().outdate();
                let done = self.did(deed);
                self.answers.give(reply, done);
            }
            Ask::Reload(reply) => {
                let done = self.reload();
                self.answers.give(reply, done);
            }
        }
    }

    /// Does what whoever tells people wants.
    pub(super) fn want(&mut self, wants: Wants) {
        self.web.feed().outdate();
        self.shown.outdate();
        self.shared.outdate();
        if let Wants::Command(command, reply) = wants {
            let number = self.answers.expect(reply);
            self.take(Input::Command(number, command));
        }
    }

    /// A person did something on the page that is done already: it is told, and the file read again where it is another
    /// one.
    fn did(&mut self, deed: Deed) -> Result<String, String> {
        let is_news = match &deed {
            Deed::Set { .. } | Deed::Keep { by: None } | Deed::Undo { .. } => true,
            Deed::Keep { by: Some(_) }
            | Deed::Password { .. }
            | Deed::Choose { .. }
            | Deed::Automatic { .. }
            | Deed::ChoiceOver
            | Deed::Pause { .. }
            | Deed::Resume { .. }
            | Deed::PauseOver { .. }
            | Deed::TestLeds { .. } => false,
        };
        self.take(Input::Did(deed));
        if is_news { self.reload() } else { Ok("told".to_owned()) }
    }

    /// Reads the configuration again. A wrong one changes nothing.
    pub(super) fn reload(&mut self) -> Result<String, String> {
        if self.options.auto.is_some() {
            return Ok(self.look_again());
        }
        let file = &self.options.config_file;
        match config::load(file) {
            Ok(mut config) => {
                if let Some(run_dir) = &self.options.run_dir {
                    config.run_dir.clone_from(run_dir);
                }
                board::fit(&mut config);
                notify::add_hooks(&mut config, file);
                self.web.configure(&config.web);
                if self.options.mode == Mode::Steer {
                    self.notifier.configure(config.notify.clone());
                }
                let changes = config.changes_from(self.engine.config());
                let changes = if changes.is_empty() {
                    "nothing is different".to_owned()
                } else {
                    changes.join("; ")
                };
                let message = format!("configuration reloaded: {} ({changes})", file.display());
                self.take(Input::Reload(Box::new(config)));
                Ok(message)
            }
            Err(mistakes) => {
                tracing::warn!("the new configuration is wrong; the old one stays\n{mistakes}");
                Err(mistakes.to_string())
            }
        }
    }

    /// Follows the system's own routes, where no configuration says what to do.
    pub(super) fn follow_system(&mut self) {
        let view = self.engine.view();
        let Some(auto) = self.options.auto.as_mut().filter(|auto| auto.is_news(view)) else {
            return;
        };
        match auto.configure(view) {
            Ok(mut config) => {
                board::fit(&mut config);
                notify::add_hooks(&mut config, &self.options.config_file);
                if config != *self.engine.config() {
                    self.take(Input::Reload(Box::new(config)));
                }
            }
            Err(error) => tracing::error!("the automatic configuration is wrong: {error}"),
        }
    }

    /// What a reload is, where there is no file to read.
    fn look_again(&mut self) -> String {
        if let Some(auto) = &mut self.options.auto {
            auto.forget();
        }
        self.follow_system();
        "there is no configuration (--auto): the default routes were looked at again".to_owned()
    }
}
