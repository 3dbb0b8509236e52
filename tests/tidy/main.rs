//! The shape of the tree, as tests: the layering table of the design, who may name which library,
//! sizes, bans, and generated documents that are current.

mod bans;
mod documents;
mod layering;
mod tree;
