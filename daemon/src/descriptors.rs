//! The limits on file descriptors and connections.
//!
//! Many systems start a process with a limit of 1,024 descriptors, which it can raise. Each connection takes a descriptor, and
//! without a free one the daemon can neither accept nor open a model. So it raises the limit as far as its connections need, and
//! takes no more connections than it has descriptors for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for other uses: the index, models that are loaded or pulled, sockets of runners.
const RESERVE: u64 = 256;

/// Raises the limit for this many connections as far as the system allows, and returns the number of connections that fit.
pub fn make_room(connections: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let room = plan(limit.current, limit.maximum, connections);
    let mut descriptors = limit.current;
    if room.descriptors != limit.current {
        let raised = Rlimit {
            current: room.descriptors,
            maximum: limit.maximum,
        };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => {
                descriptors = room.descriptors;
                tracing::info!(open_files = descriptors, "raised the limit of open files");
            }
            Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
        }
    }
    let fitting = plan(descriptors, descriptors, connections).connections;
    if fitting < connections {
        tracing::warn!(
            max_connections = connections,
            taken = fitting,
            open_files = descriptors,
            "fewer connections are taken than configured, because the limit of open files is low"
        );
    }
    fitting
}

#[derive(Debug, PartialEq, Eq)]
struct Room {
    /// The limit to set; `None` for no limit.
    descriptors: Option<u64>,
    /// Connections that fit, at least one.
    connections: usize,
}

/// The limit to set, given the current limit and the highest permitted one.
fn plan(soft: Option<u64>, hard: Option<u64>, connections: usize) -> Room {
    let wanted = connections as u64 + RESERVE;
    let descriptors = soft.map(|soft| {
        let most = hard.unwrap_or(u64::MAX);
        // Never below the current limit, and not higher than needed, because runners inherit it.
        wanted.min(most).max(soft)
    });
    let room = descriptors.map_or(u64::MAX, |descriptors| descriptors.saturating_sub(RESERVE));
    Room {
        descriptors,
        connections: usize::try_from(room).map_or(connections, |room| connections.min(room).max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(soft: Option<u64>, hard: Option<u64>, descriptors: Option<u64>, connections: usize) {
        let expected = Room {
            descriptors,
            connections,
        };
        assert_eq!(plan(soft, hard, 4096), expected);
    }

    #[test]
    fn the_limit_is_raised_as_far_as_needed_and_allowed() {
        check(Some(1024), Some(1 << 20), Some(4352), 4096);
        check(Some(1024), None, Some(4352), 4096);
        check(Some(1024), Some(2048), Some(2048), 1792);
        check(Some(1024), Some(1024), Some(1024), 768);
        check(Some(100_000), Some(1 << 20), Some(100_000), 4096);
        check(None, None, None, 4096);
        check(Some(64), Some(64), Some(64), 1);
    }

    #[test]
    fn the_limit_is_set() {
        let fitting = make_room(16);
        let limit = getrlimit(Resource::Nofile);
        assert!((1..=16).contains(&fitting));
        assert!(limit.current.is_none_or(|now| now >= fitting as u64));
    }
}
