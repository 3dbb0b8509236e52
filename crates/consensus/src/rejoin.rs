//! The way back for a witness whose store was lost, under its old node id.
//!
//! It forgot two kinds of promises: votes, and acknowledged entries. Every other witness is
//! asked for its term and the end of its log (a question that changes nothing there). Then:
//!
//! - no second vote: its own highest vote can have mattered only through a candidate, which
//!   holds that term or a later one, and has been asked. The highest term heard becomes this
//!   witness's own, with a vote that nobody else gets;
//! - nothing acknowledged is outvoted: it neither votes nor stands for election until its log
//!   reaches the highest end heard, beyond which it can't have acknowledged anything.

use crate::{
    codec::{
        convert,
        wire::{Ballot, Position},
    },
    config::Config,
    error::{Error, StoreError},
    network::{Link, Network},
    store::Store,
};
use futures::future::join_all;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long to ask, in longest election timeouts.
const PATIENCE: u32 = 10;
/// Pause between two questions to one witness.
const PAUSE: Duration = Duration::from_millis(100);

struct Answer {
    ballot: Ballot,
    last: Option<Position>,
}

/// Asks the others and writes down what they say, if the store still needs it.
pub(crate) async fn ask(config: &Config, network: &Network, store: &Store) -> Result<(), Error> {
    if !store.must_ask() {
        return Ok(());
    }
    tracing::warn!("this witness begins with an empty store in place of a lost one: asking all others");
    let limit = Duration::from(config.timing.election_max) * PATIENCE;
    let others: Vec<u64> = config.members.keys().copied().filter(|id| *id != config.me).collect();
    let answers = join_all(others.iter().map(|id| question(network.small_link(*id), limit))).await;
    let silent: Vec<String> = others
        .iter()
        .zip(&answers)
        .filter(|(_, answer)| answer.is_none())
        .filter_map(|(id, _)| Some(config.members.get(id)?.site.to_string()))
        .collect();
    if !silent.is_empty() {
        return Err(Error::Rejoin(silent.join(", ")));
    }
    let answers: Vec<Answer> = answers.into_iter().flatten().collect();
    let (vote, until) = taken_over(config.me, &answers);
    store.rejoin(vote, until).await.map_err(|e| {
        Error::Store(StoreError::Io { path: config.data_directory.clone(), reason: e.to_string() })
    })
}

fn taken_over(me: u64, answers: &[Answer]) -> (Ballot, Position) {
    let term = answers.iter().map(|answer| answer.ballot.term).max().unwrap_or(0);
    let until = answers.iter().filter_map(|answer| answer.last).max();
    (Ballot { term, node: me, granted: false }, until.unwrap_or(Position { term: 0, index: 0 }))
}

async fn question(link: Link, limit: Duration) -> Option<Answer> {
    let started = Instant::now();
    while started.elapsed() < limit {
        match link.inquire(limit / PATIENCE).await {
            Ok(answer) => {
                let last = convert::positions(answer.last_log_id.as_ref());
                return Some(Answer { ballot: convert::ballot(&answer.vote), last });
            }
            Err(error) => tracing::debug!(%error, "no answer yet"),
        }
        sleep(PAUSE).await;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_term_and_the_longest_log_are_taken_over() {
        let answer = |term, last: Option<(u64, u64)>| Answer {
            ballot: Ballot { term, node: 2, granted: true },
            last: last.map(|(term, index)| Position { term, index }),
        };
        let (vote, until) = taken_over(1, &[answer(7, Some((5, 90))), answer(6, Some((6, 40)))]);
        assert_eq!(vote, Ballot { term: 7, node: 1, granted: false }, "nobody else gets this vote");
        assert_eq!(until, Position { term: 6, index: 40 }, "a later term is a later entry");
        let (vote, until) = taken_over(1, &[answer(0, None)]);
        assert_eq!((vote.term, until), (0, Position { term: 0, index: 0 }));
    }
}
