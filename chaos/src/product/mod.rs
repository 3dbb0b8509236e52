//! The product as the lab runs it: its files, its processes, its databases, its command line.

pub mod cgroups;
pub mod cluster;
pub mod command;
pub mod database;
pub mod files;
pub mod layout;
pub mod profile;
pub mod site;
