//! Puts labels beside the points of a plot so that they stay legible.
//!
//! Greedy and deterministic: the points with the most crowded surroundings choose first, each the place with
//! the least overlap among a fixed set around it, nearer places before farther ones.

/// A rectangle in the plot's units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Rect {
    /// The area shared with another rectangle.
    pub(crate) fn overlap(&self, other: &Rect) -> f64 {
        let side = |a: f64, la: f64, b: f64, lb: f64| ((a + la).min(b + lb) - a.max(b)).max(0.0);
        side(self.x, self.width, other.x, other.width) * side(self.y, self.height, other.y, other.height)
    }
}

/// A point that wants a label.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor {
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// The marker's radius.
    pub(crate) radius: f64,
    /// The label's width.
    pub(crate) width: f64,
}

/// The height of a label.
pub(crate) const HEIGHT: f64 = 13.0;

/// A rectangle for every anchor's label, inside `bounds`, away from markers and from `obstacles`.
pub(crate) fn place(anchors: &[Anchor], bounds: &Rect, obstacles: &[Rect]) -> Vec<Rect> {
    let markers: Vec<Rect> = anchors
        .iter()
        .map(|a| Rect { x: a.x - a.radius, y: a.y - a.radius, width: 2.0 * a.radius, height: 2.0 * a.radius })
        .collect();
    let crowd = |a: &Anchor| {
        let near = |b: &&Anchor| (a.x - b.x).abs() < 130.0 && (a.y - b.y).abs() < 40.0;
        anchors.iter().filter(near).count()
    };
    let mut order: Vec<usize> = (0..anchors.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(crowd(&anchors[i])));
    let mut placed: Vec<Option<Rect>> = vec![None; anchors.len()];
    for i in order {
        let cost = |r: &Rect, distance: f64| {
            let area = r.width * r.height;
            let labels: f64 = placed.iter().flatten().map(|other| r.overlap(other)).sum();
            let points: f64 = markers.iter().map(|m| r.overlap(m)).sum();
            let lines: f64 = obstacles.iter().map(|o| r.overlap(o)).sum();
            let outside = area - r.overlap(bounds);
            8.0 * labels + 4.0 * points + 1.5 * lines + 20.0 * outside + distance * 2.2
        };
        let best = candidates(&anchors[i])
            .map(|(r, distance)| (cost(&r, distance), r))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        placed[i] = best.map(|(_, rect)| rect);
    }
    placed.into_iter().flatten().collect()
}

/// Places around an anchor with their distance from its marker: sixteen directions, seven distances.
fn candidates(a: &Anchor) -> impl Iterator<Item = (Rect, f64)> {
    let Anchor { x, y, radius, width } = *a;
    [4.0, 10.0, 20.0, 34.0, 50.0, 70.0, 95.0].into_iter().flat_map(move |gap| {
        (0..16).map(move |step| {
            let angle = f64::from(step) * std::f64::consts::TAU / 16.0;
            let (reach, dx, dy) = (radius + gap, angle.cos(), angle.sin());
            // The label hangs on the point of its edge that faces the marker.
            let left = x + dx * reach - width * (1.0 - dx) / 2.0;
            let top = y + dy * reach - HEIGHT * (1.0 - dy) / 2.0;
            (Rect { x: left, y: top, width, height: HEIGHT }, gap)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_of_points_gets_labels_that_do_not_touch() {
        let anchors: Vec<Anchor> = (0..12)
            .map(|i| Anchor { x: 300.0 + f64::from(i) * 7.0, y: 200.0, radius: 5.0, width: 80.0 })
            .collect();
        let bounds = Rect { x: 0.0, y: 0.0, width: 800.0, height: 400.0 };
        let rects = place(&anchors, &bounds, &[]);
        assert_eq!(rects.len(), anchors.len());
        for (i, a) in rects.iter().enumerate() {
            assert!(a.overlap(&bounds) >= 80.0 * HEIGHT - 1e-9, "label {i} leaves the plot");
            for (j, b) in rects.iter().enumerate().skip(i + 1) {
                assert!(a.overlap(b) < 1.0, "labels {i} and {j} overlap: {a:?} {b:?}");
            }
        }
    }
}
