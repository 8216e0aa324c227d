//! The loops over bytes in vectors of 256 bits, written once for all sets of instructions.
//!
//! They differ in one step, the products of four activations and four weights. Code that is compiled for more
//! instructions is not inlined into code for fewer, so that step cannot be a parameter: each set expands the loops
//! beside a step of its own.

/// Expands `rows_i8`, `panels_i8` and `tiles_i8` for instructions that include AVX2. Beside it there are
/// - `add_fours::<SIGNED>(acc, levels, weights)`, which adds the products of four activations and four weights to
///   each of eight sums, and may take activations as unsigned without `SIGNED`;
/// - `widest_rows::<SIGNED>(weights, left, at, quads, sums)`, which adds rows for at least 64 of the `left` columns
///   from column `at` on, at least 64, and returns how many it did;
/// - `widest_tiles::<SIGNED>(panels, size, row, sums)`, which multiplies the first of the panels of `size` weights and
///   returns how many it did.
macro_rules! byte_loops {
    ($features:literal) => {
        /// Rows of weights, zeros included: each row that an activation touches is run through.
        #[target_feature(enable = $features)]
        fn rows_i8(weights: &[i8], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
            sums.fill(0);
            if none_negative(levels) {
                all_rows_i8::<false>(weights, stride, columns, levels, sums);
            } else {
                all_rows_i8::<true>(weights, stride, columns, levels, sums);
            }
        }

        /// Rows in fours; without `SIGNED`, no activation may be negative.
        #[inline]
        #[target_feature(enable = $features)]
        fn all_rows_i8<const SIGNED: bool>(
            weights: &[i8],
            stride: usize,
            columns: &[u32],
            levels: &[i32],
            sums: &mut [i32],
        ) {
            let mut quads = [Quad { starts: [0; 4], levels: 0 }; QUADS];
            for (columns, levels) in columns.chunks(4 * QUADS).zip(levels.chunks(4 * QUADS)) {
                let quads = make_quads(stride, columns, levels, &mut quads);
                let mut at = 0;
                while at < stride {
                    at += match stride - at {
                        left @ 64.. => widest_rows::<SIGNED>(weights, left, at, quads, sums),
                        32.. => wide_rows::<1, SIGNED>(weights, at, quads, sums),
                        _ => narrow_rows::<SIGNED>(weights, at, quads, sums),
                    };
                }
            }
        }

        /// `B` blocks of 32 columns from column `at` on; returns the columns done.
        #[inline]
        #[target_feature(enable = $features)]
        fn wide_rows<const B: usize, const SIGNED: bool>(
            weights: &[i8],
            at: usize,
            quads: &[Quad],
            sums: &mut [i32],
        ) -> usize {
            let mut acc = [[_mm256_setzero_si256(); 4]; B];
            for quad in quads {
                let levels = _mm256_set1_epi32(quad.levels);
                let rows = quad.starts.map(|start| &weights[start + at..][..32 * B]);
                for (b, acc) in acc.iter_mut().enumerate() {
                    for (acc, fours) in acc.iter_mut().zip(four_rows(rows, 32 * b)) {
                        *acc = add_fours::<SIGNED>(*acc, levels, fours);
                    }
                }
            }
            for (b, acc) in acc.into_iter().enumerate() {
                add_in_order(&mut sums[at + 32 * b..][..32], acc);
            }
            32 * B
        }

        /// Eight columns from column `at` on; returns the columns done.
        #[inline]
        #[target_feature(enable = $features)]
        fn narrow_rows<const SIGNED: bool>(
            weights: &[i8],
            at: usize,
            quads: &[Quad],
            sums: &mut [i32],
        ) -> usize {
            let mut acc = _mm256_setzero_si256();
            for quad in quads {
                let fours = four_narrow_rows(quad.starts.map(|start| &weights[start + at..][..LANES]));
                acc = add_fours::<SIGNED>(acc, _mm256_set1_epi32(quad.levels), fours);
            }
            add_to(&mut sums[at..][..LANES], 0, acc);
            LANES
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
        fn all_tiles_i8<const SIGNED: bool>(
            mut weights: &[i8],
            size: usize,
            row: &[i8],
            mut sums: &mut [i32],
        ) {
            while !weights.is_empty() {
                let done = match weights.len() / size {
                    4.. => widest_tiles::<SIGNED>(weights, size, row, sums),
                    _ => few_tiles::<1, SIGNED>(weights, size, row, sums),
                };
                weights = &weights[done * size..];
                sums = &mut sums[done * LANES..];
            }
        }

        /// `P` panels at once, which share the loads of activations; returns how many those are.
        #[inline]
        #[target_feature(enable = $features)]
        fn few_tiles<const P: usize, const SIGNED: bool>(
            weights: &[i8],
            size: usize,
            row: &[i8],
            sums: &mut [i32],
        ) -> usize {
            let (row, _) = row.as_chunks::<QUAD>();
            let count = size / TILE;
            let row = &row[..count];
            let (tiles, _) = weights.as_chunks::<TILE>();
            let panels: [&[[i8; TILE]]; P] = std::array::from_fn(|p| &tiles[p * count..][..count]);
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
