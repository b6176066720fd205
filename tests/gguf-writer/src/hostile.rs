//! Files that must be refused.
