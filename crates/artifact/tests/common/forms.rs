//! Every layout of weights.

use nlpress_graph::Form;
use nlpress_packed::{Activations, Codebook, Grid, Index, Int, Per, Scheme, Values};

const INDEXES: [Index; 7] = [
    Index::Full,
    Index::Bitmask,
    Index::Csr,
    Index::Block { rows: 4, columns: 8 },
    Index::Block { rows: 8, columns: 1 },
    Index::Nm { n: 3, m: 7 },
    Index::Sparse,
];

/// The forms that a network can have throughout.
pub(crate) fn forms() -> Vec<Form> {
    let int = |grid, per| Values::int(grid, per);
    let affine = |grid, per| Values::Int(Int { zero_points: true, ..Int::new(grid, per) });
    let fixed = |grid, per| Values::Int(Int { activations: Activations::Static, ..Int::new(grid, per) });
    let outliers = |outliers, int| Values::Int(Int { outliers, ..int });
    let values = [
        Values::F32,
        Values::F16,
        Values::Bf16,
        int(Grid::Int32, Per::Channel),
        int(Grid::Int32, Per::Tensor),
        int(Grid::Int16, Per::Channel),
        int(Grid::Int8, Per::Channel),
        int(Grid::Int8, Per::Tensor),
        int(Grid::Int8, Per::Row),
        int(Grid::Int4, Per::Group(16)),
        int(Grid::Int4, Per::Channel),
        int(Grid::Int3, Per::Channel),
        int(Grid::Int2, Per::Channel),
        int(Grid::Ternary, Per::Tensor),
        int(Grid::Binary, Per::Row),
        fixed(Grid::Int8, Per::Channel),
        fixed(Grid::Int2, Per::Row),
        outliers(1, Int::new(Grid::Int8, Per::Channel)),
        outliers(1, Int::new(Grid::Int4, Per::Row)),
        outliers(1, Int { activations: Activations::Static, ..Int::new(Grid::Int2, Per::Tensor) }),
        affine(Grid::Int8, Per::Channel),
        affine(Grid::Int4, Per::Group(32)),
        affine(Grid::Int3, Per::Tensor),
        affine(Grid::Int2, Per::Row),
        Values::Codebook(Codebook { width: 1, bits: 6, product: false }),
    ];
    let packed = values.into_iter().flat_map(|values| INDEXES.map(|index| Scheme { values, index }));
    let packed = packed.filter(|scheme| scheme.check().is_ok()).map(Form::Packed);
    [Form::Dense, Form::Masked].into_iter().chain(packed).collect()
}
