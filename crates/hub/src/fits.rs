//! Whether a model fits into a folder of a kind, or into one like the folder that it came from.

use nlpress_graph::{EncoderSpec, Graph, Head, Pooling};

use crate::export::Export;
use crate::family::First;
use crate::spec::{Task, modern};
use crate::{Folder, HubError};

impl Export<'_> {
    pub(crate) fn check(&self) -> Result<(), HubError> {
        let form = |why: String| Err(HubError::Form(why));
        if let Some(like) = self.like {
            self.check_like(like)?;
            if self.family.first == First::BehindPadding && !self.keeps_tokenizer {
                return form("its tokens are not those of the folder that it is to be like, and there positions depend on \
                             the padding token"
                    .into());
            }
        }
        let family = self.family;
        match self.spec.head {
            Head::Classifier { pooling, .. } => {
                return form(format!(
                    "its classifier reads {pooling:?} of the tokens; there it reads the first, through a dense layer"
                ));
            }
            Head::Pooler { activation, .. } if activation != family.pooler => {
                return form(format!(
                    "{activation:?} stands before its classifier, and in {} {:?}: give the folder that it is like",
                    family.model_type, family.pooler
                ));
            }
            Head::Embedding { pooling: Pooling::WeightedSum, .. } => {
                return form("its tokens have weights".into());
            }
            _ => {}
        }
        if self.spec.types > 0 && family.keys.types.is_none() {
            return form(format!("its tokens have types, and those of {} have none", family.model_type));
        }
        let (spec, keys) = (&self.spec, family.keys);
        let narrow = spec.embedding.is_some();
        let kinds = [
            (spec.modern.is_some(), keys.modern, "layers of ModernBERT"),
            (spec.relative.is_some(), keys.relative.is_some(), "bias of attention by distance"),
            // Where tables may be narrow they may also be as wide.
            (narrow, narrow && keys.embedding.is_some(), "tables narrower than its layers"),
        ];
        if let Some((has, _, what)) = kinds.into_iter().find(|(has, can, _)| has != can) {
            let [it, there] = if has { ["has", "has none"] } else { ["has no", "has"] };
            return form(format!("it {it} {what}, and {} {there}", family.model_type));
        }
        match (self.spec.relative, family.keys.relative) {
            (Some(sizes), Some((key, distance))) if sizes.distance != distance => form(format!(
                "its bias by distance goes up to {}, and that of {key} to {distance}",
                sizes.distance
            )),
            _ => Ok(()),
        }
    }

    /// Checks what a folder that it is like says of it.
    fn check_like(&self, like: &Folder) -> Result<(), HubError> {
        let form = |why: String| Err(HubError::Form(why));
        let task = like.task()?;
        let said = |task: &Task| match task {
            Task::Embedding => "makes embeddings",
            Task::Classes(_) => "tells classes",
            Task::Scores(_) => "makes scores",
        };
        let own = match (self.spec.head, self.spec.scores) {
            (Head::Embedding { .. }, _) => "makes embeddings",
            (_, true) => "makes scores",
            (_, false) => "tells classes",
        };
        if own != said(&task) {
            return form(format!("it {own}, and the folder that it is to be like {}", said(&task)));
        }
        if let (Some(own), true) = (self.spec.modern, like.family.keys.modern) {
            let layers = like.config.needed(like.family.keys.layers)?;
            let there = EncoderSpec { modern: Some(modern(&like.config, layers)?), ..self.spec.clone() };
            if Graph::from(there) != Graph::from(self.spec.clone()) {
                return form(format!("its layers attend as {own:?} says, and those of the folder otherwise"));
            }
        }
        Ok(())
    }
}
