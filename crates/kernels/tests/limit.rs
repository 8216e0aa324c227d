//! A process that is held back to a set of instructions. It is chosen once, so there is one test in this file.

#![cfg(test)]

use nlpress_kernels::{Input, Linear, Scratch, instruction_sets, limit_instructions};
use nlpress_packed::Matrix;

#[test]
fn instructions_are_limited_before_the_first_product_and_not_later() {
    let refused = limit_instructions("avx3").unwrap_err();
    assert!(refused.contains("\"avx3\"") && refused.contains("avx512-vnni"), "{refused}");
    let worst = instruction_sets().pop().unwrap();
    assert_eq!(worst, "portable");
    limit_instructions(worst).unwrap();
    let weight = Linear::for_dense_rows(Matrix::dense(3, 1, vec![1.0, 2.0, 3.0]).unwrap());
    let mut out = [0.0];
    weight.multiply(Input::Dense(&[4.0, 5.0, 6.0]), &[0.5], &mut out, &mut Scratch::default());
    assert_eq!(out, [32.5]);
    assert!(limit_instructions(worst).unwrap_err().contains("before"));
}
