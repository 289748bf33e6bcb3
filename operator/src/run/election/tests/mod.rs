//! The Lease by tables ([`record`]), requests by scripts ([`scenarios`]), and elections over a
//! simulated API server ([`model`]).

mod model;
mod record;
mod scenarios;
