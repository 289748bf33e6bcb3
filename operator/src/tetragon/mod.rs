//! stub
pub mod memory {
    #[derive(Default)]
    pub struct Memory;
}
pub mod findings {
    use lsm_ready_crds::conditions::Finding;
    #[derive(Clone, Debug)]
    pub struct Findings {
        pub securityfs: Finding,
        pub rolled_out: Finding,
        pub stalled: Option<Finding>,
    }
    pub mod reason {
        pub const NOT_WANTED: &str = "NotWanted";
    }
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct Error;
impl Error {
    pub const fn reason(&self) -> &'static str {
        "x"
    }
}
pub async fn reconcile(
    _: std::sync::Arc<k8s_openapi::api::apps::v1::DaemonSet>,
    _: std::sync::Arc<crate::context::Context>,
) -> Result<kube_runtime::controller::Action, Error> {
    Err(Error)
}
pub fn findings(
    _: &lsm_ready_crds::LsmPolicy,
    _: &crate::key::DaemonSetKey,
    _: Option<&k8s_openapi::api::apps::v1::DaemonSet>,
    _: &crate::context::Context,
) -> findings::Findings {
    unreachable!()
}
