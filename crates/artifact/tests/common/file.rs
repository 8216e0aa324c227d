//! Artifacts as files: taken apart, put together wrong, and sealed again.

use serde_json::Value;

/// A file taken apart into its header and its tensors' bytes.
pub(crate) fn take_apart(bytes: &[u8]) -> (Value, Vec<u8>) {
    let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..8 + header]).unwrap(), bytes[8 + header..].to_vec())
}

pub(crate) fn put_together(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// Changes the manifest in a header.
pub(crate) fn with_manifest(header: &mut Value, change: impl FnOnce(&mut Value)) {
    let text = &mut header["__metadata__"]["nlpress"];
    let mut manifest = serde_json::from_str(text.as_str().unwrap()).unwrap();
    change(&mut manifest);
    *text = manifest.to_string().into();
}

/// The ranges of the tensors that a header names, counted from the start of the file, in their order; as far as they are
/// ranges of it.
pub(crate) fn tensors(bytes: &[u8]) -> Vec<(String, std::ops::Range<usize>)> {
    let (header, data) = take_apart(bytes);
    let start = bytes.len() - data.len();
    let mut tensors: Vec<_> = header
        .as_object()
        .unwrap()
        .iter()
        .filter_map(|(name, tensor)| {
            let at =
                |n: usize| tensor["data_offsets"][n].as_u64().map(|at| at.min(data.len() as u64) as usize);
            let (from, to) = (at(0)?, at(1)?);
            Some((name.clone(), start + from..start + from.max(to)))
        })
        .collect();
    tensors.sort_by_key(|(_, range)| (range.start, range.end));
    tensors
}

/// The file with checksums that fit its bytes, by the words of the documentation: of each part the first sixteen digits
/// of its BLAKE3 hash, that of the header with zeros in their place. As it is, where it has no place for them.
pub(crate) fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    let tensors = tensors(bytes);
    let end = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let key = b"\"nlpress.blake3\":\"";
    let Some(at) = bytes[..end].windows(key.len()).position(|found| found == key) else { return copy };
    let from = at + key.len();
    let digits = bytes[from..end].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if bytes.get(from + digits) != Some(&b'"') {
        return copy;
    }
    // As many digits as there are parts, so that a tensor more or less is no damage.
    let needed = 16 * (1 + tensors.len());
    if digits != needed {
        let grown = [&bytes[..from], &vec![b'0'; needed], &bytes[from + digits..]].concat();
        let length = (end - 8 + needed - digits) as u64;
        return sealed(&[&length.to_le_bytes()[..], &grown[8..]].concat());
    }
    copy[from..from + digits].fill(b'0');
    let mut sums = blake3::hash(&copy[..end]).to_hex()[..16].to_owned();
    for (_, range) in tensors {
        sums.push_str(&blake3::hash(&copy[range]).to_hex()[..16]);
    }
    copy[from..from + digits].copy_from_slice(sums.as_bytes());
    copy
}
