//! What one core does to one mebibyte: cut, hash, compress, encrypt, and the data path's three steps that are made of them (seal a
//! segment, open it, prove it), for text, for something like a program file, and for noise.
//!
//! `cargo bench --bench transforms`; one of them: `cargo bench --bench transforms -- text/prove`

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use vault::{
    chunk::Chunker,
    compress::{Compression, Compressor},
    hash::BlobKind,
    id::RepoId,
    keys::Keyring,
    model::config::ChunkerConfig,
    object::{self, Kind},
    seal::{self, SealKey},
    segment::{BlobEntry, Envelope, Opener, Sealer},
};

const LEN: usize = 1 << 20;

fn noise(len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new_derive_key("vault bench noise").finalize_xof().fill(&mut out);
    out
}

/// Lines of words, which compress well.
fn text() -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "backup",
        "of",
        "the",
        "server",
        "error",
        "warning",
        "GET",
        "/index.html",
        "user",
        "from",
        "192.0.2.7",
        "200",
        "took",
        "ms",
        "restored",
        "and",
    ];
    let mut out = Vec::with_capacity(LEN + 64);
    for (number, pair) in noise(2 * LEN).chunks_exact(2).enumerate() {
        if out.len() >= LEN {
            break;
        }
        out.extend_from_slice(WORDS[usize::from(pair[0] % 16)].as_bytes());
        match pair[1] {
            0..20 => out.push(b'\n'),
            20..40 => out.extend_from_slice(format!(" {number} ").as_bytes()),
            _ => out.push(b' '),
        }
    }
    out.truncate(LEN);
    out
}

/// Records of small numbers and some noise, which compress a little.
fn binary() -> Vec<u8> {
    let record = |(number, noise): (usize, &[u8])| {
        let mut record = [0; 16];
        record[..4].copy_from_slice(&(number as u32).to_le_bytes());
        record[4..10].copy_from_slice(noise);
        record[12] = noise[0] % 4;
        record
    };
    noise(LEN / 16 * 6).chunks_exact(6).enumerate().flat_map(record).collect()
}

fn transforms(c: &mut Criterion) {
    let keys = Keyring::owner(RepoId([1; 16]), SealKey::new([2; 32]));
    let (namer, key, header) = (keys.blob_namer(), SealKey::new([3; 32]), object::header(Kind::DataPack, keys.repo()));
    let envelope = Envelope { header: &header, key: &key, prefix: &[] };
    let chunker = Chunker::new(&ChunkerConfig::default(), &keys.chunker_table());
    let cuts = |bytes: &[u8]| {
        let (mut at, mut ends) = (0, Vec::with_capacity(16));
        while at < bytes.len() {
            at += chunker.cut(&bytes[at..]);
            ends.push(at);
        }
        ends
    };
    for (name, plain) in [("text", text()), ("binary", binary()), ("random", noise(LEN))] {
        let mut sealer = Sealer::new(Compression::Auto);
        let mut sealed = Vec::new();
        let recipe = sealer.seal(envelope, 0, &plain, &mut sealed).unwrap();
        let mut start = 0;
        let entry = |end| {
            let bytes = &plain[std::mem::replace(&mut start, end)..end];
            BlobEntry { id: namer.name(BlobKind::Data, bytes), kind: BlobKind::Data as u8, len: bytes.len() as u32 }
        };
        let blobs: Vec<BlobEntry> = cuts(&plain).into_iter().map(entry).collect();

        let mut group = c.benchmark_group(name);
        group.sample_size(20).throughput(Throughput::Bytes(LEN as u64));
        let id = BenchmarkId::from_parameter;
        group.bench_function(id("chunk"), |b| b.iter(|| cuts(black_box(&plain))));
        group.bench_function(id("hash"), |b| b.iter(|| namer.name(BlobKind::Data, black_box(&plain))));
        group.bench_function(id("compress"), |b| {
            let (mut compressor, mut out) = (Compressor::new(Compression::Auto), Vec::new());
            b.iter(|| compressor.compress(black_box(&plain), &mut out).unwrap());
        });
        group.bench_function(id("encrypt"), |b| {
            let mut buf = plain.clone();
            b.iter(|| {
                buf.truncate(LEN);
                seal::seal_segment(&key, 0, &header, &mut buf);
            });
        });
        group.bench_function(id("seal"), |b| {
            let mut sealed = Vec::new();
            b.iter(|| sealer.seal(envelope, 0, black_box(&plain), &mut sealed).unwrap());
        });
        group.bench_function(id("open"), |b| {
            let (mut opener, mut out) = (Opener::default(), Vec::new());
            b.iter_batched_ref(
                || sealed.clone(),
                |sealed| opener.open(envelope, recipe, sealed, &mut out).unwrap(),
                BatchSize::LargeInput,
            );
        });
        group.bench_function(id("prove"), |b| {
            b.iter(|| sealer.prove(envelope, recipe, black_box(&sealed), &blobs, &namer).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, transforms);
criterion_main!(benches);
