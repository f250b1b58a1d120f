//! Processes that run plugins: the gateway's side of them, and their own.
//!
//! A worker is the same binary with the same runtime of plugins behind the same two traits; a socket
//! pair lies between. Knows neither Python nor HTTP: what runs plugin code in the worker is given to
//! [`child::run`] by the command line.

mod cgroups;
pub mod child;
pub mod confine;
pub mod crashes;
mod database_use;
mod description;
mod frame;
mod isolations;
mod link;
mod pace;
pub mod pool;
mod process;
pub mod program;
mod registrations;
mod remote_host;
mod running;
mod sampler;
mod spawner;
mod worker;

pub use isolations::{IsolationView, Isolations, LimitView};
pub use pool::{PoolObserver, PoolSettings, PoolView, WorkerPool, WorkerView};
pub use spawner::Spawner;
