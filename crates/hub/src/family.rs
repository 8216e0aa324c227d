//! Kinds of encoders as `config.json` tells them apart, as data: what their keys and their tensors are called.
//!
//! All of them are the encoder of [`EncoderSpec`](nlpress_graph::EncoderSpec); they differ in names, in how positions are
//! counted and in what stands before the classifier.

use nlpress_graph::{Activation, EncoderSpec, SiteId};
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
    /// Our names of what lies with others in one tensor, one behind the other: which part it is, of how many.
    parts: &'static [(&'static str, usize, usize)],
    /// Our names of what stands outside the encoder, so that it has no prefix.
    outside: &'static [&'static str],
    /// What follows the dense layer before the classifier.
    pub(crate) pooler: Activation,
    pub(crate) first: First,
    /// Keys that may have one value only, as far as they are there.
    only: &'static [(&'static str, Only)],
    /// What its classes are called in `architectures`, before `ForSequenceClassification`.
    pub(crate) class: &'static str,
}

/// The first row of the table of positions that a token has; those before are never used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// Always this.
    Row(usize),
    /// The one behind the id of the padding token.
    BehindPadding,
    /// There is no table.
    NoTable,
}

/// The only value of a key.
#[derive(Clone, Copy, Debug)]
enum Only {
    False,
    Text(&'static str),
}

/// What keys of `config.json` are called.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) width: &'static str,
    pub(crate) layers: &'static str,
    pub(crate) heads: &'static str,
    pub(crate) intermediate: &'static str,
    pub(crate) activation: &'static str,
    pub(crate) dropout: (&'static str, f64),
    /// None where there is no table of types.
    pub(crate) types: Option<&'static str>,
    pub(crate) epsilon: (Option<&'static str>, f64),
    /// The width of the tables, where it may be another than that of the layers, and what it is where nothing is said.
    pub(crate) embedding: Option<(&'static str, usize)>,
    /// Buckets of a bias of attention by distance, which goes up to a distance.
    pub(crate) relative: Option<(&'static str, usize)>,
    /// Whether layers are those of ModernBERT, with its keys.
    pub(crate) modern: bool,
}

const BERT_KEYS: Keys = Keys {
    width: "hidden_size",
    layers: "num_hidden_layers",
    heads: "num_attention_heads",
    intermediate: "intermediate_size",
    activation: "hidden_act",
    dropout: ("hidden_dropout_prob", 0.1),
    types: Some("type_vocab_size"),
    epsilon: (Some("layer_norm_eps"), 1e-12),
    embedding: None,
    relative: None,
    modern: false,
};

/// The head of RoBERTa, which ELECTRA and MPNet have, too.
const DENSE_HEAD: &[(&str, &str)] =
    &[("pooler.dense", "classifier.dense"), ("classifier", "classifier.out_proj")];

/// Devlin et al. 2019, arXiv:1810.04805; MiniLM (Wang et al. 2020, arXiv:2002.10957) has the same form.
pub(crate) const BERT: Family = Family {
    model_type: "bert",
    prefix: "bert.",
    keys: &BERT_KEYS,
    names: &[],
    parts: &[],
    outside: &["classifier"],
    pooler: Activation::Tanh,
    first: First::Row(0),
    only: &[
        ("position_embedding_type", Only::Text("absolute")),
        ("is_decoder", Only::False),
        ("add_cross_attention", Only::False),
    ],
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
        first: First::BehindPadding,
        class: "Roberta",
        ..BERT
    },
    // Conneau et al. 2020, arXiv:1911.02116.
    Family {
        model_type: "xlm-roberta",
        prefix: "roberta.",
        names: DENSE_HEAD,
        outside: &["pooler.dense", "classifier"],
        first: First::BehindPadding,
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
            dropout: ("dropout", 0.1),
            types: None,
            epsilon: (None, 1e-12),
            ..BERT_KEYS
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
        keys: &Keys { embedding: Some(("embedding_size", 128)), ..BERT_KEYS },
        names: DENSE_HEAD,
        outside: &["pooler.dense", "classifier"],
        pooler: Activation::Gelu,
        class: "Electra",
        ..BERT
    },
    // Song et al. 2020, arXiv:2004.09297.
    Family {
        model_type: "mpnet",
        prefix: "mpnet.",
        keys: &Keys { types: None, relative: Some(("relative_attention_num_buckets", 128)), ..BERT_KEYS },
        names: &[
            ("encoder.layer.*.attention.self.query", "encoder.layer.*.attention.attn.q"),
            ("encoder.layer.*.attention.self.key", "encoder.layer.*.attention.attn.k"),
            ("encoder.layer.*.attention.self.value", "encoder.layer.*.attention.attn.v"),
            ("encoder.layer.*.attention.output.dense", "encoder.layer.*.attention.attn.o"),
            ("encoder.layer.*.attention.output.LayerNorm", "encoder.layer.*.attention.LayerNorm"),
            ("pooler.dense", "classifier.dense"),
            ("classifier", "classifier.out_proj"),
        ],
        outside: &["pooler.dense", "classifier"],
        // Whatever the id of its padding token.
        first: First::Row(2),
        class: "MPNet",
        ..BERT
    },
    // Warner et al. 2024, arXiv:2412.13663.
    Family {
        model_type: "modernbert",
        prefix: "model.",
        keys: &Keys {
            activation: "hidden_activation",
            dropout: ("mlp_dropout", 0.0),
            types: None,
            epsilon: (Some("norm_eps"), 1e-5),
            modern: true,
            ..BERT_KEYS
        },
        names: &[
            ("embeddings.word_embeddings", "embeddings.tok_embeddings"),
            ("embeddings.LayerNorm", "embeddings.norm"),
            ("encoder.layer.*.attention.LayerNorm", "layers.*.attn_norm"),
            ("encoder.layer.*.attention.self.query", "layers.*.attn.Wqkv"),
            ("encoder.layer.*.attention.self.key", "layers.*.attn.Wqkv"),
            ("encoder.layer.*.attention.self.value", "layers.*.attn.Wqkv"),
            ("encoder.layer.*.attention.output.dense", "layers.*.attn.Wo"),
            ("encoder.layer.*.intermediate.LayerNorm", "layers.*.mlp_norm"),
            ("encoder.layer.*.intermediate.dense", "layers.*.mlp.Wi"),
            ("encoder.layer.*.intermediate.gate", "layers.*.mlp.Wi"),
            ("encoder.layer.*.output.dense", "layers.*.mlp.Wo"),
            ("encoder.LayerNorm", "final_norm"),
            ("pooler.dense", "head.dense"),
            ("pooler.LayerNorm", "head.norm"),
        ],
        parts: &[
            ("encoder.layer.*.attention.self.query", 0, 3),
            ("encoder.layer.*.attention.self.key", 1, 3),
            ("encoder.layer.*.attention.self.value", 2, 3),
            ("encoder.layer.*.intermediate.dense", 0, 2),
            ("encoder.layer.*.intermediate.gate", 1, 2),
        ],
        outside: &["pooler.dense", "pooler.LayerNorm", "classifier"],
        pooler: Activation::Gelu,
        first: First::NoTable,
        only: &[
            ("attention_bias", Only::False),
            ("mlp_bias", Only::False),
            ("norm_bias", Only::False),
            ("classifier_bias", Only::False),
            ("classifier_activation", Only::Text("gelu")),
        ],
        class: "ModernBert",
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

    /// Where a site of ours lies in its tensor: which part it is, of how many.
    pub(crate) fn part(&self, ours: &str) -> (usize, usize) {
        let (pattern, _) = numbered(ours);
        self.parts.iter().find(|(of, ..)| *of == pattern).map_or((0, 1), |(_, part, of)| (*part, *of))
    }

    /// The kind that has a place for an encoder, where no folder says which it is of.
    pub(crate) fn for_spec(spec: &EncoderSpec) -> &'static Self {
        let fits = |family: &&Self| {
            let keys = family.keys;
            keys.modern == spec.modern.is_some()
                && keys.relative.is_some() == spec.relative.is_some()
                && (keys.embedding.is_some() || spec.embedding.is_none())
        };
        FAMILIES.iter().find(fits).unwrap_or(&FAMILIES[0])
    }

    /// Keys that may have one value only, as far as they are there.
    pub(crate) fn only(&self) -> impl Iterator<Item = (&'static str, Value)> {
        self.only.iter().map(|(key, only)| match only {
            Only::False => (*key, json!(false)),
            Only::Text(text) => (*key, json!(text)),
        })
    }

    /// The key of `config.json` that a size of an encoder is from.
    pub(crate) fn key_of(&self, size: &str) -> Option<&'static str> {
        let keys = self.keys;
        match size {
            "width" => Some(keys.width),
            "layers" => Some(keys.layers),
            "heads" => Some(keys.heads),
            "intermediate" => Some(keys.intermediate),
            "dropout" => Some(keys.dropout.0),
            "epsilon" => keys.epsilon.0,
            "types" => keys.types,
            "embedding" => keys.embedding.map(|(key, _)| key),
            "relative" => keys.relative.map(|(key, _)| key),
            "positions" => Some("max_position_embeddings"),
            "vocabulary" => Some("vocab_size"),
            "outputs" => Some("id2label"),
            "modern.every" => Some("global_attn_every_n_layers"),
            "modern.window" => Some("local_attention"),
            _ => None,
        }
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
        assert_eq!(name("mpnet", query), "mpnet.encoder.layer.11.attention.attn.q");
        assert_eq!(name("modernbert", query), "model.layers.11.attn.Wqkv");
        assert_eq!(name("modernbert", "pooler.LayerNorm"), "head.norm");
        let part = |ours: &str| Family::of("modernbert").unwrap().part(ours);
        assert_eq!(part("encoder.layer.3.attention.self.value"), (2, 3));
        assert_eq!(part("encoder.layer.3.output.dense"), (0, 1));
        assert!(Family::of("gpt2").is_none());
    }
}
