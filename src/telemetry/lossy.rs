//! The daemon's way to stderr: a bounded queue, and a thread of its own that writes what is in it.
//!
//! Whoever logs never waits: not for a pipe that nobody reads, and not for a terminal that is
//! stopped. A line that finds the queue full is lost and counted, and so is a line that stderr does
//! not take. The thread says how many were lost once it can write again.
//!
//! Nothing here fails or panics. A stderr whose reader is gone answers EPIPE, since the runtime of
//! Rust ignores SIGPIPE: that line is lost, and the next one is tried all the same.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::AsFd;
use rustix::io::Errno;
use tracing::warn;

use super::LostLines;

/// The queue, as everybody holds it who writes to it.
#[derive(Clone)]
pub(super) struct Lossy(Arc<LineQueueShared>);

struct LineQueueShared {
    queue: Mutex<LineQueue>,
    /// There is a line to write.
    filled: Condvar,
    /// Everything is written.
    drained: Condvar,
}

#[derive(Default)]
struct LineQueue {
    lines: VecDeque<Vec<u8>>,
    /// In those lines.
    bytes: usize,
    /// A line was taken out and is being written.
    is_writing: bool,
    lost: LostLines,
    /// How many of those somebody was told of.
    told: u64,
}

impl Lossy {
    /// A queue whose lines `sink` is given, each whole.
    pub(super) fn begin(sink: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static) -> Lossy {
        let shared = LineQueueShared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            drained: Condvar::new(),
        };
        let lossy = Lossy(Arc::new(shared));
        let of_thread = lossy.clone();
        let begun = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || of_thread.write_all_of_it(sink));
        if begun.is_err() {
            // A machine without room for a thread: the queue fills, and then loses its lines.
            lossy.queue().lost.is_broken = true;
        }
        lossy
    }

    /// Takes a line if there is room for it.
    pub(super) fn push(&self, line: &[u8]) {
        let mut queue = self.queue();
        if queue.bytes + line.len() > BYTES_MAX {
            queue.lost.lines += 1;
            return;
        }
        queue.bytes += line.len();
        // The thread waits while there is none, and then only.
        if queue.lines.is_empty() {
            self.0.filled.notify_one();
        }
        queue.lines.push_back(line.to_vec());
    }

    /// The lines lost so far.
    pub(super) fn lost(&self) -> LostLines {
        self.queue().lost
    }

    /// Waits until everything is written, and no longer than this.
    pub(super) fn drain(&self, at_most: Duration) {
        let is_busy = |queue: &mut LineQueue| queue.is_writing || !queue.lines.is_empty();
        // Lines that are not written by then are lost with the process.
        let _drained = self.0.drained.wait_timeout_while(self.queue(), at_most, is_busy);
    }

    fn queue(&self) -> MutexGuard<'_, LineQueue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all_of_it(&self, mut sink: impl FnMut(&[u8]) -> io::Result<()>) {
        loop {
            let line = self.next();
            let written = sink(&line);
            let untold = self.ended(written.is_ok());
            if let Some(lines) = untold {
                warn!(lines, "log lines were lost, because the reader of stderr was too slow");
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let is_empty = |queue: &mut LineQueue| queue.lines.is_empty();
        let waited = self.0.filled.wait_while(self.queue(), is_empty);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
        let line = queue.lines.pop_front().unwrap_or_default();
        queue.bytes -= line.len();
        queue.is_writing = true;
        line
    }

    /// The number of lost lines that were not reported yet, once that can be said.
    fn ended(&self, is_written: bool) -> Option<u64> {
        let mut queue = self.queue();
        queue.is_writing = false;
        queue.lost.is_broken = !is_written;
        queue.lost.lines += u64::from(!is_written);
        if queue.lines.is_empty() {
            self.0.drained.notify_all();
        }
        let untold = queue.lost.lines - queue.told;
        if !is_written || untold == 0 || queue.bytes > BYTES_MAX / 2 {
            return None;
        }
        queue.told = queue.lost.lines;
        Some(untold)
    }
}

impl Write for Lossy {
    /// The subscriber hands over each entry in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to a descriptor, past the lock of the standard library's stderr: a thread that waits in
/// here keeps nobody from it.
pub(super) fn write_whole(to: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&to, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Somebody else made it non-blocking: whoever shares a terminal shares that, too.
            Err(Errno::AGAIN) => wait_for_room(&to)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn wait_for_room(to: &impl AsFd) -> io::Result<()> {
    match poll(&mut [PollFd::new(to, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The most bytes that wait: some thousands of lines.
const BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A queue whose sink tells each line and waits until it is let go on.
    fn held() -> (Lossy, Receiver<Vec<u8>>, Sender<()>) {
        let (tell, told) = channel();
        let (let_go, may_go) = channel();
        let lossy = Lossy::begin(move |line: &[u8]| {
            tell.send(line.to_vec()).unwrap();
            may_go.recv().map_err(|_| io::ErrorKind::BrokenPipe.into())
        });
        (lossy, told, let_go)
    }

    #[test]
    fn lines_come_whole_and_in_their_order() {
        let (lossy, told, let_go) = held();
        for line in [b"one\n".as_slice(), b"two\n", b"three\n"] {
            lossy.push(line);
            let_go.send(()).unwrap();
        }
        lossy.drain(PATIENCE);
        let written: Vec<u8> = told.try_iter().flatten().collect();
        assert_eq!(written, b"one\ntwo\nthree\n");
        assert_eq!(lossy.lost(), LostLines::default());
    }

    #[test]
    fn a_sink_that_takes_nothing_holds_nobody_up_and_no_more_than_a_mebibyte_waits_for_it() {
        let (lossy, told, _let_go) = held();
        let line = vec![b'x'; 1 << 10];
        lossy.push(&line);
        told.recv().unwrap();
        (0..3000).for_each(|_| lossy.push(&line));
        // One is being written, and 1024 wait.
        assert_eq!(lossy.lost(), LostLines { lines: 3000 - 1024, is_broken: false });
        lossy.drain(Duration::from_millis(1));
        assert_eq!(lossy.queue().lines.len(), 1024);
    }

    #[test]
    fn a_line_too_long_for_the_queue_is_lost_and_the_next_is_not() {
        let (lossy, told, let_go) = held();
        lossy.push(&vec![b'x'; BYTES_MAX + 1]);
        lossy.push(b"short\n");
        let_go.send(()).unwrap();
        assert_eq!(told.recv().unwrap(), b"short\n");
        assert_eq!(lossy.lost().lines, 1);
    }

    #[test]
    fn a_sink_that_fails_loses_its_lines_and_is_broken_until_it_takes_one_again() {
        let (tell, may_write) = channel::<bool>();
        let lossy = Lossy::begin(move |_: &[u8]| match may_write.recv().unwrap() {
            true => Ok(()),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        });
        for (is_good, lost) in [
            (true, LostLines { lines: 0, is_broken: false }),
            (false, LostLines { lines: 1, is_broken: true }),
            (false, LostLines { lines: 2, is_broken: true }),
            (true, LostLines { lines: 2, is_broken: false }),
        ] {
            lossy.push(b"line\n");
            tell.send(is_good).unwrap();
            lossy.drain(PATIENCE);
            assert_eq!(lossy.lost(), lost);
        }
    }

    #[test]
    fn a_descriptor_that_would_block_is_waited_for_and_one_without_a_reader_is_an_error() {
        let (mut reader, writer) = pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let received = thread::scope(|scope| {
            let received = scope.spawn(|| {
                let mut received = vec![0; 1_000_000];
                reader.read_exact(&mut received).unwrap();
                received
            });
            write_whole(&writer, &sent).unwrap();
            received.join().unwrap()
        });
        assert!(received == sent, "something else came out");
        drop(reader);
        let error = write_whole(&writer, b"more").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    /// Only a test that fails waits this long.
    const PATIENCE: Duration = Duration::from_secs(30);
}
