//! What must follow from a matrix, read off the graph alone: no rule of production is used here.

use super::Graph;

/// What became of the sites.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ending {
    /// Sites whose lease is valid at the end.
    pub keep: Vec<usize>,
    /// Sites that were suspected on the way.
    pub suspected: Vec<usize>,
    /// Sites that the group calls lost at the end.
    pub lost: Vec<usize>,
    /// The site that runs the stack at the end, if one may.
    pub active: Option<usize>,
}

/// Who can lead: whoever exchanges requests and answers with a majority, itself included.
#[must_use]
pub fn leaders(graph: &Graph) -> Vec<usize> {
    (0..graph.sites).filter(|l| graph.neighbours(*l) + 1 > graph.sites / 2).collect()
}

/// What must have happened once the matrix has held for longer than any lease.
#[must_use]
pub fn expected(graph: &Graph, leader: Option<usize>) -> Ending {
    // Without a leader nobody is accused, and everybody closes by himself.
    let Some(leader) = leader else { return Ending::default() };
    let hears = |w: usize| w == leader || graph.answers(w, leader);
    let keeps = |s: &usize| (0..graph.sites).any(|w| (w == *s || graph.answers(*s, w)) && hears(w));
    let (keep, lost): (Vec<_>, Vec<_>) = (0..graph.sites).partition(keeps);
    let blind = |s: usize| (0..graph.sites).filter(|w| *w != s && hears(*w) && !graph.answers(*w, s)).count();
    let suspected = lost.iter().copied().filter(|s| blind(*s) > graph.sites / 2).collect();
    // Site 0 runs the stack; all stream from it, and the order of the sites is their priority.
    let active = if keep.contains(&0) { Some(0) } else { keep.first().copied() };
    Ending { keep, suspected, lost, active }
}
