//! Kinds of encoders as `config.json` tells them apart, as data: what their keys and their tensors are called.
//!
//! All of them are the encoder of [`EncoderSpec`](nlpress_graph::EncoderSpec); they differ in names, in how positions are
//! counted and in what stands before the classifier.

use nlpress_graph::{Activation, SiteId};
use serde_json::{Value, json};

/// A kind of encoder.
#[derive(Debug)]
pub(crate) struct Family {
    /// `model_type` of `config.json`.
    pub(crate) model_type: &'static str,
    /// What tensors of the encoder begin with where a head stands beside it.
    pub(crate) prefix: &'static str,
    pub(crate) keys: &'static Keys,
    /// Names that are others than ours, ours first; `*` is the number of a layer. All other names are ours.
    names: &'static [(&'static str, &'static str)],
    /// Our names of what stands outside the encoder, so that it has no prefix.
    outside: &'static [&'static str],
    /// What follows the dense layer before the classifier.
    pub(crate) pooler: Activation,
    /// Whether positions are counted from one more than the id of the padding token, so that the first rows of their
    /// table are never used.
    pub(crate) offset: bool,
    /// What its classes are called in `architectures`, before `ForSequenceClassification`.
    pub(crate) class: &'static str,
}

/// What keys of `config.json` are called.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) width: &'static str,
    pub(crate) layers: &'static str,
    pub(crate) heads: &'static str,
    pub(crate) intermediate: &'static str,
    pub(crate) activation: &'static str,
    pub(crate) dropout: &'static str,
    /// None where there is no table of types.
    pub(crate) types: Option<&'static str>,
    /// None where it is always the usual one.
    pub(crate) epsilon: Option<&'static str>,
}

/// Epsilon of normalisations where the configuration does not say another.
pub(crate) const USUAL_EPSILON: f64 = 1e-12;

const BERT_KEYS: Keys = Keys {
    width: "hidden_size",
    layers: "num_hidden_layers",
    heads: "num_attention_heads",
    intermediate: "intermediate_size",
    activation: "hidden_act",
    dropout: "hidden_dropout_prob",
    types: Some("type_vocab_size"),
    epsilon: Some("layer_norm_eps"),
};

/// The head of RoBERTa, which ELECTRA has, too.
const DENSE_HEAD: &[(&str, &str)] =
    &[("pooler.dense", "classifier.dense"), ("classifier", "classifier.out_proj")];

/// Devlin et al. 2019, arXiv:1810.04805; MiniLM (Wang et al. 2020, arXiv:2002.10957) has the same form.
pub(crate) const BERT: Family = Family {
    model_type: "bert",
    prefix: "bert.",
    keys: &BERT_KEYS,
    names: &[],
    outside: &["classifier"],
    pooler: Activation::Tanh,
    offset: false,
    class: "Bert",
};

/// Every kind that is read.
pub(crate) const FAMILIES: &[Family] = &[
    BERT,
    // Liu et al. 2019, arXiv:1907.11692.
    Family {
        model_type: "roberta",
        prefix: "roberta.",
        names: DENSE_HEAD,
        outside: &["pooler.dense", "classifier"],
        offset: true,
        class: "Roberta",
        ..BERT
    },
    // Conneau et al. 2020, arXiv:1911.02116.
    Family {
        model_type: "xlm-roberta",
        prefix: "roberta.",
        names: DENSE_HEAD,
        outside: &["pooler.dense", "classifier"],
        offset: true,
        class: "XLMRoberta",
        ..BERT
    },
    // Sanh et al. 2019, arXiv:1910.01108.
    Family {
        model_type: "distilbert",
        prefix: "distilbert.",
        keys: &Keys {
            width: "dim",
            layers: "n_layers",
            heads: "n_heads",
            intermediate: "hidden_dim",
            activation: "activation",
            dropout: "dropout",
            types: None,
            epsilon: None,
        },
        names: &[
            ("encoder.layer.*.attention.self.query", "transformer.layer.*.attention.q_lin"),
            ("encoder.layer.*.attention.self.key", "transformer.layer.*.attention.k_lin"),
            ("encoder.layer.*.attention.self.value", "transformer.layer.*.attention.v_lin"),
            ("encoder.layer.*.attention.output.dense", "transformer.layer.*.attention.out_lin"),
            ("encoder.layer.*.attention.output.LayerNorm", "transformer.layer.*.sa_layer_norm"),
            ("encoder.layer.*.intermediate.dense", "transformer.layer.*.ffn.lin1"),
            ("encoder.layer.*.output.dense", "transformer.layer.*.ffn.lin2"),
            ("encoder.layer.*.output.LayerNorm", "transformer.layer.*.output_layer_norm"),
            ("pooler.dense", "pre_classifier"),
        ],
        outside: &["pooler.dense", "classifier"],
        pooler: Activation::Relu,
        class: "DistilBert",
        ..BERT
    },
    // Clark et al. 2020, arXiv:2003.10555.
    Family {
        model_type: "electra",
        prefix: "electra.",
        names: DENSE_HEAD,
        outside: &["pooler.dense", "classifier"],
        pooler: Activation::Gelu,
        class: "Electra",
        ..BERT
    },
];

impl Family {
    /// The kind that a `model_type` names.
    pub(crate) fn of(model_type: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.model_type == model_type)
    }

    /// What the tensors of a site or a normalisation of ours begin with, the `prefix` of the encoder's among them.
    pub(crate) fn name(&self, ours: &str, prefix: &str) -> String {
        let (pattern, layer) = numbered(ours);
        let theirs = self.names.iter().find(|(from, _)| *from == pattern).map_or(&*pattern, |(_, to)| *to);
        let theirs = theirs.replace('*', &layer);
        if self.outside.contains(&ours) { theirs } else { format!("{prefix}{theirs}") }
    }

    /// Keys that may have one value only, as far as they are there.
    pub(crate) fn only(&self) -> [(&'static str, Value); 3] {
        [
            ("position_embedding_type", json!("absolute")),
            ("is_decoder", json!(false)),
            ("add_cross_attention", json!(false)),
        ]
    }
}

/// A name with `*` in place of the first part that is a number, and the number.
fn numbered(name: &str) -> (String, String) {
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let number = name.split('.').find(is_number).unwrap_or_default();
    let parts: Vec<&str> = name.split('.').map(|part| if is_number(&part) { "*" } else { part }).collect();
    (parts.join("."), number.to_owned())
}

/// What checkpoints that came from TensorFlow call a part of a normalisation: its gain or its bias.
pub(crate) fn older(part: &str) -> &'static str {
    if part == "weight" { "gamma" } else { "beta" }
}

/// The name of a site or of a normalisation without that of the part.
pub(crate) fn of_vector(id: &SiteId) -> (&str, &str) {
    id.as_str().rsplit_once('.').expect("a vector is called after its normalisation")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_checkpoints() {
        let name = |model_type: &str, ours: &str| {
            let family = Family::of(model_type).unwrap();
            family.name(ours, family.prefix)
        };
        let query = "encoder.layer.11.attention.self.query";
        assert_eq!(name("bert", query), "bert.encoder.layer.11.attention.self.query");
        assert_eq!(name("distilbert", query), "distilbert.transformer.layer.11.attention.q_lin");
        assert_eq!(name("distilbert", "embeddings.LayerNorm"), "distilbert.embeddings.LayerNorm");
        assert_eq!(name("bert", "pooler.dense"), "bert.pooler.dense");
        assert_eq!(name("roberta", "pooler.dense"), "classifier.dense");
        assert_eq!(name("electra", "classifier"), "classifier.out_proj");
        assert_eq!(name("distilbert", "pooler.dense"), "pre_classifier");
        assert!(Family::of("gpt2").is_none());
    }
}
