//! Spare runners: processes that wait for the files of a model that is not known at their start.
//!
//! A spare runner reserves the descriptors from 3 on before it loads any library, so that no library takes them. The daemon sends the
//! files over the socket of the protocol, with `SCM_RIGHTS` (unix(7)), in one message of one byte: the number of files. The runner
//! moves them to the reserved descriptors, which are then as inherited, confines itself, and says hello.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, IntoRawFd as _, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The option with which a runner starts as a spare one.
pub const SPARE: &str = "--spare";

/// Most files that a spare runner takes.
pub const MAX_SPARE_FILES: usize = 128;

/// Sends the files to a spare runner.
///
/// # Errors
/// The system's error, and [`io::ErrorKind::InvalidInput`] for more than [`MAX_SPARE_FILES`].
pub fn send(socket: impl AsFd, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    let count = u8::try_from(files.len()).ok();
    let count = count.filter(|count| usize::from(*count) <= MAX_SPARE_FILES);
    let count = count.ok_or(io::ErrorKind::InvalidInput)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SPARE_FILES))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !rights.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let sent = sendmsg(
        socket,
        &[IoSlice::new(&[count])],
        &mut rights,
        SendFlags::NOSIGNAL,
    )?;
    if sent == 1 {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

/// The descriptors that a spare runner reserved for its files.
#[derive(Debug)]
pub struct Reserved {
    /// The number of the first one.
    first: i32,
    held: Vec<OwnedFd>,
}

impl Reserved {
    /// Reserves the descriptors from `first` on. Call it before a library opens a file.
    ///
    /// # Errors
    /// The system's error, and [`io::ErrorKind::AddrInUse`] when one of them is open already.
    pub fn new(first: i32) -> io::Result<Self> {
        let (end, other) = std::os::unix::net::UnixStream::pair()?;
        // The pair itself may have taken descriptors of the range.
        let above = first.saturating_add(i32::try_from(MAX_SPARE_FILES).unwrap_or(i32::MAX));
        let end = {
            let moved = rustix::io::fcntl_dupfd_cloexec(&end, above)?;
            drop((end, other));
            moved
        };
        let mut reserved = Self {
            first,
            held: Vec::with_capacity(MAX_SPARE_FILES),
        };
        for number in (first..).take(MAX_SPARE_FILES) {
            let held = rustix::io::fcntl_dupfd_cloexec(&end, number)?;
            if rustix::fd::AsRawFd::as_raw_fd(&held) != number {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            reserved.held.push(held);
        }
        Ok(reserved)
    }

    /// Waits for the files, and moves them to the reserved descriptors, which then stay open. Returns their number; `None` when the
    /// daemon closed the socket.
    ///
    /// # Errors
    /// The system's error, and [`io::ErrorKind::InvalidData`] when another number of files came than was said.
    pub fn receive(mut self, socket: impl AsFd) -> io::Result<Option<usize>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SPARE_FILES))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let mut count = [0_u8];
        let received = recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut count)],
            &mut rights,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        if received.bytes == 0 {
            return Ok(None);
        }
        let files: Vec<OwnedFd> = rights
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(files) => Some(files),
                _ => None,
            })
            .flatten()
            .collect();
        if files.len() != usize::from(count[0]) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let count = files.len();
        for (place, file) in self.held.iter_mut().zip(&files) {
            rustix::io::dup2(file, place)?;
        }
        // Like inherited descriptors, they have no owner. The others are closed.
        for place in self.held.drain(..count) {
            let _: i32 = place.into_raw_fd();
        }
        Ok(Some(count))
    }

    /// The number of the first descriptor.
    pub fn first(&self) -> i32 {
        self.first
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read as _, Write as _},
        os::{fd::AsFd as _, unix::net::UnixStream},
    };

    use super::*;

    /// A number above all that other tests of this process open.
    const FIRST: i32 = 500;

    fn file(text: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        file
    }

    #[test]
    fn files_arrive_at_the_reserved_descriptors() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let reserved = Reserved::new(FIRST).unwrap();
        assert_eq!(reserved.first(), FIRST);
        let files = [file("weights"), file("adapter")];
        send(&ours, &files.each_ref().map(|file| file.as_fd())).unwrap();
        drop(files);
        assert_eq!(reserved.receive(&theirs).unwrap(), Some(2));
        for (number, text) in [(FIRST, "weights"), (FIRST + 1, "adapter")] {
            let mut found = String::new();
            let path = format!("/proc/self/fd/{number}");
            File::open(path)
                .unwrap()
                .read_to_string(&mut found)
                .unwrap();
            assert_eq!(found, text);
        }
        // The rest is closed.
        assert!(!std::path::Path::new(&format!("/proc/self/fd/{}", FIRST + 2)).exists());
        // The protocol goes on over the same socket.
        (&ours).write_all(b"frame").unwrap();
        let mut frame = [0; 5];
        (&theirs).read_exact(&mut frame).unwrap();
        assert_eq!(&frame, b"frame");
    }

    #[test]
    fn a_model_without_files_and_a_daemon_that_is_gone() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(&ours, &[]).unwrap();
        assert_eq!(
            Reserved::new(700).unwrap().receive(&theirs).unwrap(),
            Some(0)
        );
        drop(ours);
        assert_eq!(Reserved::new(700).unwrap().receive(&theirs).unwrap(), None);
    }

    #[test]
    fn more_files_than_are_reserved_are_not_sent() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let file = file("");
        let files = vec![file.as_fd(); MAX_SPARE_FILES + 1];
        let error = send(&ours, &files).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
