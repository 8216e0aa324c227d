//! Which layouts there are: what of their names goes together.

use crate::scheme::{LARGEST_BLOCK_SIDE, LARGEST_GROUP};
use crate::{Index, PackError, Per, Scheme, Values};

impl Scheme {
    /// Checks the numbers that a name may carry.
    ///
    /// # Errors
    /// [`PackError::Block`], [`PackError::Group`], or [`PackError::Scheme`] for what does not go together.
    pub fn check(self) -> Result<(), PackError> {
        if let Values::Int(int) = self.values {
            let bad = |why| Err(PackError::Scheme { scheme: self, why });
            match int.per {
                Per::Group(0 | 129..) => return bad("a group has between 1 and 128 inputs"),
                Per::Row | Per::Group(_) if int.grid.is_wide() => {
                    return bad("such wide integers have one scale, or one for each output");
                }
                _ => {}
            }
            if int.zero_points && int.grid.with_zero_point().is_none() {
                return bad("these integers have no zero point");
            }
            if int.outliers > 0 && int.grid.is_wide() {
                return bad("such wide integers have no use for outliers");
            }
            if int.outliers > 0 && (int.zero_points || matches!(int.per, Per::Group(_))) {
                return bad("outliers need integers without zero points and without groups of scales");
            }
            if int.zero_points && self.index != Index::Full {
                return bad("with zero points all entries are stored");
            }
            if !int.grid.has_zero() && matches!(self.index, Index::Block { .. } | Index::Nm { .. }) {
                return bad("blocks and groups are filled up with zeros, which these integers lack");
            }
        }
        if let Values::Codebook(codebook) = self.values {
            let bad = |why| Err(PackError::Scheme { scheme: self, why });
            if let Some(why) = codebook.fault() {
                return bad(why);
            }
            if codebook.width > 1 && self.index != Index::Full {
                return bad("codes for several outputs need all entries stored");
            }
            if matches!(self.index, Index::Block { .. } | Index::Nm { .. }) {
                return bad("blocks and groups are filled up with zeros, which a codebook need not have");
            }
        }
        let sides = 1..=LARGEST_BLOCK_SIDE;
        match self.index {
            Index::Block { rows, columns } if !sides.contains(&rows) || !sides.contains(&columns) => {
                Err(PackError::Block { rows, columns })
            }
            Index::Nm { n, m } if n == 0 || n >= m || m > LARGEST_GROUP => Err(PackError::Group { n, m }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Codebook, Grid, Int};

    #[test]
    fn impossible_names_are_refused_and_never_divide_by_zero() {
        for index in [
            Index::Block { rows: 0, columns: 4 },
            Index::Block { rows: 1, columns: 65 },
            Index::Nm { n: 0, m: 4 },
            Index::Nm { n: 4, m: 4 },
            Index::Nm { n: 0, m: 0 },
            Index::Nm { n: 2, m: 17 },
        ] {
            let scheme = Scheme { values: Values::F32, index };
            assert!(scheme.check().is_err(), "{scheme}");
            assert!(scheme.bytes(10, 10, 10) < 100_000);
        }
        let bad = |int: Int, index| assert!(Scheme { values: Values::Int(int), index }.check().is_err());
        bad(Int::new(Grid::Int8, Per::Group(0)), Index::Full);
        bad(Int::new(Grid::Int8, Per::Group(129)), Index::Full);
        bad(Int::new(Grid::Int16, Per::Row), Index::Full);
        bad(Int { zero_points: true, ..Int::new(Grid::Ternary, Per::Tensor) }, Index::Full);
        bad(Int { zero_points: true, ..Int::new(Grid::Int8, Per::Tensor) }, Index::Csr);
        bad(Int::new(Grid::Binary, Per::Tensor), Index::Nm { n: 2, m: 4 });
        let outliers = |int| Int { outliers: 1, ..int };
        bad(outliers(Int::new(Grid::Int16, Per::Tensor)), Index::Full);
        bad(outliers(Int::new(Grid::Int8, Per::Group(16))), Index::Full);
        bad(outliers(Int { zero_points: true, ..Int::new(Grid::Int8, Per::Tensor) }), Index::Full);
        for (width, bits, index) in [
            (0, 8, Index::Full),
            (9, 8, Index::Full),
            (1, 3, Index::Full),
            (1, 9, Index::Full),
            (2, 8, Index::Csr),
            (1, 8, Index::Nm { n: 2, m: 4 }),
        ] {
            let scheme = Scheme { values: Values::Codebook(Codebook { width, bits, product: false }), index };
            assert!(scheme.check().is_err(), "{scheme}");
            assert!(scheme.bytes(10, 10, 10) < 100_000);
        }
        for index in [Index::Block { rows: 64, columns: 1 }, Index::Nm { n: 15, m: 16 }, Index::Csr] {
            assert!(Scheme { values: Values::F16, index }.check().is_ok());
        }
    }
}
