//! How many bytes the places of entries will take that are spread evenly by chance.
//!
//! Every entry is kept with the same probability `p`, independently. Then a row of `outputs` keeps a binomial
//! count, and the expected number of gaps of at least `g` in it is `p · (1 - p)^g · (outputs - g)`, from which the
//! expected lengths of all codes of [`codes`](crate::codes) follow; the writer takes the shortest.

/// Bytes of the counts and the gaps of `kept` entries among `[inputs, outputs]`.
pub(crate) fn places(inputs: usize, outputs: usize, kept: usize) -> usize {
    if inputs == 0 || outputs == 0 {
        return 2;
    }
    let p = kept as f64 / (inputs as f64 * outputs as f64);
    let counts = (inputs as f64 * count_bits(inputs, outputs, p) / 8.0).ceil();
    let gaps = (inputs as f64 * gap_bits(outputs, p) / 8.0).ceil();
    2 + counts as usize + gaps as usize
}

/// Expected bits of the gaps of one row.
fn gap_bits(outputs: usize, p: f64) -> f64 {
    if p <= 0.0 || p >= 1.0 {
        return 0.0;
    }
    let kept = p * outputs as f64;
    let mut best = f64::INFINITY;
    // From the largest divisor down, until it gets longer; so the sums below have few terms.
    for k in (0..=outputs.ilog2()).rev() {
        let step = (1u64 << k) as f64;
        let decay = (step * (-p).ln_1p()).exp();
        let (mut bits, mut share) = (kept * f64::from(k + 1), p);
        let mut gap = step;
        while gap < outputs as f64 && bits < best {
            share *= decay;
            let more = share * (outputs as f64 - gap);
            if more < 1e-9 * bits {
                break;
            }
            bits += more;
            gap += step;
        }
        if bits >= best {
            break;
        }
        best = bits;
    }
    best
}

/// Expected bits of the count of one of so many rows.
fn count_bits(rows: usize, outputs: usize, p: f64) -> f64 {
    let n = outputs as f64;
    if p <= 0.0 || p >= 1.0 {
        let width = if p <= 0.0 { 1 } else { outputs.ilog2() + 1 };
        return f64::from(width);
    }
    // The binomial distribution, outwards from its mode until nothing is left of it.
    let mode = (((n + 1.0) * p).floor()).min(n);
    let odds = p / (1.0 - p);
    let peak = ln_choose(n, mode) + mode * p.ln() + (n - mode) * (-p).ln_1p();
    let mut probable = vec![(mode as u64, peak.exp())];
    let (mut c, mut share) = (mode, peak.exp());
    while c < n && share > 1e-14 {
        share *= (n - c) / (c + 1.0) * odds;
        c += 1.0;
        probable.push((c as u64, share));
    }
    (c, share) = (mode, peak.exp());
    while c > 0.0 && share > 1e-14 {
        share *= c / (n - c + 1.0) / odds;
        c -= 1.0;
        probable.push((c as u64, share));
    }
    let expect = |of: &dyn Fn(u64) -> f64| probable.iter().map(|&(c, p)| p * of(c)).sum::<f64>();
    // The width of the largest of all rows is above `w` unless every row is below 2^w.
    let mut best = 1.0;
    for w in 1..=outputs.ilog2() + 1 {
        let above = expect(&|c| f64::from(u8::from(c >> w != 0)));
        best += 1.0 - (rows as f64 * (-above.min(1.0)).ln_1p()).exp();
    }
    let near = (n * p).max(1.0).log2() as u32;
    for k in near.saturating_sub(4)..=near + 1 {
        best = f64::min(best, f64::from(k + 1) + expect(&|c| (c >> k) as f64));
    }
    best
}

/// The logarithm of a binomial coefficient.
fn ln_choose(n: f64, k: f64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Summed up where that is exact, Stirling's series beyond.
fn ln_factorial(n: f64) -> f64 {
    if n < 32.0 {
        return (2..=n as u32).map(|i| f64::from(i).ln()).sum();
    }
    n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extremes_take_nothing_for_gaps() {
        assert_eq!(places(80, 16, 0), 2 + 10);
        assert_eq!(places(80, 16, 80 * 16), 2 + 50);
    }

    #[test]
    fn enormous_shapes_are_predicted_in_no_time() {
        assert!(places(1, 1 << 28, 1) < 20);
        assert!(places(1 << 28, 1, 1 << 20) > 1 << 25);
        assert!(places(16, 1 << 24, 1 << 27) > 1 << 24);
    }
}
