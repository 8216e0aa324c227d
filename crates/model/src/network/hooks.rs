//! What may look into a pass, and change what goes into sites.

use burn::tensor::Tensor;

/// Called from a pass.
pub(super) trait Hooks {
    /// With the input of every site but the first, `[rows or places, inputs]`; what it returns goes in.
    fn input(&mut self, site: usize, input: Tensor<2>) -> Tensor<2>;

    /// With the value of every node from the first site's on.
    fn value(&mut self, node: usize, value: &Tensor<2>);
}

/// What to look at during a pass.
#[derive(Debug, Default)]
pub(super) struct Probe {
    /// The site whose input is captured.
    pub(super) capture: Option<usize>,
    pub(super) captured: Option<Tensor<2>>,
    /// The node whose value is captured.
    pub(super) node: Option<usize>,
    /// Sites with a factor for each row and input, `[rows, inputs]`.
    pub(super) factors: Vec<(usize, Tensor<2>)>,
}

impl Hooks for Probe {
    fn input(&mut self, site: usize, input: Tensor<2>) -> Tensor<2> {
        if self.capture == Some(site) {
            self.captured = Some(input.clone());
        }
        let Some((_, factor)) = self.factors.iter().find(|(s, _)| *s == site) else { return input };
        let ([places, width], [rows, _]) = (input.dims(), factor.dims());
        let factor: Tensor<3> = factor.clone().reshape([rows, 1, width]);
        (input.reshape([rows, places / rows, width]) * factor).reshape([places, width])
    }

    fn value(&mut self, node: usize, value: &Tensor<2>) {
        if self.node == Some(node) {
            self.captured = Some(value.clone());
        }
    }
}
