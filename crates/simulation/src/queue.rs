//! What is to happen, in the order of time; what was put in first comes first among equals.

use crate::history::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events by time. The heap moves small keys; the events lie still beside it.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Reverse<(Time, u32, u32)>>,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    number: u32,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::with_capacity(256),
            slots: Vec::with_capacity(256),
            free: Vec::new(),
            number: 0,
        }
    }
}

impl<E> Queue<E> {
    /// `event` is to happen at `at`.
    pub fn push(&mut self, at: Time, event: E) {
        if at == Time::MAX {
            return;
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(event);
                slot
            }
            None => {
                self.slots.push(Some(event));
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 events wait at once")
            }
        };
        // A run has far fewer than 2^32 events.
        self.number = self.number.wrapping_add(1);
        self.heap.push(Reverse((at, self.number, slot)));
    }

    /// The next event and its time.
    pub fn pop(&mut self) -> Option<(Time, E)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        self.slots[slot as usize].take().map(|event| (at, event))
    }

    /// When the next event is.
    #[must_use]
    pub fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_come_in_the_order_in_which_they_were_put_in() {
        let mut queue = Queue::default();
        for (at, event) in [(5, 'b'), (1, 'a'), (5, 'c'), (7, 'e'), (5, 'd')] {
            queue.push(at, event);
        }
        let all: String = std::iter::from_fn(|| queue.pop()).map(|(_, event)| event).collect();
        assert_eq!(all, "abcde");
    }
}
