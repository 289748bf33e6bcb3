//! `report`: the fleet as a page for people, as Markdown and as JSON.
//!
//! In: a [`Fleet`]. Out: one text. The same fleet always gives the same bytes: there is no clock
//! and no randomness here.
//!
//! ## Guarantees
//! Texts of the fleet come from nodes and people, so nothing trusts them. In the page they are
//! escaped by [`markup::Markup`], which takes markup only from the program itself, or they are JSON
//! that the page's script shows as text. The page's Content-Security-Policy allows that one script
//! and nothing from elsewhere. In Markdown they are escaped by [`markdown`].

pub mod fixture;
mod html;
mod markdown;
mod markup;
mod summary;

use crate::fleet::Fleet;

pub use html::html;
pub use markdown::markdown;

/// The fleet as JSON, with nothing added and nothing left out.
pub fn json(fleet: &Fleet) -> String {
    crate::render::json(fleet)
}

#[cfg(test)]
mod tests;
