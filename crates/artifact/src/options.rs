//! What a caller accepts of a file.

/// The largest file that is opened unless told otherwise: 1 GiB.
pub const LARGEST_FILE: u64 = 1 << 30;
/// What the weights of any file may take in memory unless told otherwise: 256 MiB.
const ANY_FILE: u64 = 1 << 28;
/// As many times the bytes of its file the weights may take in memory. Layouts other than codes for several outputs, and
/// entries that are few and far between, take no more than eight times theirs.
const TIMES: u64 = 16;

/// Limits on what is opened, for whoever opens files that anyone may have written.
///
/// ```
/// use nlpress_artifact::OpenOptions;
///
/// // At most 64 MiB of weights, whatever the file.
/// let options = OpenOptions { largest_expanded_bytes: Some(64 << 20), ..OpenOptions::default() };
/// assert_eq!(options.most_expanded(1000), 64 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// Bytes of the largest file: [`LARGEST_FILE`] by default.
    pub largest_file_bytes: u64,
    /// Most bytes that all weights together may take in memory once they are unpacked; `None`, the default, is the larger
    /// of 256 MiB and 16 times the bytes of the file. It is compared before anything is unpacked with what the shapes and
    /// layouts of the file come to. While a file is opened, its own bytes and up to twice its largest matrix are held
    /// besides. A runtime that multiplies rows with few zeros may hold a matrix of 8-bit integers once more in at most twice
    /// its entries' bytes, and one of floats in as many, from the first such row on.
    pub largest_expanded_bytes: Option<u64>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { largest_file_bytes: LARGEST_FILE, largest_expanded_bytes: None }
    }
}

impl OpenOptions {
    /// The limit on the bytes of weights in memory for a file of so many bytes.
    pub fn most_expanded(&self, file_bytes: u64) -> u64 {
        self.largest_expanded_bytes.unwrap_or(ANY_FILE.max(file_bytes.saturating_mul(TIMES)))
    }
}
