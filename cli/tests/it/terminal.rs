//! A pseudo-terminal for tests.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Longer than any test takes; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Screen {
    bytes: Vec<u8>,
    closed: bool,
}

/// Both sides of a terminal with 80 columns.
pub(crate) struct Pty {
    master: File,
    pub(crate) slave: File,
}

impl Pty {
    pub(crate) fn open() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).unwrap();
        let slave = File::options().read(true).write(true).open(name).unwrap();
        Self {
            master: File::from(master),
            slave,
        }
    }
}

/// A program on a terminal with 80 columns.
pub(crate) struct Terminal {
    keyboard: File,
    child: Child,
    screen: Arc<(Mutex<Screen>, Condvar)>,
    /// Offset up to which the screen was read.
    read: usize,
}

impl Terminal {
    /// Starts `command` on a new terminal.
    pub(crate) fn start(mut command: Command) -> Self {
        let Pty { master, slave } = Pty::open();
        let child = command
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave)
            .spawn()
            .unwrap();
        // While the command holds copies of the terminal, the terminal never ends.
        drop(command);
        let screen = Arc::new((Mutex::new(Screen::default()), Condvar::new()));
        watch(master.try_clone().unwrap(), Arc::clone(&screen));
        Self {
            keyboard: master,
            child,
            screen,
            read: 0,
        }
    }

    /// Types `keys`.
    pub(crate) fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Ctrl-C while the program does not read keys: the terminal sends a signal.
    pub(crate) fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Waits until `text` appears after the last read, and returns the screen up to it.
    pub(crate) fn read_until(&mut self, text: &str) -> String {
        let (lock, changed) = &*self.screen;
        let start = self.read;
        let find = |screen: &Screen| {
            let seen = String::from_utf8_lossy(&screen.bytes[start..]).into_owned();
            seen.find(text)
                .map(|at| (seen[..at].to_owned(), at + text.len()))
        };
        let (screen, _) = changed
            .wait_timeout_while(lock.lock().unwrap(), PATIENCE, |screen| {
                find(screen).is_none() && !screen.closed
            })
            .unwrap();
        let Some((before, length)) = find(&screen) else {
            let seen = String::from_utf8_lossy(&screen.bytes).into_owned();
            panic!("`{text}` never appeared after byte {start} of:\n{seen}");
        };
        self.read += length;
        before
    }

    /// Waits for the end of the program.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let (lock, changed) = &*self.screen;
        let (screen, waited) = changed
            .wait_timeout_while(lock.lock().unwrap(), PATIENCE, |screen| !screen.closed)
            .unwrap();
        if waited.timed_out() {
            let _ = self.child.kill();
            panic!(
                "it did not end:\n{}",
                String::from_utf8_lossy(&screen.bytes)
            );
        }
        self.child.wait().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Collects the screen until the program has closed the terminal.
fn watch(mut master: File, screen: Arc<(Mutex<Screen>, Condvar)>) {
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        // Linux reports the end of the other side as an error.
        while let Ok(count @ 1..) = master.read(&mut piece) {
            screen
                .0
                .lock()
                .unwrap()
                .bytes
                .extend_from_slice(&piece[..count]);
            screen.1.notify_all();
        }
        screen.0.lock().unwrap().closed = true;
        screen.1.notify_all();
    });
}
