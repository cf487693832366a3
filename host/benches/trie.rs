//! Matching a topic against many filters: the cost must not grow with their number.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use host::broker::SubscriptionTrie;
use std::hint::black_box;

/// Seven in ten exact filters, and wildcards in the middle and at the end.
fn filter(i: u64) -> String {
    let group = i / 1000;
    match i % 10 {
        8 => format!("r/+/{i}/hum"),
        9 => format!("r/{group}/{i}/cfg/#"),
        _ => format!("r/{group}/{i}/temp"),
    }
}

fn topic(i: u64) -> String {
    let group = i / 1000;
    match i % 10 {
        8 => format!("r/{group}/{i}/hum"),
        9 => format!("r/{group}/{i}/cfg/a/b"),
        _ => format!("r/{group}/{i}/temp"),
    }
}

fn matching(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("trie/match");
    for filters in [1_000u64, 100_000, 1_000_000] {
        let mut trie = SubscriptionTrie::default();
        for i in 0..filters {
            trie.insert(&filter(i), i, i);
        }
        // A walk over topics far apart, so that the processor's caches help as little as they do in life.
        let topics: Vec<String> = (0..65_536u64).map(|i| topic(i.wrapping_mul(0x9E37_79B9) % filters)).collect();
        let mut at = 0;
        group.bench_function(BenchmarkId::from_parameter(filters), |bencher| {
            bencher.iter(|| {
                at = (at + 1) & 65_535;
                let mut found = 0;
                trie.matches(black_box(&topics[at]), |value| found += *value);
                found
            });
        });
    }
    group.finish();
}

criterion_group!(benches, matching);
criterion_main!(benches);
