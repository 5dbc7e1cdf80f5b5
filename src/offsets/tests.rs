//! What sets of offsets say, as text and as digest.

use proptest::prelude::*;

use super::*;

fn set(runs: &[(i64, i64)]) -> OffsetSet {
    let mut set = OffsetSet::new();
    for (start, end) in runs {
        set.extend_range(*start, *end);
    }
    set
}

fn runs(set: &OffsetSet) -> Vec<(i64, i64)> {
    set.runs().map(|run| (run.start, run.end)).collect()
}

/// What a set of that many rows is by its definition: each offset's eight numbers multiplied, and all added.
fn by_definition(offsets: impl Iterator<Item = i64>) -> Digest {
    let number = |offset: i64| {
        let bytes = offset.to_le_bytes();
        TABLE.iter().zip(bytes).fold(1_u128, |product, (sums, byte)| {
            let value = usize::from(byte);
            product.wrapping_mul(sums[value + 1].wrapping_sub(sums[value]))
        })
    };
    offsets.map(|offset| Digest(number(offset))).sum()
}

#[test]
fn neighbours_become_runs_also_across_batches() {
    type Case<'a> = (&'a [&'a [i64]], &'a [(i64, i64)], u64, Option<(i64, i64)>);
    let cases: [Case<'_>; 8] = [
        (&[], &[], 0, None),
        (&[&[]], &[], 0, None),
        (&[&[7]], &[(7, 8)], 1, Some((7, 8))),
        (&[&[0, 1, 2], &[3, 4]], &[(0, 5)], 5, Some((0, 5))),
        (&[&[0, 1, 2], &[], &[4]], &[(0, 3), (4, 5)], 4, Some((0, 5))),
        (&[&[1, 3, 5, 6, 7]], &[(1, 2), (3, 4), (5, 8)], 5, Some((1, 8))),
        // Not what a writer appends, and told as it is: an offset twice, an offset from before.
        (&[&[5, 5]], &[(5, 6), (5, 6)], 2, Some((5, 6))),
        (&[&[5, 6], &[1]], &[(5, 7), (1, 2)], 3, Some((1, 7))),
    ];
    for (batches, expected, count, span) in cases {
        let mut set = OffsetSet::new();
        for batch in batches {
            set.extend(batch);
        }
        assert_eq!(runs(&set), expected, "{batches:?}");
        assert_eq!((set.count(), set.first().zip(set.end())), (count, span), "{batches:?}");
        assert_eq!(set.is_consecutive(), expected.len() < 2, "{batches:?}");
        assert_eq!(set.digest(), by_definition(batches.iter().copied().flatten().copied()), "{batches:?}");
    }
}

#[test]
fn rows_and_offsets_find_each_other() {
    let set = set(&[(10, 13), (20, 21), (30, 40)]);
    for (row, offset) in [(0, 10), (2, 12), (3, 20), (4, 30), (13, 39)] {
        assert_eq!((set.offset_of(row), set.row_of(offset)), (Some(offset), Some(row)));
    }
    assert_eq!(set.offset_of(14), None);
    for offset in [9, 13, 19, 21, 40] {
        assert_eq!(set.row_of(offset), None);
    }
}

/// What is on disk: these must never change.
#[test]
fn texts_and_digests_stay_what_they_are() {
    let cases: [(&[(i64, i64)], &str, &str); 5] = [
        (&[], "AA", "00000000000000000000000000000000"),
        (&[(0, 1)], "AAAA", "28a64c865326ec8d7c533c1deaa8c3f7"),
        (&[(0, 100)], "AABj", "e4660ae6331d1a73e8aaee78c07b5234"),
        (&[(100, 200), (300, 301)], "AMgBY8gBAA", "8aead8277a5e1163e39571fc4d4d9609"),
        (&[(1_000_000_007, 1_000_000_009), (5, 6)], "AI6o1rkHAYeo1rkHAA", "af7839e62d263ed78e37e97072a22baf"),
    ];
    for (runs, text, digest) in cases {
        let set = set(runs);
        assert_eq!((set.encode().as_deref(), set.digest().to_string().as_str()), (Some(text), digest), "{runs:?}");
        assert_eq!(OffsetSet::decode(text).as_ref(), Ok(&set));
        assert_eq!(digest.parse(), Ok(set.digest()));
    }
}

#[test]
fn rows_that_take_turns_are_short() {
    let mut one_of_a_hundred = OffsetSet::new();
    for row in 0..100_000 {
        one_of_a_hundred.extend(&[row * 100]);
    }
    assert!(one_of_a_hundred.memory_bytes() <= 1 << 19, "{}", one_of_a_hundred.memory_bytes());
    let text = one_of_a_hundred.encode().unwrap();
    assert!(text.len() < 2000, "{}", text.len());
    assert_eq!(OffsetSet::decode(&text), Ok(one_of_a_hundred));
}

#[test]
fn a_text_that_a_footer_should_not_carry_is_not_made() {
    let mut state = 1_u64;
    let (mut set, mut offset) = (OffsetSet::new(), 0_i64);
    for _ in 0..1_000_000 {
        state = mix(state);
        offset += 2 + i64::try_from(state >> 40).unwrap();
        set.extend(&[offset]);
    }
    assert_eq!(set.encode(), None);
}

#[test]
fn texts_that_are_no_offsets_are_refused() {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let mut deflate = DeflateEncoder::new(vec![DEFLATED], Compression::best());
    deflate.write_all(&vec![0; MAX_RUN_BYTES + 1]).unwrap();
    let bomb = encode(&deflate.finish().unwrap());
    for (text, why) in [
        (String::new(), "of an unknown kind"),
        ("!".to_owned(), "not base64url"),
        (encode(&[2, 0, 0]), "of an unknown kind"),
        (encode(&[PLAIN, 0]), "ends in the middle"),
        (encode(&[PLAIN, 0x80]), "ends in the middle"),
        (encode(&[PLAIN, 1, 0]), "offsets that Kafka has not"), // -1
        (encode(&[PLAIN, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), "offsets that Kafka has not"), // past the last offset
        (encode(&[PLAIN, 0, 0, 0, 0]), "one run in two"),
        (encode(&[DEFLATED, 7]), "cannot be inflated"),
        (bomb, "unfolds to too much"),
        ("A".repeat(MAX_TEXT_BYTES + 1), "too long"),
    ] {
        let error = OffsetSet::decode(&text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}: {why}");
    }
    for text in ["", "0", "+0000000000000000000000000000000", "g0000000000000000000000000000000", "000000000000000000000000000000000"] {
        assert_eq!(text.parse::<Digest>(), Err(BadOffsets("a digest has 32 hexadecimal digits")), "{text}");
    }
}

/// Offsets as files hold them: growing, with gaps of every size.
fn offsets() -> impl Strategy<Value = Vec<i64>> {
    let gap = prop_oneof![4 => Just(1_i64), 2 => 2_i64..5, 1 => 5_i64..100_000, 1 => 0_i64..1 << 50];
    (0_i64..1 << 40, prop::collection::vec(gap, 0..200)).prop_map(|(start, gaps)| {
        let grow = gaps.into_iter().map(|gap| gap.max(1)).scan(start, |at, gap| {
            *at += gap;
            Some(*at)
        });
        grow.collect()
    })
}

proptest! {
    #[test]
    fn a_text_is_the_set_that_it_was_made_of(offsets in offsets(), cut in 0_usize..200) {
        let mut set = OffsetSet::new();
        let (before, after) = offsets.split_at(cut.min(offsets.len()));
        set.extend(before);
        set.extend(after);
        let read = OffsetSet::decode(&set.encode().unwrap()).unwrap();
        prop_assert_eq!(&read, &set);
        let rows: Vec<i64> = read.runs().flat_map(|run| run.start..run.end).collect();
        prop_assert_eq!(&rows, &offsets);
        for (row, offset) in (0..).zip(&offsets) {
            prop_assert_eq!((read.offset_of(row), read.row_of(*offset)), (Some(*offset), Some(row)));
        }
    }

    #[test]
    fn digests_of_two_sets_add_up(offsets in offsets(), which in prop::collection::vec(any::<bool>(), 200)) {
        let (mut one, mut other, mut both) = (OffsetSet::new(), OffsetSet::new(), OffsetSet::new());
        both.extend(&offsets);
        for (offset, is_one) in offsets.iter().zip(which) {
            if is_one { one.extend(&[*offset]) } else { other.extend(&[*offset]) }
        }
        prop_assert_eq!(one.digest() + other.digest(), both.digest());
        prop_assert_eq!(one.count() + other.count(), both.count());
        prop_assert_eq!(both.digest(), by_definition(offsets.into_iter()));
    }

    #[test]
    fn a_ranges_digest_is_the_sum_over_it(start in prop_oneof![0_i64..2000, (1_i64 << 56)..(1 << 57), (i64::MAX - 3000)..(i64::MAX - 2000)], length in 0_i64..2000) {
        prop_assert_eq!(Digest::of_range(start, start + length), by_definition(start..start + length));
    }

    #[test]
    fn what_is_lost_or_doubled_shows(start in 0_i64..1 << 40, lost in 0_i64..1000, doubled in 0_i64..1000) {
        prop_assume!(lost != doubled);
        let rows = (start..start + 1000).filter(|offset| *offset != start + lost).chain([start + doubled]);
        prop_assert_ne!(by_definition(rows), Digest::of_range(start, start + 1000));
    }

    #[test]
    fn any_text_is_read_or_refused(text in prop_oneof![".{0,64}", "[A-Za-z0-9_-]{0,64}", "AA[A-Za-z0-9_-]{0,64}", "AQ[A-Za-z0-9_-]{0,64}"]) {
        if let Ok(set) = OffsetSet::decode(&text) {
            prop_assert_eq!(OffsetSet::decode(&set.encode().unwrap()).unwrap(), set);
        }
        if let Ok(digest) = text.parse::<Digest>() {
            prop_assert_eq!(digest.to_string(), text.to_ascii_lowercase());
        }
    }
}
