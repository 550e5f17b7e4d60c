//! What the engine does with an input, by verb. `impl Engine` stands here and nowhere else; a step calls the
//! machines of the other rooms and wraps what they return into outputs and facts. Nobody imports a step.

mod announce;
mod command;
mod configure;
mod converge;
mod ddns;
mod firewalls;
mod flows;
mod follow;
mod heartbeat;
mod heed;
mod judge;
mod keep;
mod names_told;
mod notify;
mod observe;
mod report;
mod select;
mod service;
mod show;
mod switch;
