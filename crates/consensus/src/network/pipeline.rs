//! Log entries to one follower over one gRPC stream: the next goes out before the last is
//! acknowledged, so that a commit costs one round trip however many are under way.

use super::{Link, millis, network};
use crate::{
    codec::{Kind, convert, open},
    group::Group,
};
use futures::{Stream, StreamExt, future, stream};
use openraft::{
    OptionalSend, RPCTypes,
    base::BoxStream,
    errors::{NetworkError, RPCError},
    raft::{AppendEntriesRequest, StreamAppendResult},
};
use rpc::{
    client,
    tonic::Streaming,
    v1::{RaftRequest, RaftResponse},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};

/// How long making the stream, and a slow disk at the follower, may take at least: heartbeats go
/// their own way, and an early retry would only send everything again.
const PATIENCE: Duration = Duration::from_secs(1);

type Item = Result<StreamAppendResult<Group>, RPCError<Group>>;

/// How many requests went out, so that the reader knows whether it is owed an answer.
#[derive(Default)]
struct Sent {
    count: AtomicU64,
    more: Notify,
}

pub(super) async fn run<'s, S>(
    link: &'s mut Link,
    mut input: S,
    limit: Duration,
) -> Result<BoxStream<'s, Item>, RPCError<Group>>
where
    S: Stream<Item = AppendEntriesRequest<Group>> + OptionalSend + Unpin + 'static,
{
    // openraft pauses after a failure where it hands out the next request: an attempt that fails
    // without having asked for one would be followed by the next at once, and so on.
    let Some(first) = input.next().await else { return Ok(stream::empty().boxed()) };
    link.speak()?;
    let limit = limit.max(PATIENCE);
    let sent = Arc::new(Sent::default());
    let outgoing = outgoing(link, stream::iter([first]).chain(input), Arc::clone(&sent));
    let mut client = link.client()?;
    let answers = client::within(millis(limit), client.append(outgoing)).await;
    let answers =
        answers.map_err(|status| link.failed(RPCTypes::AppendEntries, limit, &status))?.into_inner();
    let reader = Reader { link, answers, sent, received: 0, limit };
    Ok(stream::unfold(Some(reader), Reader::step).boxed())
}

/// Ends early, so that the stream is made anew, when this leader falls silent.
fn outgoing<S>(link: &Link, input: S, sent: Arc<Sent>) -> impl Stream<Item = RaftRequest> + Send + 'static
where
    S: Stream<Item = AppendEntriesRequest<Group>> + OptionalSend + Unpin + 'static,
{
    let (shared, target) = (link.network.clone(), link.target);
    input.map_while_ok(move |request| {
        if shared.silence.now() {
            return None;
        }
        // Only what was stored before is sent; a frame that can't be made can't be stored either.
        let frame = convert::append_request(shared.founding, &request).ok()?;
        sent.count.fetch_add(1, Ordering::AcqRel);
        sent.more.notify_one();
        Some(RaftRequest { from: shared.me, to: target, frame })
    })
}

trait MapWhile: Stream + Sized {
    fn map_while_ok<T>(self, map: impl FnMut(Self::Item) -> Option<T> + Send) -> impl Stream<Item = T> {
        self.map(map).take_while(|item| future::ready(item.is_some())).filter_map(future::ready)
    }
}

impl<S: Stream> MapWhile for S {}

struct Reader<'s> {
    link: &'s mut Link,
    answers: Streaming<RaftResponse>,
    sent: Arc<Sent>,
    received: u64,
    limit: Duration,
}

impl<'s> Reader<'s> {
    async fn step(reader: Option<Self>) -> Option<(Item, Option<Self>)> {
        let mut reader = reader?;
        let item = reader.next().await?;
        let on = matches!(item, Ok(Ok(_)));
        Some((item, on.then_some(reader)))
    }

    async fn next(&mut self) -> Option<Item> {
        let answer = loop {
            if self.sent.count.load(Ordering::Acquire) > self.received {
                match timeout(self.limit, self.answers.message()).await {
                    Ok(answer) => break answer,
                    Err(_) => return Some(Err(self.link.timeout(RPCTypes::AppendEntries, self.limit))),
                }
            }
            tokio::select! {
                answer = self.answers.message() => break answer,
                () = self.sent.more.notified() => {}
            }
        };
        self.received += 1;
        match answer {
            Ok(None) => None,
            Ok(Some(response)) => Some(decode(&response.frame)),
            Err(status) => Some(Err(self.link.failed(RPCTypes::AppendEntries, self.limit, &status))),
        }
    }
}

fn decode(frame: &[u8]) -> Item {
    let response = open(Kind::AppendResponse, frame).map_err(|e| network(&e))?;
    convert::stream_result_back(response)
        .ok_or_else(|| RPCError::Network(NetworkError::from_string("a conflict without a place")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{group::Vote, network::Network, silence::Silence};
    use std::{collections::BTreeMap, sync::atomic::AtomicBool};

    #[tokio::test]
    async fn an_attempt_that_fails_has_asked_for_a_request_first() {
        let silence = Arc::new(Silence::new(PATIENCE, PATIENCE));
        let network = Network { me: 1, founding: 0, peers: Arc::new(BTreeMap::new()), silence };
        let mut nobody = Link { network, target: 2, client: None, pipelined: true };
        let asked = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&asked);
        let input = stream::repeat_with(move || {
            flag.store(true, Ordering::Release);
            AppendEntriesRequest {
                vote: Vote::new_committed(1, 1),
                prev_log_id: None,
                entries: vec![],
                leader_commit: None,
            }
        });
        let failed = run(&mut nobody, input, PATIENCE).await.map(|_| ());
        assert!(matches!(failed, Err(RPCError::Unreachable(_))), "{failed:?}");
        assert!(asked.load(Ordering::Acquire), "openraft had no chance to pause");
        let nothing = stream::empty().boxed();
        let ended = run(&mut nobody, nothing, PATIENCE).await.map(|answers| answers.count());
        assert_eq!(ended.expect("nothing to send").await, 0);
    }
}
