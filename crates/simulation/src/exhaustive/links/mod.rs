//! Every directed link matrix, held for longer than the lease: exactly the right verdict in each.
//!
//! All traffic is requests with answers, so a link that works one way carries nothing: what counts
//! of a matrix is which pairs hear each other. A witness leads if it exchanges requests and answers
//! with a majority; if several could, each of them is tried, for it depends on elections who does.
//! An actor needs a witness that it exchanges messages with and that is the leader or exchanges
//! messages with it: a renewal is forwarded once.
//!
//! Site 0 runs the stack. With 3 sites every matrix is a row of the golden table. With 5 sites
//! there are 2^20; those that differ only by the names of sites 1 to 4 are one class, and the
//! table has a row for each class: how many matrices, and what becomes of whom under which leader.

mod oracle;
mod world;

pub use oracle::{Ending, expected, leaders};
pub use world::run;

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Who hears whom: the pairs of a matrix that work both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Graph {
    /// How many sites.
    pub sites: usize,
    /// One bit for each pair (a, b) with a < b, in order.
    pub pairs: u32,
}

fn pairs(sites: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..sites).flat_map(move |a| (a + 1..sites).map(move |b| (a, b)))
}

impl Graph {
    /// What a directed matrix amounts to: two bits for each pair, there and back.
    #[must_use]
    pub fn of_matrix(sites: usize, matrix: u32) -> Self {
        let works = |n: usize| (matrix >> (2 * n)) & 3 == 3;
        let bits = pairs(sites).enumerate().filter(|(n, _)| works(*n)).map(|(n, _)| 1 << n);
        Self { sites, pairs: bits.fold(0, |all, bit: u32| all | bit) }
    }

    /// True if two sites hear each other.
    #[must_use]
    pub fn answers(&self, one: usize, other: usize) -> bool {
        let pair = (one.min(other), one.max(other));
        pairs(self.sites).position(|known| known == pair).is_some_and(|n| self.pairs >> n & 1 == 1)
    }

    /// How many others a site hears.
    #[must_use]
    pub fn neighbours(&self, site: usize) -> usize {
        (0..self.sites).filter(|other| self.answers(site, *other)).count()
    }

    fn renamed(&self, names: &[usize]) -> Self {
        let has = |(a, b): (usize, usize)| self.answers(names[a], names[b]);
        let bits = pairs(self.sites).enumerate().filter(|(_, pair)| has(*pair)).map(|(n, _)| 1 << n);
        Self { pairs: bits.fold(0, |all, bit: u32| all | bit), ..*self }
    }

    /// The first of all that differ only by the names of the sites behind site 0.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let orders = orders((1..self.sites).collect());
        let renamed = orders.iter().map(|order| {
            let names: Vec<usize> = [0].into_iter().chain(order.iter().copied()).collect();
            self.renamed(&names)
        });
        renamed.min().unwrap_or(*self)
    }

    fn text(&self) -> String {
        let all: Vec<String> = pairs(self.sites)
            .filter(|(a, b)| self.answers(*a, *b))
            .map(|(a, b)| format!("{a}-{b}"))
            .collect();
        if all.is_empty() { "none".to_owned() } else { all.join(" ") }
    }
}

fn orders(rest: Vec<usize>) -> Vec<Vec<usize>> {
    if rest.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (place, first) in rest.iter().enumerate() {
        let mut others = rest.clone();
        others.remove(place);
        for mut order in orders(others) {
            order.insert(0, *first);
            all.push(order);
        }
    }
    all
}

fn list(sites: &[usize]) -> String {
    let names: Vec<String> = sites.iter().map(ToString::to_string).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(",") }
}

fn ending_text(ending: &Ending) -> String {
    let active = match ending.active {
        Some(0) => "0 stays active".to_owned(),
        Some(n) => format!("failover to {n}"),
        None => "nobody runs it".to_owned(),
    };
    let (keep, lost, suspected) = (list(&ending.keep), list(&ending.lost), list(&ending.suspected));
    format!("{active}; leases {keep}; lost {lost}; suspected {suspected}")
}

/// A disagreement between production and the graph.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Where.
    pub graph: Graph,
    /// Under whom.
    pub leader: Option<usize>,
    /// What must have become of it.
    pub expected: Ending,
    /// What did.
    pub seen: Ending,
}

/// One graph under each of its possible leaders, in words; disagreements are noted.
fn row(graph: &Graph, differences: &mut Vec<Difference>) -> String {
    let able = leaders(graph);
    let tried = if able.is_empty() { vec![None] } else { able.into_iter().map(Some).collect() };
    let mut endings: Vec<(Vec<usize>, Ending)> = Vec::new();
    for leader in tried {
        let (expected, seen) = (expected(graph, leader), run(graph, leader));
        if expected != seen {
            differences.push(Difference { graph: *graph, leader, expected, seen: seen.clone() });
        }
        match endings.iter_mut().find(|(_, known)| *known == seen) {
            Some((leaders, _)) => leaders.extend(leader),
            None => endings.push((leader.into_iter().collect(), seen)),
        }
    }
    let text = |(leaders, ending): &(Vec<usize>, Ending)| {
        let by =
            if leaders.is_empty() { "no leader".to_owned() } else { format!("leader {}", list(leaders)) };
        format!("{by}: {}", ending_text(ending))
    };
    endings.iter().map(text).collect::<Vec<_>>().join(" | ")
}

/// The golden tables, and every disagreement between production and the graph.
#[must_use]
pub fn tables() -> (String, Vec<Difference>) {
    let (mut out, mut differences) = (String::new(), Vec::new());
    let mut known: BTreeMap<Graph, String> = BTreeMap::new();
    let _ = writeln!(out, "# 3 sites: every directed matrix (01 is the link from 0 to 1)");
    for matrix in 0..1_u32 << 6 {
        let graph = Graph::of_matrix(3, matrix);
        let row = known.entry(graph).or_insert_with(|| row(&graph, &mut differences));
        let _ = writeln!(out, "{} : {row}", matrix_text(matrix));
    }
    let _ = writeln!(out, "\n# 5 sites: classes of the 2^20 directed matrices");
    let mut classes: BTreeMap<Graph, u32> = BTreeMap::new();
    let canonical: Vec<Graph> = (0..1 << 10).map(|pairs| Graph { sites: 5, pairs }.canonical()).collect();
    for matrix in 0..1_u32 << 20 {
        *classes.entry(canonical[Graph::of_matrix(5, matrix).pairs as usize]).or_default() += 1;
    }
    for (graph, count) in &classes {
        let row = row(graph, &mut differences);
        let _ = writeln!(out, "{count:>6} x [{}] : {row}", graph.text());
    }
    (out, differences)
}

fn matrix_text(matrix: u32) -> String {
    let links = pairs(3).flat_map(|(a, b)| [(a, b), (b, a)]).enumerate();
    let up = |(n, (a, b))| if matrix >> n & 1 == 1 { format!("{a}{b}") } else { "..".to_owned() };
    links.map(up).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/links.txt");

    #[test]
    fn every_link_matrix_has_the_right_verdict() {
        let (table, differences) = tables();
        assert!(differences.is_empty(), "{} of them: {:#?}", differences.len(), differences.first());
        if std::env::var_os("GOLDEN_WRITE").is_some() {
            std::fs::write(GOLDEN, &table).expect("the golden file can be written");
        }
        let golden = std::fs::read_to_string(GOLDEN).expect("the golden file is there");
        let same = table.lines().zip(golden.lines()).find(|(now, then)| now != then);
        assert_eq!(same, None, "GOLDEN_WRITE=1 writes it anew");
        assert_eq!(table.lines().count(), golden.lines().count());
    }
}
