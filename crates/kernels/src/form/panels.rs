//! For every eight outputs, vectors of kept values that each say which activations they are multiplied by.
//!
//! A panel is eight outputs. It is a run of steps; a step has a group of consecutive inputs and, for each
//! of the eight outputs, up to `SLOTS` kept values of that group, each with its place in the group. Multiplying a
//! step is a table look-up, which one vector instruction does for all its values, and a product of vectors; no
//! branch depends on where the values are. Values of an output that do not fit into one step take another of the
//! same group, so a step is full where the outputs of a panel keep alike, and `n:m` sparsity fills it by nature.
//! The form is a sliced ELLPACK (Monakov et al. 2010) with slices cut along the inputs as well.

use super::element::Element;
use crate::aligned::Aligned;
use crate::lanes::{LANES, UNROLL};
use nlpress_packed::Lists;

/// In a pick: there is no value in this slot.
const EMPTY: u8 = 0x80;
/// Bytes of a cache near enough for its speed not to matter.
const CACHED: usize = 1 << 20;

/// Invariants: `starts` ascends from 0 to the length of `groups` by multiples of [`UNROLL`], one more than there
/// are panels. There are `8 · SLOTS` picks and values for each group, those of an output side by side; a group
/// times `size` is less than the matrix's inputs; a pick without [`EMPTY`] is less than `size`, and stays within
/// the inputs; a slot that is empty has a value of zero.
#[derive(Clone, Debug)]
pub(crate) struct Panels<T: Element> {
    /// Inputs of a group: of the sizes that the type of values has.
    pub(crate) size: usize,
    pub(crate) starts: Vec<u32>,
    pub(crate) groups: Vec<u32>,
    pub(crate) picks: Aligned<u8>,
    pub(crate) values: Aligned<T>,
}

impl<T: Element> Panels<T> {
    /// Values of a step.
    pub(crate) const WIDTH: usize = LANES * T::SLOTS;

    pub(crate) fn new(lists: &Lists<T>, outputs: usize, size: usize) -> Self {
        let empty = || {
            let (picks, values) = (Aligned::new(), Aligned::new());
            Panels { size, starts: vec![], groups: vec![], picks, values }
        };
        let mut panels: Vec<Self> = (0..outputs.div_ceil(LANES)).map(|_| empty()).collect();
        let mut counts = vec![0u8; outputs];
        // Where the steps of the group at hand begin in each panel.
        let mut firsts = vec![0; panels.len()];
        for row in 0..lists.inputs() {
            let (group, pick) = (row / size, row % size);
            if pick == 0 {
                counts.fill(0);
                firsts.iter_mut().zip(&panels).for_each(|(first, panel)| *first = panel.groups.len());
            }
            let (columns, values) = lists.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                let column = column as usize;
                let count = usize::from(counts[column]);
                counts[column] += 1;
                let panel = &mut panels[column / LANES];
                let step = firsts[column / LANES] + count / T::SLOTS;
                if step == panel.groups.len() {
                    panel.push_empty(group as u32);
                }
                let at = step * Self::WIDTH + column % LANES * T::SLOTS + count % T::SLOTS;
                panel.picks[at] = pick as u8;
                panel.values[at] = value;
            }
        }
        let mut all = empty();
        all.starts.push(0);
        for mut panel in panels {
            while !panel.groups.len().is_multiple_of(UNROLL) {
                panel.push_empty(0);
            }
            all.groups.append(&mut panel.groups);
            all.picks.extend_from_slice(&panel.picks);
            all.values.extend_from_slice(&panel.values);
            all.starts.push(all.groups.len() as u32);
        }
        all
    }

    /// The panels with the groups that multiply the fastest, and their cost beside that of eight values of a
    /// matrix that is held with its zeros, in 1/16.
    pub(super) fn cheapest(lists: &Lists<T>, outputs: usize) -> (Self, usize) {
        let cached = lists.inputs() * outputs * size_of::<T>() <= CACHED;
        let all = T::GROUPS.iter().map(|group| {
            let panels = Self::new(lists, outputs, group.inputs);
            let cost = panels.groups.len() * group.cost[usize::from(!cached)];
            (panels, cost)
        });
        all.min_by_key(|(_, cost)| *cost).expect("every type has groups of some size")
    }

    fn push_empty(&mut self, group: u32) {
        self.groups.push(group);
        let end = self.picks.len();
        self.picks.resize(end + Self::WIDTH);
        self.picks[end..].fill(EMPTY);
        self.values.resize(self.values.len() + Self::WIDTH);
    }

    pub(super) fn visit(&self, mut see: impl FnMut(usize, usize, T)) {
        for (panel, ends) in self.starts.windows(2).enumerate() {
            for step in ends[0] as usize..ends[1] as usize {
                for slot in 0..Self::WIDTH {
                    let at = step * Self::WIDTH + slot;
                    if self.picks[at] & EMPTY == 0 {
                        let row = self.groups[step] as usize * self.size + usize::from(self.picks[at]);
                        see(row, panel * LANES + slot / T::SLOTS, self.values[at]);
                    }
                }
            }
        }
    }
}
