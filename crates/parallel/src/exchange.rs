//! What processes send each other: for each of their shares its loss and its gradient, as floats or coded.
//!
//! A process whose share failed sends its reason in place of that, so that all end with it and none waits for ever.

use nlpress_core::Peers;
use nlpress_model::Gradients;
use nlpress_train::TrainError;

/// The gradient of a share, with the bytes that stand for it where it is coded.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) gradients: Gradients,
    pub(crate) coded: Vec<u8>,
}

/// A share, after the exchange.
pub(crate) enum Part {
    /// Computed here.
    Own(Message),
    /// Computed elsewhere: the bytes that stand for the gradient, and the loss.
    Other { coded: Vec<u8>, loss: f64 },
}

/// What the frame of a process begins with.
const WELL: u8 = 0;
const FAILED: u8 = 1;

/// Exchanges the shares of all processes, which come in their order.
///
/// # Errors
/// The one of the first process whose share failed, and [`TrainError::Failed`] when a process cannot be reached.
pub(crate) fn all(
    peers: &dyn Peers,
    own: Result<Vec<Message>, TrainError>,
    is_coded: bool,
) -> Result<Vec<Part>, TrainError> {
    let mut sent = vec![WELL];
    match &own {
        Ok(own) => {
            let bytes = |message: &Message| {
                let mut bytes = message.gradients.loss.to_le_bytes().to_vec();
                if is_coded {
                    bytes.extend_from_slice(&message.coded);
                } else {
                    message.gradients.flat.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
                }
                bytes
            };
            sent.extend(framed(&own.iter().map(bytes).collect::<Vec<_>>()));
        }
        Err(error) => {
            sent[0] = FAILED;
            sent.extend(error.to_string().into_bytes());
        }
    }
    let arrived = peers.all_gather(sent).map_err(|e| TrainError::Failed(e.to_string()))?;
    let own = own?;
    let (mut own, mut parts) = (Some(own), Vec::new());
    for (rank, bytes) in arrived.iter().enumerate() {
        let failed = |why: &str| TrainError::Failed(format!("process {rank}: {why}"));
        match bytes.split_first() {
            Some((&WELL, _)) if rank == peers.rank() => {
                parts.extend(own.take().into_iter().flatten().map(Part::Own));
            }
            Some((&WELL, framed)) => {
                for share in unframed(framed).map_err(|why| failed(&why))? {
                    let (loss, coded) =
                        share.split_first_chunk().ok_or_else(|| failed("a share is cut short"))?;
                    parts.push(Part::Other { coded: coded.to_vec(), loss: f64::from_le_bytes(*loss) });
                }
            }
            Some((&FAILED, why)) => return Err(failed(&String::from_utf8_lossy(why))),
            _ => return Err(failed("what it sent is no share of a gradient")),
        }
    }
    Ok(parts)
}

/// Pieces one after another, each after its length: how several go to other processes at once.
pub fn framed(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(pieces.iter().map(|piece| 8 + piece.len()).sum());
    for piece in pieces {
        framed.extend_from_slice(&(piece.len() as u64).to_le_bytes());
        framed.extend_from_slice(piece);
    }
    framed
}

/// The pieces of [`framed`].
///
/// # Errors
/// A sentence when the bytes are cut short.
pub fn unframed(mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk().ok_or("a length is cut short")?;
        let length = u64::from_le_bytes(*length);
        let piece = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let (piece, rest) =
            piece.ok_or_else(|| format!("{length} bytes were announced, {} came", rest.len()))?;
        pieces.push(piece.to_vec());
        bytes = rest;
    }
    Ok(pieces)
}

/// Floats from their bytes.
pub(crate) fn read_floats(bytes: &[u8], into: &mut [f32]) -> Result<(), TrainError> {
    if bytes.len() != 4 * into.len() {
        let (found, wanted) = (bytes.len(), 4 * into.len());
        return Err(TrainError::Failed(format!("{found} bytes of a gradient came, {wanted} were awaited")));
    }
    for (x, bytes) in into.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *x = f32::from_le_bytes(*bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_cut_ones_are_refused() {
        let pieces = vec![vec![1, 2, 3], Vec::new(), vec![9; 300]];
        let bytes = framed(&pieces);
        assert_eq!(unframed(&bytes).unwrap(), pieces);
        assert!(unframed(&[]).unwrap().is_empty());
        for length in 1..bytes.len() {
            let whole = [11, 19].contains(&length);
            assert_eq!(unframed(&bytes[..length]).is_ok(), whole, "{length}");
        }
        assert!(unframed(&u64::MAX.to_le_bytes()).unwrap_err().contains("were announced"));
    }

    #[test]
    fn floats_come_back_and_other_lengths_are_refused() {
        let mut back = [0.0; 2];
        let bytes: Vec<u8> = [1.5_f32, -0.25].iter().flat_map(|x| x.to_le_bytes()).collect();
        read_floats(&bytes, &mut back).unwrap();
        assert_eq!(back, [1.5, -0.25]);
        assert!(read_floats(&bytes[1..], &mut back).is_err());
    }
}
