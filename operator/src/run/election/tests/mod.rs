//! The Lease by tables ([`record`]), and elections over a simulated API server ([`model`]).

mod model;
mod record;
