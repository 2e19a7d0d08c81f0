//! Many users with a phone each.

use std::sync::Arc;

use tocsin_mock::World;

use super::parallel::in_parallel;
use crate::phone::{Phone, PhoneNetwork};
use crate::{Handset, Installation, LoadtestError, PhoneKind, Portal};

/// Enrolments at a time.
const WORKERS: usize = 32;

/// A user and the one phone of that user.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) user: String,
    pub(super) phone: Phone,
}

/// Enrols `count` users, every second with an iPhone, the others with an Android phone.
pub(super) async fn enrol_crowd(
    count: usize,
    world: &Arc<World>,
    portal: &Portal,
    installation: &Installation,
) -> Result<Vec<Member>, LoadtestError> {
    let issuer: Arc<str> = installation.device_url().into();
    let (world, portal, network) = (Arc::clone(world), portal.clone(), PhoneNetwork::new());
    in_parallel(WORKERS, count, move |index| {
        let (world, portal, network, issuer) =
            (Arc::clone(&world), portal.clone(), network.clone(), Arc::clone(&issuer));
        async move {
            let kind = if index % 2 == 0 { PhoneKind::Iphone } else { PhoneKind::Android };
            let user = format!("user-{index}");
            let handset = Handset::enrol(kind, &user, &world, &portal, &issuer, &network).await?;
            Ok(Member { user, phone: handset.phone })
        }
    })
    .await
}
