//! Who is at the other end of the control socket.
//!
//! The kernel says so, by the credentials of the socket. The socket's permissions keep others out;
//! this second look holds when somebody loosens them, and where a connector shares the service's
//! user, which must not make an operator of it.

use nix::unistd::{Gid, Group, Uid, User};
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Status};

use super::problem::Refusal;

/// Who may ask: root, the service's own user, and members of a group.
#[derive(Clone)]
pub(super) struct Gate {
    group: Option<String>,
}

impl Gate {
    pub(super) fn new(group: Option<String>) -> Self {
        Self { group }
    }

    /// Lets a request in, or refuses it.
    pub(super) fn admit(&self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(uid) = uid(&request) else {
            return Err(Refusal::forbidden("the control socket shows no peer").into());
        };
        if pid(&request).is_some_and(cordon_sandbox::is_connector) {
            tracing::error!(pid = pid(&request), "a connector asked on the control socket");
            return Err(Refusal::forbidden("a connector may not use the control socket").into());
        }
        if uid.is_root() || uid == nix::unistd::geteuid() || self.is_member(uid) {
            return Ok(request);
        }
        let refusal = Refusal::forbidden(format!("user id {uid} may not use the control socket"));
        Err(match &self.group {
            Some(group) => refusal.hint(format!("members of group `{group}` may")),
            None => refusal.hint("root may; `daemon.socket_group` lets a group in"),
        }
        .into())
    }

    fn is_member(&self, uid: Uid) -> bool {
        let Some(group) = &self.group else { return false };
        let (Ok(Some(group)), Ok(Some(user))) = (Group::from_name(group), User::from_uid(uid))
        else {
            return false;
        };
        user.gid == Gid::from_raw(group.gid.as_raw()) || group.mem.contains(&user.name)
    }
}

fn uid<T>(request: &Request<T>) -> Option<Uid> {
    let info = request.extensions().get::<UdsConnectInfo>()?;
    Some(Uid::from_raw(info.peer_cred?.uid()))
}

fn pid<T>(request: &Request<T>) -> Option<u32> {
    let info = request.extensions().get::<UdsConnectInfo>()?;
    u32::try_from(info.peer_cred?.pid()?).ok()
}

/// The user id of who asks; a number that nobody has where the socket shows none.
pub(super) fn number<T>(request: &Request<T>) -> u32 {
    uid(request).map_or(u32::MAX, Uid::as_raw)
}

/// Whether a user is a member of one of these groups of the host, by the user's own group or by the
/// group's list.
pub(super) fn is_member(uid: u32, groups: &[cordon_validate::Group]) -> bool {
    let gate = |group: &cordon_validate::Group| Gate::new(Some(group.as_str().to_owned()));
    groups.iter().any(|group| gate(group).is_member(Uid::from_raw(uid)))
}

/// Who asks, as evidence names them.
pub(super) fn actor<T>(request: &Request<T>) -> String {
    match uid(request) {
        None => "unknown".into(),
        Some(uid) => match User::from_uid(uid) {
            Ok(Some(user)) => format!("{} (uid {uid})", user.name),
            Ok(None) | Err(_) => format!("uid {uid}"),
        },
    }
}
