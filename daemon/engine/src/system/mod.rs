//! The process and the machine: files of the system, further processes, memory, threads and the log.

pub(crate) mod child;
pub(crate) mod fs;
pub(crate) mod log;
pub(crate) mod memory;
pub(crate) mod threads;
pub(crate) mod worker;
