//! The stages of a fence.
//!
//! Fast shutdown at once; after half a second SIGTERM to walsenders that hold it up (a frozen
//! standby does, for a minute); a moment of immediate shutdown; SIGKILL of every process at
//! 0.6 F, which leaves 0.4 F for the kernel.

use model::Millis;

/// Walsenders may ship the last WAL for this long.
const WALSENDERS_AFTER: Millis = Millis(500);
/// How long before SIGKILL the immediate shutdown begins, at most.
const IMMEDIATE_BEFORE_KILL: Millis = Millis(300);
/// In tenths of F.
const KILL_TENTHS: u64 = 6;
/// In tenths of F: a gate that fences re-arms its kernel timer to this, counted from the anchor.
pub const TIMER_TENTHS: u64 = 8;

/// How far a fence has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FenceStage {
    /// SIGINT to the postmaster.
    Fast,
    /// And SIGTERM to walsenders.
    Walsenders,
    /// SIGQUIT to the postmaster.
    Immediate,
    /// SIGKILL to all.
    Kill,
}

/// The stage that is due `elapsed` after the anchor: the deadline, or the instant at which
/// the cover was taken away.
#[must_use]
pub fn fence_stage(elapsed: Millis, fence_deadline: Millis) -> FenceStage {
    let kill = fence_deadline.0 * KILL_TENTHS / 10;
    let immediate = kill.saturating_sub(IMMEDIATE_BEFORE_KILL.0).max(kill * 9 / 10);
    let walsenders = WALSENDERS_AFTER.0.min(immediate * 9 / 10);
    match elapsed.0 {
        t if t >= kill => FenceStage::Kill,
        t if t >= immediate => FenceStage::Immediate,
        t if t >= walsenders => FenceStage::Walsenders,
        _ => FenceStage::Fast,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn stages_come_in_order_and_sigkill_leaves_a_margin() {
        for f in [300, 1_000, 2_000, 4_000, 60_000] {
            let stages: Vec<_> = (0..=f).map(|t| fence_stage(Millis(t), Millis(f))).collect();
            assert!(stages.is_sorted(), "F = {f}");
            assert_eq!(stages[0], FenceStage::Fast);
            let kill = stages.iter().position(|s| *s == FenceStage::Kill).expect("it comes to that");
            assert!(kill as u64 <= f * 6 / 10, "F = {f}: SIGKILL only at {kill}");
            assert!(
                stages.contains(&FenceStage::Walsenders) && stages.contains(&FenceStage::Immediate),
                "F = {f}"
            );
        }
    }

    #[test]
    fn walsenders_get_half_a_second_where_there_is_time() {
        assert_eq!(fence_stage(Millis(499), Millis(4_000)), FenceStage::Fast);
        assert_eq!(fence_stage(Millis(500), Millis(4_000)), FenceStage::Walsenders);
    }
}
