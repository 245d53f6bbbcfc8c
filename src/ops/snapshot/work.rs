//! Hashes what was read and stores what is new: one worker a core.

use super::flow::{Batch, Control, Done, Item, Piece, Stopped};
use crate::{
    chunk::Chunker,
    error::Result,
    hash::BlobKind,
    model::node::Extent,
    repo::{Lane, Row},
};
use crossbeam_channel::{Receiver, Sender};
use std::sync::atomic::Ordering;

/// Works until nothing comes any more.
pub fn work(
    control: &Control<'_>,
    mut lane: Lane<'_>,
    chunker: &Chunker,
    batches: &Receiver<Batch>,
    free: &Sender<Box<[u8]>>,
) -> Result<(), Stopped> {
    while let Some(batch) = control.receive(batches)? {
        let mut row = lane.row();
        let done = batch.items.into_iter().map(|item| deal_with(item, &batch.buffer, chunker, &mut row));
        let done = control.guard(done.collect::<Result<Vec<Done>>>())?;
        control.guard(row.lay())?;
        // Before the results, whose receiver counts on it.
        batch.new.fetch_add(lane.take_new(), Ordering::Relaxed);
        // The assembler, or the reader, may be gone when all stop.
        let _ = batch.results.send(done);
        if !batch.buffer.is_empty() {
            let _ = free.send(batch.buffer);
        }
    }
    control.guard(lane.flush())
}

fn deal_with<'b>(item: Item, buffer: &'b [u8], chunker: &Chunker, row: &mut Row<'_, '_, 'b>) -> Result<Done> {
    match item {
        Item::Whole { ticket, range, facts } => {
            let mut rest = &buffer[range];
            let mut extents = Vec::new();
            while !rest.is_empty() {
                let (bytes, after) = rest.split_at(chunker.cut(rest));
                let edge = if after.is_empty() { 0 } else { chunker.edge(bytes) };
                extents.push(Extent::Data { id: row.store(BlobKind::Data, bytes), len: bytes.len() as u32, edge });
                rest = after;
            }
            Ok(Done::Whole { ticket, facts, extents })
        }
        Item::Part { ticket, number, pieces } => {
            row.begin(ticket);
            let extent = |piece| match piece {
                Piece::Hole(len) => Ok(Extent::Hole { len }),
                Piece::Blob { range, edge, near } => {
                    let bytes = &buffer[range];
                    let id = row.store_near(BlobKind::Data, bytes, || near)?;
                    Ok(Extent::Data { id, len: bytes.len() as u32, edge })
                }
            };
            let extents = pieces.into_iter().map(extent).collect::<Result<_>>()?;
            Ok(Done::Part { ticket, number, extents })
        }
    }
}
