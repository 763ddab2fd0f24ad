//! The same pure work on many things, on all processors.

use std::{num::NonZero, thread};

/// So few are done sooner than another thread is started.
const FEW: usize = 64;

fn share(count: usize) -> usize {
    let hands = thread::available_parallelism().map_or(1, NonZero::get);
    count.div_ceil(hands).max(FEW)
}

/// What each gives, in the order of the things.
pub fn map<'a, T: Sync, R: Send>(all: &'a [T], work: impl Fn(&'a T) -> R + Sync) -> Vec<R> {
    if all.len() <= FEW {
        return all.iter().map(work).collect();
    }
    thread::scope(|scope| {
        let parts = all.chunks(share(all.len()));
        let parts: Vec<_> = parts
            .map(|part| scope.spawn(|| part.iter().map(&work).collect::<Vec<R>>()))
            .collect();
        let done = |part: thread::ScopedJoinHandle<'_, Vec<R>>| {
            part.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        parts.into_iter().flat_map(done).collect()
    })
}

/// Changes each.
pub fn change<T: Send>(all: &mut [T], work: impl Fn(&mut T) + Sync) {
    let share = share(all.len());
    thread::scope(|scope| {
        let mut parts = all.chunks_mut(share);
        // The last part is done here.
        let mine = parts.next_back();
        for part in parts {
            scope.spawn(|| part.iter_mut().for_each(&work));
        }
        mine.into_iter().flatten().for_each(&work);
    });
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_is_done_once_and_in_order() {
        for count in [0, 1, 64, 65, 1_000] {
            let mut all: Vec<usize> = (0..count).collect();
            super::change(&mut all, |one| *one += 1);
            assert_eq!(
                super::map(&all, |one| one * 2),
                (1..=count).map(|n| n * 2).collect::<Vec<_>>()
            );
        }
    }
}
