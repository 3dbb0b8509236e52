//! Synchronous sets.

use super::{ConvertError, site, unknown};
use crate::v1;
use model::{LogIndex, Lsn, SyncSeen, SyncSet, SyncSetting};

impl From<SyncSetting> for v1::SyncSetting {
    fn from(setting: SyncSetting) -> Self {
        Self {
            entry: setting.entry.0,
            k: setting.set.k.into(),
            members: setting.set.members.into_iter().map(String::from).collect(),
        }
    }
}

impl TryFrom<v1::SyncSetting> for SyncSetting {
    type Error = ConvertError;
    fn try_from(message: v1::SyncSetting) -> Result<Self, ConvertError> {
        let k = u8::try_from(message.k)
            .map_err(|_| unknown("k", i32::try_from(message.k).unwrap_or(i32::MAX)))?;
        let members = message.members.iter().map(|m| site("members", m)).collect::<Result<_, _>>()?;
        Ok(Self { entry: LogIndex(message.entry), set: SyncSet { k, members } })
    }
}

impl From<SyncSeen> for v1::SyncSeen {
    fn from(seen: SyncSeen) -> Self {
        Self { entry: seen.entry.0, lsn: seen.lsn.0 }
    }
}

impl From<v1::SyncSeen> for SyncSeen {
    fn from(message: v1::SyncSeen) -> Self {
        Self { entry: LogIndex(message.entry), lsn: Lsn(message.lsn) }
    }
}
