//! The shape of the tree, as tests: the layering table of the design, who may name which library,
//! sizes, bans, generated documents that are current, and that no planted bug gets into production.

mod bans;
mod documents;
mod layering;
mod planted;
mod tree;
