//! Panels and tiles of bytes, written once for NEON with and without the instruction for products of bytes.

/// Expands `panels_i8`, `tiles_i8`, `block_i8` and `dot_i8`; beside it there is `add_fours(acc, levels, weights)`.
macro_rules! byte_loops {
    ($features:literal) => {
        /// Panels of 16 or 32 inputs.
        #[target_feature(enable = $features)]
        fn panels_i8(panels: &Panels<i8>, row: &[i8], sums: &mut [i32]) {
            let (tables, _) = row.as_chunks::<16>();
            match panels.size {
                16 => all_panels_i8::<1>(panels, tables, sums),
                _ => all_panels_i8::<2>(panels, tables, sums),
            }
        }

        /// A group is `G` tables of 16 activations.
        #[inline]
        #[target_feature(enable = $features)]
        fn all_panels_i8<const G: usize>(panels: &Panels<i8>, tables: &[[i8; 16]], sums: &mut [i32]) {
            /// Halves of steps, each of four outputs.
            const HALVES: usize = 2 * UNROLL;
            let (tables, _) = tables.as_chunks::<G>();
            let (groups, _) = panels.groups.as_chunks::<UNROLL>();
            let (picks, _) = panels.picks.as_chunks::<16>().0.as_chunks::<HALVES>();
            let (values, _) = panels.values.as_chunks::<16>().0.as_chunks::<HALVES>();
            for (ends, sums) in
                panels.starts.windows(2).zip(sums.as_chunks_mut::<4>().0.as_chunks_mut::<2>().0)
            {
                let range = ends[0] as usize / UNROLL..ends[1] as usize / UNROLL;
                let steps = groups[range.clone()].iter().zip(&picks[range.clone()]).zip(&values[range]);
                let mut acc = [vdupq_n_s32(0); 4];
                for ((groups, picks), values) in steps {
                    for i in 0..HALVES {
                        let x = look_up(&tables[groups[i / 2] as usize], &picks[i]);
                        acc[i % 4] = add_fours(acc[i % 4], x, load(&values[i]));
                    }
                }
                store(&mut sums[0], vaddq_s32(acc[0], acc[2]));
                store(&mut sums[1], vaddq_s32(acc[1], acc[3]));
            }
        }

        /// The activations that are picked from one or two tables; zero for an empty pick, which is beyond them.
        #[inline]
        #[target_feature(enable = $features)]
        fn look_up<const G: usize>(tables: &[[i8; 16]; G], picks: &[u8; 16]) -> int8x16_t {
            // SAFETY: 16 bytes are read, which the array has; they need not be aligned.
            let picks = unsafe { vld1q_u8(picks.as_ptr()) };
            if G == 1 {
                vqtbl1q_s8(load(&tables[0]), picks)
            } else {
                vqtbl2q_s8(int8x16x2_t(load(&tables[0]), load(&tables[1 % G])), picks)
            }
        }

        /// The product of two vectors of the same length.
        #[target_feature(enable = $features)]
        fn dot_i8(levels: &[i8], weights: &[i8]) -> i32 {
            let ((x16, x), (w16, w)) = (levels.as_chunks::<16>(), weights.as_chunks::<16>());
            let mut acc = vdupq_n_s32(0);
            for (x, w) in x16.iter().zip(w16) {
                acc = add_fours(acc, load(x), load(w));
            }
            vaddvq_s32(acc) + portable::dot_i8(x, w)
        }

        /// The whole matrix in one long loop.
        #[target_feature(enable = $features)]
        fn tiles_i8(tiles: &Tiles<i8>, row: &[i8], sums: &mut [i32]) {
            let (size, count, mut at) = (tiles.panel(), sums.len() / 8, 0);
            while at < count {
                let (weights, sums) = (&tiles.values[at * size..], &mut sums[at * 8..]);
                at += match count - at {
                    4.. => few_tiles::<4>(weights, size, row, sums),
                    _ => few_tiles::<1>(weights, size, row, sums),
                };
            }
        }

        /// `P` panels of `size` weights at once, which share the loads of activations; returns how many those are.
        #[inline]
        #[target_feature(enable = $features)]
        fn few_tiles<const P: usize>(weights: &[i8], size: usize, row: &[i8], sums: &mut [i32]) -> usize {
            let row = &row.as_chunks::<QUAD>().0[..size / TILE];
            let panels = cuts::panels::<P>(weights, row.len());
            let mut acc = [[vdupq_n_s32(0); 2]; P];
            for (i, &levels) in row.iter().enumerate() {
                let levels = vreinterpretq_s8_s32(vdupq_n_s32(must_cast(levels)));
                for p in 0..P {
                    let (halves, _) = panels[p][i].as_chunks::<16>();
                    acc[p][0] = add_fours(acc[p][0], levels, load(&halves[0]));
                    acc[p][1] = add_fours(acc[p][1], levels, load(&halves[1]));
                }
            }
            for (sums, acc) in sums.as_chunks_mut::<4>().0.iter_mut().zip(acc.as_flattened()) {
                store(sums, *acc);
            }
            P
        }

        /// Every row of a block times every panel: two panels, which stay in the nearest cache, with four rows at a
        /// time.
        #[target_feature(enable = $features)]
        fn block_i8(block: Block<'_>, sums: &mut [i32], width: usize) {
            let (panels, count) = (block.weights.len() / block.size, block.rows.len() / block.stride);
            let mut panel = 0;
            while panel < panels {
                let weights = &block.weights[panel * block.size..];
                let two = panels - panel > 1;
                let mut row = 0;
                while row < count {
                    let block = Block { weights, rows: &block.rows[row * block.stride..], ..block };
                    let sums = &mut sums[row * width + panel * LANES..];
                    row += match (count - row, two) {
                        (4.., true) => few_rows::<4, 2>(block, sums, width),
                        (_, true) => few_rows::<1, 2>(block, sums, width),
                        (_, false) => few_rows::<1, 1>(block, sums, width),
                    };
                }
                panel += 1 + usize::from(two);
            }
        }

        /// The first `R` rows of a block times its first `P` panels; returns how many rows those are.
        #[inline]
        #[target_feature(enable = $features)]
        fn few_rows<const R: usize, const P: usize>(
            block: Block<'_>,
            sums: &mut [i32],
            width: usize,
        ) -> usize {
            let tiles = block.size / TILE;
            let panels = cuts::panels::<P>(block.weights, tiles);
            let rows = cuts::rows::<R>(block.rows, block.stride, tiles);
            let mut acc = [[[vdupq_n_s32(0); 2]; P]; R];
            for i in 0..tiles {
                for r in 0..R {
                    let levels = vreinterpretq_s8_s32(vdupq_n_s32(must_cast(rows[r][i])));
                    for p in 0..P {
                        let (halves, _) = panels[p][i].as_chunks::<16>();
                        acc[r][p][0] = add_fours(acc[r][p][0], levels, load(&halves[0]));
                        acc[r][p][1] = add_fours(acc[r][p][1], levels, load(&halves[1]));
                    }
                }
            }
            for (r, acc) in acc.iter().enumerate() {
                let (sums, _) = sums[r * width..].as_chunks_mut::<4>();
                for (sums, acc) in sums.iter_mut().zip(acc.as_flattened()) {
                    store(sums, *acc);
                }
            }
            R
        }
    };
}

pub(super) use byte_loops;
