//! Signing: most jobs are done at once; those that a signer promises for later come home in the order asked, for each address.
//!
//! ```text
//! jobs ─► sign ─┬─ now, nothing of the address under way ─► at once, back to the manager
//!               ├─ now, behind one that is ──┐
//!               └─ later ─► a task each ─────┴─► the address's line ─► leaves from the front, in order
//! ```
//!
//! A signer that hangs holds up its own address and no other; after the time-out that counts as an error.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::Address;
use alloy::primitives::map::AddressMap;
use netio::{Room, within};

use super::inbox::Inbox;
use super::run::Home;
use super::sign::{Unsigned, result};
use crate::keys::{Answer, SignError, Signer};
use crate::txmgr::{SignJob, Signed};

/// Jobs of one address that have not left: the first has this number.
#[derive(Default)]
struct Line {
    first: u64,
    jobs: VecDeque<Option<Signed>>,
}

/// The signer of a shard, and what it has not answered.
pub(super) struct Signing {
    signer: Arc<dyn Signer>,
    timeout: Duration,
    lines: AddressMap<Line>,
}

impl Signing {
    /// Nothing is under way.
    pub(super) fn new(signer: Arc<dyn Signer>, timeout: Duration) -> Self {
        Self { signer, timeout, lines: AddressMap::default() }
    }

    /// Has the jobs signed; gives what was done at once. The others are pushed to `home`, to be handed to [`Self::came`].
    pub(super) fn start<R: Room>(&mut self, jobs: &[SignJob], room: &R, home: &Inbox<Home<R>>) -> Vec<Signed> {
        let mut done = Vec::with_capacity(jobs.len());
        for job in jobs {
            let unsigned = Unsigned::of(job);
            let digest = unsigned.digest();
            match self.signer.sign(&job.from, &digest) {
                Answer::Now(signature) => {
                    let signed = result(job, signature.map(|signature| unsigned.encode(signature)));
                    // Nearly always nothing is under way at all.
                    let line = if self.lines.is_empty() { None } else { self.lines.get_mut(&job.from) };
                    match line {
                        Some(line) => line.jobs.push_back(Some(signed)),
                        None => done.push(signed),
                    }
                }
                Answer::Later(promise) => {
                    let line = self.lines.entry(job.from).or_default();
                    let number = line.first + line.jobs.len() as u64;
                    line.jobs.push_back(None);
                    let (timeout, clock, home, job) = (self.timeout, room.clone(), home.clone(), job.clone());
                    room.spawn(async move {
                        let expected = job.from;
                        let signature = match within(&clock, timeout, promise).await {
                            Some(Ok(signature)) => match signature.recover_address_from_prehash(&digest) {
                                Ok(signer) if signer == expected => Ok(signature),
                                Ok(_) | Err(_) => Err(SignError::Stranger { expected }),
                            },
                            Some(Err(error)) => Err(error),
                            None => Err(SignError::TimedOut(timeout)),
                        };
                        let signed = result(&job, signature.map(|signature| unsigned.encode(signature)));
                        home.push(Home::Signed(expected, number, Box::new(signed)));
                    });
                }
            }
        }
        done
    }

    /// A promise was kept or broken: gives what can leave the address's line now.
    pub(super) fn came(&mut self, address: Address, number: u64, signed: Signed) -> Vec<Signed> {
        let Some(line) = self.lines.get_mut(&address) else { return Vec::new() };
        let place = number.checked_sub(line.first).and_then(|place| usize::try_from(place).ok());
        if let Some(job) = place.and_then(|place| line.jobs.get_mut(place)) {
            *job = Some(signed);
        }
        let mut done = Vec::new();
        while let Some(job) = line.jobs.front_mut().and_then(Option::take) {
            line.jobs.pop_front();
            line.first += 1;
            done.push(job);
        }
        if line.jobs.is_empty() {
            self.lines.remove(&address);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, Bytes, Signature, U256, keccak256};
    use netio::{Bell, Tenant, choose, open};
    use parking_lot::Mutex;
    use storage::AttemptFees;
    use uuid::Uuid;

    use super::*;
    use crate::keys::{Keyring, Promise};
    use crate::txmgr::Slot;

    /// Nonces, or the words of errors, that came home together.
    type Run = Vec<Result<u64, String>>;
    type Tell = flume::Sender<Result<Signature, SignError>>;

    /// Promises everything; the test keeps the promises.
    #[derive(Default)]
    struct Slow(Mutex<Vec<(B256, Tell)>>);

    impl Signer for Slow {
        fn sign(&self, _address: &Address, digest: &B256) -> Answer {
            let (tell, told) = flume::bounded(1);
            self.0.lock().push((*digest, tell));
            let promise: Promise =
                Box::pin(async move { told.recv_async().await.unwrap_or_else(|_| Err(SignError::Refused("gone".into()))) });
            Answer::Later(promise)
        }
    }

    fn keys() -> Keyring {
        Keyring::from_secrets((1..=2_u64).map(|number| keccak256(number.to_be_bytes())).collect()).expect("keys")
    }

    fn job(from: Address, nonce: u64) -> SignJob {
        SignJob {
            number: nonce,
            slot: Slot { address: 0, nonce },
            id: Uuid::from_u128(u128::from(nonce)),
            from,
            chain_id: 1,
            to: Some(from),
            value: U256::ZERO,
            data: Bytes::new(),
            gas: 21_000,
            fees: AttemptFees::Legacy { gas_price: 1 },
            closing: false,
            extras: None,
        }
    }

    /// Asks for two signatures of one address and one of another, and keeps promises as `keep` says: place, and by whose key. Gives
    /// the nonces as they came back, run by run; errors have their words.
    struct Asking {
        keep: Vec<(usize, usize)>,
        timeout: Duration,
        came: Arc<Mutex<Vec<Run>>>,
    }

    impl Tenant for Asking {
        async fn live<R: Room>(self, room: R) {
            let keys = keys();
            let from: Vec<Address> = keys.addresses().collect();
            let slow = Arc::new(Slow::default());
            let signer: Arc<dyn Signer> = Arc::<Slow>::clone(&slow);
            let mut signing = Signing::new(signer, self.timeout);
            let bell = Bell::new();
            let home: Inbox<Home<R>> = Inbox::new(bell.clone());
            let jobs = [job(from[0], 0), job(from[0], 1), job(from[1], 2)];
            assert!(signing.start(&jobs, &room, &home).is_empty());
            let take = async |signing: &mut Signing| {
                let signed = loop {
                    match home.pop() {
                        Some(Home::Signed(address, number, signed)) => break signing.came(address, number, *signed),
                        Some(_) => unreachable!("nothing else is asked for"),
                        None => bell.wait().await,
                    }
                };
                let end = |signed: Signed| signed.result.map(|_| signed.slot.nonce);
                self.came.lock().push(signed.into_iter().map(end).collect());
            };
            for (place, key) in &self.keep {
                let (digest, tell) = slow.0.lock()[*place].clone();
                tell.send(keys.sign(&from[*key], &digest).map_err(SignError::Key)).expect("somebody waits");
                take(&mut signing).await;
            }
            for _ in self.keep.len()..jobs.len() {
                take(&mut signing).await;
            }
            assert!(signing.lines.is_empty(), "what has left is forgotten");
        }
    }

    fn ask(keep: &[(usize, usize)], timeout: Duration) -> Vec<Run> {
        let came = Arc::default();
        let executor = choose(netio::Executor::Epoll).expect("epoll");
        open(executor, None, Asking { keep: keep.to_vec(), timeout, came: Arc::clone(&came) }).expect("a room");
        let came = came.lock();
        came.clone()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn one_address_is_answered_in_the_order_asked_and_delays_no_other() {
        let came = ask(&[(1, 0), (2, 1), (0, 0)], LONG);
        assert_eq!(came, [vec![], vec![Ok(2)], vec![Ok(0), Ok(1)]]);
    }

    #[test]
    fn a_signer_that_hangs_is_an_error_after_the_time_out() {
        let came = ask(&[(2, 1)], Duration::from_millis(50));
        assert_eq!(came[0], [Ok(2)]);
        let errors: Vec<&String> = came[1..].iter().flatten().filter_map(|end| end.as_ref().err()).collect();
        assert!(errors.len() == 2 && errors.iter().all(|words| words.contains("50 ms")), "{came:?}");
    }

    #[test]
    fn a_signature_by_another_key_is_an_error() {
        let came = ask(&[(0, 1), (1, 0), (2, 1)], LONG);
        assert!(came[0][0].as_ref().is_err_and(|words| words.contains("another key")), "{came:?}");
        assert_eq!(came[1..], [vec![Ok(1)], vec![Ok(2)]]);
    }
}
