//! The machine's clock and its randomness.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::ports::{Clock, Ids};

/// The wall clock of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, when: Timestamp) {
        // A suspended laptop stops tokio's timer but not the wall clock: wake at least every second and look again.
        loop {
            let left = when.duration_since(Timestamp::now());
            let Ok(left) = std::time::Duration::try_from(left) else {
                return;
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(std::time::Duration::from_secs(1))).await;
        }
    }
}

/// Names made of the operating system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn op_id(&self) -> String {
        let mut bytes = [0u8; 6];
        fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A fresh key for secret digests. Kept in memory, or in the incident's private files, never printed.
pub fn random_key() -> [u8; 32] {
    let mut key = [0u8; 32];
    fill(&mut key);
    key
}

/// Four letters and digits that are told apart when spoken and when read, drawn anew each time.
pub fn random_word() -> String {
    const LETTERS: &[u8; 28] = b"23456789bcdfghjkmnpqrstvwxyz";
    let mut bytes = [0u8; 8];
    fill(&mut bytes);
    let mut drawn = u64::from_le_bytes(bytes);
    let mut word = String::new();
    for _ in 0..4 {
        word.push(char::from(LETTERS[(drawn % 28) as usize]));
        drawn /= 28;
    }
    word
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}
