//! Where a sequence's positions do not go with its cells.
//!
//! A token has one cell and one position. In models whose positions have several dimensions, the cells of a picture share
//! positions: they all stand at the picture's beginning, and what follows goes on as if the picture were as long as its longer side.

use std::ops::Range;

/// The pictures of one sequence whose cells share positions, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Folds(Vec<Fold>);

/// One picture.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fold {
    /// Its cells.
    cells: Range<usize>,
    /// How many of them are computed.
    computed: usize,
    /// How far it moves the position of what follows.
    positions: usize,
}

impl Folds {
    /// The position of a cell; within a picture that of its beginning.
    pub(crate) fn position(&self, cell: usize) -> usize {
        let mut position = cell;
        for fold in self.0.iter().take_while(|fold| fold.cells.start < cell) {
            if cell < fold.cells.end {
                return position - (cell - fold.cells.start);
            }
            position -= fold.cells.len() - fold.positions;
        }
        position
    }

    /// How many cells there are when the last one has this position.
    pub(crate) fn length(&self, last: usize) -> usize {
        let mut length = last + 1;
        for fold in &self.0 {
            if length <= fold.cells.start {
                break;
            }
            if length == fold.cells.start + 1 {
                return fold.cells.start + fold.computed;
            }
            length += fold.cells.len() - fold.positions;
        }
        length
    }

    /// So many more cells of a picture were computed.
    pub(crate) fn computed(&mut self, picture: Range<usize>, positions: usize, cells: usize) {
        match self.0.last_mut().filter(|last| last.cells == picture) {
            Some(last) => last.computed += cells,
            None => self.0.push(Fold {
                cells: picture,
                computed: cells,
                positions,
            }),
        }
    }

    /// Takes over what another sequence has in these cells, which begin and end outside of pictures.
    pub(crate) fn share(&mut self, other: &Self, cells: Range<usize>) {
        let within = |fold: &&Fold| cells.start <= fold.cells.start && fold.cells.end <= cells.end;
        self.0.extend(other.0.iter().filter(within).cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tokens, a picture of 12 cells that counts 4, three tokens, a picture of 6 cells that counts 3.
    fn folds() -> Folds {
        let mut folds = Folds::default();
        folds.computed(2..14, 4, 5);
        folds.computed(2..14, 4, 7);
        folds.computed(17..23, 3, 6);
        folds
    }

    #[test]
    fn what_follows_a_picture_goes_on_behind_its_longer_side() {
        let folds = folds();
        let positions = [0, 1, 2, 8, 13, 14, 16, 17, 22, 23, 30].map(|cell| folds.position(cell));
        assert_eq!(positions, [0, 1, 2, 2, 2, 6, 8, 9, 9, 12, 19]);
    }

    #[test]
    fn the_last_position_tells_the_number_of_cells() {
        let folds = folds();
        for cells in [1, 2, 14, 15, 17, 23, 24, 31] {
            assert_eq!(folds.length(folds.position(cells - 1)), cells, "{cells}");
        }
        let mut begun = Folds::default();
        begun.computed(2..14, 4, 5);
        assert_eq!(begun.length(2), 7);
        assert_eq!(Folds::default().length(9), 10);
    }

    #[test]
    fn what_is_shared_has_the_same_positions() {
        let folds = folds();
        let mut other = Folds::default();
        other.share(&folds, 0..16);
        other.share(&folds, 16..23);
        assert_eq!(other, folds);
        let mut first = Folds::default();
        first.share(&folds, 0..14);
        assert_eq!(first.position(14), 6);
        assert_ne!(first, folds);
    }
}
