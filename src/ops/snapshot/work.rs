//! Hashes what was read and stores what is new: one worker a core.

use super::flow::{Batch, Control, Done, Item, Piece, Stopped};
use crate::{
    chunk::Chunker,
    error::Result,
    hash::BlobKind,
    model::node::Extent,
    object::Kind,
    repo::{BlobReader, Lane, Writer},
};
use crossbeam_channel::{Receiver, Sender};
use std::sync::atomic::Ordering;

/// Works until nothing comes any more.
pub fn work(
    control: &Control<'_>,
    writer: &Writer<'_>,
    chunker: &Chunker,
    batches: &Receiver<Batch>,
    free: &Sender<Box<[u8]>>,
    bases: Option<&BlobReader<'_>>,
) -> Result<(), Stopped> {
    let mut lane = control.guard(writer.lane(Kind::DataPack))?;
    if let Some(bases) = bases {
        lane = lane.leaning_on(bases);
    }
    while let Some(batch) = control.receive(batches)? {
        let done = batch.items.into_iter().map(|item| deal_with(item, &batch.buffer, chunker, &mut lane));
        let done = control.guard(done.collect::<Result<Vec<Done>>>())?;
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

fn deal_with(item: Item, buffer: &[u8], chunker: &Chunker, lane: &mut Lane<'_>) -> Result<Done> {
    match item {
        Item::Whole { ticket, range, facts } => {
            let mut rest = &buffer[range];
            let mut extents = Vec::new();
            while !rest.is_empty() {
                let (bytes, after) = rest.split_at(chunker.cut(rest));
                let edge = if after.is_empty() { 0 } else { chunker.edge(bytes) };
                extents.push(Extent::Data { id: lane.store(BlobKind::Data, bytes)?, len: bytes.len() as u32, edge });
                rest = after;
            }
            Ok(Done::Whole { ticket, facts, extents })
        }
        Item::Part { ticket, number, pieces } => {
            lane.begin(ticket);
            let extent = |piece| match piece {
                Piece::Hole(len) => Ok(Extent::Hole { len }),
                Piece::Blob { range, edge, near } => {
                    let bytes = &buffer[range];
                    let id = lane.store_near(BlobKind::Data, bytes, || near)?;
                    Ok(Extent::Data { id, len: bytes.len() as u32, edge })
                }
            };
            let extents = pieces.into_iter().map(extent).collect::<Result<_>>()?;
            Ok(Done::Part { ticket, number, extents })
        }
    }
}
