//! Which cells of the KV cache are in use, and by how many sequences.
//!
//! llama.cpp does not report its cells, so [`Cells`] counts them in the same way: each computed token takes a cell,
//! and sequences with a common prefix share cells.

/// All cells of a cache.
#[derive(Debug)]
pub(crate) struct Cells {
    /// How many sequences hold each cell.
    holders: Vec<u16>,
    /// Cells that no sequence holds.
    free: Vec<u32>,
}

/// The cells of one sequence, in the order of its tokens.
#[derive(Debug, Default)]
pub(crate) struct CellList(Vec<u32>);

impl Cells {
    /// A cache of this many cells, all free.
    pub(crate) fn new(cells: usize) -> Self {
        let cells = u32::try_from(cells).expect("a context has at most 2^20 cells");
        Self {
            holders: vec![0; cells as usize],
            free: (0..cells).rev().collect(),
        }
    }

    /// The number of free cells.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    /// The number of cells in use.
    pub(crate) fn used(&self) -> usize {
        self.holders.len() - self.free.len()
    }

    /// A sequence takes cells for more tokens. False when there are not enough, and then nothing changes.
    #[must_use]
    pub(crate) fn take(&mut self, held: &mut CellList, tokens: usize) -> bool {
        let Some(rest) = self.free.len().checked_sub(tokens) else {
            return false;
        };
        for cell in self.free.drain(rest..) {
            self.holders[cell as usize] = 1;
            held.0.push(cell);
        }
        true
    }

    /// The sequence `held` also takes the cells of `with`, from its own end to token `length`.
    pub(crate) fn share(&mut self, held: &mut CellList, with: &CellList, length: usize) {
        for &cell in with.0.get(held.len()..length).unwrap_or_default() {
            self.holders[cell as usize] += 1;
            held.0.push(cell);
        }
    }

    /// A sequence gives its cells back.
    pub(crate) fn release(&mut self, held: &mut CellList) {
        for cell in held.0.drain(..) {
            let holders = &mut self.holders[cell as usize];
            *holders -= 1;
            if *holders == 0 {
                self.free.push(cell);
            }
        }
    }

    /// The number of cells that at least one of these sequences holds.
    pub(crate) fn together<'a>(&self, sequences: impl Iterator<Item = &'a CellList>) -> usize {
        let mut counted = vec![false; self.holders.len()];
        let cells = sequences.flat_map(|held| &held.0);
        cells
            .filter(|cell| !std::mem::replace(&mut counted[**cell as usize], true))
            .count()
    }

    /// The number of cells that become free when this sequence is released.
    pub(crate) fn alone(&self, held: &CellList) -> usize {
        let alone = |cell: &&u32| self.holders[**cell as usize] == 1;
        held.0.iter().filter(alone).count()
    }
}

impl CellList {
    /// The number of computed tokens.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computed_tokens_take_cells_and_give_them_back() {
        let mut cells = Cells::new(10);
        let mut held = CellList::default();
        assert!(cells.take(&mut held, 4));
        assert_eq!((held.len(), cells.used(), cells.free()), (4, 4, 6));
        cells.release(&mut held);
        assert_eq!((held.len(), cells.used(), cells.free()), (0, 0, 10));
    }

    #[test]
    fn more_than_there_are_cannot_be_taken() {
        let mut cells = Cells::new(3);
        let mut held = CellList::default();
        assert!(!cells.take(&mut held, 4));
        assert_eq!((held.len(), cells.free()), (0, 3));
        assert!(cells.take(&mut held, 3));
        assert!(!cells.take(&mut held, 1));
    }

    #[test]
    fn shared_cells_count_once_and_stay_until_the_last_leaves() {
        let mut cells = Cells::new(10);
        let (mut first, mut second) = (CellList::default(), CellList::default());
        assert!(cells.take(&mut first, 6));
        cells.share(&mut second, &first, 4);
        assert!(cells.take(&mut second, 2));
        assert_eq!((second.len(), cells.used()), (6, 8));
        assert_eq!((cells.alone(&first), cells.alone(&second)), (2, 2));
        assert_eq!(cells.together([&first, &second].into_iter()), 8);
        cells.release(&mut first);
        assert_eq!((cells.used(), cells.alone(&second)), (6, 6));
        cells.release(&mut second);
        assert_eq!(cells.used(), 0);
    }

    #[test]
    fn sharing_goes_on_where_one_is() {
        let mut cells = Cells::new(10);
        let (mut first, mut second) = (CellList::default(), CellList::default());
        assert!(cells.take(&mut first, 5));
        cells.share(&mut second, &first, 2);
        cells.share(&mut second, &first, 5);
        cells.share(&mut second, &first, 3);
        assert_eq!((second.len(), cells.used(), cells.alone(&first)), (5, 5, 0));
    }
}
