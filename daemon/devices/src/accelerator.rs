//! Device files, and what this process may do with them.

use serde::{Deserialize, Serialize};

use crate::root::Root;

/// A device file of an accelerator, through which drivers reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its path, such as `/dev/dri/renderD128`.
    pub path: String,
    /// Whether this process may read and write it.
    pub access: Access,
    /// Its group, whose members usually may; absent if the file does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// Whether this process may read and write a device file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// It may.
    Granted,
    /// The permissions of the file forbid it.
    Denied,
    /// The file does not exist, as in a container that was started without the device.
    Absent,
}

impl Node {
    pub(crate) fn look(root: &Root, path: String) -> Self {
        Self {
            access: root.access(&path),
            group: root.group(&path),
            path,
        }
    }
}
