//! What is done to the product, what is expected of it, and the judgement.

pub mod acts;
pub mod catalogue;
mod home;
pub mod judge;
pub mod plan;
pub mod run;
pub mod sampler;
pub mod special;
pub mod table;
