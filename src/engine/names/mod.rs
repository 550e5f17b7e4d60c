//! Names: the resolvers that the box asks.

pub mod resolvers;
