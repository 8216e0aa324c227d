//! Panels and tiles of bytes, written once for NEON with and without the instruction for products of bytes.

/// Expands `panels_i8` and `tiles_i8`; beside it there is `add_fours(acc, levels, weights)`.
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

        /// The whole matrix in one long loop.
        #[target_feature(enable = $features)]
        fn tiles_i8(tiles: &Tiles<i8>, row: &[i8], sums: &mut [i32]) {
            let size = tiles.panel();
            let (mut weights, mut sums) = (&tiles.values[..], sums);
            while !weights.is_empty() {
                let done = match weights.len() / size {
                    4.. => few_tiles::<4>(weights, size, row, sums),
                    _ => few_tiles::<1>(weights, size, row, sums),
                };
                weights = &weights[done * size..];
                sums = &mut sums[done * 8..];
            }
        }

        /// `P` panels of `size` weights at once, which share the loads of activations; returns how many those are.
        #[inline]
        #[target_feature(enable = $features)]
        fn few_tiles<const P: usize>(weights: &[i8], size: usize, row: &[i8], sums: &mut [i32]) -> usize {
            let count = size / TILE;
            let row = &row.as_chunks::<QUAD>().0[..count];
            let (tiles, _) = weights.as_chunks::<16>().0.as_chunks::<2>();
            let panels: [&[[[i8; 16]; 2]]; P] = std::array::from_fn(|p| &tiles[p * count..][..count]);
            let mut acc = [[vdupq_n_s32(0); 2]; P];
            for (i, &levels) in row.iter().enumerate() {
                let levels = vreinterpretq_s8_s32(vdupq_n_s32(i32::from_le_bytes(levels.map(|x| x as u8))));
                for p in 0..P {
                    let [lower, upper] = &panels[p][i];
                    acc[p][0] = add_fours(acc[p][0], levels, load(lower));
                    acc[p][1] = add_fours(acc[p][1], levels, load(upper));
                }
            }
            for (sums, acc) in sums.as_chunks_mut::<4>().0.iter_mut().zip(acc.as_flattened()) {
                store(sums, *acc);
            }
            P
        }
    };
}

pub(super) use byte_loops;
