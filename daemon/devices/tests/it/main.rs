//! Reads the files of machines that are not here, from `tests/machines`.

mod inventory;
mod layout;
mod machines;
mod odd;
