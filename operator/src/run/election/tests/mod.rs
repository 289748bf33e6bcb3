//! The Lease by tables ([`record`]), requests by scripts ([`scenarios`]), and elections over a
//! simulated API server ([`model`], [`annotations`]).

mod annotations;
mod model;
mod record;
mod scenarios;
