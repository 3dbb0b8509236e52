//! The gate: owns one database and runs it as a primary only while the lease is valid.
//! The dead-man's switch of a site (design, section 5).
//!
//! [`run`] is called on the process's main thread and stays there: it is the only thread that
//! forks, decides and kills. The actor's link and the role endpoint live on other threads and
//! hand it events.
//!
//! | module | what it is about |
//! | --- | --- |
//! | [`coordination::permit`] | what may be opened, and when it must close: pure |
//! | `supervisor` | the main thread's loop around it |
//! | `hold` | containment: cgroup, PID namespace, container; the warden |
//! | `timer`, `firewall` | what the kernel does when the gate cannot |
//! | `record`, `settings`, `timelines`, `data` | what is on disk |
//! | `beside`, `copy`, `waldump` | bringing a copy home: what lies beside the data directory, what it is, what diverged |
//! | `link`, `endpoint` | the actor, and load balancers |

mod beside;
mod check;
mod config;
mod copy;
mod data;
mod endpoint;
mod error;
mod firewall;
mod hold;
mod link;
mod lock;
mod processes;
mod record;
mod run;
mod settings;
mod shared;
mod supervisor;
mod sys;
mod timelines;
mod timer;
mod waldump;

pub use check::check;
pub use config::{Config, ContainmentChoice, KernelLeaseChoice, TERMS_DEFAULT};
pub use error::Error;
pub use run::run;
