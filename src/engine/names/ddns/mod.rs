//! Names that follow the traffic: what each should say, when that may be written, and what came of it.
//!
//! ```text
//! wanted  ── differs from what stands, and has for a moment ──▶ asked ── the server says so ──▶ stands
//!    ▲                                                           │
//!    └──────────── in a while ◀── failing ◀── an error ──────────┘
//! ```
//!
//! One request for a name is under way at a time, so that none can overtake another; what is wanted is worked out
//! anew for each. Two writes are a minute apart, whatever the lines do.

pub mod all;
pub mod follower;
pub mod outside;
pub mod public;
pub mod request;
pub mod told;
