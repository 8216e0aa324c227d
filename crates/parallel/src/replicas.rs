//! The gradient of a batch from replicas of the network, each of which takes shares of the batch.
//!
//! A batch is cut into as many shares as there are, whoever computes them. The gradients of the shares are added in their
//! order. So what is trained depends on the number of shares alone: one thread, several, and several processes give the same
//! bits. The numbers of the network are put in place once for all replicas of a process, which share them; what else
//! a step does to every parameter, the same threads share out.

use nlpress_core::{Backend, Peers, Seed};
use nlpress_model::network::Factored;
use nlpress_model::{Gradients, Model, Network};
use nlpress_quant::QuantError;
use nlpress_quant::gradient::{Coding, Layout, Sender};
use nlpress_train::gradients::{bind, change, sum};
use nlpress_train::record::{Reader, Writer, invalid};
use nlpress_train::{Batch, Change, Crew, GradientSource, InPlace, RoundedInputs, Stateful, TrainError};
use std::io;
use std::ops::Range;

use crate::exchange::{self, Message};

/// Computes the gradient of a batch share by share, on several threads and, with [`with_peers`](DataParallel::with_peers),
/// on several processes.
#[derive(Debug)]
pub struct DataParallel<'p> {
    shares: usize,
    wire: Option<(Coding, Seed)>,
    crew: Crew,
    peers: Option<&'p dyn Peers>,
    /// The numbers that all replicas compute with.
    network: Option<Network>,
    /// Where gradients are coded, the sending end of every share; those of other processes' shares are not used.
    senders: Vec<Sender>,
    sent: u64,
    sent_as_f32: u64,
}

impl<'p> DataParallel<'p> {
    /// A source that cuts batches into `shares` and computes them on at most `threads` threads; gradients are floats.
    ///
    /// # Errors
    /// [`TrainError::Failed`] when the threads cannot be started.
    pub fn new(shares: usize, threads: usize) -> Result<Self, TrainError> {
        let crew = Crew::new(threads.clamp(1, shares.max(1)))?;
        let (wire, peers, network, senders) = (None, None, None, Vec::new());
        Ok(Self { shares, wire, crew, peers, network, senders, sent: 0, sent_as_f32: 0 })
    }

    /// The same with gradient compression; `seed` is the root of its stochastic rounding.
    #[must_use]
    pub fn with_wire(mut self, coding: Coding, seed: Seed) -> Self {
        self.wire = Some((coding, seed));
        self
    }

    /// The same with the shares handed out to several processes.
    #[must_use]
    pub fn with_peers(mut self, peers: Option<&'p dyn Peers>) -> Self {
        self.peers = peers.filter(|peers| peers.size() > 1);
        self
    }

    /// Bytes of the gradients of all shares as they are exchanged.
    pub fn bytes(&self) -> u64 {
        self.sent
    }

    /// Bytes that the same gradients take as floats.
    pub fn bytes_as_f32(&self) -> u64 {
        self.sent_as_f32
    }

    /// The shares that this process computes.
    fn own(&self) -> Range<usize> {
        self.peers.map_or(0..self.shares, |peers| shares_of(self.shares, peers.rank(), peers.size()))
    }

    /// The gradients of this process's shares, with what is sent of each.
    fn computed(&mut self, flat: &[f32], batch: &Batch<'_>) -> Result<Vec<Message>, TrainError> {
        let (own, all) = (self.own(), shares(batch.indices.len(), self.shares));
        let network = self.network.as_mut().ok_or(TrainError::NotBegun)?;
        self.crew.map(network.updates(0..network.sites(), flat), |update| update());
        let mut senders: Vec<Option<&mut Sender>> = self.senders.iter_mut().map(Some).collect();
        senders.resize_with(self.shares, || None);
        let jobs = senders.drain(own.clone()).zip(&all[own]).map(|(s, share)| (network.replica(), share, s));
        let work = |(replica, share, sender): (Network, &Range<usize>, Option<&mut Sender>)| {
            let mut gradients = batch.part(share.clone()).gradients_of(&replica)?;
            let mut coded = Vec::new();
            if let Some(sender) = sender {
                sender.send(&mut gradients.flat, &mut coded).map_err(failed)?;
            }
            Ok(Message { gradients, coded })
        };
        self.crew.map(jobs.collect(), work).into_iter().collect()
    }

    /// What other processes sent of their shares.
    fn decoded(&self, share: usize, coded: Vec<u8>, loss: f64) -> Result<Message, TrainError> {
        let numbers = self.network.as_ref().map_or(0, |network| network.trainable(0..network.sites()));
        let mut flat = vec![0.0; numbers];
        match self.senders.get(share) {
            None => exchange::read_floats(&coded, &mut flat)?,
            Some(sender) => sender.layout().decode(sender.step(), &coded, &mut flat).map_err(failed)?,
        }
        Ok(Message { gradients: Gradients { loss, flat }, coded })
    }
}

impl GradientSource for DataParallel<'_> {
    fn begin(&mut self, model: &Model, backend: &Backend, rounded: &RoundedInputs) -> Result<(), TrainError> {
        self.network = Some(bind(model, backend, rounded)?);
        self.senders.clear();
        if let Some((coding, seed)) = &self.wire {
            let layout = Layout::of(coding, model, |_| true).map_err(failed)?;
            let sender = |share| Sender::new(layout.clone(), seed.derive(&format!("worker {share}")));
            self.senders = (0..self.shares).map(sender).collect();
        }
        Ok(())
    }

    fn gradients(&mut self, flat: &[f32], batch: &Batch<'_>) -> Result<Gradients, TrainError> {
        let computed = self.computed(flat, batch);
        let messages = match self.peers {
            None => computed?,
            Some(peers) => {
                let (own, is_coded) = (self.own(), self.wire.is_some());
                let arrived = exchange::all(peers, computed, is_coded)?;
                let mut all = Vec::with_capacity(self.shares);
                for (share, part) in arrived.into_iter().enumerate() {
                    all.push(match part {
                        exchange::Part::Own(message) => message,
                        exchange::Part::Other { coded, loss } => self.decoded(share, coded, loss)?,
                    });
                }
                // The senders of other shares have no memory of these, but count the steps.
                let others = (0..self.shares).filter(|share| !own.contains(share));
                others.for_each(|share| self.senders.get_mut(share).into_iter().for_each(Sender::skip));
                all
            }
        };
        if messages.len() != self.shares {
            let (found, wanted) = (messages.len(), self.shares);
            return Err(TrainError::Failed(format!("{found} shares of {wanted} arrived")));
        }
        for Message { gradients, coded } in &messages {
            let as_f32 = 4 * gradients.flat.len() as u64;
            self.sent += if self.wire.is_some() { coded.len() as u64 } else { as_f32 };
            self.sent_as_f32 += as_f32;
        }
        let gradients = messages.into_iter().map(|message| message.gradients).collect();
        sum(Some(&self.crew), gradients).ok_or_else(|| TrainError::Failed("it has no worker".into()))
    }

    fn crew(&self) -> Option<&Crew> {
        Some(&self.crew)
    }

    fn in_place(&mut self) -> Option<&mut dyn InPlace> {
        if self.peers.is_none() && self.wire.is_none() { Some(self) } else { None }
    }
}

impl InPlace for DataParallel<'_> {
    fn factored(&mut self, batch: &Batch<'_>) -> Result<Vec<Factored>, TrainError> {
        let network = self.network.as_ref().ok_or(TrainError::NotBegun)?;
        let all = shares(batch.indices.len(), self.shares).into_iter();
        let jobs = all.map(|share| (network.replica(), share)).collect();
        let work = |(replica, share): (Network, Range<usize>)| batch.part(share).factored(&replica);
        let all: Vec<Factored> = self.crew.map(jobs, work).into_iter().collect::<Result<_, _>>()?;
        let bytes = all.iter().map(|share| 4 * share.len() as u64).sum::<u64>();
        self.sent += bytes;
        self.sent_as_f32 += bytes;
        Ok(all)
    }

    fn change(&mut self, how: &mut Change<'_>) -> Result<(), TrainError> {
        change(&mut self.network, Some(&self.crew), how)
    }
}

impl Stateful for DataParallel<'_> {
    fn identity(&self) -> String {
        format!("{} workers, {:?}", self.shares, self.wire)
    }

    fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.count(self.sent)?;
        to.count(self.sent_as_f32)?;
        let Some(peers) = self.peers.filter(|_| !self.senders.is_empty()) else {
            to.count(self.senders.len() as u64)?;
            return self.senders.iter().try_for_each(|sender| sender.save(to));
        };
        let state = |sender: &Sender| {
            let mut state = Vec::new();
            let mut writer = Writer::new(&mut state);
            sender.save(&mut writer).and_then(|()| writer.end()).map(|()| state)
        };
        let own = self.senders[self.own()].iter().map(state).collect::<io::Result<Vec<_>>>()?;
        // A run goes on from the checkpoint of the process of number 0. So it alone gets what the others owe.
        let arrived = peers.gather(exchange::framed(&own)).map_err(io::Error::other)?;
        if peers.rank() > 0 {
            return to.count(0);
        }
        to.count(self.senders.len() as u64)?;
        let states = arrived.iter().map(|bytes| exchange::unframed(bytes)).collect::<Result<Vec<_>, _>>();
        for (sender, state) in self.senders.iter().zip(states.map_err(io::Error::other)?.concat()) {
            let (mut sender, length) = (sender.clone(), state.len() as u64);
            let mut state = &state[..];
            let mut reader = Reader::new(&mut state, length);
            sender.restore(&mut reader)?;
            reader.end()?;
            sender.save(to)?;
        }
        Ok(())
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        self.sent = from.count()?;
        self.sent_as_f32 = from.count()?;
        let (found, wanted) = (from.count()?, self.senders.len());
        if found != wanted as u64 {
            let why = format!(
                "it has what {found} of {wanted} shares owe; of several processes, that of number 0 has all"
            );
            return Err(invalid(why));
        }
        self.senders.iter_mut().try_for_each(|sender| sender.restore(from))
    }
}

pub(crate) fn failed(error: QuantError) -> TrainError {
    TrainError::Failed(error.to_string())
}

/// `n` rows in `count` contiguous shares, the longer ones first.
fn shares(n: usize, count: usize) -> Vec<Range<usize>> {
    let mut start = 0;
    (0..count)
        .map(|share| {
            let length = n / count + usize::from(share < n % count);
            start += length;
            start - length..start
        })
        .collect()
}

/// The shares of one of several processes: consecutive ones, and none for some where there are fewer shares.
fn shares_of(shares: usize, rank: usize, size: usize) -> Range<usize> {
    shares * rank / size..shares * (rank + 1) / size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_every_row_once() {
        assert_eq!(shares(7, 3), [0..3, 3..5, 5..7]);
        assert_eq!(shares(1, 3), [0..1, 1..1, 1..1]);
    }

    #[test]
    fn processes_have_every_share_once() {
        for (shares, size) in [(1, 1), (4, 4), (8, 3), (2, 4), (7, 2)] {
            let all: Vec<usize> = (0..size).flat_map(|rank| shares_of(shares, rank, size)).collect();
            assert_eq!(all, (0..shares).collect::<Vec<_>>(), "{shares} {size}");
        }
    }
}
