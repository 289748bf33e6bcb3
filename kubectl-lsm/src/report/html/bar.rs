//! A bar of the states: how many nodes are ready, not ready and unknown.

use crate::report::markup::Markup;
use crate::report::summary::Tally;

/// A part that is not empty is at least this wide, in thousandths, so that it can be seen.
const LEAST: usize = 6;

/// The bar, for eyes only, of a width that stands for `whole` nodes. The numbers stand beside it as
/// text. Attributes and not styles give the widths, because the page's security policy allows no
/// styles in attributes.
pub fn bar(part: &mut Markup, tally: Tally, whole: usize) -> &mut Markup {
    part.raw("<svg class=\"bar\" aria-hidden=\"true\" focusable=\"false\">");
    part.raw("<rect width=\"100%\" height=\"100%\"/>");
    let mut start = 0;
    for (state, width) in Tally::STATES.into_iter().zip(widths(tally, whole)) {
        if width > 0 {
            part.raw("<rect class=\"").class(state).raw("\" x=\"").per_mille(start);
            part.raw("\" width=\"").per_mille(width).raw("\" height=\"100%\"/>");
        }
        start += width;
    }
    part.raw("</svg>")
}

/// Widths in thousandths of the bar.
fn widths(tally: Tally, whole: usize) -> [usize; 3] {
    let share = |count: usize| (count * 1000).checked_div(whole).unwrap_or_default();
    let mut widths = Tally::STATES.map(|state| {
        let count = tally.of(state);
        if count == 0 { 0 } else { share(count).max(LEAST) }
    });
    // The widest part gives or takes what rounding left.
    if let Some(widest) = (0..widths.len()).max_by_key(|index| widths[*index]) {
        let others = widths.iter().sum::<usize>() - widths[widest];
        widths[widest] = share(tally.total()).saturating_sub(others).max(widths[widest].min(LEAST));
    }
    widths
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bar_shows_each_state_that_a_node_has_and_is_full_for_all_nodes(
            ready in 0_usize..30_000, not_ready in 0_usize..30_000, unknown in 0_usize..3,
            others in 0_usize..90_000
        ) {
            let tally = Tally { ready, not_ready, unknown };
            for whole in [tally.total(), tally.total() + others] {
                let widths = widths(tally, whole);
                for (state, width) in Tally::STATES.into_iter().zip(widths) {
                    prop_assert_eq!(width == 0, tally.of(state) == 0);
                }
                prop_assert!(widths.iter().sum::<usize>() <= 1000);
            }
            let full = widths(tally, tally.total()).iter().sum::<usize>();
            prop_assert_eq!(full, if tally.total() == 0 { 0 } else { 1000 });
        }
    }
}
