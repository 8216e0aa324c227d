"""Reference ranges for the calibrators of crates/quant/src/calibration.rs, from the papers' own words.

Prints what `every_calibrator_finds_the_reference_range` expects. Standard library only: `python3 calibrators.py`.
"""

import math
import struct

LEVELS = 127
BINS = 2048


def single(x):
    """The nearest 32-bit float."""
    return struct.unpack("f", struct.pack("f", x))[0]


def batches():
    """Eight batches of 500 exponential magnitudes with alternating signs, and one number far away."""
    golden, all_batches = (math.sqrt(5) - 1) / 2, []
    for batch in range(8):
        numbers = []
        for i in range(500):
            n = 500 * batch + i
            magnitude = single(-math.log(1 - (n + 1) * golden % 1))
            numbers.append(-magnitude if n % 2 else magnitude)
        all_batches.append(numbers)
    all_batches[3][7] = -40.0
    return all_batches


def moving_average(of, momentum=0.9):
    """Jacob et al. 2018, section 3.1: an exponential average over batches of their largest magnitude."""
    largest = [max(map(abs, batch)) for batch in of]
    average = largest[0]
    for value in largest[1:]:
        average = momentum * average + (1 - momentum) * value
    return average


def percentile(of, percent=99.9):
    """The smallest magnitude that at least so many per cent of the non-zero ones do not exceed (nearest rank)."""
    magnitudes = sorted(abs(x) for batch in of for x in batch if x)
    return magnitudes[math.ceil(percent / 100 * len(magnitudes)) - 1]


def mse(of, levels=LEVELS):
    """Of the hundredths of the largest magnitude, that with the least squared error on the grid."""
    magnitudes = [abs(x) for batch in of for x in batch if x]
    most, best = max(magnitudes), None
    for hundredths in range(100, 9, -1):
        limit = most * hundredths / 100
        step = limit / levels
        error = sum((x - min(round(x / step), levels) * step) ** 2 for x in magnitudes)
        if best is None or error < best[0]:
            best = (error, limit)
    return best[1]


def entropy(of):
    """Migacz 2017, slides 24 to 37: the clipped histogram against the same in LEVELS levels; a count of a thousandth
    stands where the second has none and the first has."""
    magnitudes = [abs(x) for batch in of for x in batch if x]
    most, counts = max(magnitudes), [0] * BINS
    for x in magnitudes:
        counts[min(int(x / most * BINS), BINS - 1)] += 1
    best = None
    for kept in range(LEVELS, BINS + 1):
        reference = counts[:kept]
        reference[-1] += sum(counts[kept:])
        candidate = [0.0] * kept
        for level in range(LEVELS):
            bins = range(level * kept // LEVELS, (level + 1) * kept // LEVELS)
            filled = [b for b in bins if counts[b]]
            for b in filled:
                candidate[b] = sum(counts[b] for b in filled) / len(filled)
        p_total, q_total = sum(reference), sum(candidate)
        if not q_total:
            continue
        divergence = sum(
            p / p_total * math.log((p / p_total) / (max(q, 1e-3) / q_total))
            for p, q in zip(reference, candidate)
            if p
        )
        if best is None or divergence < best[0]:
            best = (divergence, kept)
    return most * best[1] / BINS


if __name__ == "__main__":
    numbers = batches()
    for calibrator in (moving_average, percentile, mse, entropy):
        print(f"{calibrator.__name__}: {calibrator(numbers):.6f}")
    print(f"mse, 7 levels: {mse(numbers, 7):.6f}")
