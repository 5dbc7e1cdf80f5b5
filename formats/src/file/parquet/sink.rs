//! Where a writer puts finished bytes: in pieces of one size, so that bytes that grow are never copied, nor held twice while they are.

use std::io::{self, Write};

use bytes::Bytes;

/// Length of every piece but the last.
const PIECE_BYTES: usize = 1 << 20;

/// Bytes in the order in which they were written.
#[derive(Debug, Default)]
pub(super) struct Sink {
    full: Vec<Bytes>,
    open: Vec<u8>,
}

impl Sink {
    /// Everything that was written since the last time.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        let (mut pieces, mut last) = (std::mem::take(&mut self.full), std::mem::take(&mut self.open));
        if !last.is_empty() {
            last.shrink_to_fit();
            pieces.push(last.into());
        }
        pieces
    }

    /// Bytes that are held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.full.iter().map(Bytes::len).sum::<usize>() + self.open.capacity()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.get(..PIECE_BYTES - self.open.len()).unwrap_or(bytes);
        self.open.extend_from_slice(taken);
        if self.open.len() == PIECE_BYTES {
            self.full.push(std::mem::take(&mut self.open).into());
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_their_order_and_in_pieces_of_one_size() {
        let bytes: Vec<u8> = (0..2_500_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        for (step, expected) in [(7, vec![PIECE_BYTES, PIECE_BYTES, 2_500_000 - 2 * PIECE_BYTES]), (2_500_000, vec![PIECE_BYTES, PIECE_BYTES, 402_848])] {
            let mut sink = Sink::default();
            bytes.chunks(step).for_each(|part| sink.write_all(part).unwrap());
            assert!(sink.memory_bytes() >= bytes.len());
            let pieces = sink.take();
            assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), expected, "{step}");
            assert!(pieces.concat() == bytes);
            assert_eq!((sink.take().len(), sink.memory_bytes()), (0, 0), "they are given once");
        }
    }
}
