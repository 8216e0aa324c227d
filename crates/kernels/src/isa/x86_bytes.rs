//! The loops over bytes in vectors of 256 bits, written once for all sets of instructions.
//!
//! They differ in one step, the products of four activations and four weights. Code that is compiled for more
//! instructions is not inlined into code for fewer, so that step cannot be a parameter: each set expands the loops
//! beside a step of its own.

/// Expands `rows_i8`, `panels_i8`, `tiles_i8` and `dot_i8` for instructions that include AVX2. Beside it there are
/// - `add_fours::<SIGNED>(acc, levels, weights)`, which adds the products of four activations and four weights to
///   each of eight sums, and may take activations as unsigned without `SIGNED`;
/// - `widest_rows::<SIGNED>(rows, at, sums)`, which does the first of at least 64 columns from column `at` on, and
///   returns how many;
/// - `widest_tiles::<SIGNED>(panels, size, row, sums)`, which does the first of at least four panels of `size` weights,
///   and returns how many.
macro_rules! byte_loops {
    ($features:literal) => {
        /// Rows of weights, zeros included: each row that an activation touches is run through.
        #[target_feature(enable = $features)]
        fn rows_i8(rows: Touched<'_>, sums: &mut [i32]) {
            if none_negative(rows.levels) {
                all_rows_i8::<false>(rows, sums);
            } else {
                all_rows_i8::<true>(rows, sums);
            }
        }

        /// Without `SIGNED`, no activation may be negative.
        #[inline]
        #[target_feature(enable = $features)]
        fn all_rows_i8<const SIGNED: bool>(rows: Touched<'_>, sums: &mut [i32]) {
            let mut at = 0;
            while at < rows.stride {
                let left = &mut sums[at..rows.stride];
                at += match left.len() {
                    64.. => widest_rows::<SIGNED>(rows, at, left),
                    32.. => wide_rows::<1, SIGNED>(rows, at, left),
                    _ => narrow_rows::<SIGNED>(rows, at, left),
                };
            }
        }

        /// `B` blocks of 32 columns from column `at` on, which `sums` begin with; returns the columns done.
        #[inline]
        #[target_feature(enable = $features)]
        fn wide_rows<const B: usize, const SIGNED: bool>(
            rows: Touched<'_>,
            at: usize,
            sums: &mut [i32],
        ) -> usize {
            let mut acc = [[_mm256_setzero_si256(); 4]; B];
            let (fours, last) = rows.fours();
            for four in fours {
                add_wide_rows::<B, SIGNED>(&mut acc, rows.cut(four, at, 32 * B), four.levels);
            }
            if let Some(four) = last {
                add_wide_rows::<B, SIGNED>(&mut acc, rows.cut(four, at, 32 * B), four.levels);
            }
            for (b, acc) in acc.into_iter().enumerate() {
                store_in_order(&mut sums[32 * b..][..32], acc);
            }
            32 * B
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn add_wide_rows<const B: usize, const SIGNED: bool>(
            acc: &mut [[__m256i; 4]; B],
            [r0, r1, r2, r3]: [&[i8]; 4],
            levels: [i8; 4],
        ) {
            let levels = _mm256_set1_epi32(must_cast(levels));
            for (b, acc) in acc.iter_mut().enumerate() {
                let at = 32 * b;
                let fours = four_rows([load(r0, at), load(r1, at), load(r2, at), load(r3, at)]);
                acc[0] = add_fours::<SIGNED>(acc[0], levels, fours[0]);
                acc[1] = add_fours::<SIGNED>(acc[1], levels, fours[1]);
                acc[2] = add_fours::<SIGNED>(acc[2], levels, fours[2]);
                acc[3] = add_fours::<SIGNED>(acc[3], levels, fours[3]);
            }
        }

        /// Eight columns from column `at` on, which `sums` begin with; returns the columns done.
        #[inline]
        #[target_feature(enable = $features)]
        fn narrow_rows<const SIGNED: bool>(rows: Touched<'_>, at: usize, sums: &mut [i32]) -> usize {
            let mut acc = _mm256_setzero_si256();
            let (fours, last) = rows.fours();
            for four in fours {
                let weights = four_narrow_rows(rows.cut(four, at, LANES));
                acc = add_fours::<SIGNED>(acc, _mm256_set1_epi32(must_cast(four.levels)), weights);
            }
            if let Some(four) = last {
                let weights = four_narrow_rows(rows.cut(four, at, LANES));
                acc = add_fours::<SIGNED>(acc, _mm256_set1_epi32(must_cast(four.levels)), weights);
            }
            store(sums, 0, acc);
            LANES
        }

        /// The product of two vectors of the same length.
        #[target_feature(enable = $features)]
        fn dot_i8(levels: &[i8], weights: &[i8]) -> i32 {
            let ((x32, x), (w32, w)) = (levels.as_chunks::<32>(), weights.as_chunks::<32>());
            let mut acc = _mm256_setzero_si256();
            for (&x, &w) in x32.iter().zip(w32) {
                acc = add_fours::<true>(acc, must_cast(x), must_cast(w));
            }
            must_cast::<__m256i, [i32; LANES]>(acc).iter().sum::<i32>() + portable::dot_i8(x, w)
        }

        /// Panels of 16 or 32 inputs.
        #[target_feature(enable = $features)]
        fn panels_i8(panels: &Panels<i8>, row: &[i8], sums: &mut [i32]) {
            let (tables, _) = row.as_chunks::<16>();
            match (panels.size, none_negative(row)) {
                (16, true) => all_panels_i8::<1, false>(panels, tables, sums),
                (16, false) => all_panels_i8::<1, true>(panels, tables, sums),
                (_, true) => all_panels_i8::<2, false>(panels, tables, sums),
                (_, false) => all_panels_i8::<2, true>(panels, tables, sums),
            }
        }

        /// A group is `G` tables of 16 activations; without `SIGNED`, none may be negative.
        #[inline]
        #[target_feature(enable = $features)]
        fn all_panels_i8<const G: usize, const SIGNED: bool>(
            panels: &Panels<i8>,
            tables: &[[i8; 16]],
            sums: &mut [i32],
        ) {
            const STEPS: usize = UNROLL * Panels::<i8>::WIDTH;
            let (tables, _) = tables.as_chunks::<G>();
            let (groups, _) = panels.groups.as_chunks::<UNROLL>();
            let (picks, _) = panels.picks.as_chunks::<STEPS>();
            let (values, _) = panels.values.as_chunks::<STEPS>();
            for (ends, sums) in panels.starts.windows(2).zip(sums.as_chunks_mut::<LANES>().0) {
                let range = ends[0] as usize / UNROLL..ends[1] as usize / UNROLL;
                let steps = groups[range.clone()].iter().zip(&picks[range.clone()]).zip(&values[range]);
                let mut acc = [_mm256_setzero_si256(); 2];
                for ((groups, picks), values) in steps {
                    let picks: [__m256i; UNROLL] = must_cast(*picks);
                    let values: [__m256i; UNROLL] = must_cast(*values);
                    for i in 0..UNROLL {
                        let x = look_up(&tables[groups[i] as usize], picks[i]);
                        acc[i % 2] = add_fours::<SIGNED>(acc[i % 2], x, values[i]);
                    }
                }
                *sums = must_cast(_mm256_add_epi32(acc[0], acc[1]));
            }
        }

        /// The whole matrix in one long loop.
        #[target_feature(enable = $features)]
        fn tiles_i8(tiles: &Tiles<i8>, row: &[i8], sums: &mut [i32]) {
            if none_negative(row) {
                all_tiles_i8::<false>(&tiles.values, tiles.panel(), row, sums);
            } else {
                all_tiles_i8::<true>(&tiles.values, tiles.panel(), row, sums);
            }
        }

        /// Panels of `size` weights; without `SIGNED`, no activation may be negative.
        #[inline]
        #[target_feature(enable = $features)]
        fn all_tiles_i8<const SIGNED: bool>(weights: &[i8], size: usize, row: &[i8], sums: &mut [i32]) {
            let (mut at, count) = (0, sums.len() / LANES);
            while at < count {
                let (weights, sums) = (&weights[at * size..], &mut sums[at * LANES..]);
                at += match count - at {
                    4.. => widest_tiles::<SIGNED>(weights, size, row, sums),
                    _ => few_tiles::<1, SIGNED>(weights, size, row, sums),
                };
            }
        }

        /// The first `P` panels at once, which share the loads of activations; returns how many those are.
        #[inline]
        #[target_feature(enable = $features)]
        fn few_tiles<const P: usize, const SIGNED: bool>(
            weights: &[i8],
            size: usize,
            row: &[i8],
            sums: &mut [i32],
        ) -> usize {
            let (row, _) = row.as_chunks::<QUAD>();
            let row = &row[..size / TILE];
            let panels = cuts::panels::<P>(weights, row.len());
            let mut acc = [_mm256_setzero_si256(); P];
            for (i, &levels) in row.iter().enumerate() {
                let levels = _mm256_set1_epi32(must_cast(levels));
                for p in 0..P {
                    acc[p] = add_fours::<SIGNED>(acc[p], levels, must_cast(panels[p][i]));
                }
            }
            for (sums, acc) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(acc) {
                *sums = must_cast(acc);
            }
            P
        }
    };
}

pub(super) use byte_loops;
