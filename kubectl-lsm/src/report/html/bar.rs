//! A bar of the states: how many nodes are ready, not ready and unknown.

use crate::report::markup::Markup;
use crate::report::summary::Tally;

/// A part that is not empty is at least this wide, in thousandths, so that it can be seen.
const LEAST: usize = 6;

/// The bar, for eyes only. The numbers stand beside it as text. Attributes and not styles give the
/// widths, because the page's security policy allows no styles in attributes.
pub fn bar<'a>(part: &'a mut Markup, tally: Tally) -> &'a mut Markup {
    part.raw("<svg class=\"bar\" aria-hidden=\"true\" focusable=\"false\">");
    part.raw("<rect width=\"100%\" height=\"100%\"/>");
    let mut start = 0;
    for (state, width) in Tally::STATES.into_iter().zip(widths(tally)) {
        if width > 0 {
            part.raw("<rect class=\"").class(state).raw("\" x=\"").per_mille(start);
            part.raw("\" width=\"").per_mille(width).raw("\" height=\"100%\"/>");
        }
        start += width;
    }
    part.raw("</svg>")
}

/// Widths in thousandths, which are 1,000 together, or all 0 without nodes.
fn widths(tally: Tally) -> [usize; 3] {
    let total = tally.total();
    let mut widths = Tally::STATES.map(|state| {
        let count = tally.of(state);
        let least = if count == 0 { 0 } else { LEAST };
        (count * 1000).checked_div(total).unwrap_or_default().max(least)
    });
    // The widest part gives or takes what rounding left.
    if let Some(widest) = (0..widths.len()).max_by_key(|index| widths[*index])
        && total > 0
    {
        let others = widths.iter().sum::<usize>() - widths[widest];
        widths[widest] = 1000 - others;
    }
    widths
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bar_is_full_and_shows_each_state_that_a_node_has(
            ready in 0_usize..30_000, not_ready in 0_usize..30_000, unknown in 0_usize..3
        ) {
            let tally = Tally { ready, not_ready, unknown };
            let widths = widths(tally);
            prop_assert_eq!(widths.iter().sum::<usize>(), if tally.total() == 0 { 0 } else { 1000 });
            for (state, width) in Tally::STATES.into_iter().zip(widths) {
                prop_assert_eq!(width == 0, tally.of(state) == 0);
            }
        }
    }
}
