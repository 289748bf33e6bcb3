//! The page: one file that needs nothing else, for a browser and for paper.
//!
//! `page.html` is the frame; each `{{NAME}}` in it is filled by [`fill`]. The overview, the reasons
//! and the groups are markup. So are the first nodes of the table, for readers without JavaScript.
//! The other nodes, and everything about each node, are in [`data`], which `page.js` shows.

mod bar;
mod data;
mod overview;
mod parts;
mod rows;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use super::markup::Markup;
use super::summary::Summary;
use crate::fleet::Fleet;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = concat!(include_str!("page.css"), include_str!("table.css"));
const SCRIPT: &str = include_str!("page.js");

/// The fleet as a page.
pub fn html(fleet: &Fleet) -> String {
    let summary = Summary::of(fleet);
    let mut page = Markup::default();
    for piece in PAGE.split("{{") {
        match piece.split_once("}}") {
            None => page.raw(piece),
            Some((name, rest)) => page.add(&fill(name, fleet, &summary)).raw(rest),
        };
    }
    page.into_string()
}

fn fill(name: &str, fleet: &Fleet, summary: &Summary) -> Markup {
    let mut part = Markup::default();
    match name {
        "policy" => part.text(&content_security_policy()),
        "style" => part.raw(STYLE),
        "script" => part.raw(SCRIPT),
        "title" => title(&mut part, fleet),
        "data" => part.json(&data::json(&summary.nodes)),
        "source" => parts::source(&mut part, fleet),
        "overview" => overview::overview(&mut part, fleet, summary),
        "reasons" => overview::reasons(&mut part, summary),
        "groups" => overview::groups(&mut part, summary),
        "found" => rows::found(&mut part, summary.nodes.len()),
        "rows" => rows::rows(&mut part, &summary.nodes),
        "policies" => parts::policies(&mut part, fleet),
        "agents" => parts::agents(&mut part, fleet),
        "parts" => parts::ourselves(&mut part, fleet),
        _ => &mut part,
    };
    part
}

fn title<'a>(part: &'a mut Markup, fleet: &Fleet) -> &'a mut Markup {
    if fleet.context.name.is_empty() {
        return part;
    }
    part.raw(": ").text(&fleet.context.name)
}

/// Nothing is loaded, run or sent but the style and the script of the page itself. Trusted types
/// keep the script from making markup of a text.
fn content_security_policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}
