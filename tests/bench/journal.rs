//! A journal of 100,000 records, read, checked and folded: what `trueup resume` waits for before it can look at the world.
#![allow(clippy::unwrap_used, reason = "a failed set-up ends the benchmark")]

use std::{fs, path::Path, sync::Arc};

use divan::{Bencher, black_box};
use trueup::journal::{self, Calm, Holder, Journal};
use trueup_core::{
    event::{Event, Record},
    ids::IncidentId,
    run::Run,
    transcript::sample,
};

const RECORDS: usize = 100_000;

fn main() {
    divan::main();
}

/// The sample incident with its gate's samples repeated until there are enough records: long incidents are mostly samples.
fn records() -> Vec<Record> {
    let whole = sample::records();
    let at = whole
        .iter()
        .position(|r| matches!(r.event, Event::GateSampled { .. }))
        .unwrap();
    let mut events: Vec<Record> = whole[..=at].to_vec();
    let more = RECORDS - whole.len();
    events.extend(
        whole
            .iter()
            .filter(|r| matches!(r.event, Event::GateSampled { .. }))
            .cycle()
            .take(more)
            .cloned(),
    );
    events.extend(whole[at + 1..].iter().cloned());
    for (at, record) in events.iter_mut().enumerate() {
        record.seq = at as u64 + 1;
    }
    events
}

/// A journal as the program writes it, without a sync for each line.
fn journal(state: &Path) -> IncidentId {
    let id: IncidentId = "INC-441".parse().unwrap();
    drop(Journal::create(state, &id, &Holder::default(), Arc::new(Calm)).unwrap());
    let mut head = "0".repeat(64);
    let mut text = String::new();
    for record in records() {
        let raw = serde_json::to_string(&record).unwrap();
        head = journal::chain(&head, &raw);
        text.push_str(&head);
        text.push(' ');
        text.push_str(&raw);
        text.push('\n');
    }
    fs::write(state.join("incidents/INC-441/journal.jsonl"), text).unwrap();
    id
}

/// Limit: 1 s.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn resume_100_000_records(bencher: Bencher<'_, '_>) {
    let state = tempfile::tempdir().unwrap();
    let id = journal(state.path());
    bencher.bench_local(|| {
        let (journal, lines, _) =
            Journal::open(state.path(), &id, &Holder::default(), Arc::new(Calm)).unwrap();
        assert_eq!(lines.len(), RECORDS);
        let run = Run::fold(lines.iter().map(|line| &line.record));
        assert_eq!(run.last.map(|(seq, _)| seq), Some(RECORDS as u64));
        drop(black_box((journal, run)));
    });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn fold_100_000_records(bencher: Bencher<'_, '_>) {
    let records = records();
    bencher.bench_local(|| black_box(Run::fold(&records)));
}

/// One event on top of a long incident: what each step of a walk pays.
#[divan::bench]
fn append_one_record(bencher: Bencher<'_, '_>) {
    let state = tempfile::tempdir().unwrap();
    let id: IncidentId = "INC-1".parse().unwrap();
    let mut journal =
        Journal::create(state.path(), &id, &Holder::default(), Arc::new(Calm)).unwrap();
    bencher.bench_local(|| {
        let event = Event::MessageSet {
            message: "a message".into(),
            by: "jo".into(),
        };
        journal.append(jiff::Timestamp::UNIX_EPOCH, event).unwrap()
    });
}
