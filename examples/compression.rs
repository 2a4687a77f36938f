//! What compressing one stream gains over compressing each frame, and what it costs (docs/design/compression.md).
//!
//! ```text
//! compression DIR [MEGABYTES]   reads files below DIR and packs them in frames of several sizes at several levels
//! ```
//!
//! A line for each: the level, bytes of a frame, what all became in percent (each frame by itself, one stream), and megabytes a
//! second of processor time (by itself, one stream, unpacking the stream).

use dtcl::sys::thread_cpu;
use dtcl::wire::packed::{Packed, Packer, Unpacker};
use std::fs;
use std::path::Path;
use std::time::Duration;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().unwrap_or_else(|| "/usr/share".to_owned());
    let megabytes = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(64);
    let mut data = Vec::new();
    read(Path::new(&dir), megabytes << 20, &mut data);
    println!("{} bytes of {dir}", data.len());
    for level in [1, 3, 6, 9, 12, 19] {
        for size in [2 << 10, 16 << 10, 256 << 10] {
            // The highest levels take long.
            let part = &data[..data.len() / if level > 9 { 8 } else { 1 }];
            if let Err(error) = measure(part, level, size) {
                eprintln!("level {level}: {error}");
            }
        }
    }
}

/// Files in the order of their names, as a mirror sends them.
fn read(dir: &Path, most: usize, data: &mut Vec<u8>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Ok(status) = fs::symlink_metadata(&path) else { continue };
        if data.len() >= most {
            return;
        } else if status.is_dir() {
            read(&path, most, data);
        } else if status.is_file()
            && let Ok(content) = fs::read(&path)
        {
            data.extend_from_slice(&content[..content.len().min(most - data.len())]);
        }
    }
}

fn measure(data: &[u8], level: u8, size: usize) -> std::io::Result<()> {
    let began = thread_cpu()?;
    let mut alone = 0;
    let mut compressor = zstd::bulk::Compressor::new(i32::from(level))?;
    for frame in data.chunks(size) {
        alone += compressor.compress(frame)?.len();
    }
    let alone_took = thread_cpu()? - began;
    let began = thread_cpu()?;
    let mut packer = Packer::new(level)?;
    let mut bodies = Vec::new();
    for frame in data.chunks(size) {
        let mut body = Vec::new();
        packer.pack(frame, &[(frame.len(), 0)], level, &mut body)?;
        bodies.push(body);
    }
    let stream_took = thread_cpu()? - began;
    let stream: usize = bodies.iter().map(Vec::len).sum();
    let began = thread_cpu()?;
    let mut unpacker = Unpacker::new()?;
    let mut frame = Vec::new();
    for (body, sent) in bodies.iter().zip(data.chunks(size)) {
        frame.clear();
        unpacker.unpack(&Packed::parse(body)?, &mut frame)?;
        assert!(frame == sent);
    }
    let unpack_took = thread_cpu()? - began;
    let percent = |became: usize| 100.0 * became as f64 / data.len() as f64;
    let speed = |took: Duration| data.len() as f64 / took.as_secs_f64() / 1e6;
    println!(
        "level {level:2}  frames of {size:6}  {:5.1} % alone  {:5.1} % stream   {:6.1} MB/s alone  {:6.1} MB/s stream  {:6.1} MB/s back",
        percent(alone),
        percent(stream),
        speed(alone_took),
        speed(stream_took),
        speed(unpack_took)
    );
    Ok(())
}
