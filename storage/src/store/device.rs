//! What becomes of a phone, its keys and its push address.

use tocsin_model::{
    Device, DeviceId, DeviceKey, DeviceStatus, KeyId, ProfileChange, PushTarget, TransactionId, UnixMs,
};

/// What became of the revoking of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// It is `revoked` now, or was so before.
    Stored,
    /// There is no such device.
    Absent,
}

/// A change of a device. What a phone signed carries the `iat` of its proof, which must be above the last one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChange {
    /// By the portal: another name, suspended or in use again.
    Manage {
        /// The new name.
        name: Option<Box<str>>,
        /// Whether it is suspended from now on.
        suspended: Option<bool>,
    },
    /// By the phone: what it says of itself.
    Profile {
        /// The changed parts.
        change: ProfileChange,
        /// When it signed.
        signed_at: UnixMs,
    },
    /// By the phone: where it can be pushed to.
    Push {
        /// The new address.
        target: PushTarget,
        /// When it signed.
        signed_at: UnixMs,
    },
    /// By the phone: remove it for good.
    Leave {
        /// When it signed.
        signed_at: UnixMs,
    },
}

impl DeviceChange {
    /// The `iat` of the proof, when a phone asked for the change.
    pub const fn signed_at(&self) -> Option<UnixMs> {
        match self {
            Self::Manage { .. } => None,
            Self::Profile { signed_at, .. } | Self::Push { signed_at, .. } | Self::Leave { signed_at } => {
                Some(*signed_at)
            }
        }
    }
}

/// What became of a change of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChanged {
    /// It is stored; this is the device now.
    Stored(Box<Device>),
    /// A device of this status cannot be changed so.
    Refused(DeviceStatus),
    /// The phone's last change was signed at the same time or later.
    Stale,
    /// There is no such device.
    Absent,
}

/// What became of a wrong PIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinTried {
    /// It is counted: so many in a row now.
    Counted {
        /// Wrong PINs in a row.
        used: u32,
    },
    /// It was the last one: the device is `revoked` now, in the same batch.
    Exhausted,
    /// The device was revoked before; nothing was counted.
    Revoked,
    /// There is no such device.
    Absent,
}

/// What became of the word that a device is about to change something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeNoted {
    /// Its time is stored.
    Stored,
    /// Its time is not above the last one; nothing was stored.
    NotAbove,
    /// There is no such device.
    Absent,
}

/// What entitles a phone to change its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyApproval {
    /// A signature by this PIN key, which must still be the device's.
    Pin {
        /// The key.
        kid: KeyId,
        /// The `iat` of what it signed.
        issued_at: UnixMs,
    },
    /// A transaction that this device had accepted, for a device without a PIN.
    Transaction(TransactionId),
}

/// A key to add, or to put in the place of the one with the same use.
#[derive(Clone, Debug)]
pub struct KeyChange {
    /// Whose.
    pub device_id: DeviceId,
    /// The key, with its new name.
    pub key: DeviceKey,
    /// What entitles to it.
    pub approval: KeyApproval,
    /// When it was asked for.
    pub now: UnixMs,
}

/// What became of a key to add or replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPut {
    /// It is stored.
    Stored,
    /// The device has this key already; nothing was stored.
    AlreadyThere,
    /// The approval does not stand (any more); nothing was stored.
    NotApproved,
    /// The device is revoked.
    Revoked,
    /// There is no such device.
    Absent,
}

/// What became of a key to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyDeleted {
    /// It is gone.
    Stored,
    /// The device has no such key, or there is no such device.
    Absent,
}

/// What a push network said of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushTargetVerdict {
    /// It is dead, since this moment where the network says so. Rows registered later are left alone.
    Dead {
        /// The network's own time of death.
        since: Option<UnixMs>,
    },
    /// It was refused, perhaps by our own fault: counted. The third time in a row makes an active device
    /// `unreachable`, but only while pushes to others succeed, so that a wrong setting of ours ends no device.
    Suspect {
        /// Whether pushes to other addresses by the same credential succeed.
        others_succeed: bool,
    },
    /// It was taken; forgets earlier suspicion.
    Good,
}
