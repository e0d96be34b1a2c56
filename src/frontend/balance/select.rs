//! Choosing a node: pure, given who is well.

/// The `turn`-th of those that are well, in rotation; of all when none is, because a node that was
/// thought ill may still answer. `None` only when there is no node.
pub fn round_robin(turn: usize, well: &[bool]) -> Option<usize> {
    let count = well.iter().filter(|&&well| well).count();
    let any = count == 0;
    let candidates = well.iter().enumerate().filter(|&(_, &well)| well || any).map(|(index, _)| index);
    let among = if any { well.len() } else { count };
    candidates.into_iter().nth(turn.checked_rem(among)?)
}

#[cfg(test)]
mod tests {
    use super::round_robin;

    #[test]
    fn those_that_are_well_take_turns() {
        let well = [true, false, true];
        let chosen: Vec<_> = (0..4).map(|turn| round_robin(turn, &well).unwrap()).collect();
        assert_eq!(chosen, [0, 2, 0, 2]);
    }

    #[test]
    fn when_none_is_well_all_are_tried() {
        let chosen: Vec<_> = (0..2).map(|turn| round_robin(turn, &[false, false]).unwrap()).collect();
        assert_eq!(chosen, [0, 1]);
        assert_eq!(round_robin(3, &[]), None);
    }
}
