//! The frames of a zstd file, one after the other. The decoder reads one frame; a file may hold several, and pieces
//! that are to be skipped (RFC 8878, section 3.1). Checksums are compared where a frame has one.

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, Error, ErrorKind, Read};

/// The decoder speaks of its insides.
const CUT: &str = "it is damaged, or ends too early";

/// Decompresses every frame of a file.
pub(super) struct Frames<R> {
    file: R,
    decoder: FrameDecoder,
    within: bool,
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file, decoder: FrameDecoder::new(), within: false }
    }

    /// Goes to the next frame; false at the end of the file.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.file.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.file) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(&mut self.file.by_ref().take(length.into()), &mut io::sink())?;
                    if skipped < u64::from(length) {
                        return Err(damaged("it ends within a piece to be skipped"));
                    }
                }
                Err(_) => return Err(damaged(CUT)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.within && !self.begin()? {
                return Ok(0);
            }
            self.within = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.file, one).map_err(|_| damaged(CUT))?;
            }
            if self.decoder.can_collect() > 0 || buffer.is_empty() {
                return self.decoder.read(buffer);
            }
            let said = self.decoder.get_checksum_from_data();
            if said.is_some() && said != self.decoder.get_calculated_checksum() {
                return Err(damaged("its checksum does not fit its content"));
            }
            self.within = false;
        }
    }
}

fn damaged(problem: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("bad zstd: {problem}"))
}
