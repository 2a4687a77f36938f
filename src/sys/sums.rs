//! SHA-1 of many blocks at once.
//!
//! One SHA-1 is a chain of dependent steps, so a core's own SHA instructions stop at about 1.8 GB/s. The blocks of a file
//! do not depend on each other: with AVX-512 sixteen of them are hashed side by side, one in each 32-bit lane, which is bound
//! by memory instead. Elsewhere, and for what is left over, the `sha1` crate does it; both give the same sums (tested).
#![allow(unsafe_code)]

use sha1::{Digest, Sha1};

/// Bytes of a sum.
pub const SUM_LEN: usize = 20;
/// Blocks that are hashed side by side.
#[cfg(target_arch = "x86_64")]
const LANES: usize = 16;

/// Appends the SHA-1 of each block of `block` bytes to `sums`; the last one may be shorter.
pub fn block_sums(data: &[u8], block: usize, sums: &mut Vec<[u8; SUM_LEN]>) {
    let block = block.max(1);
    #[cfg(target_arch = "x86_64")]
    let data = if block.is_multiple_of(64) && has_lanes() {
        let groups = data.chunks_exact(block * LANES);
        let rest = groups.remainder();
        for group in groups {
            // SAFETY: `has_lanes` has seen the features that the function is compiled for.
            sums.extend(unsafe { lanes::sums(group, block) });
        }
        rest
    } else {
        data
    };
    sums.extend(data.chunks(block).map(|bytes| <[u8; SUM_LEN]>::from(Sha1::digest(bytes))));
}

#[cfg(target_arch = "x86_64")]
fn has_lanes() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

#[cfg(target_arch = "x86_64")]
mod lanes {
    use super::{LANES, SUM_LEN};
    use std::arch::x86_64::*;

    /// One word of the state of all lanes.
    type Word = __m512i;

    /// SHA-1 (FIPS 180-4) of sixteen blocks of `block` bytes that stand one after another. `block` is a multiple of 64.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn sums(group: &[u8], block: usize) -> [[u8; SUM_LEN]; LANES] {
        assert!(group.len() == block * LANES && block.is_multiple_of(64));
        let initial = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
        let mut state = [_mm512_setzero_si512(); 5];
        for (word, value) in state.iter_mut().zip(initial) {
            *word = _mm512_set1_epi32(value.cast_signed());
        }
        for at in (0..block).step_by(64) {
            // Loops, not closures: a function that is not compiled for the same features would pass rows through memory.
            let mut rows = [_mm512_setzero_si512(); LANES];
            for (lane, row) in rows.iter_mut().enumerate() {
                let start = lane * block + at;
                let bytes = &group[start..start + 64];
                // SAFETY: `bytes` has 64 bytes; the load needs no alignment.
                *row = big_endian(unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) });
            }
            compress(&mut state, transpose(rows));
        }
        // The padding is the same in all lanes: a 1 bit, zeros, the length in bits.
        let bits = (block as u64) * 8;
        let mut padding = [_mm512_setzero_si512(); 16];
        padding[0] = _mm512_set1_epi32(0x8000_0000_u32.cast_signed());
        padding[14] = _mm512_set1_epi32(((bits >> 32) as u32).cast_signed());
        padding[15] = _mm512_set1_epi32((bits as u32).cast_signed());
        compress(&mut state, padding);
        let mut sums = [[0; SUM_LEN]; LANES];
        for (index, word) in state.into_iter().enumerate() {
            let mut lanes = [0u32; LANES];
            // SAFETY: `lanes` has 64 bytes; the store needs no alignment.
            unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), word) };
            for (sum, lane) in sums.iter_mut().zip(lanes) {
                sum[4 * index..4 * index + 4].copy_from_slice(&lane.to_be_bytes());
            }
        }
        sums
    }

    /// Turns the bytes of each 32-bit word round.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn big_endian(row: Word) -> Word {
        let order =
            _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
        _mm512_shuffle_epi8(row, order)
    }

    /// Sixteen rows of sixteen words: rows become columns.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn transpose(r: [Word; 16]) -> [Word; 16] {
        let mut t = r;
        for i in 0..8 {
            t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
            t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
        }
        // u[4g + c] holds, in each 128-bit quarter q, word 4q + c of the rows 4g to 4g + 3.
        let mut u = t;
        for g in 0..4 {
            u[4 * g] = _mm512_unpacklo_epi64(t[4 * g], t[4 * g + 2]);
            u[4 * g + 1] = _mm512_unpackhi_epi64(t[4 * g], t[4 * g + 2]);
            u[4 * g + 2] = _mm512_unpacklo_epi64(t[4 * g + 1], t[4 * g + 3]);
            u[4 * g + 3] = _mm512_unpackhi_epi64(t[4 * g + 1], t[4 * g + 3]);
        }
        let mut out = u;
        for c in 0..4 {
            let low = _mm512_shuffle_i32x4::<0x44>(u[c], u[4 + c]);
            let high = _mm512_shuffle_i32x4::<0xee>(u[c], u[4 + c]);
            let low2 = _mm512_shuffle_i32x4::<0x44>(u[8 + c], u[12 + c]);
            let high2 = _mm512_shuffle_i32x4::<0xee>(u[8 + c], u[12 + c]);
            out[c] = _mm512_shuffle_i32x4::<0x88>(low, low2);
            out[4 + c] = _mm512_shuffle_i32x4::<0xdd>(low, low2);
            out[8 + c] = _mm512_shuffle_i32x4::<0x88>(high, high2);
            out[12 + c] = _mm512_shuffle_i32x4::<0xdd>(high, high2);
        }
        out
    }

    /// One step: `f` is the round's function of b, c, d as a truth table.
    macro_rules! round {
        ($a:ident $b:ident $c:ident $d:ident $e:ident, $f:literal, $k:ident, $w:expr) => {
            let mixed = _mm512_ternarylogic_epi32::<$f>($b, $c, $d);
            let sum = _mm512_add_epi32(_mm512_add_epi32(mixed, $k), _mm512_add_epi32($e, $w));
            $e = _mm512_add_epi32(sum, _mm512_rol_epi32::<5>($a));
            $b = _mm512_rol_epi32::<30>($b);
        };
    }

    /// Five steps, after which the names stand for the same words again.
    macro_rules! five {
        ($a:ident $b:ident $c:ident $d:ident $e:ident, $f:literal, $k:ident, $w:ident, $t:expr) => {
            round!($a $b $c $d $e, $f, $k, word(&mut $w, $t));
            round!($e $a $b $c $d, $f, $k, word(&mut $w, $t + 1));
            round!($d $e $a $b $c, $f, $k, word(&mut $w, $t + 2));
            round!($c $d $e $a $b, $f, $k, word(&mut $w, $t + 3));
            round!($b $c $d $e $a, $f, $k, word(&mut $w, $t + 4));
        };
    }

    /// The message schedule's word `t`, kept in a ring of sixteen.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn word(w: &mut [Word; 16], t: usize) -> Word {
        if t >= 16 {
            let three = _mm512_ternarylogic_epi32::<0x96>(w[(t + 13) & 15], w[(t + 8) & 15], w[(t + 2) & 15]);
            w[t & 15] = _mm512_rol_epi32::<1>(_mm512_xor_si512(three, w[t & 15]));
        }
        w[t & 15]
    }

    /// The compression function, on one 64-byte chunk of each lane.
    #[target_feature(enable = "avx512f,avx512bw")]
    fn compress(state: &mut [Word; 5], mut w: [Word; 16]) {
        let [mut a, mut b, mut c, mut d, mut e] = *state;
        let constant = |k: u32| _mm512_set1_epi32(k.cast_signed());
        let (k0, k1) = (constant(0x5a82_7999), constant(0x6ed9_eba1));
        let (k2, k3) = (constant(0x8f1b_bcdc), constant(0xca62_c1d6));
        // Choose, parity, majority, parity.
        five!(a b c d e, 0xca, k0, w, 0);
        five!(a b c d e, 0xca, k0, w, 5);
        five!(a b c d e, 0xca, k0, w, 10);
        five!(a b c d e, 0xca, k0, w, 15);
        five!(a b c d e, 0x96, k1, w, 20);
        five!(a b c d e, 0x96, k1, w, 25);
        five!(a b c d e, 0x96, k1, w, 30);
        five!(a b c d e, 0x96, k1, w, 35);
        five!(a b c d e, 0xe8, k2, w, 40);
        five!(a b c d e, 0xe8, k2, w, 45);
        five!(a b c d e, 0xe8, k2, w, 50);
        five!(a b c d e, 0xe8, k2, w, 55);
        five!(a b c d e, 0x96, k3, w, 60);
        five!(a b c d e, 0x96, k3, w, 65);
        five!(a b c d e, 0x96, k3, w, 70);
        five!(a b c d e, 0x96, k3, w, 75);
        for (word, new) in state.iter_mut().zip([a, b, c, d, e]) {
            *word = _mm512_add_epi32(*word, new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one_by_one(data: &[u8], block: usize) -> Vec<[u8; SUM_LEN]> {
        data.chunks(block).map(|bytes| Sha1::digest(bytes).into()).collect()
    }

    #[test]
    fn the_sums_are_sha_1() {
        // FIPS 180 example, and block sizes with and without lanes.
        let mut sums = Vec::new();
        block_sums(b"abc", 64, &mut sums);
        assert_eq!(sums[0][..4], [0xa9, 0x99, 0x3e, 0x36]);
        let data: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for block in [64, 128, 4096, 65536, 100, 65537, 1 << 20] {
            let mut sums = Vec::new();
            block_sums(&data, block, &mut sums);
            assert_eq!(sums, one_by_one(&data, block), "blocks of {block}");
        }
    }

    proptest! {
        #[test]
        fn many_at_once_are_the_same_as_one_by_one(
            data in proptest::collection::vec(any::<u8>(), 0..9000), block in prop_oneof![Just(64usize), Just(192), 1usize..700]
        ) {
            let mut sums = Vec::new();
            block_sums(&data, block, &mut sums);
            prop_assert_eq!(sums, one_by_one(&data, block));
        }
    }
}
