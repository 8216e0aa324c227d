//! What is encoded as one example: a text, or two texts together.

/// A text, or two texts that are one example, as cross-encoders take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextInput<'t> {
    /// The text, or the first of two.
    pub text: &'t str,
    /// The second text.
    pub pair: Option<&'t str>,
}

impl<'t> From<&'t str> for TextInput<'t> {
    fn from(text: &'t str) -> Self {
        Self { text, pair: None }
    }
}

impl<'t> From<&'t String> for TextInput<'t> {
    fn from(text: &'t String) -> Self {
        text.as_str().into()
    }
}

impl<'t> From<[&'t str; 2]> for TextInput<'t> {
    fn from([text, pair]: [&'t str; 2]) -> Self {
        Self { text, pair: Some(pair) }
    }
}

/// What can be encoded: a string, a [`TextInput`], or a [`Document`](crate::Document).
pub trait AsInput {
    /// Its text or texts.
    fn as_input(&self) -> TextInput<'_>;
}

impl<T: AsRef<str> + ?Sized> AsInput for T {
    fn as_input(&self) -> TextInput<'_> {
        self.as_ref().into()
    }
}

impl AsInput for TextInput<'_> {
    fn as_input(&self) -> TextInput<'_> {
        *self
    }
}
