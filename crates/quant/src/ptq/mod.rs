//! Post-training quantization: techniques that round or code the weights of a model, with or without calibration rows.

pub mod adaround;
pub mod awq;
pub mod codebook;
pub mod floats;
pub mod gptq;
pub mod integers;
pub mod mixed;
pub mod smooth;
