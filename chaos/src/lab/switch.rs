//! A small Ethernet switch on TAP devices with delay, jitter and loss: the kernel of the lab has
//! no netem. One thread, one heap of frames by their due time.
//!
//! Every place has a TAP device `eth0` in its own namespace with a known address, so there is
//! nothing to learn: the last byte of the destination is the port; anything else is flooded.
//! Frames between two places keep their order, as on one line.

use super::netns;
use super::network::{OUTSIDE, Wan};
use crate::clock;
use anyhow::{Context, Result, bail};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

/// First five bytes of every port's address (locally administered).
const MAC_PREFIX: [u8; 5] = [0x02, 0x54, 0x50, 0x00, 0x00];
/// More than a frame with a tag has at an MTU of 1500.
const FRAME_MAX: usize = 2_048;
/// Frames under way at once; more are dropped, as a full queue does.
const QUEUE_MAX: usize = 65_536;
/// Longest sleep of the loop.
const IDLE_NS: u64 = 1_000_000_000;

/// A port's address as `ip link` takes it.
#[must_use]
pub fn mac_text(place: u8) -> String {
    let [a, b, c, d, e] = MAC_PREFIX;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{place:02x}")
}

/// A frame on its way.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    due: u64,
    order: u64,
    to: u8,
    frame: Vec<u8>,
}

/// The frames under way and when they arrive. No IO.
struct Wire {
    wan: Wan,
    flights: BinaryHeap<Reverse<Flight>>,
    last_due: BTreeMap<(u8, u8), u64>,
    order: u64,
    dice: u64,
}

impl Wire {
    fn new(wan: Wan) -> Self {
        Self {
            wan,
            flights: BinaryHeap::new(),
            last_due: BTreeMap::new(),
            order: 0,
            dice: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// A number below `below` (xorshift: a lab needs no better).
    fn roll(&mut self, below: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        if below == 0 { 0 } else { self.dice % below }
    }

    /// Takes a frame that came in at `from`.
    fn send(&mut self, now: u64, from: u8, ports: &[u8], frame: &[u8]) {
        for to in destinations(frame, from, ports) {
            let lost = self.roll(1_000) < u64::from(self.wan.loss_permille);
            if lost || self.flights.len() >= QUEUE_MAX {
                continue;
            }
            let jitter = self.roll(u64::from(self.wan.jitter_ms) * 1_000_000);
            let earliest = self.last_due.get(&(from, to)).copied().unwrap_or(0);
            let due = (now + u64::from(self.wan.rtt_ms) * 500_000 + jitter).max(earliest);
            self.last_due.insert((from, to), due);
            self.order += 1;
            self.flights.push(Reverse(Flight { due, order: self.order, to, frame: frame.to_vec() }));
        }
    }

    /// The next frame that has arrived by `now`.
    fn arrived(&mut self, now: u64) -> Option<Flight> {
        if self.flights.peek()?.0.due > now {
            return None;
        }
        self.flights.pop().map(|r| r.0)
    }

    /// When the next one arrives.
    fn next_due(&self) -> Option<u64> {
        self.flights.peek().map(|r| r.0.due)
    }
}

/// Where a frame goes.
fn destinations(frame: &[u8], from: u8, ports: &[u8]) -> Vec<u8> {
    let known = frame.get(..6).and_then(|mac| mac.strip_prefix(&MAC_PREFIX)).and_then(<[u8]>::first);
    match known {
        Some(port) if *port == from => Vec::new(),
        Some(port) if ports.contains(port) => vec![*port],
        _ => ports.iter().copied().filter(|p| *p != from).collect(),
    }
}

/// Makes the devices and forwards until the process is ended or a device goes away.
///
/// # Errors
/// If a device can't be made.
pub fn run(lab: &str, sites: u8, wan: Wan) -> Result<()> {
    let ports: Vec<u8> = (1..=sites).chain([OUTSIDE]).collect();
    let mut taps = Vec::new();
    for port in &ports {
        let name = if *port == OUTSIDE { format!("{lab}-br") } else { format!("{lab}-dc{port}") };
        taps.push((*port, netns::inside(&name, open_tap).with_context(|| format!("TAP in {name}"))?));
    }
    let mut wire = Wire::new(wan);
    let mut frame = [0_u8; FRAME_MAX];
    loop {
        wait(&taps, wire.next_due())?;
        for (port, tap) in &mut taps {
            while let Ok(length) = tap.read(&mut frame) {
                wire.send(clock::now(), *port, &ports, &frame[..length]);
            }
        }
        while let Some(flight) = wire.arrived(clock::now()) {
            if let Some((_, tap)) = taps.iter_mut().find(|(port, _)| *port == flight.to) {
                let _ = tap.write(&flight.frame); // a full or downed device loses it, as a wire does
            }
        }
    }
}

/// Sleeps until a device has a frame or the next one is due.
fn wait(taps: &[(u8, File)], due: Option<u64>) -> Result<()> {
    let now = clock::now();
    let sleep = due.map_or(IDLE_NS, |d| d.saturating_sub(now).min(IDLE_NS));
    let timeout = libc::timespec {
        tv_sec: libc::time_t::try_from(sleep / 1_000_000_000).unwrap_or(1),
        tv_nsec: libc::c_long::try_from(sleep % 1_000_000_000).unwrap_or(0),
    };
    let mut fds: Vec<libc::pollfd> = taps
        .iter()
        .map(|(_, tap)| libc::pollfd { fd: tap.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    let count = libc::nfds_t::try_from(fds.len()).context("few ports")?;
    // SAFETY: `fds` is a valid array of `count` entries for the whole call, and so is `timeout`.
    let ready = unsafe { libc::ppoll(fds.as_mut_ptr(), count, &raw const timeout, std::ptr::null()) };
    if ready < 0 && std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
        bail!("ppoll: {}", std::io::Error::last_os_error());
    }
    if fds.iter().any(|f| f.revents & libc::POLLERR != 0) {
        bail!("a device has gone: the lab is down");
    }
    Ok(())
}

/// Opens `eth0` as a TAP device in the namespace of the calling thread.
fn open_tap() -> Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")
        .context("/dev/net/tun")?;
    let mut request = InterfaceRequest { name: [0; 16], flags: IFF_TAP | IFF_NO_PI, rest: [0; 22] };
    request.name[..4].copy_from_slice(b"eth0");
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`; `request` has its size and layout and
    // lives through the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
    if result < 0 {
        bail!("TUNSETIFF: {}", std::io::Error::last_os_error());
    }
    Ok(file)
}

/// `struct ifreq` as TUNSETIFF uses it.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(to: u8) -> Vec<u8> {
        let mut bytes = MAC_PREFIX.to_vec();
        bytes.push(to);
        bytes.resize(60, 0);
        bytes
    }

    #[test]
    fn a_frame_arrives_after_half_a_round_trip_at_its_port_alone() {
        let mut wire = Wire::new(Wan { rtt_ms: 60, ..Wan::default() });
        wire.send(0, 1, &[1, 2, 3, 9], &frame(2));
        assert_eq!(wire.next_due(), Some(30_000_000));
        assert!(wire.arrived(29_999_999).is_none());
        assert_eq!(wire.arrived(30_000_000).map(|f| f.to), Some(2));
        assert!(wire.arrived(u64::MAX).is_none());
    }

    #[test]
    fn a_broadcast_goes_to_all_others() {
        assert_eq!(destinations(&[0xff; 60], 2, &[1, 2, 3, 9]), [1, 3, 9]);
        assert_eq!(destinations(&frame(2), 2, &[1, 2]), [] as [u8; 0]);
    }

    #[test]
    fn jitter_keeps_the_order_of_a_line() {
        let mut wire = Wire::new(Wan { rtt_ms: 10, jitter_ms: 50, loss_permille: 0 });
        for n in 0..200_u64 {
            let mut one = frame(2);
            one[20] = u8::try_from(n).expect("below 256");
            wire.send(n * 1_000_000, 1, &[1, 2], &one);
        }
        let seen: Vec<u8> = std::iter::from_fn(|| wire.arrived(u64::MAX)).map(|f| f.frame[20]).collect();
        assert!(seen.is_sorted());
        assert_eq!(seen.len(), 200);
    }

    #[test]
    fn loss_loses_about_what_it_should() {
        let mut wire = Wire::new(Wan { rtt_ms: 0, jitter_ms: 0, loss_permille: 100 });
        for _ in 0..10_000 {
            wire.send(0, 1, &[1, 2], &frame(2));
        }
        assert!((8_500..9_500).contains(&wire.flights.len()), "{}", wire.flights.len());
    }
}
