//! Work on many Applications on all processors.

/// Fewer than this are done sooner than a thread is there.
const MANY: usize = 64;

/// How many Applications of `all` make a part, so that every processor has one.
pub(super) fn part_of(all: usize) -> usize {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    match all < MANY {
        true => all.max(1),
        false => all.div_ceil(threads),
    }
}

/// Works on parts beside each other; what comes of them is in their order.
pub(super) fn each<P: Send, R: Send>(
    parts: impl ExactSizeIterator<Item = P>,
    work: impl Fn(P) -> R + Sync,
) -> Vec<R> {
    if parts.len() < 2 {
        return parts.map(work).collect();
    }
    std::thread::scope(|scope| {
        let work = &work;
        let begun: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let ended = begun.into_iter().map(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        ended.collect()
    })
}
